"""The file that audit chain heads are appended to; it's compared with the ledger at startup."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, say

# Non-blocking: a pipe without a reader would block the job forever.
_APPEND_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK


class LocalAnchorFile:
    """An implementation of `bot.ports.AnchorFile` for a file on disk or a pipe to another machine."""

    def append_line(self, path: str, line: str) -> None:
        """Append a line atomically and sync it, never extending a torn line. Raises Misconfigured if that fails."""
        try:
            handle = os.open(path, _APPEND_FLAGS, 0o600)
            try:
                begin = "\n" if _ends_within_line(path) else ""
                _write_and_sync(handle, f"{begin}{line}".encode())
            finally:
                os.close(handle)
        except (OSError, ValueError) as error:  # a path with a NUL is the latter
            why = getattr(error, "strerror", None) or error
            raise Misconfigured(say("Can't write {path}: {why}.", path=Code(path), why=str(why))) from error

    def read_text(self, path: str) -> str | None:
        """Return the file's text; None for a pipe, a device, or a missing file. Raises Misconfigured if that fails."""
        try:
            file = Path(path)
            return file.read_text(encoding="utf-8") if file.is_file() else None
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise Misconfigured(say("Can't read {path}: {why}.", path=Code(path), why=str(why))) from error


def _ends_within_line(path: str) -> bool:
    """Return whether the last line of a file may be torn. Pipes and devices have no last line."""
    file = Path(path)
    if not file.is_file() or not file.stat().st_size:
        return False
    try:
        with file.open("rb") as opened:
            opened.seek(-1, os.SEEK_END)
            return opened.read() != b"\n"
    except PermissionError:  # this user can only write; an empty line does no harm
        return True


def _write_and_sync(handle: int, line: bytes) -> None:
    size = os.write(handle, line)
    if size < len(line):
        raise OSError(errno.ENOSPC, f"only {size} of {len(line)} bytes were written")
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:  # a pipe or a device has nothing to sync
            raise

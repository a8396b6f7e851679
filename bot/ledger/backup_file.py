"""A file that exists only once it's complete, no matter how the process ends."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

PREFIX = ".registrar-backup-"  # of files that vanish by the end of a backup, unless it's killed
STALE_AFTER = 3600.0  # seconds since the last write after which a backup no longer runs
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)  # SIGINT raises KeyboardInterrupt anyway


@contextmanager
def complete_file(file: Path) -> Iterator[BinaryIO]:
    """Yield a new file that only this user can read. It's named when the block ends, or vanishes if that raises.

    On Linux, the file has no name until then, so it also vanishes after SIGKILL or a power failure. On other systems,
    and on file systems that don't support this, a later backup to the same folder deletes the leftovers.

    Raises FileExistsError if the name was taken in the meantime, or another OSError.
    """
    _delete_stale(file.parent)
    handle = _open_unnamed(file.parent)
    if handle is None:
        with _open_named(file.parent) as (named, path):
            yield named
            _sync(named)
            try:
                os.link(path, file)
            except OSError:  # the name is taken, or the file system has no links
                file.touch(exist_ok=False)
                path.rename(file)
        return
    with os.fdopen(handle, "w+b") as unnamed:
        yield unnamed
        _sync(unnamed)
        folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.link(f"/proc/self/fd/{handle}", file.name, dst_dir_fd=folder)  # never overwrites
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def deleted_file(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Yield an empty file and its path. The path is deleted when the block ends, but the open file stays usable."""
    handle, name = tempfile.mkstemp(prefix=PREFIX, dir=folder)
    try:
        yield os.fdopen(handle, "w+b"), Path(name)
    finally:
        Path(name).unlink()


def _open_unnamed(folder: Path) -> int | None:
    """Return the descriptor of a new, unnamed file, or None if the system or file system doesn't support that."""
    if sys.platform == "linux" and Path("/proc/self/fd").is_dir():
        with suppress(OSError):
            return os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600)
    return None


@contextmanager
def _open_named(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Yield a file and its temporary path, which is deleted when the block or process ends, except after SIGKILL."""
    ends = {number: signal.signal(number, lambda number, _: sys.exit(128 + number)) for number in ENDING_SIGNALS}
    handle, name = tempfile.mkstemp(prefix=PREFIX, dir=folder)
    try:
        with os.fdopen(handle, "w+b") as opened:
            yield opened, Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
        for number, end in ends.items():
            signal.signal(number, end)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _delete_stale(folder: Path) -> None:
    """Delete the files that killed backups left in a folder."""
    for path in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE_AFTER:
                path.unlink()

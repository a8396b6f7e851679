"""Hash files at a limited rate."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable

from bot.domain.core.errors import FilesUnreachable, RegistryRefused
from bot.domain.core.sentence import Name, say
from bot.domain.integrity.manifest import IGNORED_PATHS, FileEntry, is_valid_path
from bot.ports import VersionFiles


def list_files(files: VersionFiles) -> dict[str, int | None]:
    """Return the size of each file by path, None if it's unknown. Raises RegistryRefused for an invalid path."""
    listing: dict[str, int | None] = {}
    for file in files.files():
        if not is_valid_path(file.path) or file.path in listing:
            raise RegistryRefused(say("The version has a file with an invalid name: {path}.", path=Name(file.path)))
        if file.path not in IGNORED_PATHS:  # but files in a folder of that name are the model's
            listing[file.path] = file.size
    return listing


def files_changed_meanwhile() -> FilesUnreachable:
    """Return the error for files that are still being written: later, they can be read."""
    return FilesUnreachable("The files changed while they were being read.")


class StoppingError(Exception):
    """This process is stopping, so hashing ends in the middle of a file."""


class FileHasher:
    """Hashes files in constant memory, at up to `rate` bytes per second on average.

    Between two pieces of a file, it stops if `stop` is set, and calls `on_progress`.
    """

    def __init__(self, rate: int, stop: threading.Event, on_progress: Callable[[], object]) -> None:
        self._rate = rate
        self._stop = stop
        self._on_progress = on_progress
        self._began = time.monotonic()
        self._bytes = 0

    def hash(self, files: VersionFiles, path: str, listed: int | None, limit: int) -> FileEntry:
        """Return the entry of a file. `listed`: its size; `limit`: the most bytes to read if that's None.

        Raises StoppingError; raises FilesUnreachable, for a retry, if the file has a different size.
        """
        content, size = hashlib.sha256(), 0
        for chunk in files.chunks(path):
            content.update(chunk)
            size += len(chunk)
            if size > (limit if listed is None else listed):
                raise files_changed_meanwhile()
            self._pause(len(chunk))
        if listed not in {None, size}:
            raise files_changed_meanwhile()
        return FileEntry(path, size, content.hexdigest())

    def _pause(self, count: int) -> None:
        self._bytes += count
        ahead = self._bytes / self._rate - (time.monotonic() - self._began)
        if self._stop.wait(max(ahead, 0)):
            raise StoppingError
        self._on_progress()

"""Hash files at a limited rate."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable

from bot.domain.core.errors import FilesUnreachable, RegistryRefused
from bot.domain.core.sentence import Code, Name, say
from bot.domain.integrity.manifest import IGNORED_PATHS, FileEntry, is_valid_path
from bot.ports import VersionFiles

PATIENCE = 600.0  # seconds for a file, in addition to its size at the slowest rate
SLOWEST_RATE = 100_000  # bytes per second: a slower store would stop the files of other models from being hashed


def list_files(files: VersionFiles) -> dict[str, int | None]:
    """Return each file's size, or None if unknown, by path. Raises RegistryRefused for an invalid path."""
    listing: dict[str, int | None] = {}
    for file in files.files():
        if not is_valid_path(file.path) or file.path in listing:
            raise RegistryRefused(say("The version has a file with an invalid name: {path}.", path=Name(file.path)))
        if file.path not in IGNORED_PATHS:  # but files in a folder of that name are the model's
            listing[file.path] = file.size
    return listing


class FilesStillChanging(FilesUnreachable):
    """The files are still being written; they can probably be read later."""

    def __init__(self) -> None:
        super().__init__("The files changed while they were being read.")


class StoppingError(Exception):
    """This process is stopping, so hashing ends in the middle of a file."""


class FileHasher:
    """Hashes files in constant memory, up to `limit` bytes in total, at up to `rate` bytes per second on average.

    After each chunk of a file, it stops if `stop` is set; otherwise, it calls `on_progress`.
    """

    def __init__(self, rate: int, limit: int, stop: threading.Event, on_progress: Callable[[], object]) -> None:
        self._rate = rate
        self._limit = limit
        self._stop = stop
        self._on_progress = on_progress
        self._began = time.monotonic()
        self._bytes = 0

    def hash(self, files: VersionFiles, path: str, listed: int | None) -> FileEntry:
        """Hash a file, and return its entry. `listed` is its size in the listing, or None if unknown.

        Raises StoppingError, RegistryRefused if the limit is exceeded, FilesStillChanging if the file has a different
        size, and FilesUnreachable if the store sends it too slowly.
        """
        content, size = hashlib.sha256(), 0
        expected = self._limit if listed is None else listed
        ends = time.monotonic() + PATIENCE + expected / min(SLOWEST_RATE, self._rate / 2)
        for chunk in files.chunks(path):
            content.update(chunk)
            size += len(chunk)
            if listed is not None and size > listed:
                raise FilesStillChanging
            if time.monotonic() > ends:
                raise FilesUnreachable("The store sends the files too slowly.")
            self._pause(len(chunk))
        if listed not in {None, size}:
            raise FilesStillChanging
        return FileEntry(path, size, content.hexdigest())

    def _pause(self, count: int) -> None:
        self._bytes += count
        if self._bytes > self._limit:
            raise RegistryRefused(say("The files have more bytes than {it} allows.", it=Code("REGISTRAR_DIGEST_MAX")))
        ahead = self._bytes / self._rate - (time.monotonic() - self._began)
        if self._stop.wait(max(ahead, 0)):
            raise StoppingError
        self._on_progress()

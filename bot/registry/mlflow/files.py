"""List and read all of a version's files in constant memory, wherever MLflow stores them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDone
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from bot.domain.core.errors import RegistrarError
from bot.ports import StoredFile, VersionFiles
from bot.registry.mlflow.errors import files_unreadable, translate_files_error

CHUNK_BYTES = 1 << 20
LISTING_TIMEOUT = 30.0  # seconds for all folders of a version
HEADERS_TIMEOUT = 300.0  # seconds until a file begins to arrive, with MLflow's own retries
MAX_ENTRIES = 100_000  # files and folders of a version
WAIT_SECONDS = 0.25  # between two empty chunks, while a file is being downloaded
MAX_STALLS = 2400  # empty chunks in a row without a new byte: ten minutes
T = TypeVar("T")


def open_files(location: str, tracking_uri: str) -> VersionFiles:
    """Return the files at `location`. Raises RegistryRefused and RegistryUnreachable."""
    return files_of(in_time(lambda: open_store(location, tracking_uri), LISTING_TIMEOUT))


def files_of(store: Any) -> LocalFiles | DownloadedFiles:
    """Return the files in a store; `store` is MLflow's client for it."""
    from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository  # noqa: PLC0415
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository  # noqa: PLC0415

    if isinstance(store, LocalArtifactRepository):
        return LocalFiles(Path(store.artifact_dir))
    return HttpFiles(store) if isinstance(store, HttpArtifactRepository) else DownloadedFiles(store)


def open_store(location: str, uri: str) -> Any:
    """Return MLflow's client for the store that has the files at `location`. `uri` is MLflow's address.

    Raises RegistryRefused for a location on a different host; otherwise, whoever wrote it into the model would get our
    password.
    """
    address, server = urlsplit(location), urlsplit(uri)
    is_remote = address.scheme in {"http", "https", "mlflow-artifacts"} and address.netloc
    if is_remote and address.netloc.rpartition("@")[2] != server.netloc.rpartition("@")[2]:
        raise files_unreadable("they're on a different server than MLflow")
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository  # noqa: PLC0415

    return get_artifact_repository(location, tracking_uri=uri)


def in_time(task: Callable[[], T], timeout: float) -> T:
    """Run a task, and return its result. Translates its errors.

    Some stores don't respond for minutes, so the task's thread is abandoned after `timeout` seconds.
    """
    with translated_errors():
        return in_background(task).result(timeout)


def in_background(task: Callable[[], T]) -> Future[T]:
    """Start a task on a thread that can be abandoned."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(task())
        except Exception as error:  # raised again in the waiting thread
            future.set_exception(error)

    Thread(target=run, name="files of a model", daemon=True).start()
    return future


@contextmanager
def translated_errors() -> Iterator[None]:
    """Translate the errors that a store raises, because each kind of store uses its own library."""
    try:
        yield
    except RegistrarError:
        raise
    except Exception as error:
        raise translate_files_error(error) from error


class LocalFiles:
    """A folder on this machine. Links and devices in it are refused, because what they point to isn't in the model."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def files(self) -> Sequence[StoredFile]:
        """Return all files in the folder and its subfolders."""
        with translated_errors():
            return list(self._walk())

    def chunks(self, path: str) -> Generator[bytes]:
        """Yield a file's contents."""
        with translated_errors(), open(path, "rb", opener=self._open) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    def _open(self, path: str, flags: int) -> int:
        """Open a file without following links or waiting for a pipe.

        Since it was listed, the file or a folder above it might have been replaced by a link, or the file by a pipe
        that never ends.
        """
        place = self._open_folder()
        for part in Path(path).parts:
            try:
                inner = os.open(part, flags | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
            finally:
                os.close(place)
            place = inner
        return place

    def _open_folder(self) -> int:
        return os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)

    def _walk(self) -> Iterator[StoredFile]:
        if not self._folder.exists():
            return
        count, root = 0, self._open_folder()
        try:
            for folder, folders, names, place in os.fwalk(".", onerror=_raise, dir_fd=root):
                _require_few(count := count + len(folders) + len(names))
                for name in (*folders, *names):
                    entry, path = os.lstat(name, dir_fd=place), Path(folder, name).as_posix()
                    if stat.S_ISREG(entry.st_mode):
                        yield StoredFile(path, entry.st_size)
                    elif not stat.S_ISDIR(entry.st_mode):
                        raise files_unreadable(f"{path} is a link or a device")
        finally:
            os.close(root)


def _require_few(count: int) -> None:
    if count > MAX_ENTRIES:
        raise files_unreadable(f"there are more than {MAX_ENTRIES:,}")


def _raise(error: OSError) -> None:
    raise error  # a folder that can't be read must not be left out


class DownloadedFiles:
    """Files in a store that sends only whole files. They're downloaded, read, and deleted one at a time."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def files(self) -> Sequence[StoredFile]:
        """Return all files, including those in folders. One request for each folder."""
        return in_time(self._list, LISTING_TIMEOUT)

    def chunks(self, path: str) -> Generator[bytes]:
        """Yield empty chunks while the file is being downloaded, then its contents."""
        with translated_errors(), TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            download = in_background(lambda: self._store._download_file(path, str(Path(folder) / "file")))
            size = stalls = 0
            while not download.done():
                yield b""
                try:
                    download.result(WAIT_SECONDS)
                except NotDone:
                    before, size = size, _size_of(folder, size)
                    stalls = 0 if size != before else stalls + 1
                    if stalls >= MAX_STALLS:
                        raise
            download.result()
            yield from LocalFiles(Path(folder)).chunks("file")

    def _list(self) -> list[StoredFile]:
        files: list[StoredFile] = []
        seen: set[str | None] = {None}
        folders: list[str | None] = [None]
        while folders:
            for entry in self._store.list_artifacts(folders.pop()):
                if not entry.is_dir:
                    files.append(StoredFile(entry.path, entry.file_size))
                elif entry.path not in seen:
                    seen.add(entry.path)
                    folders.append(entry.path)
                _require_few(len(files) + len(seen))
        return files


def _size_of(folder: str, before: int) -> int:
    """Return the total size of the files in a folder, or `before` if one was just renamed."""
    with suppress(OSError):
        return sum(entry.stat().st_size for entry in os.scandir(folder))
    return before


class HttpFiles(DownloadedFiles):
    """Files that are streamed by MLflow's server, or by another server at its address."""

    def chunks(self, path: str) -> Generator[bytes]:
        """Yield a file's contents."""
        from mlflow.utils import rest_utils  # noqa: PLC0415

        rest: Any = rest_utils  # untyped
        call = partial(rest.http_request, self._store._host_creds, f"/{quote(path)}", "GET", stream=True)
        with translated_errors(), in_time(call, HEADERS_TIMEOUT) as answer:
            rest.augmented_raise_for_status(answer)
            while chunk := answer.raw.read1(CHUNK_BYTES, decode_content=True):  # what has arrived, without waiting
                yield chunk

"""The files of a version, wherever MLflow keeps them. Only the MLmodel and the requirements are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, TypeVar
from urllib.parse import urlsplit

from bot.domain.errors import RegistrarError
from bot.domain.registry import Package
from bot.registry.mlflow_errors import files_late, no_files, unreadable
from bot.registry.mlmodel import LARGEST, package_of

T = TypeVar("T")


def read_package(place: str, tracking_uri: str, seconds: float) -> Package | None:
    """Return what the files at `place` say, or None where no MLmodel is among them.

    Raises RegistryRefused and RegistryUnreachable where they cannot be read within so many seconds.
    """
    _check_host(place, tracking_uri)
    try:
        return _in_time(lambda: _read(place, tracking_uri), seconds)
    except RegistrarError:
        raise
    except Exception as error:  # every kind of store has its own library, with its own errors
        raise unreadable(error) from error


def _read(place: str, tracking_uri: str) -> Package | None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository  # noqa: PLC0415

    store = get_artifact_repository(place, tracking_uri=tracking_uri)
    sizes = {file.path: file.file_size for file in store.list_artifacts() if not file.is_dir}
    if "MLmodel" not in sizes:
        return None
    with TemporaryDirectory() as folder:
        mlmodel, requirements = (_content(store, name, sizes, Path(folder)) for name in ("MLmodel", "requirements.txt"))
    try:
        return package_of(mlmodel, requirements)
    except ValueError as error:
        raise no_files("its MLmodel cannot be understood") from error


def _content(store: Any, name: str, sizes: dict[str, int | None], folder: Path) -> bytes:
    if name not in sizes:
        return b""
    if (sizes[name] or 0) > LARGEST:
        raise no_files(f"{name} is larger than {LARGEST // 1_000_000} MB")
    store._download_file(name, str(folder / name))
    return (folder / name).read_bytes()


def _check_host(place: str, tracking_uri: str) -> None:
    """Refuse an address beside MLflow's own: whoever wrote it down would be sent our password."""
    there, ours = urlsplit(place), urlsplit(tracking_uri)
    if there.scheme not in {"http", "https", "mlflow-artifacts"} or not there.netloc:
        return
    if there.netloc.rpartition("@")[2] != ours.netloc.rpartition("@")[2]:
        raise no_files("they lie on a server that is not the one MLflow answers at")


def _in_time(work: Callable[[], T], seconds: float) -> T:
    """Return what `work` returns. Some stores' libraries wait for minutes: their thread is left to itself."""
    answers: SimpleQueue[tuple[T | None, Exception | None]] = SimpleQueue()

    def run() -> None:
        try:
            answers.put((work(), None))
        except Exception as error:  # goes to whoever waits
            answers.put((None, error))

    Thread(target=run, name="files of a model", daemon=True).start()
    try:
        found, error = answers.get(timeout=seconds)
    except Empty:
        raise files_late() from None
    if error:
        raise error
    return found  # type: ignore[return-value]

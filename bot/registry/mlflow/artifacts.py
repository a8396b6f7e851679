"""A version's files, wherever MLflow stores them: MLmodel, requirements, and the beginning of a model file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, TypeVar
from urllib.parse import urlsplit

from bot.domain.core.errors import RegistrarError
from bot.domain.registry.model import ModelPackage
from bot.registry.mlflow.errors import files_timed_out, files_unreadable, translate_files_error
from bot.registry.mlflow.estimator_class import pickled_class_name, skops_class_name
from bot.registry.mlflow.mlmodel import MAX_FILE_BYTES, parse_estimator, parse_package

MAX_HEAD_BYTES = 4_000_000  # bytes of a model file that are read: its class is at its beginning
CHUNK_BYTES = 64_000
T = TypeVar("T")


def read_package(location: str, tracking_uri: str, timeout: float) -> ModelPackage | None:
    """Return what MLmodel and requirements at `location` say, or None if there's no MLmodel.

    `timeout`: seconds. Raises RegistryRefused and RegistryUnreachable if they can't be read in that time.
    """
    return _read_from_store(lambda: _read_package(location, tracking_uri), location, tracking_uri, timeout)


def _read_from_store(task: Callable[[], T], location: str, tracking_uri: str, timeout: float) -> T:
    _check_host(location, tracking_uri)
    try:
        return _run_with_timeout(task, timeout)
    except RegistrarError:
        raise
    except Exception as error:  # every kind of store has its own library, with its own errors
        raise translate_files_error(error) from error


def _open_store(location: str, tracking_uri: str) -> tuple[Any, dict[str, int | None]]:
    """Return the artifact store, and the sizes in bytes of the files at its top level."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository  # noqa: PLC0415

    store = get_artifact_repository(location, tracking_uri=tracking_uri)
    return store, {file.path: file.file_size for file in store.list_artifacts() if not file.is_dir}


def _read_package(location: str, tracking_uri: str) -> ModelPackage | None:
    store, sizes = _open_store(location, tracking_uri)
    if "MLmodel" not in sizes:
        return None
    with TemporaryDirectory() as folder:
        mlmodel, requirements = (
            _read_small_file(store, name, sizes, Path(folder)) for name in ("MLmodel", "requirements.txt")
        )
    try:
        return parse_package(mlmodel, requirements)
    except ValueError as error:
        raise files_unreadable("its MLmodel cannot be understood") from error


def read_estimator(location: str, tracking_uri: str, timeout: float) -> str | None:
    """Return the class name of the model at `location`, or None if its files don't say.

    Raises RegistryRefused and RegistryUnreachable like `read_package`.
    """
    return _read_from_store(lambda: _read_estimator(location, tracking_uri), location, tracking_uri, timeout)


def _read_estimator(location: str, tracking_uri: str) -> str | None:
    store, sizes = _open_store(location, tracking_uri)
    if "MLmodel" not in sizes:
        return None
    with TemporaryDirectory() as folder:
        mlmodel = _read_small_file(store, "MLmodel", sizes, Path(folder))
        try:
            name, file = parse_estimator(mlmodel)
        except ValueError:
            return None
        if name or file not in sizes:
            return name
        is_whole = (sizes[file] or MAX_HEAD_BYTES + 1) <= MAX_HEAD_BYTES
        if file.endswith(".skops"):
            return skops_class_name(_download(store, file, Path(folder))) if is_whole else None
        data = _download(store, file, Path(folder)) if is_whole else _read_head(store, file)
    return pickled_class_name(data) if data else None


def _read_head(store: Any, name: str) -> bytes:
    """Return the beginning of a large file; empty if its store can only send the complete file."""
    from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository  # noqa: PLC0415
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository  # noqa: PLC0415
    from mlflow.utils import rest_utils  # noqa: PLC0415

    rest: Any = rest_utils  # untyped
    if isinstance(store, LocalArtifactRepository):
        with (Path(store.artifact_dir) / name).open("rb") as file:
            return file.read(MAX_HEAD_BYTES)
    if not isinstance(store, HttpArtifactRepository):
        return b""
    with rest.http_request(store._host_creds, f"/{name}", "GET", stream=True) as answer:
        rest.augmented_raise_for_status(answer)
        head = b""
        for chunk in answer.iter_content(CHUNK_BYTES):
            head += chunk
            if len(head) >= MAX_HEAD_BYTES:
                break
    return head[:MAX_HEAD_BYTES]


def _read_small_file(store: Any, name: str, sizes: dict[str, int | None], folder: Path) -> bytes:
    if name not in sizes:
        return b""
    if (sizes[name] or 0) > MAX_FILE_BYTES:
        raise files_unreadable(f"{name} is larger than {MAX_FILE_BYTES // 1_000_000} MB")
    return _download(store, name, folder)


def _download(store: Any, name: str, folder: Path) -> bytes:
    store._download_file(name, str(folder / name))
    return (folder / name).read_bytes()


def _check_host(location: str, tracking_uri: str) -> None:
    """Refuse an address on another host than MLflow's: whoever wrote it into the model would get our password."""
    address, server = urlsplit(location), urlsplit(tracking_uri)
    if address.scheme not in {"http", "https", "mlflow-artifacts"} or not address.netloc:
        return
    if address.netloc.rpartition("@")[2] != server.netloc.rpartition("@")[2]:
        raise files_unreadable("they lie on a server that is not the one MLflow answers at")


def _run_with_timeout(task: Callable[[], T], timeout: float) -> T:
    """Return the task's result. Some stores' libraries wait for minutes: their thread is abandoned."""
    answers: SimpleQueue[tuple[T | None, Exception | None]] = SimpleQueue()

    def run() -> None:
        try:
            answers.put((task(), None))
        except Exception as error:  # raised in the thread that waits
            answers.put((None, error))

    Thread(target=run, name="files of a model", daemon=True).start()
    try:
        result, error = answers.get(timeout=timeout)
    except Empty:
        raise files_timed_out() from None
    if error:
        raise error
    return result  # type: ignore[return-value]

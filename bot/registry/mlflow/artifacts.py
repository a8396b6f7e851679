"""Read a version's MLmodel, requirements, and the start of its model file, wherever MLflow stores them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import yaml

from bot.domain.registry.model import ModelPackage, Signature, SignatureColumn
from bot.registry.mlflow.errors import files_unreadable
from bot.registry.mlflow.estimator_class import pickled_class_name, skops_class_name, valid_class_name
from bot.registry.mlflow.files import DownloadedFiles, files_of, in_time, open_store

MAX_FILE_BYTES = 1_000_000  # of MLmodel and requirements; an MLmodel with 1,000 columns has a tenth of this
MAX_HEAD_BYTES = 4_000_000  # of a model file; its class is at the beginning
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the pure Python loader takes seconds for a large file
_NESTED_KEYS = ("properties", "items", "values")
T = TypeVar("T")


def read_package(location: str, tracking_uri: str, timeout: float) -> ModelPackage | None:
    """Return what the MLmodel and requirements files at `location` say, or None if there's no MLmodel file.

    `timeout` is in seconds. Raises RegistryRefused and RegistryUnreachable if they can't be read in that time.
    """
    return _read_in_time(_read_package, location, tracking_uri, timeout)


def read_estimator(location: str, tracking_uri: str, timeout: float) -> str | None:
    """Return the class name of the model at `location`, or None if its files don't name it.

    Raises RegistryRefused and RegistryUnreachable, like `read_package`.
    """
    return _read_in_time(_read_estimator, location, tracking_uri, timeout)


def _read_in_time(
    read: Callable[[Any, dict[str, int | None], Path], T], location: str, uri: str, timeout: float
) -> T | None:
    """Return what `read` finds, or None if there's no MLmodel file."""

    def run() -> T | None:
        store = open_store(location, uri)
        sizes = {file.path: file.file_size for file in store.list_artifacts() if not file.is_dir}
        with TemporaryDirectory() as folder:
            return read(store, sizes, Path(folder)) if "MLmodel" in sizes else None

    return in_time(run, timeout)


def _read_package(store: Any, sizes: dict[str, int | None], folder: Path) -> ModelPackage:
    mlmodel, requirements = (_read_small_file(store, name, sizes, folder) for name in ("MLmodel", "requirements.txt"))
    try:
        return parse_package(mlmodel, requirements)
    except ValueError as error:
        raise files_unreadable("the MLmodel file is invalid") from error


def _read_estimator(store: Any, sizes: dict[str, int | None], folder: Path) -> str | None:
    try:
        name, file = parse_estimator(_read_small_file(store, "MLmodel", sizes, folder))
    except ValueError:
        return None
    if name or file not in sizes:
        return name
    is_whole = (sizes[file] or MAX_HEAD_BYTES + 1) <= MAX_HEAD_BYTES
    if file.endswith(".skops"):
        return skops_class_name(_download(store, file, folder)) if is_whole else None
    data = _download(store, file, folder) if is_whole else _read_head(store, file)
    return pickled_class_name(data) if data else None


def _read_head(store: Any, name: str) -> bytes:
    """Return the beginning of a large file; empty if its store can send only complete files."""
    files, head = files_of(store), bytearray()
    if type(files) is not DownloadedFiles:
        with closing(files.chunks(name)) as chunks:
            while len(head) < MAX_HEAD_BYTES and (chunk := next(chunks, b"")):
                head += chunk
    return bytes(head[:MAX_HEAD_BYTES])


def _read_small_file(store: Any, name: str, sizes: dict[str, int | None], folder: Path) -> bytes:
    if name not in sizes:
        return b""
    if (sizes[name] or 0) > MAX_FILE_BYTES:
        raise files_unreadable(f"{name} is larger than {MAX_FILE_BYTES // 1_000_000} MB")
    return _download(store, name, folder)


def _download(store: Any, name: str, folder: Path) -> bytes:
    store._download_file(name, str(folder / name))
    return (folder / name).read_bytes()


def parse_package(mlmodel: bytes, requirements: bytes = b"") -> ModelPackage:
    """Return the parsed contents of the two files. Raises ValueError if `mlmodel` isn't an MLmodel file."""
    try:
        document = yaml.load(mlmodel, Loader=_Loader)  # noqa: S506 - both loaders are safe ones
        return ModelPackage(
            flavors=_flavor_names(document.get("flavors") or {}),
            signature=_parse_signature(document.get("signature")),
            dependencies=_requirement_lines(requirements),
            size=_int_or_none(document.get("model_size_bytes")),
        )
    except (yaml.YAMLError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise ValueError("not an MLmodel file") from error


def parse_estimator(mlmodel: bytes) -> tuple[str | None, str]:
    """Return the model class that an MLmodel file names, if any, and the name of its scikit-learn model file.

    The name is empty if there's no such file. Raises ValueError if `mlmodel` isn't an MLmodel file.
    """
    try:
        flavors = yaml.load(mlmodel, Loader=_Loader)["flavors"]  # noqa: S506 - both loaders are safe ones
        named = (str(flavor["model_class"]) for flavor in flavors.values() if flavor.get("model_class"))
        file = str((flavors.get("sklearn") or {}).get("pickled_model") or "")
    except (yaml.YAMLError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise ValueError("not an MLmodel file") from error
    return next((valid_class_name(name.rpartition(".")[2]) for name in named), None), file


def _flavor_names(flavors: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the flavor names, leaving out python_function unless it's the only one.

    That flavor only says that Python can load the model.
    """
    names = sorted(str(name) for name in flavors.keys())  # noqa: SIM118 - a list isn't a mapping and must fail
    return tuple(name for name in names if name != "python_function") or tuple(names)


def _parse_signature(signature: Mapping[str, Any] | None) -> Signature | None:
    if not signature:
        return None
    return Signature(
        inputs=_parse_columns(signature.get("inputs")),
        outputs=_parse_columns(signature.get("outputs")),
        params=_parse_columns(signature.get("params")),
    )


def _parse_columns(text: object) -> tuple[SignatureColumn, ...]:
    listed = json.loads(text) if isinstance(text, str) else []
    return tuple(_parse_column(column) for column in listed or [])


def _parse_column(fields: Mapping[str, Any]) -> SignatureColumn:
    required = bool(fields.get("required", "default" not in fields))  # a parameter has a default
    return SignatureColumn(name=str(fields.get("name") or ""), type=_type_name(fields), required=required)


def _type_name(fields: Mapping[str, Any]) -> str:
    kind = str(fields["type"])
    if kind == "tensor":
        tensor = fields["tensor-spec"]
        return f"tensor({tensor['dtype']},{json.dumps(tensor['shape'])})"
    if nested := {key: fields[key] for key in _NESTED_KEYS if key in fields}:
        return json.dumps({"type": kind, **nested}, sort_keys=True, separators=(",", ":"))
    return kind + json.dumps(fields["shape"]) if fields.get("shape") else kind


def _requirement_lines(requirements: bytes) -> tuple[str, ...]:
    lines = (line.strip() for line in requirements.decode(errors="replace").splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def _int_or_none(size: object) -> int | None:
    return size if isinstance(size, int) else None

"""Reading an MLmodel file: its YAML and the JSON in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from bot.domain.registry.model import ModelPackage, Signature, SignatureColumn
from bot.registry.mlflow.estimator_class import valid_class_name

MAX_FILE_BYTES = 1_000_000  # bytes; an MLmodel with a thousand columns has a tenth of it
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # parsed in pure Python, so a large file would take seconds
_NESTED_KEYS = ("properties", "items", "values")


def parse_package(mlmodel: bytes, requirements: bytes = b"") -> ModelPackage:
    """Return what the two files say. Raises ValueError if `mlmodel` isn't an MLmodel file."""
    try:
        document = yaml.load(mlmodel, Loader=_Loader)  # noqa: S506 - both loaders are safe ones
        return ModelPackage(
            flavors=_flavor_names(document.get("flavors") or {}),
            signature=_parse_signature(document.get("signature")),
            dependencies=_requirement_lines(requirements),
            size=_int_or_none(document.get("model_size_bytes")),
        )
    except (yaml.YAMLError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise ValueError("this is no MLmodel") from error


def parse_estimator(mlmodel: bytes) -> tuple[str | None, str]:
    """Return the model class that the file names, if any, and the name of the scikit-learn file next to it.

    Raises ValueError if this isn't an MLmodel file.
    """
    try:
        flavors = yaml.load(mlmodel, Loader=_Loader)["flavors"]  # noqa: S506 - both loaders are safe ones
        named = (str(flavor["model_class"]) for flavor in flavors.values() if flavor.get("model_class"))
        file = str((flavors.get("sklearn") or {}).get("pickled_model") or "")
    except (yaml.YAMLError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise ValueError("this is no MLmodel") from error
    return next((valid_class_name(name.rpartition(".")[2]) for name in named), None), file


def _flavor_names(flavors: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the flavors without python_function, which only says that Python can load the model."""
    names = sorted(str(name) for name in flavors.keys())  # noqa: SIM118 - a list is no mapping, and shall fail
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

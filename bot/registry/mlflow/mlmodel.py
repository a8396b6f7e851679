"""Reading an MLmodel file: its YAML and the JSON in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from bot.domain.registry.model import Column, Package, Signature
from bot.registry.mlflow.estimator_class import checked

LARGEST = 1_000_000  # bytes; an MLmodel with a thousand columns has a tenth of it
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in pure Python, so large a file would take seconds
_NESTED = ("properties", "items", "values")


def package_of(mlmodel: bytes, requirements: bytes = b"") -> Package:
    """Return what the two files say. Raises ValueError where this is no MLmodel."""
    try:
        told = yaml.load(mlmodel, Loader=_Loader)  # noqa: S506 - both loaders are safe ones
        return Package(
            flavors=_flavors(told.get("flavors") or {}),
            signature=_signature(told.get("signature")),
            dependencies=_lines(requirements),
            size=_whole(told.get("model_size_bytes")),
        )
    except (yaml.YAMLError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise ValueError("this is no MLmodel") from error


def estimator_of(mlmodel: bytes) -> tuple[str | None, str]:
    """Return the class of the model that the file names, if it does, and the name of the scikit-learn file beside it.

    Raises ValueError where this is no MLmodel.
    """
    try:
        flavors = yaml.load(mlmodel, Loader=_Loader)["flavors"]  # noqa: S506 - both loaders are safe ones
        named = (str(told["model_class"]) for told in flavors.values() if told.get("model_class"))
        file = str((flavors.get("sklearn") or {}).get("pickled_model") or "")
    except (yaml.YAMLError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise ValueError("this is no MLmodel") from error
    return next((checked(name.rpartition(".")[2]) for name in named), None), file


def _flavors(told: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the flavors; python_function only says that Python can load it."""
    names = sorted(str(name) for name in told.keys())  # noqa: SIM118 - a list is no mapping, and shall fail
    return tuple(name for name in names if name != "python_function") or tuple(names)


def _signature(told: Mapping[str, Any] | None) -> Signature | None:
    if not told:
        return None
    return Signature(
        inputs=_columns(told.get("inputs")), outputs=_columns(told.get("outputs")), params=_columns(told.get("params"))
    )


def _columns(text: object) -> tuple[Column, ...]:
    listed = json.loads(text) if isinstance(text, str) else []
    return tuple(_column(each) for each in listed or [])


def _column(told: Mapping[str, Any]) -> Column:
    required = bool(told.get("required", "default" not in told))  # a parameter has a default
    return Column(name=str(told.get("name") or ""), type=_type(told), required=required)


def _type(told: Mapping[str, Any]) -> str:
    kind = str(told["type"])
    if kind == "tensor":
        tensor = told["tensor-spec"]
        return f"tensor({tensor['dtype']},{json.dumps(tensor['shape'])})"
    if nested := {key: told[key] for key in _NESTED if key in told}:
        return json.dumps({"type": kind, **nested}, sort_keys=True, separators=(",", ":"))
    return kind + json.dumps(told["shape"]) if told.get("shape") else kind


def _lines(requirements: bytes) -> tuple[str, ...]:
    lines = (line.strip() for line in requirements.decode(errors="replace").splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def _whole(size: object) -> int | None:
    return size if isinstance(size, int) else None

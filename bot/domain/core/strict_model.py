"""The base class of every section of the policy file, and helpers for pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class StrictModel(BaseModel):
    """A section of the file. An unknown key is an error; values don't change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def error_message(error: Mapping[str, Any]) -> str:
    """Return the message of a pydantic error; for Registrar's own validators, without pydantic's prefix."""
    return str(error["ctx"]["error"] if error["type"] == "value_error" else error["msg"])


def documented_only(**schema: Any) -> Any:
    """Return a constraint that's only documented in OpenAPI, because the code that checks it gives a better error."""
    return Field(json_schema_extra=schema)

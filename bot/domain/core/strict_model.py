"""The base class of every section of the policy file, and helpers for pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class StrictModel(BaseModel):
    """A section of the policy file. An unknown key is an error, and values can't change once they're read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def error_message(error: Mapping[str, Any]) -> str:
    """Return a pydantic error's message, without pydantic's prefix if one of Registrar's own validators raised it."""
    return str(error["ctx"]["error"] if error["type"] == "value_error" else error["msg"])


def documented_only(**schema: Any) -> Any:
    """Return a constraint for the OpenAPI docs only; the code that enforces it gives a better error."""
    return Field(json_schema_extra=schema)

"""The base class of every section of the policy file, and helpers for pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class StrictModel(BaseModel):
    """A section of the file. An unknown key is an error; values don't change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def error_message(error: Mapping[str, Any]) -> str:
    """Return what one of pydantic's errors says: our validator's own words, if it's a validator of ours."""
    return str(error["ctx"]["error"] if error["type"] == "value_error" else error["msg"])


def documented_only(**schema: Any) -> Any:
    """Return a constraint that only the OpenAPI document shows: the code that checks it gives a better error."""
    return Field(json_schema_extra=schema)

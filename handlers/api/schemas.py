"""JSON schemas of the API's responses, for its OpenAPI document. `handlers/api/documents.py` builds the long ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.domain.promotions.request import RequestState, VoteChoice
from bot.domain.registry.model import Stage
from handlers.api import documents
from handlers.api.document_keys import REQUEST_KEYS, VERSION_KEYS

JsonSchema = dict[str, Any]

TEXT: JsonSchema = {"type": "string"}
TEXT_OR_NULL: JsonSchema = {"type": ["string", "null"]}
NUMBER: JsonSchema = {"type": "integer", "minimum": 1}
NUMBER_OR_NULL: JsonSchema = {"type": ["integer", "null"], "minimum": 1}
COUNT: JsonSchema = {"type": "integer", "minimum": 0}
BOOLEAN: JsonSchema = {"type": "boolean"}
TIME: JsonSchema = {"type": "string", "format": "date-time"}
TIME_OR_NULL: JsonSchema = {"type": ["string", "null"], "format": "date-time"}


def _object_schema(
    properties: Mapping[str, JsonSchema], descriptions: Mapping[str, str] | None = None, *, optional: bool = False
) -> JsonSchema:
    """Return the schema of an object with these keys and no others; `descriptions` says what each one contains."""
    descriptions = descriptions or {}
    shape = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name: part | ({"description": descriptions[name]} if name in descriptions else {})
            for name, part in properties.items()
        },
    }
    return shape if optional else shape | {"required": list(properties)}


def _array_schema(items: JsonSchema) -> JsonSchema:
    return {"type": "array", "items": items}


_STAGE: JsonSchema = {"enum": [stage.value for stage in Stage]}
_VOTE = _object_schema(
    {
        "by": TEXT,
        "choice": {"enum": [choice.value for choice in VoteChoice]},
        "reason": TEXT,
        "at": TIME,
        "counts": BOOLEAN,
    }
)
_GATE = _object_schema({"name": TEXT, "bound": TEXT, "value": TEXT, "passed": BOOLEAN, "note": TEXT})
_CI = _object_schema(dict.fromkeys(("repository", "run", "commit", "url"), TEXT), optional=True)

_REVIEW_OBJECT = _object_schema({"due_at": TIME_OR_NULL, "by": TEXT_OR_NULL, "at": TIME_OR_NULL, "reason": TEXT})
_REVIEW = {"anyOf": [_REVIEW_OBJECT, {"type": "null"}]}

# The status of a request.
REQUEST_STATE = _object_schema(
    {
        "id": TEXT,
        "state": {"enum": [documents.STATE_ASKED, *(state.value for state in RequestState), documents.STATE_REFUSED]},
        "is_final": BOOLEAN,
        "model": TEXT,
        "version": NUMBER_OR_NULL,
        "semver": TEXT_OR_NULL,
        "from": {"enum": [*_STAGE["enum"], None]},
        "to": _STAGE,
        "incumbent": NUMBER_OR_NULL,
        "requester": TEXT,
        "reason": TEXT,
        "required": NUMBER_OR_NULL,
        "votes": _array_schema(_VOTE),
        "gates": _array_schema(_GATE),
        "is_blocked": BOOLEAN,
        "opened_at": TIME_OR_NULL,
        "expires_at": TIME_OR_NULL,
        "decided_at": TIME_OR_NULL,
        "decided_by": TEXT_OR_NULL,
        "outcome": TEXT,
        "review": _REVIEW,
        "channel": TEXT,
        "ci": _CI,
        "error": TEXT_OR_NULL,
        "sentence": TEXT,
    },
    REQUEST_KEYS,
)

# The version that was made.
REGISTERED_VERSION = _object_schema(
    {
        "model": TEXT,
        "version": NUMBER,
        "semver": TEXT,
        "run_id": TEXT,
        "against": NUMBER_OR_NULL,
        "overridden": BOOLEAN,
        "why": TEXT,
        "ask": TEXT,
        "sentence": TEXT,
    },
    VERSION_KEYS,
)

# A version that's registered once MLflow answers.
QUEUED_VERSION = _object_schema({"ask": TEXT, "state": {"const": documents.STATE_ASKED}, "sentence": TEXT})

# Which versions of a model are blocked.
BLOCKED_VERSIONS = _object_schema(
    {
        "model": TEXT,
        "blocks": _array_schema(_object_schema({"version": NUMBER, "at": TIME, "reason": TEXT, "sentence": TEXT})),
    },
    {"blocks": "the oldest first: since when, why, and all that as a person reads it"},
)

# Accepted readings.
ACCEPTED_READINGS = _object_schema({"accepted": COUNT, "duplicates": COUNT})

ERROR_BODY = _object_schema(
    {"error": TEXT, "kind": TEXT_OR_NULL, "id": TEXT, "state": {"const": documents.STATE_REFUSED}},
    {
        "error": "what stands against it, as a person reads it",
        "kind": "the class of what stands against it, such as UnknownVersion",
        "id": "the id of what was asked for, where it was written down",
        "state": "of a request that was written down and is none",
    },
) | {"required": ["error"]}

_HEADERS: Mapping[int, Mapping[str, JsonSchema]] = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}},
    503: {"Retry-After": {"required": True, "description": "Seconds", "schema": {"type": "integer"}}},
}


def responses(statuses: Mapping[int | str, str], schemas: Mapping[int, JsonSchema]) -> dict[int | str, dict[str, Any]]:
    """Return the responses for OpenAPI: each status with its meaning and schema; statuses without one are errors."""
    return {
        status: {"description": text, "content": {"application/json": {"schema": schemas.get(int(status), ERROR_BODY)}}}
        | ({"headers": _HEADERS[int(status)]} if int(status) in _HEADERS else {})
        for status, text in statuses.items()
    }

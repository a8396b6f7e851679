"""How the API's answers look, for its OpenAPI document. `handlers/api/documents.py` makes the long ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.domain.promotions.request import Choice, RequestState
from bot.domain.registry.model import Stage
from handlers.api import documents
from handlers.api.document_keys import REQUEST, VERSION

Shape = dict[str, Any]

TEXT: Shape = {"type": "string"}
TEXT_OR_NULL: Shape = {"type": ["string", "null"]}
NUMBER: Shape = {"type": "integer", "minimum": 1}
NUMBER_OR_NULL: Shape = {"type": ["integer", "null"], "minimum": 1}
COUNT: Shape = {"type": "integer", "minimum": 0}
YES_OR_NO: Shape = {"type": "boolean"}
TIME: Shape = {"type": "string", "format": "date-time"}
TIME_OR_NULL: Shape = {"type": ["string", "null"], "format": "date-time"}


def _object(parts: Mapping[str, Shape], told: Mapping[str, str] | None = None, *, optional: bool = False) -> Shape:
    """Return the shape of an object with these keys and no others; `told` says of each what it holds."""
    told = told or {}
    shape = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name: part | ({"description": told[name]} if name in told else {}) for name, part in parts.items()
        },
    }
    return shape if optional else shape | {"required": list(parts)}


def _list(part: Shape) -> Shape:
    return {"type": "array", "items": part}


_STAGE: Shape = {"enum": [stage.value for stage in Stage]}
_VOTE = _object(
    {
        "by": TEXT,
        "choice": {"enum": [choice.value for choice in Choice]},
        "reason": TEXT,
        "at": TIME,
        "counts": YES_OR_NO,
    }
)
_GATE = _object({"name": TEXT, "bound": TEXT, "value": TEXT, "passed": YES_OR_NO, "note": TEXT})
_CI = _object(dict.fromkeys(("repository", "run", "commit", "url"), TEXT), optional=True)

_REVIEW_OF = _object({"due_at": TIME_OR_NULL, "by": TEXT_OR_NULL, "at": TIME_OR_NULL, "reason": TEXT})
_REVIEW = {"anyOf": [_REVIEW_OF, {"type": "null"}]}

# How a request stands.
STANDING = _object(
    {
        "id": TEXT,
        "state": {"enum": [documents.ASKED, *(state.value for state in RequestState), documents.REFUSED]},
        "is_final": YES_OR_NO,
        "model": TEXT,
        "version": NUMBER_OR_NULL,
        "semver": TEXT_OR_NULL,
        "from": {"enum": [*_STAGE["enum"], None]},
        "to": _STAGE,
        "incumbent": NUMBER_OR_NULL,
        "requester": TEXT,
        "reason": TEXT,
        "required": NUMBER_OR_NULL,
        "votes": _list(_VOTE),
        "gates": _list(_GATE),
        "is_blocked": YES_OR_NO,
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
    REQUEST,
)

# The version that was made.
MADE = _object(
    {
        "model": TEXT,
        "version": NUMBER,
        "semver": TEXT,
        "run_id": TEXT,
        "against": NUMBER_OR_NULL,
        "overridden": YES_OR_NO,
        "why": TEXT,
        "ask": TEXT,
        "sentence": TEXT,
    },
    VERSION,
)

# A version that is made as soon as MLflow answers.
WAITING = _object({"ask": TEXT, "state": {"const": documents.ASKED}, "sentence": TEXT})

# Which versions of a model are blocked.
BLOCKS = _object(
    {"model": TEXT, "blocks": _list(_object({"version": NUMBER, "at": TIME, "reason": TEXT, "sentence": TEXT}))},
    {"blocks": "the oldest first: since when, why, and all that as a person reads it"},
)

# Readings that were taken.
TAKEN = _object({"accepted": COUNT, "duplicates": COUNT})

ERROR = _object(
    {"error": TEXT, "kind": TEXT_OR_NULL, "id": TEXT, "state": {"const": documents.REFUSED}},
    {
        "error": "what stands against it, as a person reads it",
        "kind": "the class of what stands against it, such as UnknownVersion",
        "id": "the id of what was asked for, where it was written down",
        "state": "of a request that was written down and is none",
    },
) | {"required": ["error"]}

_HEADERS: Mapping[int, Mapping[str, Shape]] = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}},
    503: {"Retry-After": {"required": True, "description": "Seconds", "schema": {"type": "integer"}}},
}


def told(statuses: Mapping[int | str, str], shapes: Mapping[int, Shape]) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of the answers: each status with its meaning and shape; those not named are errors."""
    return {
        status: {"description": text, "content": {"application/json": {"schema": shapes.get(int(status), ERROR)}}}
        | ({"headers": _HEADERS[int(status)]} if int(status) in _HEADERS else {})
        for status, text in statuses.items()
    }

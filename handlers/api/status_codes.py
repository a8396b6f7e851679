"""The HTTP statuses of the calls, with their meanings for OpenAPI and the statuses of refused commands."""

from __future__ import annotations

_REFUSAL_STATUSES: dict[int | str, str] = {
    401: "No token and no signature of a client, or one that does not hold",
    403: "The client may not, or not with this model; or the rules say no",
    503: "Nothing was recorded; try again",
}
_BODY_STATUSES: dict[int | str, str] = {
    413: "More than 1 MB",
    415: "Not application/json",
}
OPEN_STATUSES: dict[int | str, str] = (
    _BODY_STATUSES
    | _REFUSAL_STATUSES
    | {
        200: "This Idempotency-Key came before: how its request stands by now",
        201: "A request is open; its card is on the way to Slack",
        202: "Written down; the card comes as soon as MLflow answers",
        404: "MLflow has no such model or version",
        409: "A request for this model and stage is open, or the Idempotency-Key came with another body before",
        422: "Something in the body is wrong, and the place is named; or a gate fails that nobody may let pass",
    }
)
REGISTER_STATUSES: dict[int | str, str] = (
    _BODY_STATUSES
    | _REFUSAL_STATUSES
    | {
        200: "This Idempotency-Key came before: the version that was made then",
        201: "The version is there",
        202: "Written down; it is made as soon as MLflow answers",
        404: "MLflow has no such run",
        409: "The Idempotency-Key came with another body before",
        422: "Something in the body is wrong, and the place is named",
    }
)
SHOW_STATUSES: dict[int | str, str] = _REFUSAL_STATUSES | {
    200: "How it stands",
    404: "This client has asked for nothing with this id",
    422: "That is no id",
}
BLOCKS_STATUSES: dict[int | str, str] = _REFUSAL_STATUSES | {
    200: "Which versions are blocked",
    422: "That is no model's name",
}
CANCEL_STATUSES: dict[int | str, str] = _REFUSAL_STATUSES | {
    200: "It is taken back",
    404: "This client has asked for nothing with this id",
    409: "It was decided before",
    422: "That is no id",
}

"""`POST /v1/metrics` accepts readings for monitors. It never waits for the registry."""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Response

from bot.domain.audit.events import EventTag
from bot.domain.core.errors import BadInput, LedgerUnavailable, Misconfigured
from bot.domain.core.sentence import Code, Name, sanitize_text, say, truncate
from bot.domain.monitoring.push_payload import PushPayload, TooManyReadings, parse_push
from bot.domain.monitoring.readings import PushedReading
from bot.ports import IdempotentCall
from handlers.api.calls import (
    BEARER,
    BODY_STATUSES,
    KEY_REUSED,
    REFUSAL_STATUSES,
    ApiCall,
    ApiError,
    client_who_may,
    describe_body,
    describe_responses,
    json_response,
)
from handlers.api.schemas import PushDocument

log = logging.getLogger(__name__)
router = APIRouter(dependencies=[BEARER])


class _KeyTaken(Exception):
    """Another call with the same key finished first, so this one is rolled back."""


@router.post(
    "/v1/metrics",
    status_code=202,
    responses=describe_responses(
        REFUSAL_STATUSES
        | BODY_STATUSES
        | {
            202: "Accepted; readings that already exist are counted as duplicates",
            403: "The policy doesn't let the client push readings for this model",
            404: "No source of type push has this name",
            409: "The Idempotency-Key was already used with a different body",
            413: "The body is over 1 MB, or has over 1,000 readings",
            422: "The body is invalid; the error names the field",
        },
        {202: PushDocument},
    ),
    openapi_extra=describe_body(PushPayload),
    summary="Push readings",
)
def push_metrics(
    call: Annotated[ApiCall, client_who_may("push", "push", tag=EventTag.METRICS_REFUSED)],
) -> Response:
    """Store all of the readings, or none. Returns `{"accepted": n, "duplicates": m}` or `{"error": "…"}`."""
    key, now = call.idempotency_key(), call.services.clock.now()
    try:
        payload = parse_push(call.body, now)
    except BadInput as error:
        raise ApiError(413 if isinstance(error, TooManyReadings) else 422, error.sentence) from None
    _check_source(call, payload)
    return _store(call, payload, key, now)


def _store(call: ApiCall, payload: PushPayload, key: str | None, now: datetime) -> Response:
    """Store the readings, unless a call with the same key has already done so, and return the response."""
    ledger, client = call.services.ledger, call.client.name
    readings = [
        PushedReading(source=payload.source, received_at=now, client=client, **reading.model_dump())
        for reading in payload.readings
    ]
    digest = hashlib.sha256(b"POST /v1/metrics\n" + call.body).hexdigest()
    try:
        with ledger.write() as tx:
            if key and (earlier := tx.idempotent_call(client, key)):
                return _repeat_answer(earlier, digest)
            new = tx.add_readings(readings)
            answer = json.dumps(PushDocument(accepted=new, duplicates=len(readings) - new).to_json())
            if key and not tx.add_idempotent_call(
                IdempotentCall(client=client, key=key, digest=digest, status=202, answer=answer, at=now)
            ):
                raise _KeyTaken
    except _KeyTaken:
        with ledger.read() as reader:
            if earlier := reader.idempotent_call(client, key or ""):
                return _repeat_answer(earlier, digest)
        raise LedgerUnavailable("Another call with this key is in progress. Try again in a moment.") from None
    return json_response(202, answer)


def _check_source(call: ApiCall, payload: PushPayload) -> None:
    """Check that the source accepts pushed readings, and that the client can push for these models. Raises ApiError."""
    for model in dict.fromkeys(reading.model for reading in payload.readings):
        call.require_model(model, "push readings for")
    try:
        needs_signature = call.services.requires_signature(payload.source)
    except Misconfigured as error:
        log.warning("%s", error)
        raise ApiError(503, error.sentence) from None
    name = Name(truncate(sanitize_text(payload.source), 100))
    if needs_signature is None:
        raise ApiError(404, say("The policy has no source {name} of type {push}.", name=name, push=Code("push")))
    if needs_signature and call.signature is None:
        call.refuse(401, say("The source {name} accepts only signed readings.", name=name))


def _repeat_answer(earlier: IdempotentCall, digest: str) -> Response:
    """Return the response to the earlier call with this key. Raises ApiError if its body was different."""
    if earlier.digest != digest:
        raise ApiError(409, KEY_REUSED)
    return json_response(earlier.status, earlier.answer)

"""`POST /v1/metrics` takes readings for monitors. It never waits for the registry."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from bot.domain.audit.events import EventTag
from bot.domain.core.actors import Client
from bot.domain.core.errors import BadInput, LedgerUnavailable, Misconfigured
from bot.domain.core.sentence import Code, Name, sanitize_text, say, truncate
from bot.domain.monitoring.push_payload import MAX_METRIC_LENGTH, MAX_READINGS, PushPayload, TooManyReadings, parse_push
from bot.domain.monitoring.readings import PushedReading
from bot.ports import Clock, Ledger
from bot.ports import IdempotentCall as Answered
from handlers.api.calls import (
    ApiAccess,
    ApiCall,
    ApiError,
    ApiResponse,
    ModelName,
    VersionNumber,
    documented_only,
    idempotency_key,
)
from handlers.api.clients import AuthenticatedClient

log = logging.getLogger(__name__)


class ReadingBody(BaseModel):
    """One reading."""

    model_config = ConfigDict(extra="forbid")

    model: ModelName = Field(description="The registered model's name", examples=["churn"])
    version: VersionNumber | Annotated[str, documented_only(pattern="^[vV]?[0-9]{1,9}$")] | None = Field(
        None, description="7 or v7; left out: whichever serves", examples=[7]
    )
    metric: Annotated[str, documented_only(minLength=1, maxLength=MAX_METRIC_LENGTH)] = Field(
        description="What a monitor's query names", examples=["accuracy"]
    )
    value: float = Field(description="A finite number", examples=[0.91])
    of: Annotated[float, Field(ge=0)] | None = Field(
        None, description="For counts: the total. 93 of 100 is judged as 0.93"
    )
    at: Annotated[str, documented_only(format="date-time")] = Field(
        description="When it was measured, RFC 3339 with its zone", examples=["2026-05-04T12:00:00Z"]
    )


class PushBody(BaseModel):
    """Readings for monitors. It is checked by hand, so that every fault is named with its place."""

    model_config = ConfigDict(extra="forbid")

    source: Annotated[str, documented_only(minLength=1)] = Field(
        description="A source of the type push in the policy, or push", examples=["live"]
    )
    readings: list[ReadingBody] = Field(
        description="1 to 1,000 of them, all or none", min_length=1, max_length=MAX_READINGS
    )


class _KeyTaken(Exception):
    """Another call with the same key finished first, so this one is rolled back."""


class MetricsEndpoint:
    """Stores pushed readings."""

    def __init__(
        self, ledger: Ledger, access: ApiAccess, requires_signature: Callable[[str], bool | None], clock: Clock
    ) -> None:
        self._ledger = ledger
        self._access = access
        self._requires_signature = requires_signature
        self._clock = clock

    def receive(self, call: ApiCall) -> ApiResponse:
        """Return the answer to one call. Raises ApiError and LedgerUnavailable."""
        client = self._access.require_right(call, ("push",), "push", EventTag.METRICS_REFUSED)
        key, body = idempotency_key(call.headers), call.body or b""
        push = self._parse(body)
        self._check_source(push, client, call.address)
        return self._write(push, client.client, key, hashlib.sha256(b"POST /v1/metrics\n" + body).hexdigest())

    def _parse(self, body: bytes) -> PushPayload:
        try:
            return parse_push(body, self._clock.now())
        except TooManyReadings as error:
            raise ApiError(413, error.sentence) from None
        except BadInput as error:
            raise ApiError(422, error.sentence) from None

    def _check_source(self, payload: PushPayload, client: AuthenticatedClient, address: str) -> None:
        """Check that the source takes pushed readings, and that the client can push for these models."""
        for model in dict.fromkeys(reading.model for reading in payload.readings):
            self._access.require_model(client, model, "push readings of", address, EventTag.METRICS_REFUSED)
        try:
            signed = self._requires_signature(payload.source)
        except Misconfigured as error:
            log.warning("%s", error)
            raise ApiError(503, error.sentence) from None
        if signed is None:
            raise ApiError(
                404,
                say(
                    "The policy has no source {name} of the type {push}.",
                    name=Name(truncate(sanitize_text(payload.source), 100)),
                    push=Code("push"),
                ),
            )
        if signed and not client.is_signed:
            why = say(
                "The source {name} takes only what is signed.", name=Name(truncate(sanitize_text(payload.source), 100))
            )
            self._access.refuse(401, client.client, address, why, EventTag.METRICS_REFUSED)

    def _write(self, payload: PushPayload, client: Client, key: str | None, digest: str) -> ApiResponse:
        now = self._clock.now()
        pushed = [
            PushedReading(
                source=payload.source,
                model=reader.model,
                version=reader.version,
                metric=reader.metric,
                at=reader.at,
                value=reader.value,
                total=reader.total,
                received_at=now,
                client=client.name,
            )
            for reader in payload.readings
        ]
        try:
            with self._ledger.write() as tx:
                if key and (before := tx.idempotent_call(client.name, key)):
                    return _repeat_answer(before, digest)
                new = tx.add_readings(pushed)
                answer = ApiResponse(202, json.dumps({"accepted": new, "duplicates": len(pushed) - new}))
                if key and not tx.add_idempotent_call(
                    Answered(
                        client=client.name, key=key, digest=digest, status=answer.status, answer=answer.body, at=now
                    )
                ):
                    raise _KeyTaken
                return answer
        except _KeyTaken:
            with self._ledger.read() as reader:
                if before := reader.idempotent_call(client.name, key or ""):
                    return _repeat_answer(before, digest)
            raise LedgerUnavailable("Another call with this key is under way; try again in a moment.") from None


def _repeat_answer(earlier: Answered, digest: str) -> ApiResponse:
    if earlier.digest != digest:
        raise ApiError(409, say("This {header} came with another body before.", header=Code("Idempotency-Key")))
    return ApiResponse(earlier.status, earlier.answer)


STATUSES: dict[int | str, str] = {
    202: "Taken; those that were there already are counted as duplicates",
    401: "No token and no signature of a client, or one that does not hold",
    403: "The client may not push, or not of this model",
    404: "No source of the type push has this name",
    409: "The Idempotency-Key came with another body before",
    413: "More than 1 MB, or more than 1,000 readings",
    415: "Not application/json",
    422: "Something in the body is wrong; the place is named",
    503: "Nothing was recorded; try again",
}

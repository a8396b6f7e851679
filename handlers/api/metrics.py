"""`POST /v1/metrics` takes readings for monitors. It never waits for the registry."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from bot.domain.audit.events import Tag
from bot.domain.core.actors import Client
from bot.domain.core.errors import BadInput, LedgerUnavailable, Misconfigured
from bot.domain.core.sentence import Code, Name, clean, say, short
from bot.domain.monitoring.push_payload import METRIC_MOST, READINGS_MOST, Push, TooManyReadings, parse_push
from bot.domain.monitoring.readings import Pushed
from bot.ports import Call as Answered
from bot.ports import Clock, Ledger
from handlers.api.calls import Answer, Call, Gate, ModelName, Number, Said, key_of, told_only
from handlers.api.clients import Known

log = logging.getLogger(__name__)


class ReadingBody(BaseModel):
    """One reading."""

    model_config = ConfigDict(extra="forbid")

    model: ModelName = Field(description="The registered model's name", examples=["churn"])
    version: Number | Annotated[str, told_only(pattern="^[vV]?[0-9]{1,9}$")] | None = Field(
        None, description="7 or v7; left out: whichever serves", examples=[7]
    )
    metric: Annotated[str, told_only(minLength=1, maxLength=METRIC_MOST)] = Field(
        description="What a monitor's query names", examples=["accuracy"]
    )
    value: float = Field(description="A finite number", examples=[0.91])
    of: Annotated[float, Field(ge=0)] | None = Field(
        None, description="For counts: the total. 93 of 100 is judged as 0.93"
    )
    at: Annotated[str, told_only(format="date-time")] = Field(
        description="When it was measured, RFC 3339 with its zone", examples=["2026-05-04T12:00:00Z"]
    )


class PushBody(BaseModel):
    """Readings for monitors. It is checked by hand, so that every fault is named with its place."""

    model_config = ConfigDict(extra="forbid")

    source: Annotated[str, told_only(minLength=1)] = Field(
        description="A source of the type push in the policy, or push", examples=["live"]
    )
    readings: list[ReadingBody] = Field(
        description="1 to 1,000 of them, all or none", min_length=1, max_length=READINGS_MOST
    )


class _Faster(Exception):
    """Another call with the same key was faster: what this one wrote is taken back."""


class Metrics:
    """Takes readings."""

    def __init__(self, ledger: Ledger, gate: Gate, takes: Callable[[str], bool | None], clock: Clock) -> None:
        self._ledger = ledger
        self._gate = gate
        self._takes = takes
        self._clock = clock

    def take(self, call: Call) -> Answer:
        """Return the answer to one call. Raises Said and LedgerUnavailable."""
        who = self._gate.let_in(call, ("push",), "push", Tag.METRICS_REFUSED)
        key, body = key_of(call.headers), call.body or b""
        push = self._parse(body)
        self._check(push, who, call.address)
        return self._write(push, who.client, key, hashlib.sha256(b"POST /v1/metrics\n" + body).hexdigest())

    def _parse(self, body: bytes) -> Push:
        try:
            return parse_push(body, self._clock.now())
        except TooManyReadings as error:
            raise Said(413, error.sentence) from None
        except BadInput as error:
            raise Said(422, error.sentence) from None

    def _check(self, push: Push, who: Known, address: str) -> None:
        """Check that the source is one, and that the client may say something of these models."""
        for model in dict.fromkeys(one.model for one in push.readings):
            self._gate.check_covers(who, model, "push readings of", address, Tag.METRICS_REFUSED)
        try:
            signed = self._takes(push.source)
        except Misconfigured as error:
            log.warning("%s", error)
            raise Said(503, error.sentence) from None
        if signed is None:
            raise Said(
                404,
                say(
                    "The policy has no source {name} of the type {push}.",
                    name=Name(short(clean(push.source), 100)),
                    push=Code("push"),
                ),
            )
        if signed and not who.is_signed:
            why = say("The source {name} takes only what is signed.", name=Name(short(clean(push.source), 100)))
            self._gate.refuse(401, who.client, address, why, Tag.METRICS_REFUSED)

    def _write(self, push: Push, client: Client, key: str | None, digest: str) -> Answer:
        now = self._clock.now()
        pushed = [
            Pushed(
                source=push.source,
                model=one.model,
                version=one.version,
                metric=one.metric,
                at=one.at,
                value=one.value,
                total=one.total,
                received_at=now,
                client=client.name,
            )
            for one in push.readings
        ]
        try:
            with self._ledger.write() as tx:
                if key and (before := tx.call(client.name, key)):
                    return _again(before, digest)
                new = tx.add_readings(pushed)
                answer = Answer(202, json.dumps({"accepted": new, "duplicates": len(pushed) - new}))
                if key and not tx.add_call(
                    Answered(
                        client=client.name, key=key, digest=digest, status=answer.status, answer=answer.body, at=now
                    )
                ):
                    raise _Faster
                return answer
        except _Faster:
            with self._ledger.read() as reading:
                if before := reading.call(client.name, key or ""):
                    return _again(before, digest)
            raise LedgerUnavailable("Another call with this key is under way; try again in a moment.") from None


def _again(before: Answered, digest: str) -> Answer:
    if before.digest != digest:
        raise Said(409, say("This {header} came with another body before.", header=Code("Idempotency-Key")))
    return Answer(before.status, before.answer)


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

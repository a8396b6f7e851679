"""The HTTP API for programs: `POST /v1/metrics` takes readings for monitors. It never waits for the registry."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, NoReturn

from fastapi import FastAPI, Request, Response, Security
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from bot.domain.errors import BadInput, LedgerUnavailable, Misconfigured
from bot.domain.events import Event, Tag
from bot.domain.monitors import Pushed
from bot.domain.people import Client
from bot.domain.policy import Policy
from bot.domain.pushing import READINGS_MOST, Push, TooManyReadings, parse_push
from bot.domain.text import Code, Name, Say, clean, say, short
from bot.ports import Call, Clock, Ledger
from handlers.clients import Known, Stranger, caller
from handlers.errors import explain

log = logging.getLogger(__name__)

BODY_MOST = 1_000_000  # bytes
AT_ONCE = 8  # calls that are worked on together: threads are needed for people, too
QUIET = 60.0  # seconds in which a caller's refusals are written to the audit once
CALLERS_MOST = 100  # refused callers of a minute that are written down
NOBODY = "?"  # who did not say who they are, for the audit
TRY_AGAIN = "5"  # seconds, where the ledger does not answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """What the API works with. `takes` tells of a source whether it takes only what is signed; None: it takes nothing.

    `monotonic` spaces what is written of refusals.
    """

    ledger: Ledger
    policy: Callable[[], Policy]
    takes: Callable[[str], bool | None]
    clock: Clock
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    monotonic: Callable[[], float] = time.monotonic


class ReadingBody(BaseModel):
    """One reading."""

    model: str = Field(description="The registered model's name", examples=["churn"])
    version: int | str | None = Field(None, description="7 or v7; left out: whichever serves", examples=[7])
    metric: str = Field(description="What a monitor's query names", examples=["accuracy"])
    value: float = Field(description="A finite number", examples=[0.91])
    at: str = Field(description="When it was measured, RFC 3339 with its zone", examples=["2026-05-04T12:00:00Z"])


class PushBody(BaseModel):
    """Readings for monitors. It is checked by hand, so that every fault is named with its place."""

    source: str = Field(description="A source of the type push in the policy, or push", examples=["live"])
    readings: list[ReadingBody] = Field(min_length=1, max_length=READINGS_MOST)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


class _Said(Exception):
    """A call is refused: with this status and sentence."""

    def __init__(self, status: int, why: Say | str) -> None:
        self.status, self.why = status, why
        super().__init__(str(why))


class _Faster(Exception):
    """Another call with the same key was faster: what this one wrote is taken back."""


def mount(web: FastAPI, api: Api) -> None:
    """Let programs push readings."""
    metrics = _Metrics(api)
    turns = asyncio.Semaphore(AT_ONCE)
    known = {status: {"description": text} for status, text in _STATUSES.items()}

    @web.post(
        "/v1/metrics",
        status_code=202,
        responses=known,
        openapi_extra=_request_body(),
        summary="Push readings",
        dependencies=[Security(HTTPBearer(auto_error=False))],  # for the page at /docs; `caller` reads the header
    )
    async def push_metrics(request: Request) -> Response:
        """Take readings, all or none. Answers `{"accepted": n, "duplicates": m}`, or `{"error": "…"}`."""
        body = await _body(request)
        address = request.client.host if request.client else ""
        async with turns:
            answer = await run_in_threadpool(metrics.take, request.headers, body, address)
        return Response(answer.body, answer.status, dict(answer.headers), "application/json")


class _Metrics:
    def __init__(self, api: Api) -> None:
        self._api = api
        self._refusals = _Refusals(api.monotonic)

    def take(self, headers: Mapping[str, str], body: bytes | None, address: str) -> _Answer:
        """Return the answer to one call."""
        try:
            return self._take(headers, body, address)
        except _Said as said:
            return _refusal(said.status, said.why)
        except LedgerUnavailable as error:
            return _refusal(503, explain(error))
        except Exception as error:  # a fault of ours: whoever called gets the id to quote
            return _refusal(500, explain(error))

    def _take(self, headers: Mapping[str, str], body: bytes | None, address: str) -> _Answer:
        if body is None:
            raise _Said(413, say("The body is longer than {n} bytes; send several calls.", n=f"{BODY_MOST:,}"))
        kind = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise _Said(415, say("Send the body as {type}.", type=Code("application/json")))
        who = caller(headers, body, self._api.policy(), self._api.environ, self._api.clock.now())
        if isinstance(who, Stranger):
            self._refuse(401, Client(NOBODY), address, who.why)
        if "push" not in who.rules.may:
            self._refuse(403, who.client, address, say("The policy does not let {client} push; it needs {may}.",
                         client=Name(who.client.name), may=Code("may: [push]")))  # fmt: skip
        key = _key(headers)
        push = self._parse(body)
        self._check(push, who, address)
        return self._write(push, who.client, key, hashlib.sha256(b"POST /v1/metrics\n" + body).hexdigest())

    def _parse(self, body: bytes) -> Push:
        try:
            return parse_push(body, self._api.clock.now())
        except TooManyReadings as error:
            raise _Said(413, error.sentence) from None
        except BadInput as error:
            raise _Said(422, error.sentence) from None

    def _check(self, push: Push, who: Known, address: str) -> None:
        """Check that the source is one, and that the client may say something of these models."""
        models = dict.fromkeys(one.model for one in push.readings)
        if other := next((one for one in models if not _is_covered(one, who)), None):
            self._refuse(403, who.client, address, say("The policy does not let {client} push readings of {model}.",
                         client=Name(who.client.name), model=Name(short(other, 100))))  # fmt: skip
        try:
            signed = self._api.takes(push.source)
        except Misconfigured as error:
            log.warning("%s", error)
            raise _Said(503, error.sentence) from None
        if signed is None:
            raise _Said(404, say("The policy has no source {name} of the type {push}.",
                                 name=Name(short(clean(push.source), 100)), push=Code("push")))  # fmt: skip
        if signed and not who.is_signed:
            self._refuse(401, who.client, address, say("The source {name} takes only what is signed.",
                         name=Name(short(clean(push.source), 100))))  # fmt: skip

    def _write(self, push: Push, client: Client, key: str | None, digest: str) -> _Answer:
        now = self._api.clock.now()
        pushed = [
            Pushed(source=push.source, model=one.model, version=one.version, metric=one.metric, at=one.at,
                   value=one.value, received_at=now, client=client.name)
            for one in push.readings
        ]  # fmt: skip
        try:
            with self._api.ledger.write() as tx:
                if key and (before := tx.call(client.name, key)):
                    return _again(before, digest)
                new = tx.add_readings(pushed)
                answer = _Answer(202, json.dumps({"accepted": new, "duplicates": len(pushed) - new}))
                if key and not tx.add_call(Call(client=client.name, key=key, digest=digest, status=answer.status,
                                                answer=answer.body, at=now)):  # fmt: skip
                    raise _Faster
                return answer
        except _Faster:
            with self._api.ledger.read() as reading:
                if before := reading.call(client.name, key or ""):
                    return _again(before, digest)
            raise LedgerUnavailable("Another call with this key is under way; try again in a moment.") from None

    def _refuse(self, status: int, client: Client, address: str, why: Say) -> NoReturn:
        """Refuse, and write it down, though not more than once a minute for each caller. Always raises."""
        if self._refusals.is_new(f"{client.name} {address if client.name == NOBODY else ''}"):
            event = Event(
                at=self._api.clock.now(), actor=client, tag=Tag.METRICS_REFUSED, subject="metrics", why=str(why),
                origin="api", evidence={"address": short(clean(address), 100)},
            )  # fmt: skip
            try:
                with self._api.ledger.write() as tx:
                    tx.append(event)
            except LedgerUnavailable as error:  # the refusal stands all the same
                log.warning("a refusal of pushed readings was not written down: %s", error)
        raise _Said(status, why)


class _Refusals:
    """Remembers whose refusals were written down within a minute, and of how many callers."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def is_new(self, who: str) -> bool:
        now = self._monotonic()
        with self._lock:
            while self._seen and next(iter(self._seen.values())) <= now - QUIET:
                self._seen.popitem(last=False)
            if who in self._seen or len(self._seen) >= CALLERS_MOST:
                return False
            self._seen[who] = now
        return True


def _is_covered(model: str, who: Known) -> bool:
    return any(pattern == model or fnmatchcase(model, pattern) for pattern in who.rules.models)


def _key(headers: Mapping[str, str]) -> str | None:
    key = headers.get("idempotency-key")
    if key is not None and not re.fullmatch(r"[!-~]{1,200}", key):
        raise _Said(422, say("{header} must be 1 to 200 visible ASCII characters.", header=Code("Idempotency-Key")))
    return key


def _again(before: Call, digest: str) -> _Answer:
    if before.digest != digest:
        raise _Said(409, say("This {header} came with another body before.", header=Code("Idempotency-Key")))
    return _Answer(before.status, before.answer)


def _refusal(status: int, why: Say | str) -> _Answer:
    more = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": TRY_AGAIN}}
    return _Answer(status, json.dumps({"error": str(why)}), more.get(status, {}))


async def _body(request: Request) -> bytes | None:
    """Return the body, or None for one that is too long, of which no more is read."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_MOST:
            return None
    return bytes(body)


_STATUSES: dict[int | str, str] = {
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


def _request_body() -> dict[str, Any]:
    schema = PushBody.model_json_schema()
    schema["properties"]["readings"]["items"] = schema.pop("$defs")["ReadingBody"]
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "parameters": [{"name": "Idempotency-Key", "in": "header", "required": False, "schema": {"type": "string"}}],
    }

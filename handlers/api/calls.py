"""What all calls of the HTTP API share: who calls, what is refused and written down, and how an answer looks."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, NoReturn

from fastapi import Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from bot import logging_context
from bot.domain.audit.events import Event, Tag
from bot.domain.core.actors import Client, actor_id
from bot.domain.core.errors import LedgerUnavailable
from bot.domain.core.sentence import Code, Name, Say, clean, say, short
from bot.domain.policy.policy import Policy
from bot.ports import Clock, Ledger
from handlers.api.body import BODY_MOST, read_body
from handlers.api.clients import Known, Stranger, caller
from handlers.errors import explain, new_quote

log = logging.getLogger(__name__)

Right = Literal["push", "request", "read"]  # what the policy's `may` can name

AT_ONCE = 8  # calls that are worked on together: threads are needed for people, too
QUIET = 60.0  # seconds in which a caller's refusals are written to the audit once
CALLERS_MOST = 100  # refused callers of a minute that are written down
NOBODY = "?"  # who did not say who they are, for the audit
TRY_AGAIN = "5"  # seconds, where the ledger does not answer
JSON = "application/json"


def told_only(**schema: Any) -> Any:
    """Return what only the document says of a field: whatever else looks at it refuses it in better words."""
    return Field(json_schema_extra=schema)


ModelName = Annotated[str, told_only(minLength=1, maxLength=250, pattern=r"^[^/:\x00-\x1f]+$")]
Number = Annotated[int, told_only(minimum=1, maximum=999_999_999)]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call is answered: a status, a JSON text, headers."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it came. `body` is None where it was too long, of which no more is read."""

    headers: Mapping[str, str]
    body: bytes | None
    address: str


class Said(Exception):
    """A call is refused: with this status and sentence, and what more a program may read."""

    def __init__(self, status: int, why: Say | str, **more: object) -> None:
        self.status, self.why, self.more = status, why, more
        super().__init__(str(why))


class Gate:
    """Lets calls in, and writes down who was not."""

    def __init__(
        self,
        ledger: Ledger,
        policy: Callable[[], Policy],
        clock: Clock,
        environ: Mapping[str, str] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._policy = policy
        self._clock = clock
        self._environ = os.environ if environ is None else environ
        self._refusals = _Refusals(monotonic)

    def let_in(self, call: Call, rights: Sequence[Right], doing: str, tag: Tag) -> Known:
        """Return who calls, if the policy gives them one of `rights`. `doing` is what they want to do, in words.

        Raises Said, with 401 for nobody that is known and 403 for who may not, and 413 and 415 for a wrong body.
        """
        if call.body is None:
            raise Said(413, say("The body is longer than {n} bytes; send several calls.", n=f"{BODY_MOST:,}"))
        kind = call.headers.get("content-type", JSON).partition(";")[0].strip().lower()
        if kind != JSON and call.body:
            raise Said(415, say("Send the body as {type}.", type=Code(JSON)))
        who = caller(call.headers, call.body, self._policy(), self._environ, self._clock.now())
        if isinstance(who, Stranger):
            self.refuse(401, Client(NOBODY), call.address, who.why, tag)
        logging_context.add(actor=actor_id(who.client))
        if not {*rights} & {*who.rules.may}:
            self.refuse(
                403,
                who.client,
                call.address,
                say(
                    "The policy does not let {client} {do}; it needs {may}.",
                    client=Name(who.client.name),
                    do=doing,
                    may=Code(f"may: [{rights[0]}]"),
                ),
                tag,
            )
        return who

    def check_covers(self, who: Known, model: str, doing: str, address: str, tag: Tag) -> None:
        """Return if the policy lets the client do this with the model. Raises Said."""
        if not covers(who, model):
            self.refuse(
                403,
                who.client,
                address,
                say(
                    "The policy does not let {client} {do} {model}.",
                    do=doing,
                    client=Name(who.client.name),
                    model=Name(short(model, 100)),
                ),
                tag,
            )

    def refuse(self, status: int, client: Client, address: str, why: Say, tag: Tag) -> NoReturn:
        """Refuse, and write it down, though not more than once a minute for each caller. Always raises Said."""
        if self._refusals.is_new(f"{client.name} {address if client.name == NOBODY else ''}"):
            event = Event(
                at=self._clock.now(),
                actor=client,
                tag=tag,
                subject="api",
                why=str(why),
                origin="api",
                evidence={"address": short(clean(address), 100)},
            )
            try:
                with self._ledger.write() as tx:
                    tx.append(event)
            except LedgerUnavailable as error:  # the refusal stands all the same
                log.warning("a refusal of a call was not written down: %s", error)
        raise Said(status, why)


def covers(who: Known, model: str) -> bool:
    """Tell whether the policy's `models` of a client name this model."""
    return any(pattern == model or fnmatchcase(model, pattern) for pattern in who.rules.models)


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


def key_of(headers: Mapping[str, str]) -> str | None:
    """Return the Idempotency-Key. Raises Said for one that is none."""
    key = headers.get("idempotency-key")
    if key is not None and not re.fullmatch(r"[!-~]{1,200}", key):
        raise Said(422, say("{header} must be 1 to 200 visible ASCII characters.", header=Code("Idempotency-Key")))
    return key


async def answered(request: Request, turns: asyncio.Semaphore, do: Callable[[Call], Answer]) -> Response:
    """Read a call, work on it off the event loop, a few at a time, and answer it."""
    body = await read_body(request)
    call = Call(request.headers, body, request.client.host if request.client else "")
    async with turns:
        answer = await run_in_threadpool(_safely, do, call)
    return Response(answer.body, answer.status, dict(answer.headers), JSON)


def _safely(do: Callable[[Call], Answer], call: Call) -> Answer:
    with logging_context.about(quote=new_quote()):
        try:
            return do(call)
        except Said as said:
            return refusal(said.status, said.why, **said.more)
        except LedgerUnavailable as error:
            return refusal(503, explain(error))
        except Exception as error:  # a fault of ours: whoever called gets the id to quote
            return refusal(500, explain(error))


def refusal(status: int, why: Say | str, **more: object) -> Answer:
    """Return the answer that says no, and why."""
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": TRY_AGAIN}}
    return Answer(status, json.dumps({"error": str(why), **more}), headers.get(status, {}))


def described(schema: dict[str, Any], *, key: bool, required: bool = True) -> dict[str, Any]:
    """Return what OpenAPI says of a body; `key`: an Idempotency-Key can come along."""
    body = {"required": required, "content": {JSON: {"schema": _whole(schema, schema.get("$defs", {}))}}}
    header = {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
    }
    return {"requestBody": body} | ({"parameters": [header]} if key else {})


def _whole(schema: Any, parts: Mapping[str, Any]) -> Any:
    """Return a schema in one piece: inside another document its references would lead nowhere."""
    if isinstance(schema, list):
        return [_whole(one, parts) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _whole(parts[str(schema["$ref"]).rpartition("/")[2]], parts)
    return {key: _whole(value, parts) for key, value in schema.items() if key != "$defs"}

"""What all calls of the HTTP API share: authentication, refusals and their audit entries, and responses."""

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
from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Client, actor_id
from bot.domain.core.errors import LedgerUnavailable
from bot.domain.core.sentence import Code, Name, Sentence, sanitize_text, say, truncate
from bot.domain.policy.policy import Policy
from bot.ports import Clock, Ledger
from handlers.api.body import MAX_BODY_BYTES, read_body
from handlers.api.clients import AuthenticatedClient, AuthenticationFailure, authenticate
from handlers.errors import explain, new_error_id

log = logging.getLogger(__name__)

Right = Literal["push", "request", "read"]  # what a client's `may` can contain in the policy

MAX_CONCURRENT_CALLS = 8  # calls that are worked on together: threads are needed for people, too
REFUSAL_PAUSE = 60.0  # seconds in which a caller's refusals are written to the audit once
MAX_REFUSED_CALLERS = 100  # refused callers of a minute that are written down
UNKNOWN_CALLER = "?"  # an unauthenticated caller, in the audit log
RETRY_AFTER = "5"  # Retry-After in seconds if the ledger doesn't answer
JSON_TYPE = "application/json"


def documented_only(**schema: Any) -> Any:
    """Return a constraint that only the OpenAPI document shows: the code that checks it gives a better error."""
    return Field(json_schema_extra=schema)


ModelName = Annotated[str, documented_only(minLength=1, maxLength=250, pattern=r"^[^/:\x00-\x1f]+$")]
VersionNumber = Annotated[int, documented_only(minimum=1, maximum=999_999_999)]


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """What a call is answered: a status, a JSON text, headers."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One call as received. `body` is None if it was too long."""

    headers: Mapping[str, str]
    body: bytes | None
    address: str


class ApiError(Exception):
    """Refuses a call with this status and sentence, and more fields for programs."""

    def __init__(self, status: int, sentence: Sentence | str, **fields: object) -> None:
        self.status, self.sentence, self.fields = status, sentence, fields
        super().__init__(str(sentence))


class ApiAccess:
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
        self._refusals = _RefusalLimiter(monotonic)

    def require_right(self, call: ApiCall, rights: Sequence[Right], action: str, tag: EventTag) -> AuthenticatedClient:
        """Return the caller if the policy grants them one of `rights`. `action`: what they want to do, in words.

        Raises ApiError: 401 if they aren't authenticated, 403 without the right, 413 or 415 for a wrong body.
        """
        if call.body is None:
            raise ApiError(413, say("The body is longer than {n} bytes; send several calls.", n=f"{MAX_BODY_BYTES:,}"))
        kind = call.headers.get("content-type", JSON_TYPE).partition(";")[0].strip().lower()
        if kind != JSON_TYPE and call.body:
            raise ApiError(415, say("Send the body as {type}.", type=Code(JSON_TYPE)))
        client = authenticate(call.headers, call.body, self._policy(), self._environ, self._clock.now())
        if isinstance(client, AuthenticationFailure):
            self.refuse(401, Client(UNKNOWN_CALLER), call.address, client.why, tag)
        logging_context.bind(actor=actor_id(client.client))
        if not {*rights} & {*client.rules.may}:
            self.refuse(
                403,
                client.client,
                call.address,
                say(
                    "The policy does not let {client} {do}; it needs {may}.",
                    client=Name(client.client.name),
                    do=action,
                    may=Code(f"may: [{rights[0]}]"),
                ),
                tag,
            )
        return client

    def require_model(self, caller: AuthenticatedClient, model: str, action: str, address: str, tag: EventTag) -> None:
        """Check that the client can do this with the model. Raises ApiError."""
        if not covers_model(caller, model):
            self.refuse(
                403,
                caller.client,
                address,
                say(
                    "The policy does not let {client} {do} {model}.",
                    do=action,
                    client=Name(caller.client.name),
                    model=Name(truncate(model, 100)),
                ),
                tag,
            )

    def refuse(self, status: int, client: Client, address: str, sentence: Sentence, tag: EventTag) -> NoReturn:
        """Refuse a call, and record it in the audit log at most once a minute for each caller.

        Always raises ApiError.
        """
        if self._refusals.is_new(f"{client.name} {address if client.name == UNKNOWN_CALLER else ''}"):
            event = Event(
                at=self._clock.now(),
                actor=client,
                tag=tag,
                subject="api",
                why=str(sentence),
                origin="api",
                evidence={"address": truncate(sanitize_text(address), 100)},
            )
            try:
                with self._ledger.write() as tx:
                    tx.add_audit_event(event)
            except LedgerUnavailable as error:  # the call is refused even if that can't be recorded
                log.warning("a refusal of a call was not written down: %s", error)
        raise ApiError(status, sentence)


def covers_model(caller: AuthenticatedClient, model: str) -> bool:
    """Return whether a client's `models` in the policy match this model."""
    return any(pattern == model or fnmatchcase(model, pattern) for pattern in caller.rules.models)


class _RefusalLimiter:
    """Remembers whose refusals were written down within a minute, and of how many callers."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._recorded: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def is_new(self, caller: str) -> bool:
        now = self._monotonic()
        with self._lock:
            while self._recorded and next(iter(self._recorded.values())) <= now - REFUSAL_PAUSE:
                self._recorded.popitem(last=False)
            if caller in self._recorded or len(self._recorded) >= MAX_REFUSED_CALLERS:
                return False
            self._recorded[caller] = now
        return True


def idempotency_key(headers: Mapping[str, str]) -> str | None:
    """Return the Idempotency-Key. Raises ApiError if it's invalid."""
    key = headers.get("idempotency-key")
    if key is not None and not re.fullmatch(r"[!-~]{1,200}", key):
        raise ApiError(422, say("{header} must be 1 to 200 visible ASCII characters.", header=Code("Idempotency-Key")))
    return key


async def handle_call(
    request: Request, limiter: asyncio.Semaphore, handle: Callable[[ApiCall], ApiResponse]
) -> Response:
    """Read a call, work on it off the event loop, a few at a time, and answer it."""
    body = await read_body(request)
    call = ApiCall(request.headers, body, request.client.host if request.client else "")
    async with limiter:
        answer = await run_in_threadpool(_handle_safely, handle, call)
    return Response(answer.body, answer.status, dict(answer.headers), JSON_TYPE)


def _handle_safely(handle: Callable[[ApiCall], ApiResponse], call: ApiCall) -> ApiResponse:
    with logging_context.bound(quote=new_error_id()):
        try:
            return handle(call)
        except ApiError as said:
            return refusal_response(said.status, said.sentence, **said.fields)
        except LedgerUnavailable as error:
            return refusal_response(503, explain(error))
        except Exception as error:  # our fault: the caller gets the id to quote
            return refusal_response(500, explain(error))


def refusal_response(status: int, sentence: Sentence | str, **fields: object) -> ApiResponse:
    """Return an error response with this sentence."""
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": RETRY_AFTER}}
    return ApiResponse(status, json.dumps({"error": str(sentence), **fields}), headers.get(status, {}))


def request_schema(schema: dict[str, Any], *, has_key: bool, required: bool = True) -> dict[str, Any]:
    """Return the OpenAPI schema of a body. `has_key`: the call accepts an Idempotency-Key."""
    body = {
        "required": required,
        "content": {JSON_TYPE: {"schema": _inline_references(schema, schema.get("$defs", {}))}},
    }
    header = {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
    }
    return {"requestBody": body} | ({"parameters": [header]} if has_key else {})


def _inline_references(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """Return a schema in one piece: inside another document its references would lead nowhere."""
    if isinstance(schema, list):
        return [_inline_references(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inline_references(definitions[str(schema["$ref"]).rpartition("/")[2]], definitions)
    return {key: _inline_references(value, definitions) for key, value in schema.items() if key != "$defs"}

"""What all calls to the HTTP API share: authentication, refusals and their audit entries, and responses."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal, NoReturn

from fastapi import Depends, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from bot import logging_context
from bot.domain.audit.events import EventTag
from bot.domain.core.actors import Client, actor_id
from bot.domain.core.agent import Agent, introduce_agent
from bot.domain.core.ci_run import CiRun
from bot.domain.core.errors import QuotaExceeded, Refused, Unreachable
from bot.domain.core.sentence import Code, Name, Sentence, say, truncate
from bot.domain.core.signing import NONCE_HEADER
from bot.domain.policy.callers.api_clients import ApiClient
from bot.domain.policy.policy import Policy
from bot.id_tokens import IdToken, IdTokenVerifier
from bot.ports import Clock, Ledger
from bot.registrar import Registrar
from handlers.api.authentication import SIGNATURE_SECONDS, CallSignature, authenticate
from handlers.api.body import MAX_BODY_BYTES, read_body
from handlers.api.ci_job_tokens import identify_ci_job, use_token
from handlers.api.refusals import UNKNOWN_CALLER, RefusalLog
from handlers.api.schemas import BodyT, ErrorDocument
from handlers.errors import explain, new_error_id
from handlers.recent_keys import RecentKeys
from handlers.web import connections

log = logging.getLogger(__name__)

Right = Literal["push", "request", "read"]  # the values of a client's `may` in the policy

# Calls of one kind that run at the same time. Calls that open requests wait for MLflow, and must not delay people or
# calls with readings; that's why there's a limit, and a separate one for each kind.
MAX_CONCURRENT_CALLS = 8
REFUSAL_TAGS = (EventTag.METRICS_REFUSED, EventTag.API_REFUSED)  # one for each kind of call
WARNING_PAUSE = 3600.0  # seconds in which one client's deprecated signatures are logged once
MAX_SEEN_SIGNATURES = 10_000  # about 2 MB; with more, a replay counts toward the quota
JSON_TYPE = "application/json"
HEADERS_BY_STATUS = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "5"}}
KEY_REUSED = say("This {header} was already used with a different body.", header=Code("Idempotency-Key"))
BEARER = Security(HTTPBearer(auto_error=False))  # for the page at /docs; `authenticate` reads the header


@dataclass(kw_only=True)
class ApiServices:
    """The API's dependencies.

    `requires_signature` returns whether a source accepts only signed readings, or None if it doesn't accept pushed
    readings. Without a `registrar`, requests can't be opened. `monotonic` is the clock, in seconds, that limits how
    often refusals and warnings are recorded; it's also used to age remembered signatures and issuers' keys.
    """

    ledger: Ledger
    policy: Callable[[], Policy]
    requires_signature: Callable[[str], bool | None]
    clock: Clock
    registrar: Registrar | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    monotonic: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.refusals = RefusalLog(self.ledger, self.clock, self.monotonic)
        self.warned_clients = RecentKeys(WARNING_PAUSE, self.monotonic)
        self.seen_signatures = RecentKeys(2 * SIGNATURE_SECONDS, self.monotonic, MAX_SEEN_SIGNATURES)
        self.id_tokens = IdTokenVerifier(self.monotonic)
        self.turns = {tag: asyncio.Semaphore(MAX_CONCURRENT_CALLS) for tag in REFUSAL_TAGS}


class ApiError(Exception):
    """An error that refuses a call with a status and a sentence; `fields` are additional keys of the ErrorDocument."""

    def __init__(self, status: int, sentence: Sentence | str, **fields: object) -> None:
        self.status, self.document = status, {"error": str(sentence), **fields}
        super().__init__(str(sentence))


async def refuse_call(request: Request, error: Exception) -> Response:
    """Return the response to a call that raised ApiError."""
    assert isinstance(error, ApiError)
    response = json_response(error.status, error.document)
    if "retry_after" in error.document:
        response.headers["Retry-After"] = str(error.document["retry_after"])
    return response


def json_response(status: int, document: Mapping[str, Any] | str) -> Response:
    """Return a JSON response with this document, which can also be a string of JSON."""
    text = document if isinstance(document, str) else json.dumps(document)
    return Response(text, status, HEADERS_BY_STATUS.get(status), JSON_TYPE)


class ApiCall:
    """A call to the API.

    Once it's admitted, `client` is the caller, and `rules`, the client's entry in the policy, permit the call.
    """

    def __init__(self, services: ApiServices, request: Request, body: bytes, tag: EventTag) -> None:
        self.services = services
        self.headers: Mapping[str, str] = request.headers
        self.address = request.client.host if request.client else ""
        self.body = body
        self.signature: CallSignature | None = None
        self.verified_run: CiRun | None = None  # the CI run, if the call has an ID token
        self._id_token: IdToken | None = None
        self._request, self._refusal_tag = request, tag
        self.client, self.rules = Client(UNKNOWN_CALLER), ApiClient()

    @property
    def registrar(self) -> Registrar:
        """The registrar, for calls that are available only with one."""
        assert self.services.registrar
        return self.services.registrar

    def admit(self, action: str, rights: tuple[Right, ...], *, is_change: bool) -> None:
        """Authenticate the client, and check that the policy grants it one of `rights`; `action` is for the error.

        `is_change`: the call changes something, so it uses up an ID token.

        Raises ApiError: 401 if the client isn't authenticated or its nonce or ID token was used before, 403 without the
        permission, 415 if the body isn't JSON, or 429 if the client has used up its quota.
        """
        content_type = self.headers.get("content-type", JSON_TYPE).partition(";")[0].strip().lower()
        if content_type != JSON_TYPE and self.body:
            raise ApiError(415, say("Send the body as {type}.", type=Code(JSON_TYPE)))
        policy, now = self.services.policy(), self.services.clock.now()
        try:
            if job := identify_ci_job(self.headers, policy, self.services.id_tokens, now):
                name, self.verified_run, self._id_token = job
            else:
                name, self.signature = authenticate(self._request, self.body, policy, self.services.environ, now)
        except Refused as error:
            self.refuse(401, explain(error))
        self.client, self.rules = Client(name), policy.clients[name]
        self._warn_about_signature()
        self.require_right(action, rights)
        if self.services.registrar:
            self._spend_quota(self.services.registrar)
        try:
            self._use_nonce(name)
        except Refused as error:
            if self.signature:  # anyone can replay it
                self.client = Client(UNKNOWN_CALLER)
            self.refuse(401, error.sentence)
        if is_change:
            self.use_id_token()

    def require_right(self, action: str, rights: tuple[Right, ...]) -> None:
        """Check that the policy grants the client one of `rights`. Raises ApiError."""
        if not {*rights} & {*self.rules.may}:
            self.refuse(
                403,
                say(
                    "The policy doesn't let {client} {do}. Add {may} to the client.",
                    client=Name(self.client.name),
                    do=action,
                    may=Code(f"may: [{rights[0]}]"),
                ),
            )

    def use_id_token(self) -> None:
        """Use up the call's ID token, if any, for a change. Raises ApiError if a change has already used it."""
        try:
            if self._id_token:
                use_token(self._id_token, self.services.ledger)
        except Refused as error:
            self.refuse(401, error.sentence)

    def _use_nonce(self, name: str) -> None:
        """Record the signature's nonce, if any; raise Refused if the client has used it before, in any process.

        Nothing about an unverified signature is stored. Raises LedgerUnavailable.
        """
        if self.signature is None or not self.signature.nonce:
            return
        with self.services.ledger.write() as tx:
            is_new = tx.add_nonce(f"client:{name}", self.signature.nonce, self.signature.expires_at)
        if not is_new:
            raise Refused(
                say(
                    "{client} has already used this {header}. Use a new one for each call, even for a retry.",
                    client=Name(name),
                    header=Code(NONCE_HEADER),
                )
            )

    def _warn_about_signature(self) -> None:
        """If a later release will refuse the signature, mark the call, and log that once an hour for each client."""
        is_push = self._refusal_tag is EventTag.METRICS_REFUSED
        if is_push or self.signature is None or self.signature.nonce:
            return
        self._request.state.is_deprecated = True
        if self.services.warned_clients.is_new(self.client.name):
            log.warning("client %s signs calls with v1=; the next release accepts only v2=", self.client.name)

    def _spend_quota(self, registrar: Registrar) -> None:
        """Count the call against the client's quota, unless it's a replay. Raises ApiError if the quota is used up.

        If replays counted, anyone who captured one call could use up the client's quota.
        """
        value = self.signature.value.lower() if self.signature else ""
        if self.services.seen_signatures.has(value):
            return
        try:
            registrar.access_control.spend_quota(self.client, "api_calls", origin="api")
        except QuotaExceeded as error:
            seconds = int(error.retry_after.total_seconds())
            raise ApiError(429, error.sentence, kind=error.code, retry_after=seconds) from None
        if value:
            self.services.seen_signatures.is_new(value)

    def refuse(self, status: int, sentence: Sentence) -> NoReturn:
        """Record a refusal in the audit log, at most once a minute for each caller, and raise ApiError."""
        self.services.refusals.record(self.client, self.address, self._refusal_tag, sentence)
        raise ApiError(status, sentence)

    def covers_model(self, model: str) -> bool:
        """Return whether the client's `models` in the policy match this model."""
        return any(pattern == model or fnmatchcase(model, pattern) for pattern in self.rules.models)

    def require_model(self, model: str, action: str) -> None:
        """Check that the policy covers this model for the client; `action` is for the error. Raises ApiError."""
        if not self.covers_model(model):
            self.refuse(
                403,
                say(
                    "The policy doesn't let {client} {do} {model}.",
                    do=action,
                    client=Name(self.client.name),
                    model=Name(truncate(model, 100)),
                ),
            )

    def identify_agent(self, name: str = "", version: str = "") -> Agent:
        """Return the agent that makes the call, with the person that the policy says it acts for.

        `name` and `version` are what the agent calls itself, by default in the User-Agent header. Nobody verifies them.
        """
        if not name:
            name, _, version = self.headers.get("user-agent", "").partition(" ")[0].partition("/")
        people, run = self.services.policy().people, self.verified_run
        return introduce_agent(name, version, self.rules.acts_for or (people.find(run) if run else None) or "")

    def idempotency_key(self) -> str | None:
        """Return the Idempotency-Key; None if the call has none. Raises ApiError if it's invalid."""
        key = self.headers.get("idempotency-key")
        if key is not None and not re.fullmatch(r"[!-~]{1,200}", key):
            raise ApiError(
                422, say("{header} must be 1 to 200 visible ASCII characters.", header=Code("Idempotency-Key"))
            )
        return key

    def parse(self, body_type: type[BodyT], default: bytes = b"") -> BodyT:
        """Return the parsed body; `default` replaces an empty one.

        Raises ApiError, which names the first invalid field.
        """
        try:
            return body_type.model_validate_json(self.body or default)
        except ValidationError as error:
            fault = error.errors()[0]
            path = ".".join(str(step) for step in fault["loc"])
            place = Name(path[:60] or "body")
            sentence = say("{place}: {what}.", place=place, what=str(fault["msg"]))
            if fault["type"] == "extra_forbidden":
                known = [Code(name) for name in body_type.model_fields]
                sentence = say("{place}: unknown key. Known keys: {known}.", place=place, known=known)
            raise ApiError(422, sentence, **({"field": fault["loc"][0]} if path else {})) from None


def client_who_may(action: str, *rights: Right, tag: EventTag = EventTag.API_REFUSED) -> Any:
    """Return the dependency for a route that clients with one of `rights` can call; see `ApiCall.admit`.

    It reads and admits calls, a few with the same `tag` at a time. The response to an internal error has the error's
    ID.
    """

    async def admit_call(request: Request) -> AsyncIterator[ApiCall]:
        services: ApiServices = request.app.state.api_services
        with logging_context.bound(quote=new_error_id()):
            try:
                if (body := await read_body(request)) is None:
                    most = f"{MAX_BODY_BYTES:,}"
                    raise ApiError(413, say("The body is over {n} bytes. Split it into several calls.", n=most))
                async with services.turns[tag]:
                    call = ApiCall(services, request, body, tag)
                    await run_in_threadpool(call.admit, action, rights, is_change=request.method != "GET")
                    logging_context.bind(actor=actor_id(call.client))
                    connections.authenticated(request.scope, actor_id(call.client))
                    yield call
            except (ApiError, RequestValidationError, ClientDisconnect):
                raise
            except Exception as error:  # an internal error: the caller gets an ID to report
                raise ApiError(503 if isinstance(error, Unreachable) else 500, explain(error)) from None

    return Depends(admit_call, scope="function")


# -- for the OpenAPI document ------------------------------------------------------------------------------------------

REFUSAL_STATUSES = {
    401: "The client's token or signature is missing or invalid, or an ID token has already been used for a change",
    403: "The policy doesn't permit this call for this client or this model",
    429: "The client has used up its quota of calls for now",
    503: "Nothing was recorded; try again",
}
BODY_STATUSES = {413: "The body is over 1 MB", 415: "The content type isn't application/json"}


def describe_responses(
    statuses: Mapping[int, str], models: Mapping[int, type[BaseModel]]
) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses: each status with its meaning and its model, by default ErrorDocument."""
    seconds = {"Retry-After": {"required": True, "description": "In seconds", "schema": {"type": "integer"}}}
    headers = {
        401: {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}},
        429: seconds,
        503: seconds,
    }
    return {
        status: {"description": text, "model": models.get(status, ErrorDocument)}
        | ({"headers": headers[status]} if status in headers else {})
        for status, text in statuses.items()
    }


def describe_body(body_type: type[BaseModel], *, has_key: bool = True, required: bool = True) -> dict[str, Any]:
    """Return the OpenAPI description of a call's body. `has_key`: whether it accepts an Idempotency-Key."""
    schema = body_type.model_json_schema()
    content = {JSON_TYPE: {"schema": _inline_references(schema, schema.get("$defs", {}))}}
    header = {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
    }
    return {"requestBody": {"required": required, "content": content}} | ({"parameters": [header]} if has_key else {})


def _inline_references(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """Return the schema with its references inlined, because they wouldn't resolve inside another document."""
    if isinstance(schema, list):
        return [_inline_references(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inline_references(definitions[str(schema["$ref"]).rpartition("/")[2]], definitions)
    return {key: _inline_references(value, definitions) for key, value in schema.items() if key != "$defs"}

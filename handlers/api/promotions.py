"""`/v1/requests` and `/v1/versions`: programs ask, people decide in Slack. Each cancels its own requests only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from contextlib import suppress
from functools import partial
from typing import Annotated, Any, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from bot import logging_context
from bot.domain.audit.events import Tag
from bot.domain.commands.base import Command
from bot.domain.commands.catalog import Cancel, Promote, Register
from bot.domain.commands.parser import build
from bot.domain.core.actors import Client
from bot.domain.core.ci_run import CiRun, parse_ci
from bot.domain.core.errors import (
    AlreadyDecided,
    AlreadyOpen,
    BadInput,
    GateFailed,
    RegistrarError,
    UnknownModel,
    UnknownRequest,
    UnknownRun,
    UnknownVersion,
    Unreachable,
)
from bot.domain.core.sentence import Code, Name, say
from bot.domain.policy.policy import Policy
from bot.domain.registry.model import TARGETS
from bot.domain.registry.semver import Bump
from bot.domain.rollbacks.messages import blocked
from bot.domain.rollbacks.rollback import Bar
from bot.ports import Ask, AskState, Ledger
from bot.registrar import Registrar
from bot.services.core.command_queue import AnotherAsk, Done, Origin
from handlers.api import documents
from handlers.api.calls import Answer, Call, Gate, ModelName, Number, Said, covers, key_of, told_only
from handlers.api.clients import Known

PATIENCE = 8.0  # seconds that a caller waits for MLflow; then it is told that what it asked for is written down
TAG = Tag.API_REFUSED


class _Body(BaseModel):
    # Strict: true is no version 1, and "0.9" no number; the document says so, too.
    model_config = ConfigDict(extra="forbid", populate_by_name=True, strict=True)


_Word = Annotated[
    str,
    told_only(pattern=(r"^([vV]?[0-9]{1,9}|[0-9]+\.[0-9]+\.[0-9]+|@[A-Za-z0-9_\-]+|[Ss]taging|[Pp]roduction|latest)$")),
]


class CiBody(_Body):
    """The run of a CI service in which a program asks; the card links to it."""

    repository: str = Field("", max_length=200, description="Where its code is", examples=["acme/churn"])
    run: str = Field("", max_length=200, description="Its number or id", examples=["1234567"])
    commit: str = Field(
        "", max_length=200, description="What it works on", examples=["9fceb02d0ae598e95dc970b74767f19372d61af8"]
    )
    url: str = Field(
        "",
        max_length=1000,
        description="Its page, http or https",
        examples=["https://github.com/acme/churn/actions/runs/1234567"],
        json_schema_extra={"pattern": "^(https?://.+)?$"},
    )


class RequestBody(_Body):
    """A promotion that is asked for: what `/model promote` takes."""

    model: ModelName = Field(
        validation_alias=AliasChoices("model", "model_name"),
        examples=["churn"],
        description="The registered model's name; `model_name` is understood as well",
    )
    version: Number | _Word = Field(description="7, v7, 2.1.0, @alias, staging, production or latest", examples=[7])
    to: str = Field(
        description="staging or production",
        examples=["production"],
        json_schema_extra={"enum": [word for stage in TARGETS for word in (stage.value.lower(), stage.value)]},
    )
    reason: str = Field("", description="Why, for the card and the audit")
    keep_existing: bool = Field(False, description="Let the present holder stay in the stage")
    validation: dict[str, float] = Field(default_factory=dict, description="Results of your own, by metric")
    ci: CiBody = Field(default_factory=CiBody, description="The CI run: `repository`, `run`, `commit` and `url`")


class VersionBody(_Body):
    """A version that is to be made: what `/model register` takes."""

    run_id: str = Field(
        description="The run that logged the model",
        examples=["0a1b2c3d4e5f60718293a4b5c6d7e8f9"],
        json_schema_extra={"pattern": "^[A-Za-z0-9_]{1,64}$"},
    )
    model: ModelName = Field(
        validation_alias=AliasChoices("model", "model_name"),
        examples=["churn"],
        description="The registered model's name; `model_name` is understood as well",
    )
    bump: str | None = Field(
        None,
        description="major, minor or patch, where you know better than the rules",
        json_schema_extra={"enum": [*(part.value for part in Bump), None]},
    )
    description: str = Field("", description="What is new")
    tags: list[Annotated[str, told_only(pattern="^[^=]+=")]] = Field(
        default_factory=list, description="Tags for its card, as key=value", examples=[["owner=ann"]]
    )
    artifact: str = Field("", description="Which of the run's models, where it logged several")
    ci: CiBody = Field(default_factory=CiBody, description="The CI run: `repository`, `run`, `commit` and `url`")


class CancelBody(_Body):
    """Why a request is taken back. The body can be left out."""

    reason: str = Field("", description="Why, for the card and the audit", examples=["wrong version"])


SomeBody = TypeVar("SomeBody", bound=_Body)


class Asking:
    """Lets programs ask."""

    def __init__(self, registrar: Registrar, gate: Gate, patience: float = PATIENCE) -> None:
        self._registrar = registrar
        self._gate = gate
        self._patience = patience

    def blocks(self, call: Call, model: str) -> Answer:
        """Answer which versions of a model are blocked, the oldest block first. Raises Said and LedgerUnavailable."""
        who = self._gate.let_in(call, ("request", "read"), "ask which versions are blocked", TAG)
        self._gate.check_covers(who, model, "ask about", call.address, TAG)
        with self._registrar.context.ledger.read() as reading:
            return _found(200, {"model": model, "blocks": [_block(one) for one in reading.bars(model)]})

    def ask(self, call: Call) -> Answer:
        """Open a request, and answer how it stands. Raises Said and LedgerUnavailable."""
        who = self._gate.let_in(call, ("request",), "ask", TAG)
        body = _parse(RequestBody, call.body)
        ask = self._write_down(call, who, body, lambda: _promotion(body), "ask for")
        return self._answer(ask, lambda: documents.find(self._ledger, self._policy, ask.id))

    def register(self, call: Call) -> Answer:
        """Make a version out of a run, and answer which. Raises Said and LedgerUnavailable."""
        who = self._gate.let_in(call, ("request",), "ask", TAG)
        body = _parse(VersionBody, call.body)
        ask = self._write_down(call, who, body, lambda: _registration(body), "register versions of")
        return self._answer(ask, lambda: self._version(ask.id))

    def look(self, call: Call, ask_id: str) -> Answer:
        """Answer how a request stands: the client's own, or with `read` any of its models'.

        Raises Said and LedgerUnavailable.
        """
        who = self._gate.let_in(call, ("request", "read"), "read requests", TAG)
        self._readable(who, ask_id)
        return _found(200, documents.find(self._ledger, self._policy, ask_id))

    def cancel(self, call: Call, ask_id: str) -> Answer:
        """Take back a request of the client's own, and answer how it stands. Raises Said and LedgerUnavailable."""
        who = self._gate.let_in(call, ("request",), "ask", TAG)
        ask, reason = self._own(who.client, ask_id), _reason(ask_id, _parse(CancelBody, call.body or b"{}"))
        if ask.request is None:
            ask = self._registrar.errands.call_off(who.client, ask_id, reason=reason, origin="api")
        if ask.request is not None:
            try:
                self._registrar.requests.cancel(who.client, ask_id, reason=reason, origin="api")
            except AlreadyDecided as error:
                raise Said(409, error.sentence, kind="AlreadyDecided") from None
            self._registrar.outbox_soon()
        return _found(200, documents.find(self._ledger, self._policy, ask_id))

    # -- asking ----------------------------------------------------------------------------------------------------

    def _write_down(
        self, call: Call, who: Known, body: RequestBody | VersionBody, command: Callable[[], Command], doing: str
    ) -> Ask:
        """Return what was asked for, now or with the same key before."""
        self._gate.check_covers(who, body.model, doing, call.address, TAG)
        asked_for = body.model_dump_json(exclude={"ci"})  # the link to the CI run differs with each attempt of a job
        digest = hashlib.sha256(f"{type(body).__name__} {asked_for}".encode()).hexdigest()
        try:
            outside = Origin(ci=_ci(body.ci), key=key_of(call.headers), digest=digest)
            return self._registrar.errands.ask(who.client, command(), where="", origin="api", outside=outside)
        except AnotherAsk:
            raise Said(
                409, say("This {header} came with another body before.", header=Code("Idempotency-Key"))
            ) from None
        except RegistrarError as error:
            raise _refused(error) from None

    def _answer(self, ask: Ask, document: Callable[[], dict[str, Any]]) -> Answer:
        """Have it done, unless it was before, and answer what came of it; a slow MLflow is not waited for."""
        if ask.state is not AskState.WAITING:
            return self._again(ask, document)
        doing: Future[Done] = self._registrar.work.submit(logging_context.carried(partial(self._carry_out, ask)))
        try:
            doing.result(self._patience)
        except (TookTooLong, Unreachable):
            return _found(202, documents.of_ask(ask, self._policy) if _is_promotion(ask) else _waits(ask))
        except RegistrarError as error:
            raise _refused(error, id=ask.id, **self._refusal(ask)) from None
        return _found(201, document())

    def _carry_out(self, ask: Ask) -> Done:
        done = self._registrar.errands.carry_out(ask.id)
        self._registrar.outbox_soon()
        return done

    def _again(self, ask: Ask, document: Callable[[], dict[str, Any]]) -> Answer:
        """Answer a call that was made before: how it stands by now, or what stood against it."""
        if ask.state is AskState.REFUSED:
            why = say("{why}", why=ask.outcome or "It was refused; the audit says why.")
            raise Said(_status(ask.error or ""), why, kind=ask.error, id=ask.id, **self._refusal(ask))
        return _found(200, document())

    def _refusal(self, ask: Ask) -> dict[str, Any]:
        return {"state": documents.REFUSED} if _is_promotion(ask) else {}

    def _version(self, ask_id: str) -> dict[str, Any]:
        with self._ledger.read() as reading:
            ask = reading.ask(ask_id)
        return documents.registered(self._ledger, ask, ask.outcome)

    def _own(self, client: Client, ask_id: str) -> Ask:
        """Return what this client asked for under the id. Raises Said: of what others asked nobody hears."""
        try:
            with self._ledger.read() as reading:
                ask = reading.ask(ask_id)
        except KeyError:
            ask = None
        if ask is None or ask.caller != client or not _is_promotion(ask):
            raise _unknown(ask_id)
        return ask

    def _readable(self, who: Known, ask_id: str) -> None:
        """Return if the client can read what was asked for under the id. Raises Said."""
        if "read" not in who.rules.may:
            self._own(who.client, ask_id)
            return
        with self._ledger.read() as reading, suppress(KeyError):
            ask = reading.ask(ask_id)
            if _is_promotion(ask) and (ask.caller == who.client or covers(who, str(ask.command["model"]))):
                return
        raise _unknown(ask_id)

    @property
    def _ledger(self) -> Ledger:
        return self._registrar.context.ledger

    @property
    def _policy(self) -> Policy:
        return self._registrar.context.policy


def _unknown(ask_id: str) -> Said:
    return Said(404, say("There is no request {id} that you can read.", id=Name(ask_id[:40])))


def _is_promotion(ask: Ask) -> bool:
    return str(ask.command.get("verb", Promote.verb)) == Promote.verb


def _block(one: Bar) -> dict[str, Any]:
    return {
        "version": one.version,
        "at": f"{one.at:%Y-%m-%dT%H:%M:%SZ}",
        "reason": one.reason,
        "sentence": str(blocked(one)),
    }


def _waits(ask: Ask) -> dict[str, Any]:
    return {
        "ask": ask.id,
        "state": documents.ASKED,
        "sentence": "It is written down, and done as soon as MLflow answers.",
    }


def _promotion(body: RequestBody) -> Command:
    results = [f"{name}={value}" for name, value in body.validation.items()]
    return build(
        Promote,
        {
            "model": body.model,
            "version": str(body.version),
            "to": body.to,
            "reason": body.reason,
            "keep_existing": body.keep_existing,
            "validation": results,
        },
    )


def _registration(body: VersionBody) -> Command:
    return build(Register, body.model_dump(exclude={"ci"}, exclude_none=True))


def _reason(ask_id: str, body: CancelBody) -> str:
    """Return why, without what nobody sees. Raises Said for a reason that is too long."""
    try:
        command = build(Cancel, {"request": ask_id, "reason": body.reason})
        return str(command.dump()["reason"])
    except BadInput as error:
        raise _refused(error) from None


def _ci(body: CiBody) -> CiRun:
    return parse_ci(body.model_dump())


def _parse(kind: type[SomeBody], body: bytes | None) -> SomeBody:
    """Return what a body says. Raises Said, naming the place of the first fault."""
    try:
        return kind.model_validate_json(body or b"")
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(step) for step in fault["loc"]) or "body"
        if fault["type"] == "extra_forbidden":
            known = [Code(name) for name in kind.model_fields]
            raise Said(
                422, say("{place}: unknown key; known are {known}.", place=Name(place[:60]), known=known)
            ) from None
        raise Said(422, say("{place}: {what}.", place=Name(place[:60]), what=str(fault["msg"]))) from None


_STATUS: dict[str, int] = {
    UnknownModel.__name__: 404,
    UnknownVersion.__name__: 404,
    UnknownRun.__name__: 404,
    AlreadyOpen.__name__: 409,
    GateFailed.__name__: 422,
    BadInput.__name__: 422,
    UnknownRequest.__name__: 404,
}


def _status(kind: str) -> int:
    return _STATUS.get(kind, 403)


def _refused(error: RegistrarError, **more: object) -> Said:
    """Return what is answered where something stands against it; `kind` is the class of the error."""
    kind = type(error).__name__
    status = 503 if isinstance(error, Unreachable) else 422 if isinstance(error, BadInput) else _status(kind)
    return Said(_STATUS.get(kind, status), error.sentence, kind=kind, **more)


def _found(status: int, document: dict[str, Any]) -> Answer:
    return Answer(status, json.dumps(document))


_REFUSALS: dict[int | str, str] = {
    401: "No token and no signature of a client, or one that does not hold",
    403: "The client may not, or not with this model; or the rules say no",
    503: "Nothing was recorded; try again",
}
_BODY: dict[int | str, str] = {
    413: "More than 1 MB",
    415: "Not application/json",
}
ASK_STATUSES: dict[int | str, str] = (
    _BODY
    | _REFUSALS
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
    _BODY
    | _REFUSALS
    | {
        200: "This Idempotency-Key came before: the version that was made then",
        201: "The version is there",
        202: "Written down; it is made as soon as MLflow answers",
        404: "MLflow has no such run",
        409: "The Idempotency-Key came with another body before",
        422: "Something in the body is wrong, and the place is named",
    }
)
LOOK_STATUSES: dict[int | str, str] = _REFUSALS | {
    200: "How it stands",
    404: "This client has asked for nothing with this id",
    422: "That is no id",
}
BLOCKS_STATUSES: dict[int | str, str] = _REFUSALS | {
    200: "Which versions are blocked",
    422: "That is no model's name",
}
CANCEL_STATUSES: dict[int | str, str] = _REFUSALS | {
    200: "It is taken back",
    404: "This client has asked for nothing with this id",
    409: "It was decided before",
    422: "That is no id",
}

"""`/v1/requests` and `/v1/versions`: programs ask, people decide in Slack. Each cancels its own requests only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from contextlib import suppress
from functools import partial
from typing import Any

from bot import logging_context
from bot.domain.audit.events import Tag
from bot.domain.commands.base import Command
from bot.domain.commands.changes import Register
from bot.domain.commands.parser import build
from bot.domain.commands.requests import Cancel, Promote
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
from bot.domain.registry.rollback_block import Bar, blocked
from bot.ports import Ask, AskState, Ledger
from bot.registrar import Registrar
from bot.services.core.commands import AnotherAsk, Done, Origin
from handlers.api import documents
from handlers.api.calls import Answer, Call, Gate, Said, covers, key_of
from handlers.api.clients import Known
from handlers.api.request_bodies import CancelBody, CiBody, RequestBody, VersionBody, _parse

PATIENCE = 8.0  # seconds that a caller waits for MLflow; then it is told that what it asked for is written down
TAG = Tag.API_REFUSED


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

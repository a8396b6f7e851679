"""`/v1/requests` and `/v1/versions`: programs open requests, people decide in Slack. A client cancels only its own."""

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
from bot.domain.audit.events import EventTag
from bot.domain.commands.base import Command
from bot.domain.commands.parser import build_command
from bot.domain.commands.promotions import Cancel, Promote
from bot.domain.commands.registry import Register
from bot.domain.core.actors import Client
from bot.domain.core.ci_run import CiRun, parse_ci_run
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
from bot.domain.registry.rollback_block import RollbackBlock, block_reason
from bot.ports import Ledger, QueuedCommand, QueuedCommandState
from bot.registrar import Registrar
from bot.services.core.command_queue import IdempotencyKeyReused
from bot.services.core.commands import CommandResult, Origin
from handlers.api import documents
from handlers.api.calls import ApiAccess, ApiCall, ApiError, ApiResponse, covers_model, idempotency_key
from handlers.api.clients import AuthenticatedClient
from handlers.api.request_bodies import CancelBody, CiBody, RequestBody, VersionBody, parse_body

REGISTRY_TIMEOUT = 8.0  # seconds that a call waits for MLflow; then it's answered that the command is recorded
REFUSAL_TAG = EventTag.API_REFUSED


class PromotionsEndpoint:
    """The calls with which programs open requests and register versions."""

    def __init__(self, registrar: Registrar, access: ApiAccess, timeout: float = REGISTRY_TIMEOUT) -> None:
        self._registrar = registrar
        self._access = access
        self._timeout = timeout

    def list_blocks(self, call: ApiCall, model: str) -> ApiResponse:
        """Answer with a model's blocked versions, the oldest block first. Raises ApiError and LedgerUnavailable."""
        client = self._access.require_right(call, ("request", "read"), "ask which versions are blocked", REFUSAL_TAG)
        self._access.require_model(client, model, "ask about", call.address, REFUSAL_TAG)
        with self._registrar.context.ledger.read() as reading:
            return _json_response(
                200, {"model": model, "blocks": [_block_document(block) for block in reading.rollback_blocks(model)]}
            )

    def open_request(self, call: ApiCall) -> ApiResponse:
        """Open a request, and answer with its status. Raises ApiError and LedgerUnavailable."""
        client = self._access.require_right(call, ("request",), "ask", REFUSAL_TAG)
        body = parse_body(RequestBody, call.body)
        queued = self._enqueue(call, client, body, lambda: _promote_command(body), "ask for")
        return self._execute_and_answer(queued, lambda: documents.find_document(self._ledger, self._policy, queued.id))

    def register_version(self, call: ApiCall) -> ApiResponse:
        """Register a version from a run, and answer with it. Raises ApiError and LedgerUnavailable."""
        client = self._access.require_right(call, ("request",), "ask", REFUSAL_TAG)
        body = parse_body(VersionBody, call.body)
        queued = self._enqueue(call, client, body, lambda: _register_command(body), "register versions of")
        return self._execute_and_answer(queued, lambda: self._version_document(queued.id))

    def show_request(self, call: ApiCall, request_id: str) -> ApiResponse:
        """Answer with a request's status: the client's own, or with `read` any of its models'.

        Raises ApiError and LedgerUnavailable.
        """
        client = self._access.require_right(call, ("request", "read"), "read requests", REFUSAL_TAG)
        self._require_readable(client, request_id)
        return _json_response(200, documents.find_document(self._ledger, self._policy, request_id))

    def cancel_request(self, call: ApiCall, request_id: str) -> ApiResponse:
        """Cancel one of the client's own requests, and answer with its status.

        Raises ApiError and LedgerUnavailable.
        """
        client = self._access.require_right(call, ("request",), "ask", REFUSAL_TAG)
        queued, reason = (
            self._require_own(client.client, request_id),
            _reason(request_id, parse_body(CancelBody, call.body or b"{}")),
        )
        if queued.request is None:
            queued = self._registrar.command_queue.cancel(client.client, request_id, reason=reason, origin="api")
        if queued.request is not None:
            try:
                self._registrar.requests.cancel(client.client, request_id, reason=reason, origin="api")
            except AlreadyDecided as error:
                raise ApiError(409, error.sentence, kind="AlreadyDecided") from None
            self._registrar.schedule_delivery()
        return _json_response(200, documents.find_document(self._ledger, self._policy, request_id))

    # -- commands --------------------------------------------------------------------------------------------------

    def _enqueue(
        self,
        call: ApiCall,
        caller: AuthenticatedClient,
        body: RequestBody | VersionBody,
        command: Callable[[], Command],
        action: str,
    ) -> QueuedCommand:
        """Return the queued command, from this call or from an earlier one with the same key."""
        self._access.require_model(caller, body.model, action, call.address, REFUSAL_TAG)
        asked_for = body.model_dump_json(exclude={"ci"})  # the link to the CI run differs with each attempt of a job
        digest = hashlib.sha256(f"{type(body).__name__} {asked_for}".encode()).hexdigest()
        try:
            origin = Origin(
                entry_point="api", ci=_ci_run(body.ci), idempotency_key=idempotency_key(call.headers), digest=digest
            )
            queued = self._registrar.commands.execute(caller.client, command(), origin).queued
        except IdempotencyKeyReused:
            raise ApiError(
                409, say("This {header} came with another body before.", header=Code("Idempotency-Key"))
            ) from None
        except RegistrarError as error:
            raise _refusal_error(error) from None
        assert queued is not None  # both are changes of the registry
        return queued

    def _execute_and_answer(self, queued_command: QueuedCommand, document: Callable[[], dict[str, Any]]) -> ApiResponse:
        """Execute the command unless it's done already, and answer with its result; a slow MLflow isn't waited for."""
        if queued_command.state is not QueuedCommandState.WAITING:
            return self._answer_repeated_call(queued_command, document)
        execution: Future[CommandResult] = self._registrar.worker_pool.submit(
            logging_context.with_context(partial(self._execute, queued_command))
        )
        try:
            execution.result(self._timeout)
        except (TookTooLong, Unreachable):
            return _json_response(
                202,
                documents.command_document(queued_command, self._policy)
                if _is_promotion(queued_command)
                else _waiting_document(queued_command),
            )
        except RegistrarError as error:
            raise _refusal_error(error, id=queued_command.id, **self._refusal_fields(queued_command)) from None
        return _json_response(201, document())

    def _execute(self, queued_command: QueuedCommand) -> CommandResult:
        done = self._registrar.command_queue.execute(queued_command.id)
        self._registrar.schedule_delivery()
        return done

    def _answer_repeated_call(
        self, queued_command: QueuedCommand, document: Callable[[], dict[str, Any]]
    ) -> ApiResponse:
        """Answer a repeated call: with the current status, or with why the first call was refused."""
        if queued_command.state is QueuedCommandState.REFUSED:
            why = say("{why}", why=queued_command.outcome or "It was refused; the audit says why.")
            raise ApiError(
                _status_for(queued_command.error or ""),
                why,
                kind=queued_command.error,
                id=queued_command.id,
                **self._refusal_fields(queued_command),
            )
        return _json_response(200, document())

    def _refusal_fields(self, queued_command: QueuedCommand) -> dict[str, Any]:
        return {"state": documents.STATE_REFUSED} if _is_promotion(queued_command) else {}

    def _version_document(self, command_id: str) -> dict[str, Any]:
        with self._ledger.read() as reading:
            queued = reading.queued_command(command_id)
        return documents.version_document(self._ledger, queued, queued.outcome)

    def _require_own(self, client: Client, request_id: str) -> QueuedCommand:
        """Return the client's own queued command.

        Raises ApiError: other clients' commands look as if they didn't exist.
        """
        try:
            with self._ledger.read() as reading:
                queued = reading.queued_command(request_id)
        except KeyError:
            queued = None
        if queued is None or queued.caller != client or not _is_promotion(queued):
            raise _unknown_request(request_id)
        return queued

    def _require_readable(self, caller: AuthenticatedClient, request_id: str) -> None:
        """Check that the client can read this request or queued command. Raises ApiError."""
        if "read" not in caller.rules.may:
            self._require_own(caller.client, request_id)
            return
        with self._ledger.read() as reading, suppress(KeyError):
            queued = reading.queued_command(request_id)
            if _is_promotion(queued) and (
                queued.caller == caller.client or covers_model(caller, str(queued.command["model"]))
            ):
                return
        raise _unknown_request(request_id)

    @property
    def _ledger(self) -> Ledger:
        return self._registrar.context.ledger

    @property
    def _policy(self) -> Policy:
        return self._registrar.context.policy


def _unknown_request(request_id: str) -> ApiError:
    return ApiError(404, say("There is no request {id} that you can read.", id=Name(request_id[:40])))


def _is_promotion(queued_command: QueuedCommand) -> bool:
    return str(queued_command.command.get("verb", Promote.verb)) == Promote.verb


def _block_document(block: RollbackBlock) -> dict[str, Any]:
    return {
        "version": block.version,
        "at": f"{block.at:%Y-%m-%dT%H:%M:%SZ}",
        "reason": block.reason,
        "sentence": str(block_reason(block)),
    }


def _waiting_document(queued_command: QueuedCommand) -> dict[str, Any]:
    return {
        "ask": queued_command.id,
        "state": documents.STATE_ASKED,
        "sentence": "It is written down, and done as soon as MLflow answers.",
    }


def _promote_command(body: RequestBody) -> Command:
    results = [f"{name}={value}" for name, value in body.validation.items()]
    return build_command(
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


def _register_command(body: VersionBody) -> Command:
    return build_command(Register, body.model_dump(exclude={"ci"}, exclude_none=True))


def _reason(request_id: str, body: CancelBody) -> str:
    """Return the reason without invisible characters. Raises ApiError if it's too long."""
    try:
        command = build_command(Cancel, {"request": request_id, "reason": body.reason})
        return str(command.dump()["reason"])
    except BadInput as error:
        raise _refusal_error(error) from None


def _ci_run(body: CiBody) -> CiRun:
    return parse_ci_run(body.model_dump())


_STATUS_BY_ERROR: dict[str, int] = {
    UnknownModel.__name__: 404,
    UnknownVersion.__name__: 404,
    UnknownRun.__name__: 404,
    AlreadyOpen.__name__: 409,
    GateFailed.__name__: 422,
    BadInput.__name__: 422,
    UnknownRequest.__name__: 404,
}


def _status_for(error_name: str) -> int:
    return _STATUS_BY_ERROR.get(error_name, 403)


def _refusal_error(error: RegistrarError, **fields: object) -> ApiError:
    """Return the error for a refused command; `kind` is its error's class name."""
    kind = type(error).__name__
    status = 503 if isinstance(error, Unreachable) else 422 if isinstance(error, BadInput) else _status_for(kind)
    return ApiError(_STATUS_BY_ERROR.get(kind, status), error.sentence, kind=kind, **fields)


def _json_response(status: int, document: dict[str, Any]) -> ApiResponse:
    return ApiResponse(status, json.dumps(document))

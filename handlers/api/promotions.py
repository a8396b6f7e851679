"""`/v1/requests` and `/v1/versions`: programs open requests; people decide in Slack. A client cancels only its own."""

from __future__ import annotations

import hashlib
from concurrent.futures import TimeoutError as TookTooLong
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from bot import logging_context
from bot.domain.commands.parser import build_command, load_command
from bot.domain.commands.promotions import Cancel, Promote
from bot.domain.commands.registry import Register
from bot.domain.core.actors import actor_id
from bot.domain.core.ci_run import parse_ci_run
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
from bot.domain.core.sentence import Name, say
from bot.domain.registry.rollback_block import block_reason
from bot.ports import QueuedCommand, QueuedCommandState
from bot.registrar import Registrar
from bot.services.core.command_queue import IdempotencyKeyReused
from bot.services.core.commands import CommandResult, Origin
from handlers.api import request_json
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
from handlers.api.schemas import (
    STATE_REFUSED,
    BlockDocument,
    BlocksDocument,
    CancelBody,
    QueuedVersionDocument,
    RequestBody,
    RequestDocument,
    VersionBody,
    VersionDocument,
)

REGISTRY_TIMEOUT = 8.0  # seconds that a call waits for MLflow before it answers that the command is recorded

router = APIRouter(dependencies=[BEARER])
Requester = Annotated[ApiCall, client_who_may("make requests", "request")]
RequestId = Annotated[str, Path(description="The request's short ID", pattern="^[a-z0-9]{1,32}$")]

_OWN_STATUSES = REFUSAL_STATUSES | {
    200: "The request's status",
    404: "This client has no request with this ID",
    422: "The ID is invalid",
}
_COMMAND_STATUSES = (
    REFUSAL_STATUSES
    | BODY_STATUSES
    | {
        409: "The Idempotency-Key was already used with a different body",
        422: "The body is invalid; the error names the field",
    }
)


@router.post(
    "/v1/requests",
    name="ask",
    status_code=201,
    responses=describe_responses(
        _COMMAND_STATUSES
        | {
            200: "This Idempotency-Key was already used; returns the current status of its request",
            201: "The request is open; its card is on its way to Slack",
            202: "Recorded; the card is posted as soon as MLflow responds",
            404: "MLflow has no such model or version",
            409: "This model and stage already have an open request, or the Idempotency-Key was used with another body",
            422: "The body is invalid, and the error names the field; or a gate that no one can override fails",
        },
        dict.fromkeys((200, 201, 202), RequestDocument),
    ),
    openapi_extra=describe_body(RequestBody),
    summary="Request a promotion",
)
def open_request(call: Requester) -> Response:
    """Open a request that people decide in Slack, and return its status.

    The same `Idempotency-Key` never opens two requests: another call with it returns the first request's current
    status.
    """
    body = call.parse(RequestBody)
    arguments = body.model_dump(exclude={"ci"}) | {
        "version": str(body.version),
        "validation": [f"{name}={value}" for name, value in body.validation.items()],
    }
    return json_response(
        *execute_command(call.registrar, _submit(call, body, Promote, arguments, "request promotions of"))
    )


@router.get(
    "/v1/requests/{request_id}",
    name="look",
    responses=describe_responses(_OWN_STATUSES, {200: RequestDocument}),
    summary="Get a request's status",
)
def show_request(
    call: Annotated[ApiCall, client_who_may("read requests", "request", "read")], request_id: RequestId
) -> Response:
    """Return the status of this client's own request; with `may: [read]`, of any request for the client's models."""
    find_command(call, request_id, only_own="read" not in call.rules.may)
    return json_response(200, request_json.find_document(call.registrar.context, request_id))


@router.delete(
    "/v1/requests/{request_id}",
    name="cancel",
    responses=describe_responses(
        _OWN_STATUSES | {200: "The request is canceled", 409: "It was already decided"}, {200: RequestDocument}
    ),
    openapi_extra=describe_body(CancelBody, has_key=False, required=False),
    summary="Cancel a request",
)
def cancel_request(call: Requester, request_id: RequestId) -> Response:
    """Cancel one of this client's undecided requests, and return its status."""
    registrar, queued = call.registrar, find_command(call, request_id, only_own=True)
    try:
        body = call.parse(CancelBody, default=b"{}")
        command = build_command(Cancel, {"request": request_id, "reason": body.reason})
        if queued.request is None:
            queued = registrar.command_queue.cancel(call.client, request_id, reason=command.reason, origin="api")
        if queued.request is not None:
            registrar.commands.execute(call.client, command, Origin(entry_point="api"))
            registrar.schedule_delivery()
    except (AlreadyDecided, BadInput) as error:
        raise _refusal(error) from None
    return json_response(200, request_json.find_document(registrar.context, request_id))


@router.get(
    "/v1/models/{model}/blocks",
    name="blocks",
    responses=describe_responses(
        REFUSAL_STATUSES | {200: "The blocked versions", 422: "The model's name is invalid"}, {200: BlocksDocument}
    ),
    summary="List the blocked versions of a model",
)
def list_blocks(
    call: Annotated[ApiCall, client_who_may("list blocked versions", "request", "read")],
    model: Annotated[
        str, Path(description="The registered model's name", max_length=250, pattern=r"^[^/:\x00-\x1f]+$")
    ],
) -> Response:
    """Return the versions that were rolled back and haven't been unblocked. A request for one fails a gate."""
    call.require_model(model, "list blocked versions of")
    with call.services.ledger.read() as reading:
        blocks = [
            BlockDocument(version=block.version, at=block.at, reason=block.reason, sentence=str(block_reason(block)))
            for block in reading.rollback_blocks(model)
        ]
    return json_response(200, BlocksDocument(model=model, blocks=blocks).to_json())


@router.post(
    "/v1/versions",
    name="register",
    status_code=201,
    responses=describe_responses(
        _COMMAND_STATUSES
        | {
            200: "This Idempotency-Key was already used; returns the version that the earlier call registered",
            201: "The version is registered",
            202: "Recorded; the version is registered as soon as MLflow responds",
            404: "MLflow has no such run",
        },
        {200: VersionDocument, 201: VersionDocument, 202: QueuedVersionDocument},
    ),
    openapi_extra=describe_body(VersionBody),
    summary="Register a version",
)
def register_version(call: Requester) -> Response:
    """Register a run's model as the next version, with its semver, and return it."""
    body = call.parse(VersionBody)
    arguments = body.model_dump(exclude={"ci"}, exclude_none=True)
    return json_response(
        *execute_command(call.registrar, _submit(call, body, Register, arguments, "register versions of"))
    )


# -- commands ----------------------------------------------------------------------------------------------------------


def _submit(
    call: ApiCall,
    body: RequestBody | VersionBody,
    command_class: type[Promote | Register],
    arguments: dict[str, Any],
    action: str,
) -> QueuedCommand:
    asked_for = body.model_dump_json(exclude={"ci"})  # the link to the CI run differs with each attempt of a job
    digest = hashlib.sha256(f"{type(body).__name__} {asked_for}".encode()).hexdigest()
    try:
        ci = call.verified_run or parse_ci_run(body.ci.model_dump())
    except BadInput as error:
        raise _refusal(error) from None
    key, agent = call.idempotency_key(), call.identify_agent() if call.rules.acts_for else None
    origin = Origin(entry_point="api", ci=ci, agent=agent, idempotency_key=key, digest=digest)
    return submit_command(call, command_class, arguments, origin, action)


def submit_command(
    call: ApiCall,
    command_class: type[Promote | Register],
    arguments: dict[str, Any],
    origin: Origin,
    action: str,
) -> QueuedCommand:
    """Queue the command and return it, or return the one from an earlier call with the same key.

    `action`: what the client does with the model, for the error. Raises ApiError.
    """
    try:
        command = build_command(command_class, arguments)
        call.require_model(command.model, action)  # the body's name can have spaces around it
        queued = call.registrar.commands.execute(call.client, command, origin).queued
    except IdempotencyKeyReused:
        raise ApiError(409, KEY_REUSED, kind=IdempotencyKeyReused.__name__) from None
    except RegistrarError as error:
        raise _refusal(error) from None
    assert queued is not None
    return queued


def execute_command(registrar: Registrar, queued: QueuedCommand) -> tuple[int, dict[str, Any]]:
    """Execute the command, and return the HTTP status and the command's document.

    If MLflow can't be reached or takes longer than REGISTRY_TIMEOUT, the status is 202. A repeated call returns the
    current document. Raises ApiError if the command is refused now or was refused before.
    """
    is_promotion = request_json.is_promotion(queued)
    fields = {"id": queued.id} | ({"state": STATE_REFUSED} if is_promotion else {})
    if queued.state is QueuedCommandState.REFUSED:
        status = _STATUS_BY_CODE.get(queued.error or "", 403)
        raise ApiError(status, request_json.refusal_sentence(queued), kind=queued.error, **fields)
    if queued.state is not QueuedCommandState.WAITING:
        return 200, request_json.find_document(registrar.context, queued.id)

    def execute() -> CommandResult:
        result = registrar.command_queue.execute(queued.id)
        registrar.schedule_delivery()
        return result

    try:
        registrar.worker_pool.submit_for(actor_id(queued.caller), logging_context.with_context(execute)).result(
            REGISTRY_TIMEOUT
        )
    except (TookTooLong, Unreachable):
        waiting = request_json.command_document(queued, registrar.context.policy) if is_promotion else None
        return 202, waiting or QueuedVersionDocument(ask=queued.id).to_json()
    except RegistrarError as error:
        raise _refusal(error, **fields) from None
    return 201, request_json.find_document(registrar.context, queued.id)


def find_command(call: ApiCall, request_id: str, *, only_own: bool) -> QueuedCommand:
    """Return a promotion command by its ID, if the client queued it.

    Without `only_own`, also return other callers' submitted promotions of the client's models. Raises ApiError; all
    other commands are reported as missing.
    """
    with call.registrar.context.ledger.read() as reading, suppress(KeyError, BadInput):
        queued = reading.queued_command(request_id)
        is_readable = queued.caller == call.client or (not only_own and _is_about_models_of(call, queued))
        if is_readable and request_json.is_promotion(queued):
            return queued
    raise ApiError(404, say("No request {id} that this client can read.", id=Name(request_id[:40])))


def _is_about_models_of(call: ApiCall, queued: QueuedCommand) -> bool:
    """Return whether this is a submitted promotion of one of the client's models. Raises BadInput if it's invalid."""
    command = load_command(queued.command)  # a draft from Slack is stored as it was typed
    is_submitted = queued.state is not QueuedCommandState.DRAFT
    return is_submitted and isinstance(command, Promote) and call.covers_model(command.model)


_STATUS_BY_CODE = {
    **dict.fromkeys((error.__name__ for error in (UnknownModel, UnknownVersion, UnknownRun, UnknownRequest)), 404),
    **dict.fromkeys((error.__name__ for error in (AlreadyOpen, AlreadyDecided)), 409),
    **dict.fromkeys((error.__name__ for error in (GateFailed, BadInput)), 422),
}


def _refusal(error: RegistrarError, **fields: object) -> ApiError:
    """Return the ApiError for a refused command."""
    status = 503 if isinstance(error, Unreachable) else 422 if isinstance(error, BadInput) else 403
    if error.field:
        fields["field"] = error.field
    return ApiError(_STATUS_BY_CODE.get(error.code, status), error.sentence, kind=error.code, **fields)

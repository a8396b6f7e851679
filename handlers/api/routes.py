"""The HTTP API for programs: readings for monitors, and requests that people decide in Slack."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fastapi import FastAPI, Path, Request, Response, Security
from fastapi.security import HTTPBearer

from bot.domain.policy.policy import Policy
from bot.ports import Clock, Ledger
from bot.registrar import Registrar
from handlers.api import metrics, promotions, request_bodies, schemas, status_codes
from handlers.api.calls import MAX_CONCURRENT_CALLS, MAX_REFUSED_CALLERS, ApiAccess, handle_call, request_schema

__all__ = ["MAX_REFUSED_CALLERS", "ApiServices", "mount_api"]

# For the page at /docs; `Gate` reads the header.
BEARER = [Security(HTTPBearer(auto_error=False))]


# Descriptions of the responses for OpenAPI.
_PUSH_RESPONSES = schemas.responses(metrics.STATUSES, {202: schemas.ACCEPTED_READINGS})
_OPEN_RESPONSES = schemas.responses(status_codes.OPEN_STATUSES, dict.fromkeys((200, 201, 202), schemas.REQUEST_STATE))
_SHOW_RESPONSES = schemas.responses(status_codes.SHOW_STATUSES, {200: schemas.REQUEST_STATE})
_CANCEL_RESPONSES = schemas.responses(status_codes.CANCEL_STATUSES, {200: schemas.REQUEST_STATE})
_BLOCKS_RESPONSES = schemas.responses(status_codes.BLOCKS_STATUSES, {200: schemas.BLOCKED_VERSIONS})
_REGISTER_RESPONSES = schemas.responses(
    status_codes.REGISTER_STATUSES,
    {200: schemas.REGISTERED_VERSION, 201: schemas.REGISTERED_VERSION, 202: schemas.QUEUED_VERSION},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServices:
    """What the API works with.

    `requires_signature`: whether a source accepts only signed readings; it returns None if the source accepts none.
    Without a registrar, requests can't be opened. `monotonic` limits how often refusals are recorded.
    """

    ledger: Ledger
    policy: Callable[[], Policy]
    requires_signature: Callable[[str], bool | None]
    clock: Clock
    registrar: Registrar | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    monotonic: Callable[[], float] = time.monotonic


def mount_api(app: FastAPI, services: ApiServices) -> None:
    """Add the routes with which programs push readings and open requests."""
    gate = ApiAccess(services.ledger, services.policy, services.clock, services.environ, services.monotonic)
    _mount_metrics(app, metrics.MetricsEndpoint(services.ledger, gate, services.requires_signature, services.clock))
    if services.registrar:
        _mount_promotions(app, promotions.PromotionsEndpoint(services.registrar, gate))


def _mount_metrics(app: FastAPI, metrics_endpoint: metrics.MetricsEndpoint) -> None:
    turns = asyncio.Semaphore(MAX_CONCURRENT_CALLS)

    @app.post(
        "/v1/metrics",
        status_code=202,
        responses=_PUSH_RESPONSES,
        dependencies=BEARER,
        openapi_extra=request_schema(metrics.PushBody.model_json_schema(), has_key=True),
        summary="Push readings",
    )
    async def push_metrics(request: Request) -> Response:
        """Take readings, all or none. Answers `{"accepted": n, "duplicates": m}`, or `{"error": "…"}`."""
        return await handle_call(request, turns, metrics_endpoint.receive)


def _mount_promotions(app: FastAPI, promotions_endpoint: promotions.PromotionsEndpoint) -> None:
    # Separate from the pool for readings: calls that open requests wait for MLflow, and monitors mustn't wait for them.
    turns = asyncio.Semaphore(MAX_CONCURRENT_CALLS)

    @app.post(
        "/v1/requests",
        status_code=201,
        responses=_OPEN_RESPONSES,
        dependencies=BEARER,
        openapi_extra=request_schema(request_bodies.RequestBody.model_json_schema(), has_key=True),
        summary="Ask for a promotion",
    )
    async def ask(request: Request) -> Response:
        """Open a request that people decide in Slack, and answer how it stands.

        The same `Idempotency-Key` never opens two: the second call answers how the first one's request stands now.
        """
        return await handle_call(request, turns, promotions_endpoint.open_request)

    @app.get(
        "/v1/requests/{request_id}",
        responses=_SHOW_RESPONSES,
        dependencies=BEARER,
        summary="Look how a request stands",
    )
    async def look(request: Request, request_id: str = _REQUEST_ID) -> Response:
        """Answer how a request of this client stands; of nobody else's."""
        return await handle_call(request, turns, lambda call: promotions_endpoint.show_request(call, request_id))

    @app.delete(
        "/v1/requests/{request_id}",
        responses=_CANCEL_RESPONSES,
        dependencies=BEARER,
        openapi_extra=request_schema(request_bodies.CancelBody.model_json_schema(), has_key=False, required=False),
        summary="Cancel a request",
    )
    async def cancel(request: Request, request_id: str = _REQUEST_ID) -> Response:
        """Take back a request of this client that nobody has decided, and answer how it stands."""
        return await handle_call(request, turns, lambda call: promotions_endpoint.cancel_request(call, request_id))

    @app.get(
        "/v1/models/{model}/blocks",
        responses=_BLOCKS_RESPONSES,
        dependencies=BEARER,
        summary="List the blocked versions of a model",
    )
    async def blocks(request: Request, model: str = _MODEL_NAME) -> Response:
        """Answer which versions were rolled back as bad and not unblocked since. A request for one fails a gate."""
        return await handle_call(request, turns, lambda call: promotions_endpoint.list_blocks(call, model))

    @app.post(
        "/v1/versions",
        status_code=201,
        responses=_REGISTER_RESPONSES,
        dependencies=BEARER,
        openapi_extra=request_schema(request_bodies.VersionBody.model_json_schema(), has_key=True),
        summary="Register a version",
    )
    async def register(request: Request) -> Response:
        """Make the next version of a model out of a run, with its semver, and answer what it is."""
        return await handle_call(request, turns, promotions_endpoint.register_version)


_REQUEST_ID = Path(description="The short id of a request", pattern="^[a-z0-9]{1,32}$")
_MODEL_NAME = Path(description="The registered model's name", max_length=250, pattern=r"^[^/:\x00-\x1f]+$")

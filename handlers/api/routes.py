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
from handlers.api import metrics, promotions, request_bodies, schemas, statuses
from handlers.api.calls import AT_ONCE, CALLERS_MOST, Gate, answered, described

__all__ = ["CALLERS_MOST", "Api", "mount"]

# For the page at /docs; `Gate` reads the header.
BEARER = [Security(HTTPBearer(auto_error=False))]


# What OpenAPI says of the answers.
_TAKEN = schemas.told(metrics.STATUSES, {202: schemas.TAKEN})
_OPENED = schemas.told(statuses.ASK_STATUSES, dict.fromkeys((200, 201, 202), schemas.STANDING))
_STANDS = schemas.told(statuses.LOOK_STATUSES, {200: schemas.STANDING})
_CANCELLED = schemas.told(statuses.CANCEL_STATUSES, {200: schemas.STANDING})
_BLOCKED = schemas.told(statuses.BLOCKS_STATUSES, {200: schemas.BLOCKS})
_MADE = schemas.told(statuses.REGISTER_STATUSES, {200: schemas.MADE, 201: schemas.MADE, 202: schemas.WAITING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """What the API works with. `takes` tells of a source whether it takes only what is signed; None: it takes nothing.

    Without a registrar nothing can be asked for. `monotonic` spaces what is written of refusals.
    """

    ledger: Ledger
    policy: Callable[[], Policy]
    takes: Callable[[str], bool | None]
    clock: Clock
    registrar: Registrar | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    monotonic: Callable[[], float] = time.monotonic


def mount(web: FastAPI, api: Api) -> None:
    """Let programs push readings and ask for promotions."""
    gate = Gate(api.ledger, api.policy, api.clock, api.environ, api.monotonic)
    _mount_metrics(web, metrics.Metrics(api.ledger, gate, api.takes, api.clock))
    if api.registrar:
        _mount_asking(web, promotions.Asking(api.registrar, gate))


def _mount_metrics(web: FastAPI, programs: metrics.Metrics) -> None:
    turns = asyncio.Semaphore(AT_ONCE)

    @web.post(
        "/v1/metrics",
        status_code=202,
        responses=_TAKEN,
        dependencies=BEARER,
        openapi_extra=described(metrics.PushBody.model_json_schema(), key=True),
        summary="Push readings",
    )
    async def push_metrics(request: Request) -> Response:
        """Take readings, all or none. Answers `{"accepted": n, "duplicates": m}`, or `{"error": "…"}`."""
        return await answered(request, turns, programs.take)


def _mount_asking(web: FastAPI, programs: promotions.Asking) -> None:
    # Apart from the readings': those who ask wait for MLflow a little, and monitors are not to wait for them.
    turns = asyncio.Semaphore(AT_ONCE)

    @web.post(
        "/v1/requests",
        status_code=201,
        responses=_OPENED,
        dependencies=BEARER,
        openapi_extra=described(request_bodies.RequestBody.model_json_schema(), key=True),
        summary="Ask for a promotion",
    )
    async def ask(request: Request) -> Response:
        """Open a request that people decide in Slack, and answer how it stands.

        The same `Idempotency-Key` never opens two: the second call answers how the first one's request stands now.
        """
        return await answered(request, turns, programs.ask)

    @web.get(
        "/v1/requests/{request_id}",
        responses=_STANDS,
        dependencies=BEARER,
        summary="Look how a request stands",
    )
    async def look(request: Request, request_id: str = _ID) -> Response:
        """Answer how a request of this client stands; of nobody else's."""
        return await answered(request, turns, lambda call: programs.look(call, request_id))

    @web.delete(
        "/v1/requests/{request_id}",
        responses=_CANCELLED,
        dependencies=BEARER,
        openapi_extra=described(request_bodies.CancelBody.model_json_schema(), key=False, required=False),
        summary="Cancel a request",
    )
    async def cancel(request: Request, request_id: str = _ID) -> Response:
        """Take back a request of this client that nobody has decided, and answer how it stands."""
        return await answered(request, turns, lambda call: programs.cancel(call, request_id))

    @web.get(
        "/v1/models/{model}/blocks",
        responses=_BLOCKED,
        dependencies=BEARER,
        summary="List the blocked versions of a model",
    )
    async def blocks(request: Request, model: str = _MODEL) -> Response:
        """Answer which versions were rolled back as bad and not unblocked since. A request for one fails a gate."""
        return await answered(request, turns, lambda call: programs.blocks(call, model))

    @web.post(
        "/v1/versions",
        status_code=201,
        responses=_MADE,
        dependencies=BEARER,
        openapi_extra=described(request_bodies.VersionBody.model_json_schema(), key=True),
        summary="Register a version",
    )
    async def register(request: Request) -> Response:
        """Make the next version of a model out of a run, with its semver, and answer what it is."""
        return await answered(request, turns, programs.register)


_ID = Path(description="The short id of a request", pattern="^[a-z0-9]{1,32}$")
_MODEL = Path(description="The registered model's name", max_length=250, pattern=r"^[^/:\x00-\x1f]+$")

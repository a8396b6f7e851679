"""Routes for monitoring systems: `/healthz`, `/readyz`, and `/metrics`. They need no token, and reveal no secrets."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from handlers.web.readiness import Readiness

if TYPE_CHECKING:
    from bot.metrics.recorder import PrometheusMetrics

METRICS_MAX_AGE = 1.0  # seconds for which a page of metrics is cached: it reads the ledger


def mount_health(app: FastAPI, readiness: Readiness, metrics: PrometheusMetrics | None = None) -> None:
    """Add the routes to a web application; without `metrics`, there's no `/metrics`.

    If calls are concurrent, one at a time uses a thread. The others wait without blocking one, and usually get a cached
    result.
    """
    check_lock, metrics_lock = asyncio.Semaphore(1), asyncio.Semaphore(1)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        """Report that the process is alive."""
        return {"status": "alive"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        async with check_lock:
            status, document = await run_in_threadpool(readiness.document)
        return JSONResponse(document, status)

    if metrics:
        cached: tuple[float, tuple[bytes, str]] | None = None

        @app.get("/metrics", include_in_schema=False)
        async def told_metrics() -> Response:
            nonlocal cached
            async with metrics_lock:
                now = time.monotonic()
                if cached is None or now - cached[0] >= METRICS_MAX_AGE:
                    cached = (now, await run_in_threadpool(metrics.exposition))
                body, media_type = cached[1]
            return Response(body, media_type=media_type)

"""For monitoring systems: `/healthz`, `/readyz`, `/metrics`. They need no token, and reveal no secrets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from handlers.web.readiness import Readiness

if TYPE_CHECKING:
    from bot.metrics.recorder import PrometheusMetrics

METRICS_MAX_AGE = 1.0  # seconds for which a page of metrics is cached: it reads the ledger


def mount_health(app: FastAPI, readiness: Readiness, metrics: PrometheusMetrics | None = None) -> None:
    """Add the routes to a web application; without metrics there's no `/metrics`.

    Of concurrent calls, one thread checks, and the others wait for its result without blocking a thread.
    """
    check_lock, metrics_lock = asyncio.Semaphore(1), asyncio.Semaphore(1)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        """Tell that the process is alive."""
        return {"status": "alive"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        async with check_lock:
            status, document = await run_in_threadpool(readiness.document)
        return JSONResponse(document, status)

    if metrics:
        page = _CachedPage(metrics.exposition)

        @app.get("/metrics", include_in_schema=False)
        async def told_metrics() -> Response:
            async with metrics_lock:
                body, kind = await run_in_threadpool(page)
            return Response(body, media_type=kind)


class _CachedPage:
    """Makes a page at most once a second. One thread at a time calls it."""

    def __init__(self, render: Callable[[], tuple[bytes, str]]) -> None:
        self._render = render
        self._cached: tuple[float, tuple[bytes, str]] | None = None

    def __call__(self) -> tuple[bytes, str]:
        if self._cached is None or time.monotonic() - self._cached[0] >= METRICS_MAX_AGE:
            self._cached = (time.monotonic(), self._render())
        return self._cached[1]

"""The HTTP API for programs: readings for monitors, and requests that people decide in Slack."""

from __future__ import annotations

from fastapi import FastAPI

from handlers.api import metrics, promotions
from handlers.api.calls import ApiError, ApiServices, refuse_call


def mount_api(app: FastAPI, services: ApiServices) -> None:
    """Add the routes with which programs push readings and open requests."""
    app.state.api_services = services
    app.add_exception_handler(ApiError, refuse_call)
    app.include_router(metrics.router)
    if services.registrar:
        app.include_router(promotions.router)

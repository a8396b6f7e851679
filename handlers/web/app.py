"""The web application: Slack's signed calls, MLflow's webhooks, the HTTP API, and health checks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from slack_bolt import BoltRequest
from slack_bolt.adapter.starlette.handler import to_bolt_request, to_starlette_response
from slack_sdk.signature import Clock, SignatureVerifier
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Route

from bot.domain.core.errors import BadInput
from bot.version import version
from handlers.api import metrics as api_metrics
from handlers.api import passports, promotions
from handlers.api.body import read_body
from handlers.api.calls import ApiError, ApiServices, refuse_call
from handlers.api.deprecation import DeprecationHeader
from handlers.errors import explain
from handlers.recent_keys import RecentKeys
from handlers.slack.deferred import Dispatch
from handlers.slack.payload_schema import validate_payload
from handlers.web import connections, health
from handlers.web.api_page import mount_api_page
from handlers.web.mlflow_webhook import mount_mlflow_webhook
from handlers.web.readiness import Readiness

if TYPE_CHECKING:
    from bot.metrics.recorder import PrometheusMetrics

SIGNATURE_MEMORY = 660.0  # seconds for which used signatures are remembered; a signature is valid for 300 either way


def create_app(
    dispatch: Dispatch | None,
    signing_secret: str | None,
    *,
    webhook_secret: str | None = None,
    on_model_changed: Callable[[str], object],
    api_services: ApiServices | None = None,
    readiness: Readiness | None = None,
    metrics: PrometheusMetrics | None = None,
    now: Callable[[], float] = time.time,
) -> FastAPI:
    """Return the web application.

    `/slack/events` and `/v1/mlflow/webhook` exist only if there's a secret to verify calls with. `dispatch` handles
    Slack's requests. `on_model_changed` gets the name of a model that MLflow says has changed; it must not block.
    `api_services` is what the HTTP API depends on; without it, there's no API. `readiness` reports the state of the
    components, and `metrics` the measurements. `now` returns the seconds since 1970.
    """
    web = FastAPI(title="Registrar", version=version(), docs_url=None, redoc_url=None)
    mount_api_page(web)
    health.mount_health(web, readiness or Readiness([]), metrics)

    if signing_secret and dispatch:
        guard = _ReplayGuard(signing_secret, now)

        @web.post("/slack/events", include_in_schema=False)
        async def slack_events(request: Request) -> Response:
            return await _handle_slack(dispatch, guard, request)

    if webhook_secret:
        mount_mlflow_webhook(web, webhook_secret, on_model_changed)
    if api_services:
        web.state.api_services = api_services
        web.add_middleware(DeprecationHeader)
        web.include_router(api_metrics.router)
        if api_services.registrar:
            web.include_router(promotions.router)
            web.include_router(passports.router)
    web.add_exception_handler(ApiError, refuse_call)
    web.add_exception_handler(405, _answer_wrong_method)
    web.add_exception_handler(RequestValidationError, _answer_bad_path)
    web.add_exception_handler(ClientDisconnect, _end_without_answer)
    return web


async def _answer_wrong_method(request: Request, error: Exception) -> Response:
    """Answer a call that uses the wrong method with 405 and the path's allowed methods.

    If two routes share a path, the framework reports only one route's methods.
    """
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    matching = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    allowed = ", ".join(sorted({method for route in matching for method in route.methods or ()}))
    return JSONResponse({"error": f"Method not allowed. Use {allowed}."}, 405, {"Allow": allowed})


async def _answer_bad_path(request: Request, error: Exception) -> Response:
    """Answer a call with an invalid path parameter in the same schema as all other errors.

    The framework's own answer has a different one.
    """
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    return JSONResponse({"error": f"{fault['loc'][-1]}: {fault['msg']}."}, 422)


async def _end_without_answer(request: Request, error: Exception) -> Response:
    """End the call of a client that disconnected while sending, without logging it as an error."""
    return Response(status_code=400)


async def _handle_slack(dispatch: Dispatch, guard: _ReplayGuard, request: Request) -> Response:
    """Verify Slack's signature before anything else reads the body; then let Bolt handle it off the event loop."""
    body = await read_body(request)
    if body is None:
        return Response("body too large", status_code=413)
    refusal = Response("Slack signature invalid, expired, or already used", status_code=401)
    if not guard.verifies(body, request.headers):
        return refusal
    try:
        sent = read_bolt_request(request, body)
        # Typing the same in a menu twice within a second is signed the same, and only reads.
        if not guard.is_first(request.headers) and sent.body.get("type") != "block_suggestion":
            return refusal
        connections.authenticated(request.scope, "slack")
        answer, start_the_rest = await asyncio.wrap_future(dispatch(sent))
    except BadInput as error:  # signed, but not a payload that Slack sends
        return Response(str(error), status_code=400)
    except Exception as error:  # an internal error: the caller gets an ID to report
        return Response(str(explain(error)), status_code=400)
    response = to_starlette_response(answer)
    response.background = BackgroundTask(start_the_rest)
    return response


def read_bolt_request(request: Request, body: bytes) -> BoltRequest:
    """Return Slack's request, parsed by Bolt. Raises BadInput for a body that Slack doesn't send to this app.

    Bolt parses a body before anything can validate it, and fails if a part has the wrong type. Parsing takes longer
    than validating, so it's done only once.
    """
    if b"payload" in body and not body.startswith((b"{", b"payload=")) and b"&payload=" not in body:
        # Bolt mistakes the word "payload" anywhere in the body for a field's name, but a command has no such field.
        body = body.replace(b"payload", b"%70ayload")
    try:
        sent = to_bolt_request(request, body)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):  # not chained: it repeats the body
        raise BadInput("This isn't a payload that Slack sends.") from None
    validate_payload(sent.body)
    return sent


class _ReplayGuard:
    """Recognizes which requests Slack signed, and which ones it has already sent."""

    def __init__(self, signing_secret: str, now: Callable[[], float]) -> None:
        clock = Clock()
        clock.now = now  # type: ignore[method-assign]  # there's no other way to set it
        self._verifier = SignatureVerifier(signing_secret, clock)
        self._signatures = RecentKeys(SIGNATURE_MEMORY, now)

    def verifies(self, body: bytes, headers: Mapping[str, str]) -> bool:
        """Return whether Slack signed this body, with a timestamp within five minutes of now."""
        timestamp, signature = headers.get("x-slack-request-timestamp"), headers.get("x-slack-signature")
        if not timestamp or not signature or not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12:
            return False
        try:
            body.decode()  # the verifier reads it as text
        except UnicodeDecodeError:
            return False
        return signature.isascii() and self._verifier.is_valid(body, timestamp, signature)

    def is_first(self, headers: Mapping[str, str]) -> bool:
        """Remember a verified signature; return whether it's new."""
        return self._signatures.is_new(headers["x-slack-signature"])

"""The web application: Slack's signed calls, MLflow's webhooks, the HTTP API, and health checks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from slack_bolt import App, BoltRequest
from slack_bolt.adapter.starlette.handler import to_bolt_request, to_starlette_response
from slack_sdk.signature import Clock, SignatureVerifier
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Route

from bot.domain.core.errors import BadInput
from bot.version import version
from handlers.api import metrics as api_metrics
from handlers.api import promotions
from handlers.api.body import read_body
from handlers.api.calls import ApiError, ApiServices, refuse_call
from handlers.errors import explain
from handlers.recent_keys import RecentKeys
from handlers.slack.deferred import dispatch_request
from handlers.slack.payload_schema import validate_payload
from handlers.web import health
from handlers.web.mlflow_webhook import mount_mlflow_webhook
from handlers.web.readiness import Readiness

if TYPE_CHECKING:
    from bot.metrics.recorder import PrometheusMetrics

SIGNATURE_MEMORY = 660.0  # seconds for which used signatures are remembered; one is valid for 300 before and after


def create_app(
    app: App,
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

    `/slack/events` and `/v1/mlflow/webhook` exist if there's a secret to verify them with. `on_model_changed` gets the
    name of a model that changed according to MLflow; it must not block. `api_services`: what the HTTP API works with;
    without it there's no API. `readiness` reports the state of our components, `metrics` what's measured. `now`: the
    time of day.
    """
    web = FastAPI(title="Registrar", version=version(), docs_url="/docs", redoc_url=None)
    health.mount_health(web, readiness or Readiness([]), metrics)

    if signing_secret:
        guard = _ReplayGuard(signing_secret, now)

        @web.post("/slack/events", include_in_schema=False)
        async def slack_events(request: Request) -> Response:
            return await _handle_slack(app, guard, request)

    if webhook_secret:
        mount_mlflow_webhook(web, webhook_secret, on_model_changed)
    if api_services:
        web.state.api_services = api_services
        web.include_router(api_metrics.router)
        if api_services.registrar:
            web.include_router(promotions.router)
    web.add_exception_handler(ApiError, refuse_call)
    web.add_exception_handler(405, _answer_wrong_method)
    web.add_exception_handler(RequestValidationError, _answer_bad_path)
    web.add_exception_handler(ClientDisconnect, _end_without_answer)
    return web


async def _answer_wrong_method(request: Request, error: Exception) -> Response:
    """Answer a wrong method with the allowed ones: for two routes with one path, the framework reports one's only."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    matching = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    allowed = ", ".join(sorted({method for route in matching for method in route.methods or ()}))
    return JSONResponse({"error": f"Here it is {allowed}."}, 405, {"Allow": allowed})


async def _answer_bad_path(request: Request, error: Exception) -> Response:
    """Answer an invalid path parameter like all other errors; the framework's own answer has another schema."""
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    return JSONResponse({"error": f"{fault['loc'][-1]}: {fault['msg']}."}, 422)


async def _end_without_answer(request: Request, error: Exception) -> Response:
    """A client that hangs up while sending gets no answer, and isn't logged as a fault."""
    return Response(status_code=400)


async def _handle_slack(app: App, guard: _ReplayGuard, request: Request) -> Response:
    """Verify what Slack sent before anything reads it; then let Bolt handle it off the event loop."""
    body = await read_body(request)
    if body is None:
        return Response("longer than anything that Slack sends", status_code=413)
    if not guard.accepts(body, request.headers):
        return Response("not signed by Slack, too old, or seen before", status_code=401)
    try:
        sent = read_bolt_request(request, body)
        answer, start_the_rest = await run_in_threadpool(dispatch_request, app, sent)
    except BadInput as error:  # signed, but not a payload that Slack sends
        return Response(str(error), status_code=400)
    except Exception as error:  # our fault: the caller gets the id to quote
        return Response(str(explain(error)), status_code=400)
    response = to_starlette_response(answer)
    response.background = BackgroundTask(start_the_rest)
    return response


def read_bolt_request(request: Request, body: bytes) -> BoltRequest:
    """Return Slack's request, parsed by Bolt. Raises BadInput for what Slack doesn't send to apps.

    Bolt parses a body before anyone can validate it, and fails on parts of another type. Parsing takes longer than
    validating, so it's done once.
    """
    if b"payload" in body and not body.startswith((b"{", b"payload=")) and b"&payload=" not in body:
        # Wherever this word is, Bolt takes it for the name of a field that a command doesn't have.
        body = body.replace(b"payload", b"%70ayload")
    try:
        sent = to_bolt_request(request, body)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):  # not chained: it repeats the body
        raise BadInput("Slack sends nothing that reads like this.") from None
    validate_payload(sent.body)
    return sent


class _ReplayGuard:
    """Lets a signed body in once."""

    def __init__(self, signing_secret: str, now: Callable[[], float]) -> None:
        clock = Clock()
        clock.now = now  # type: ignore[method-assign]  # it has no other way in
        self._verifier = SignatureVerifier(signing_secret, clock)
        self._signatures = RecentKeys(SIGNATURE_MEMORY, now)

    def accepts(self, body: bytes, headers: Mapping[str, str]) -> bool:
        """Return whether Slack signed this body within the last five minutes and it wasn't seen before."""
        timestamp, signature = headers.get("x-slack-request-timestamp"), headers.get("x-slack-signature")
        if not timestamp or not signature or not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12:
            return False
        try:
            body.decode()  # the verifier reads it as text
        except UnicodeDecodeError:
            return False
        if not signature.isascii() or not self._verifier.is_valid(body, timestamp, signature):
            return False
        return self._signatures.is_new(signature)

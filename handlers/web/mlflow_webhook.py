"""MLflow's webhooks, which hint that a model changed. Only the model's name in them is used."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

from handlers.api.body import read_body
from handlers.recent_keys import RecentKeys
from handlers.web import connections

MAX_AGE = 300  # seconds; MLflow retries within seconds, with the same timestamp and ID
DELIVERY_MEMORY = 2 * MAX_AGE + 60  # seconds for which a delivery's ID is remembered


def _text_response(description: str) -> dict[str, object]:
    return {"description": description, "content": {"text/plain": {"schema": {"type": "string"}}}}


_RESPONSES: dict[int | str, dict[str, object]] = {
    202: {"description": "Accepted"},
    401: _text_response("The signature is invalid or too old"),
    409: _text_response("Already delivered"),
    413: _text_response("The body is over 1 MB"),
}
_REQUEST = {
    "parameters": [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
        for name in ("X-MLflow-Delivery-Id", "X-MLflow-Timestamp", "X-MLflow-Signature")
    ],
    "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}},
}


def mount_mlflow_webhook(app: FastAPI, secret: str, on_model_changed: Callable[[str], object]) -> None:
    """Add the route, which accepts each of MLflow's deliveries once."""
    deliveries = RecentKeys(DELIVERY_MEMORY, time.time)

    @app.post(
        "/v1/mlflow/webhook",
        status_code=202,
        responses=_RESPONSES,
        response_class=Response,
        openapi_extra=_REQUEST,
        summary="MLflow's webhook",
    )
    async def mlflow_webhook(request: Request) -> Response:
        """Accept a hint from MLflow that a model changed."""
        body, headers = await read_body(request), request.headers
        if body is None:
            return PlainTextResponse("body too large", status_code=413)
        delivery, timestamp = headers.get("x-mlflow-delivery-id", ""), headers.get("x-mlflow-timestamp", "")
        if not _is_signed(secret.encode(), body, delivery, timestamp, headers.get("x-mlflow-signature", "")):
            return PlainTextResponse("invalid signature", status_code=401)
        if abs(time.time() - int(timestamp)) > MAX_AGE:
            return PlainTextResponse("timestamp too old", status_code=401)
        if not deliveries.is_new(delivery):
            return PlainTextResponse("already delivered", status_code=409)
        connections.authenticated(request.scope, "mlflow")
        if name := _model_name_in(body):
            on_model_changed(name)
        return Response(status_code=202)


def _is_signed(secret: bytes, body: bytes, delivery: str, timestamp: str, signature: str) -> bool:
    if not delivery or not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return False
    signed = b".".join([delivery.encode(), timestamp.encode(), body])
    expected = b"v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest())
    return any(hmac.compare_digest(expected, candidate.encode()) for candidate in signature.split(" "))


def _model_name_in(body: bytes) -> str | None:
    """Return the name of the model that a delivery is about; None if there's none or it's about a prompt."""
    try:
        payload = json.loads(body)
        entity, name = payload["entity"], payload["data"]["name"]
    except (ValueError, KeyError, TypeError):
        return None
    about_models = isinstance(entity, str) and not entity.startswith("prompt")
    return name if about_models and isinstance(name, str) and name else None

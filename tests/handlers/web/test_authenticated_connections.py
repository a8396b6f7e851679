"""Which calls make their connection count against a client instead of a peer."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import httpx2
from fastapi import FastAPI
from slack_bolt import BoltRequest, BoltResponse

from handlers.slack.deferred import Task
from handlers.web.app import create_app
from localslack.signing import signed_headers
from tests.support.app.metrics_api import MetricsApi, api

__all__ = ["api"]

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
COMMAND = b"command=%2Fmodel&text=list&team_id=T1&user_id=U1"


class CountedConnection:
    """A stand-in for a connection that records who it counts against."""

    def __init__(self) -> None:
        self.clients: list[str] = []

    def count_for(self, client: str) -> None:
        """Record a client."""
        self.clients.append(client)


def accept(request: BoltRequest) -> Future[tuple[BoltResponse, Task]]:
    """Accept a request, as the dispatcher would."""
    accepted: Future[tuple[BoltResponse, Task]] = Future()
    accepted.set_result((BoltResponse(status=200), lambda: None))
    return accepted


def clients_after(web: FastAPI, path: str, body: bytes, headers: Mapping[str, str]) -> list[str]:
    """Post a body, and return the clients that its connection was counted against."""
    connection = CountedConnection()

    async def with_connection(scope: Any, receive: Any, send: Any) -> None:
        await web(scope | {"state": {"connection": connection}}, receive, send)

    async def post() -> None:
        transport = httpx2.ASGITransport(with_connection)
        async with httpx2.AsyncClient(transport=transport, base_url="http://registrar") as client:
            await client.post(path, content=body, headers=headers)

    asyncio.run(post())
    return connection.clients


def webhook_headers(secret: str) -> dict[str, str]:
    """Return MLflow's headers for the body `{}`."""
    stamp = str(int(time.time()))
    digest = hmac.new(secret.encode(), f"d1.{stamp}.{{}}".encode(), hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"X-MLflow-Delivery-Id": "d1", "X-MLflow-Timestamp": stamp, "X-MLflow-Signature": signature}


def test_a_call_that_slack_signed_counts_against_slack() -> None:
    web = create_app(accept, SECRET, on_model_changed=lambda name: None)
    assert clients_after(web, "/slack/events", COMMAND, signed_headers("another", COMMAND)) == []
    signed = signed_headers(SECRET, COMMAND)
    assert clients_after(web, "/slack/events", COMMAND, signed) == ["slack"]
    assert clients_after(web, "/slack/events", COMMAND, signed) == []  # a replay


def test_a_signed_webhook_counts_against_mlflow() -> None:
    web = create_app(None, None, webhook_secret=SECRET, on_model_changed=lambda name: None)
    assert clients_after(web, "/v1/mlflow/webhook", b"{}", webhook_headers("another")) == []
    assert clients_after(web, "/v1/mlflow/webhook", b"{}", webhook_headers(SECRET)) == ["mlflow"]


def test_a_call_with_a_valid_token_counts_against_its_client(api: MetricsApi) -> None:
    assert clients_after(api.web, "/v1/metrics", b"{}", {"Authorization": "Bearer another"}) == []
    assert clients_after(api.web, "/v1/metrics", b"{}", {"Authorization": "Bearer t0ken-of-ci"}) == ["client:ci"]

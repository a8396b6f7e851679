"""Slack's HTTP requests: only recently signed ones are accepted, each once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import httpx2
import pytest
from slack_bolt import BoltRequest, BoltResponse

from handlers.api.body import MAX_BODY_BYTES
from handlers.slack.deferred import Task
from handlers.web.app import create_app
from localslack.signing import signature, signed_headers

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
BODY = b"command=%2Fmodel&text=list&team_id=T1&user_id=U1"


class Bolt:
    """A stand-in for Bolt that records the requests."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    def dispatch(self, request: BoltRequest) -> BoltResponse:
        """Record a request."""
        self.reached.append(request.raw_body)
        return BoltResponse(status=200, body="understood")

    def dispatched(self, request: BoltRequest) -> Future[tuple[BoltResponse, Task]]:
        """Record a request, and return its future response."""
        future: Future[tuple[BoltResponse, Task]] = Future()
        future.set_result((self.dispatch(request), lambda: None))
        return future


class Web:
    """An in-process client of the web application."""

    def __init__(self, bolt: Bolt, secret: str | None, now: Callable[[], float] = time.time) -> None:
        web = create_app(bolt.dispatched, secret, on_model_changed=lambda name: None, now=now)
        self._transport = httpx2.ASGITransport(web, raise_app_exceptions=False)

    def ask(
        self, method: str, path: str, *, body: bytes | None = None, headers: dict[bytes, bytes] | None = None
    ) -> httpx2.Response:
        """Send one request and return the response."""

        async def send() -> httpx2.Response:
            async with httpx2.AsyncClient(transport=self._transport, base_url="http://registrar") as client:
                return await client.request(method, path, content=body, headers=headers)

        return asyncio.run(send())

    def post(self, signed: dict[str, str], body: bytes = BODY) -> httpx2.Response:
        """Post a body to Slack's route."""
        encoded = {name.encode(): value.encode() for name, value in signed.items()}
        return self.ask("POST", "/slack/events", body=body, headers=encoded)


@pytest.fixture
def bolt() -> Bolt:
    """Return a Bolt without requests."""
    return Bolt()


@pytest.fixture
def web(bolt: Bolt) -> Web:
    """Return a client of the web application."""
    return Web(bolt, SECRET)


def headers(*, at: float | None = None, body: bytes = BODY, secret: str = SECRET, **changes: str) -> dict[str, str]:
    """Return Slack's headers for a body, with these changes."""
    return signed_headers(secret, body, int(time.time() if at is None else at)) | changes


def test_a_signed_body_reaches_bolt(web: Web, bolt: Bolt) -> None:
    answer = web.post(headers())
    assert (answer.status_code, answer.text) == (200, "understood")
    assert bolt.reached == [BODY.decode()]


@pytest.mark.parametrize(
    "signed",
    [
        pytest.param({}, id="no headers"),
        pytest.param(headers(secret="another"), id="another secret"),
        pytest.param(headers(body=b"text=promote"), id="another body"),
        pytest.param(headers() | {"X-Slack-Signature": ""}, id="empty signature"),
        pytest.param(headers() | {"X-Slack-Signature": "v0=" + "0" * 64}, id="made-up signature"),
        pytest.param(headers() | {"X-Slack-Signature": "v1" + headers()["X-Slack-Signature"][2:]}, id="other version"),
        pytest.param(headers() | {"X-Slack-Signature": "v0=é"}, id="no ascii"),
        pytest.param({"X-Slack-Signature": headers()["X-Slack-Signature"]}, id="no timestamp"),
        pytest.param({"X-Slack-Request-Timestamp": headers()["X-Slack-Request-Timestamp"]}, id="no signature"),
        pytest.param(headers(at=0), id="of 1970"),
        pytest.param(headers(at=time.time() - 3600), id="an hour old"),
        pytest.param(headers(at=time.time() + 3600), id="an hour ahead"),
    ],
)
def test_an_unsigned_or_old_body_is_refused(web: Web, bolt: Bolt, signed: dict[str, str]) -> None:
    assert web.post(signed).status_code == 401
    assert bolt.reached == []


@pytest.mark.parametrize("stamp", ["", "now", "-1", "1e9", "1.5", "9" * 400, "٣٣٣", " ", "0x10"])
def test_an_invalid_timestamp_is_refused_even_if_signed(web: Web, bolt: Bolt, stamp: str) -> None:
    signed = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signature(SECRET, BODY, stamp)}
    assert web.post(signed).status_code == 401
    assert bolt.reached == []


def test_a_repeated_call_is_a_replay(web: Web, bolt: Bolt) -> None:
    signed = headers()
    assert [web.post(signed).status_code for _ in range(2)] == [200, 401]
    assert len(bolt.reached) == 1


@pytest.mark.parametrize("pause", [1, 299, 300, 301, 599, 600, 601, 3600])
def test_a_late_replay_is_refused_even_with_a_fast_clock(bolt: Bolt, pause: int) -> None:
    began = time.time()
    times = [began]
    web = Web(bolt, SECRET, now=lambda: times[-1])
    signed = headers(at=began + 300)
    assert web.post(signed).status_code == 200
    times.append(began + pause)
    assert web.post(signed).status_code == 401
    assert len(bolt.reached) == 1


def test_the_same_body_with_a_new_signature_is_a_new_call(web: Web, bolt: Bolt) -> None:
    now = time.time()
    assert [web.post(headers(at=now - age)).status_code for age in (0, 1)] == [200, 200]


def test_a_refused_call_can_be_sent_again(web: Web, bolt: Bolt) -> None:
    signed = headers()
    assert web.post(signed, b"something else").status_code == 401
    assert web.post(signed).status_code == 200


def test_a_body_over_the_limit_is_not_read(web: Web, bolt: Bolt) -> None:
    body = b"a" * (MAX_BODY_BYTES + 1)
    assert web.post(headers(body=body), body).status_code == 413
    assert bolt.reached == []


def test_a_body_at_the_limit_is_read(web: Web, bolt: Bolt) -> None:
    body = BODY.ljust(MAX_BODY_BYTES, b"a")
    assert web.post(headers(body=body), body).status_code == 200


def test_a_refusal_does_not_reveal_the_secret(web: Web) -> None:
    answer = web.post(headers(secret="another"))
    assert SECRET not in answer.text
    assert signature(SECRET, BODY, headers()["X-Slack-Request-Timestamp"]) not in answer.text


@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_only_post_is_allowed(web: Web, method: str) -> None:
    assert web.ask(method, "/slack/events").status_code == 405


def test_without_a_secret_there_is_no_slack_route(bolt: Bolt) -> None:
    assert Web(bolt, None).post(headers()).status_code == 404


def test_healthz_reports_alive(web: Web) -> None:
    answer = web.ask("GET", "/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


def test_a_client_that_hangs_up_is_not_logged_as_an_error(bolt: Bolt) -> None:
    web = create_app(bolt.dispatched, SECRET, on_model_changed=lambda name: None)
    comes: Iterator[dict[str, Any]] = iter(
        [
            {"type": "http.request", "body": BODY[:10], "more_body": True},
            {"type": "http.disconnect"},
        ]
    )
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/slack/events",
        "raw_path": b"/slack/events",
        "query_string": b"",
        "headers": [],
        "http_version": "1.1",
        "scheme": "http",
        "asgi": {"version": "3.0"},
    }
    answered: list[Any] = []

    async def receive() -> dict[str, Any]:
        return next(comes)

    async def send(message: Any) -> None:
        answered.append(message)

    asyncio.run(web(scope, receive, send))  # the server would log an exception here as an error
    assert answered[0]["status"] == 400
    assert bolt.reached == []

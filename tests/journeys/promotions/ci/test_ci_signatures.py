"""A CI job that signs its calls, so that its token is never sent."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bot.domain.core.signing import sign_body, sign_call
from localslack import Remote
from tests.support.app.app_fixture import AdjustableClock, RunningApp, make_policy, running_app
from tests.support.registry.memory import MemoryRegistry
from tests.support.terminal.ci_job import BODY, CLIENTS, OTHER, TOKEN, call

NONCES = (f"nonce-{number:010}" for number in count())
BLOCKS = "/v1/models/churn/blocks"
V1_WARNING = "client github-churn signs calls with v1=; the next release accepts only v2="


def sign(app: RunningApp, method: str, path: str, sent: bytes = b"", *, nonce: str = "") -> dict[str, str]:
    """Return the headers of a call that's signed with v2."""
    stamp, nonce = timestamp(app), nonce or next(NONCES)
    signature = sign_call(TOKEN, method=method, path=path.encode(), nonce=nonce, timestamp=stamp, body=sent)
    return {"X-Registrar-Timestamp": stamp, "X-Registrar-Nonce": nonce, "X-Registrar-Signature": signature}


def signed(app: RunningApp, method: str, path: str, body: Any = None, *, nonce: str = "") -> httpx2.Response:
    """Make a call that's signed with v2."""
    sent = b"" if body is None else json.dumps(body).encode()
    return send(app, method, path, sign(app, method, path, sent, nonce=nonce), sent)


def signed_with_v1(app: RunningApp, method: str, path: str, body: Any = None, token: str = TOKEN) -> httpx2.Response:
    """Make a call that's signed as in the previous release."""
    sent, stamp = b"" if body is None else json.dumps(body).encode(), timestamp(app)
    headers = {"X-Registrar-Timestamp": stamp, "X-Registrar-Signature": sign_body(token, stamp, sent)}
    return send(app, method, path, headers, sent)


def send(app: RunningApp, method: str, path: str, headers: dict[str, str], sent: bytes = b"") -> httpx2.Response:
    return httpx2.request(method, f"{app.service.address}{path}", headers=headers, content=sent, timeout=30)


def timestamp(app: RunningApp) -> str:
    return str(int(app.registrar.context.clock.now().timestamp()))


def test_every_call_can_be_signed(app: RunningApp) -> None:
    opened = signed(app, "POST", "/v1/requests", BODY)
    path = f"/v1/requests/{opened.json()['id']}"
    answers = [opened, signed(app, "GET", path), signed(app, "DELETE", path, {"reason": "wrong version"})]
    assert [(one.status_code, one.json()["state"]) for one in answers] == [
        (201, "pending"),
        (200, "pending"),
        (200, "cancelled"),
    ]
    assert not any("deprecation" in one.headers for one in answers)


def test_a_percent_encoded_path_is_signed_as_it_is_sent(app: RunningApp) -> None:
    assert signed(app, "GET", "/v1/models/churn%20of%20gold/blocks").status_code == 200


def test_a_captured_cancellation_cancels_nothing_else(app: RunningApp) -> None:
    first = f"/v1/requests/{signed(app, 'POST', '/v1/requests', BODY).json()['id']}"
    captured = sign(app, "DELETE", first)
    assert send(app, "DELETE", first, captured).status_code == 200
    second = f"/v1/requests/{signed(app, 'POST', '/v1/requests', BODY).json()['id']}"
    assert [send(app, "DELETE", path, captured).status_code for path in (first, second)] == [401, 401]
    assert call(app, "GET", second).json()["state"] == "pending"


@pytest.mark.postgres
def test_a_nonce_is_used_up_at_every_process(slack: Remote, tmp_path: Path, postgres_url: str) -> None:
    policy, registry = make_policy({"clients": CLIENTS}), MemoryRegistry()
    with (
        running_app(slack, tmp_path / "one", registry, policy=policy, database_url=postgres_url) as one,
        running_app(slack, tmp_path / "two", registry, policy=policy, database_url=postgres_url) as two,
    ):
        answers = [signed(app, "GET", "/v1/models/churn/blocks", nonce="the-same-one-twice") for app in (one, two)]
    assert [answer.status_code for answer in answers] == [200, 401]


class TestQuotas:
    @pytest.fixture(autouse=True)
    def _sixty_calls(self, app: RunningApp) -> None:
        clients = CLIENTS | {"github-churn": CLIENTS["github-churn"] | {"may": ["request", "read", "push"]}}
        policy = make_policy({"clients": clients, "quotas": {"api_calls": 60}})
        app.registrar.context.active_policy.replace(policy, "")

    @pytest.mark.parametrize("version", ["v1", "v2"])
    def test_a_replayed_call_does_not_use_up_the_client_s(self, app: RunningApp, version: str) -> None:
        sent, stamp = json.dumps({"source": "push", "readings": []}).encode(), timestamp(app)
        captured = {"X-Registrar-Timestamp": stamp, "X-Registrar-Signature": sign_body(TOKEN, stamp, sent)}
        if version == "v2":
            captured = sign(app, "POST", "/v1/metrics", sent)
        value = captured["X-Registrar-Signature"]
        for spelling in (value, value[:3] + value[3:].upper()) * 30:
            send(app, "POST", "/v1/metrics", captured | {"X-Registrar-Signature": spelling}, sent)
        assert call(app, "GET", BLOCKS).status_code == 200

    def test_a_call_over_it_does_not_use_up_its_nonce(self, app: RunningApp, clock: AdjustableClock) -> None:
        for _ in range(60):
            call(app, "GET", BLOCKS)
        refused = sign(app, "GET", BLOCKS)
        assert send(app, "GET", BLOCKS, refused).status_code == 429
        clock.advance(timedelta(minutes=1))
        assert send(app, "GET", BLOCKS, refused).status_code == 200


class TestV1:
    def test_still_works_with_a_header_that_says_it_is_deprecated(self, app: RunningApp) -> None:
        opened = signed_with_v1(app, "POST", "/v1/requests", BODY)
        refused = signed_with_v1(app, "POST", "/v1/requests", BODY | {"model": "fraud"})
        assert (opened.status_code, refused.status_code) == (201, 403)
        for answer in (opened, refused):
            assert datetime.fromtimestamp(int(answer.headers["deprecation"].removeprefix("@")), UTC).year == 2026

    def test_is_logged_once_for_each_client(self, app: RunningApp, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.WARNING, "handlers.api.calls")
        for token in (TOKEN, OTHER, TOKEN, OTHER):
            signed_with_v1(app, "GET", "/v1/requests/r1", token=token)
        assert [record.getMessage() for record in caplog.records] == [
            V1_WARNING,
            V1_WARNING.replace("github-churn", "other"),
        ]

    def test_an_invalid_signature_is_not_logged(self, app: RunningApp, caplog: pytest.LogCaptureFixture) -> None:
        assert signed_with_v1(app, "GET", "/v1/requests/r1", token="nobody's").status_code == 401
        assert V1_WARNING not in caplog.text

"""A bad version, from the pushed reading to the thread's last message, over Slack's protocol and HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bot.domain.core.errors import BadInput
from bot.domain.core.signing import sign_body
from bot.domain.registry.model import Stage
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, POLICY, RunningApp, make_policy, message_text, running_app
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import PATIENCE, wait_until

TOKEN = "a token that nobody guesses"
MONITOR: dict[str, Any] = {
    "name": "accuracy-live",
    "source": "live",
    "query": "accuracy",
    "greater_than": 0.85,
    "every": "10s",
    "fail_after": 1,
    "warmup": "0s",
    "action": "auto",
}


@pytest.fixture
def watched(slack: LocalSlack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningApp]:
    """The bot with a monitored `churn`: v3 was in Production at the start, and v4 is now."""
    monkeypatch.setenv("REGISTRAR_CLIENT_SERVE", TOKEN)
    registry = MemoryRegistry()
    registry.add_model("churn", versions=[Stage.ARCHIVED, Stage.STAGING, Stage.PRODUCTION, Stage.NONE])
    registry.set_alias("churn", "champion", 3)
    policy = make_policy(
        {
            "models": {"*": POLICY["models"]["*"] | {"monitors": [MONITOR]}},
            "sources": {"live": {"type": "push"}},
            "clients": {"serve": {"token_env": "REGISTRAR_CLIENT_SERVE", "may": ["push"]}},
        }
    )
    with running_app(slack, tmp_path, registry, policy=policy) as app:
        app.registrar.poll_registry()
        app.alice.types(CHANNEL, "/model promote churn 4 production")
        assert app.bob.clicks(app.card(), "Approve").acked
        app.card(holds="is in Production")
        yield app


def push(app: RunningApp, value: float, *, version: int = 4, token: str = TOKEN) -> httpx2.Response:
    """Push one reading as a serving loop does, signed."""
    body = (
        b'{"source": "live", "readings": [{"model": "churn", "version": %d, "metric": "accuracy", "value": %f, '
        b'"at": "%s"}]}' % (version, value, datetime.now(UTC).isoformat().encode())
    )
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    stamp = str(int(time.time()))
    headers |= {"X-Registrar-Timestamp": stamp, "X-Registrar-Signature": sign_body(token, stamp, body)}
    return httpx2.post(f"{app.service.address}/v1/metrics", content=body, headers=headers, timeout=PATIENCE)


def look_now(app: RunningApp) -> None:
    """Check now instead of waiting for the schedule."""
    with app.ledger.read() as reading:
        [monitor] = reading.monitors("churn")

    def checked() -> bool:
        with suppress(BadInput):  # the schedule is at it
            app.registrar.monitoring.check_now(monitor.id)
            return True
        return False

    wait_until(checked)


def test_a_bad_reading_rolls_back_and_the_thread_says_why(watched: RunningApp) -> None:
    assert push(watched, 0.42).status_code == 202
    look_now(watched)
    alert = watched.card(holds="incident_undo")
    assert watched.production() == [3]

    def told() -> list[str]:
        watched.registrar.end_and_remind_incidents()
        lines = [message_text(one) for one in watched.bob.thread(alert)[1:]]
        return lines if any("Incident review" in line for line in lines) else []

    lines = " / ".join(wait_until(told))
    for words in ("isn't greater than 0.85", "`v3` in Production, verified", "`v4` is blocked", "Restored"):
        assert words in lines
    assert "Restored" in message_text(watched.card(holds="incident_undo"))
    alerts = [one for one in watched.bob.sees(CHANNEL) if "incident_undo" in str(one)]
    assert alerts == [watched.card(holds="incident_undo")]


def test_readings_of_another_version_move_nothing(watched: RunningApp) -> None:
    assert push(watched, 0.42, version=3).status_code == 202
    look_now(watched)
    assert watched.production() == [4]


def test_a_push_without_a_token_is_refused(watched: RunningApp) -> None:
    assert push(watched, 0.42, token="guessed").status_code == 401
    look_now(watched)
    assert watched.production() == [4]


def test_undo_requests_the_rolled_back_version_once_it_is_unblocked(watched: RunningApp) -> None:
    push(watched, 0.42)
    look_now(watched)
    assert watched.alice.clicks(watched.card(holds="incident_undo"), "Request v4 again…").acked
    watched.alice.waits_for_modal()
    assert watched.alice.submits() is None
    assert '/model unblock churn 4 --reason "…"' in watched.answer(watched.alice, "No request was opened")
    watched.bob.types(CHANNEL, '/model unblock churn 4 --reason "it was the feature store"')
    watched.answer(watched.bob, "Unblocked")
    assert watched.alice.clicks(watched.card(holds="incident_undo"), "Request v4 again…").acked
    watched.alice.waits_for_modal()
    assert watched.alice.submits() is None
    watched.card(holds="Promote churn v4 to Production?")
    assert watched.production() == [3]


def test_a_silenced_monitor_posts_and_moves_nothing(watched: RunningApp) -> None:
    watched.bob.types(CHANNEL, "/model monitor silence churn accuracy-live 1h")
    watched.answer(watched.bob, "silence")
    push(watched, 0.42)
    look_now(watched)
    assert watched.production() == [4]

"""After an upgrade, the previous version's work (tests/data) continues, and its cards still work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.domain.promotions.request import RequestState
from bot.ledger import SqlLedger
from tests.support.app.app_fixture import CHANNEL, MANIFEST, AdjustableClock, RunningApp, message_text, running_app
from tests.support.app.harness import is_chain_intact
from tests.support.app.workspaces import local_slack
from tests.support.ledger.previous_release import (
    LEDGER,
    REGISTRY,
    TOKEN,
    TOKEN_ENV,
    WORKSPACE,
    database,
    policy,
    push,
    unpack,
)
from tests.support.slack.message_parts import objects
from tests.support.waiting import wait_until


class LaterClock(AdjustableClock):
    """A clock that starts a few minutes after the last event in the ledger."""

    def __init__(self, ledger: Path) -> None:
        super().__init__()
        with closing(SqlLedger(f"sqlite:///{ledger}")) as opened, opened.read() as reading:
            [last] = reading.latest_audit_events(limit=1)
        self.advance(last.event.at + timedelta(minutes=5) - datetime.now(UTC))


@pytest.fixture(scope="module")
def clock(home: Path) -> AdjustableClock:
    """Return the bot's clock."""
    return LaterClock(home / "ledger.db")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bot's folder, with the previous version's ledger and workspace."""
    folder = tmp_path_factory.mktemp("yesterday")
    database(LEDGER, folder / "ledger.db")
    database(WORKSPACE, folder / "slack.db")
    return folder


@pytest.fixture(scope="module")
def app(home: Path, clock: AdjustableClock) -> Iterator[RunningApp]:
    """Return the running bot. The tests share it, and each uses its own model."""
    with pytest.MonkeyPatch.context() as patch, local_slack(MANIFEST, state=home / "slack.db") as slack:
        patch.setenv(TOKEN_ENV, TOKEN)
        registry = unpack(REGISTRY.read_text(encoding="utf-8"))
        with running_app(slack, home, registry, policy=policy(), clock=clock) as app:
            yield app


def card_of(app: RunningApp, model: str) -> dict[str, Any]:
    """Wait for the card of the request for this model."""
    return app.card(holds=f"Promote {model} v4")


def newest(app: RunningApp, card: dict[str, Any]) -> dict[str, Any]:
    """Return the current version of a card."""
    [found] = [message for message in app.bob.sees(CHANNEL) if message["ts"] == card["ts"]]
    return found


def test_approving_on_an_old_card_promotes_the_version(app: RunningApp) -> None:
    card = card_of(app, "fraud")
    app.bob.clicks(card, "Approve")
    wait_until(lambda: "is in Production" in message_text(newest(app, card)))
    assert app.production("fraud") == [4]


def test_a_second_approval_completes_one_from_before_the_upgrade(app: RunningApp) -> None:
    card = card_of(app, "two-eyes")
    app.slack.person("carol").clicks(card, "Approve")
    wait_until(lambda: "is in Production" in message_text(newest(app, card)))
    assert app.production("two-eyes") == [4]


def test_details_of_an_old_card_show_its_request(app: RunningApp) -> None:
    card = card_of(app, "search")
    app.bob.clicks(card, "Details")
    shown = message_text(app.bob.waits_for_modal(lambda view: "filled" in message_text(view)))
    assert f"Request `{button_value(card, 'request_details')}`" in shown
    app.bob.closes()


def button_value(card: dict[str, Any], action_id: str) -> str:
    """Return the value of a card's button."""
    return str(next(part["value"] for part in objects(card["blocks"]) if part.get("action_id") == action_id))


def test_rejecting_on_an_old_card_ends_the_request(app: RunningApp) -> None:
    card = card_of(app, "search")
    app.bob.clicks(card, "Reject")
    app.bob.waits_for_modal()
    assert app.bob.submits({"reason": "latency doubled"}) is None
    app.alice.waits_for_direct_message(lambda message: "latency doubled" in message_text(message))
    assert app.production("search") == [3]


def test_the_approved_request_is_promoted_after_unfreezing(app: RunningApp, clock: AdjustableClock) -> None:
    assert app.production("pricing") == [3]
    app.bob.types(CHANNEL, "/model unfreeze pricing")
    app.answer(app.bob, "pricing")
    clock.advance(timedelta(seconds=11))
    assert wait_until(lambda: app.production("pricing") == [4])


def test_the_interrupted_transition_is_completed(app: RunningApp) -> None:
    assert wait_until(lambda: app.production("ranking") == [4])


def test_the_queued_request_is_opened(app: RunningApp) -> None:
    card = card_of(app, "reports")
    with app.ledger.read() as reading:
        assert reading.request(button_value(card, "request_details")).state is RequestState.PENDING


def test_undelivered_messages_are_delivered(app: RunningApp) -> None:
    app.alice.waits_for_direct_message(lambda message: "too slow" in message_text(message))
    app.card(holds="rejected")


def test_pending_tags_are_written(app: RunningApp) -> None:
    assert wait_until(lambda: app.registry.version("billing", 4).tags.get("approval_status") == "rejected")


def test_monitors_of_an_unchanged_policy_file_are_unchanged(app: RunningApp) -> None:
    with app.ledger.read() as reading:
        kept = [one for one in reading.monitors() if one.is_from_file]
    assert {one.model: one.rule for one in kept} == {
        model: policy().rules_for(model).monitors[0] for model in ("churn", "leads")
    }
    assert [one.revision for one in kept] == [1, 1]


def test_the_armed_monitor_is_checked_and_alerts(app: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_ENV, TOKEN)
    push(app, "mail", 4, 0.42)
    app.bob.waits_for(
        CHANNEL,
        lambda message: (
            "mail" in message_text(message) and "drift" in message_text(message) and "0.42" in message_text(message)
        ),
        timeout=60,
    )


def test_the_button_on_an_old_incident_rolls_back(app: RunningApp) -> None:
    alert = app.card(holds="Roll back to v3")
    app.bob.clicks(alert, "Roll back to v3")
    assert wait_until(lambda: app.production("leads") == [3])


def test_the_audit_chain_continues(app: RunningApp) -> None:
    assert isinstance(app.ledger, SqlLedger)
    assert is_chain_intact(app.ledger)

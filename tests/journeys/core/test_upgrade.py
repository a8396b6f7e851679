"""The day after an upgrade: what the last version left (tests/data) goes on, and its cards do what they say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

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
from tests.support.waiting import wait_until


class TheDayAfter(AdjustableClock):
    """A clock that begins a few minutes after the last event in the ledger."""

    def __init__(self, ledger: Path) -> None:
        super().__init__()
        with closing(SqlLedger(f"sqlite:///{ledger}")) as opened, opened.read() as reading:
            [last] = reading.latest(most=1)
        self.turn(last.event.at + timedelta(minutes=5) - datetime.now(UTC))


@pytest.fixture(scope="module")
def clock(home: Path) -> AdjustableClock:
    """Return the bot's clock."""
    return TheDayAfter(home / "ledger.db")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bot's folder, with yesterday's ledger and yesterday's workspace in it."""
    folder = tmp_path_factory.mktemp("yesterday")
    database(LEDGER, folder / "ledger.db")
    database(WORKSPACE, folder / "slack.db")
    return folder


@pytest.fixture(scope="module")
def world(home: Path, clock: AdjustableClock) -> Iterator[RunningApp]:
    """Return the bot, started as ever; the tests share it, and each is about a model of its own."""
    with pytest.MonkeyPatch.context() as patch, local_slack(MANIFEST, state=home / "slack.db") as slack:
        patch.setenv(TOKEN_ENV, TOKEN)
        registry = unpack(REGISTRY.read_text(encoding="utf-8"))
        with running_app(slack, home, registry, policy=policy(), clock=clock) as world:
            yield world


def card_of(world: RunningApp, model: str) -> dict[str, Any]:
    """Wait for the card of the request for this model."""
    return world.card(holds=f"Promote {model} v4")


def newest(world: RunningApp, card: dict[str, Any]) -> dict[str, Any]:
    """Return a card as it is now."""
    [found] = [message for message in world.bob.sees(CHANNEL) if message["ts"] == card["ts"]]
    return found


def test_approving_on_the_pending_request_s_card_moves_the_version(world: RunningApp) -> None:
    card = card_of(world, "fraud")
    world.bob.clicks(card, "Approve")
    wait_until(lambda: world.production("fraud") == [4])
    wait_until(lambda: "is in Production" in message_text(newest(world, card)))


def test_a_second_approval_completes_the_one_given_before_the_upgrade(world: RunningApp) -> None:
    card = card_of(world, "two-eyes")
    world.slack.person("carol").clicks(card, "Approve")
    wait_until(lambda: world.production("two-eyes") == [4])
    wait_until(lambda: "is in Production" in message_text(newest(world, card)))


def test_rejecting_on_the_pending_request_s_card_ends_it(world: RunningApp) -> None:
    card = card_of(world, "search")
    world.bob.clicks(card, "Reject")
    world.bob.waits_for_modal()
    assert world.bob.submits({"reason": "latency doubled"}) is None
    world.alice.waits_for_direct_message(lambda message: "latency doubled" in message_text(message))
    assert world.production("search") == [3]


def test_the_approved_request_is_moved_once_the_freeze_is_lifted(world: RunningApp, clock: AdjustableClock) -> None:
    assert world.production("pricing") == [3]
    world.bob.types(CHANNEL, "/model unfreeze pricing")
    world.answer(world.bob, "pricing")
    clock.turn(timedelta(seconds=11))
    wait_until(lambda: world.production("pricing") == [4])


def test_the_move_that_the_kill_interrupted_is_made(world: RunningApp) -> None:
    wait_until(lambda: world.production("ranking") == [4])


def test_the_request_that_waited_for_the_registry_is_opened(world: RunningApp) -> None:
    card_of(world, "reports")


def test_what_people_had_not_heard_yet_is_told(world: RunningApp) -> None:
    world.alice.waits_for_direct_message(lambda message: "too slow" in message_text(message))
    world.card(holds="rejected")


def test_tags_that_were_due_are_written(world: RunningApp) -> None:
    wait_until(lambda: world.registry.version("billing", 4).tags.get("approval_status") == "rejected")


def test_no_monitor_of_the_unchanged_policy_file_counts_as_changed(world: RunningApp) -> None:
    with world.ledger.read() as reading:
        kept = [one for one in reading.monitors() if one.is_from_file]
    assert {one.model: one.rule for one in kept} == {
        model: policy().rules_for(model).monitors[0] for model in ("churn", "leads")
    }
    assert [one.revision for one in kept] == [1, 1]


def test_the_armed_monitor_is_checked_and_alerts(world: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_ENV, TOKEN)
    push(world, "mail", 4, 0.42)
    world.bob.waits_for(
        CHANNEL,
        lambda message: (
            "mail" in message_text(message) and "drift" in message_text(message) and "0.42" in message_text(message)
        ),
        timeout=60,
    )


def test_the_button_on_yesterday_s_incident_rolls_back(world: RunningApp) -> None:
    alert = world.card(holds="Roll back to v3")
    world.bob.clicks(alert, "Roll back to v3")
    wait_until(lambda: world.production("leads") == [3])


def test_the_audit_chain_goes_on_from_yesterday_s(world: RunningApp) -> None:
    assert isinstance(world.ledger, SqlLedger)
    assert is_chain_intact(world.ledger)

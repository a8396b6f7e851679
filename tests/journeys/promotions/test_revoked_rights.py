"""Rights that are revoked between a vote and its transition, over the wire."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.domain.audit.events import EventTag
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, AdjustableClock, RunningApp, message_text, running_app
from tests.support.app.harness import JSON, audit_links, reply_to
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import wait_until


@pytest.fixture
def clock() -> AdjustableClock:
    """Return the bot's clock."""
    return AdjustableClock()


@pytest.fixture
def app(slack: LocalSlack, tmp_path: Path, clock: AdjustableClock) -> Iterator[RunningApp]:
    """The bot, with a model that needs two approvals."""
    registry = MemoryRegistry()
    with running_app(slack, tmp_path, registry, clock=clock) as app:
        registry.add_model("two-eyes", versions=1)
        yield app


def test_two_approvals_are_not_enough_if_the_first_account_is_deactivated(app: RunningApp) -> None:
    app.alice.types(CHANNEL, "/model promote two-eyes 1 production")
    card = app.card()
    app.bob.clicks(card, "Approve")
    app.card(holds="1 of 2")
    app.slack.change_person("bob", deleted=True)
    carol = app.slack.person("carol")
    assert "1 of 2" in reply_to(carol, lambda: carol.clicks(card, "Approve"))
    lapsed = "⚠️ <@U0BOB>'s approval no longer counts: the account is deactivated."
    wait_until(lambda: lapsed in shown(app, card))
    assert heard(app, card) == ""
    assert app.production("two-eyes") == []


def test_a_third_approver_completes_the_two_approvals(app: RunningApp) -> None:
    app.alice.types(CHANNEL, "/model promote two-eyes 1 production")
    card = app.card()
    app.bob.clicks(card, "Approve")
    app.card(holds="1 of 2")
    app.slack.change_person("bob", deleted=True)
    app.slack.person("carol").clicks(card, "Approve")
    app.slack.person("dave").clicks(card, "Approve")
    wait_until(lambda: app.production("two-eyes") == [1])
    assert len(audit_links(app.ledger, EventTag.VOTE_LAPSED)) == 1


def approved_while_the_registry_is_down(app: RunningApp) -> JSON:
    """Approve churn v4 while MLflow isn't responding, so its transition waits. Return the card."""
    assert isinstance(app.registry, MemoryRegistry)
    app.alice.types(CHANNEL, "/model promote churn 4 production")
    card = app.card()
    app.registry.is_down = True
    app.bob.clicks(card, "Approve")
    wait_until(lambda: "→ Production: approved" in shown(app, card))
    return card


def shown(app: RunningApp, card: JSON) -> str:
    """Return a card's current text."""
    return next(message_text(one) for one in app.bob.sees(CHANNEL) if one["ts"] == card["ts"])


def heard(app: RunningApp, card: JSON) -> str:
    """Return the current text of a card's thread."""
    return " ".join(message_text(one) for one in app.bob.thread(card)[1:])


def test_an_approval_expires_before_its_transition(app: RunningApp, clock: AdjustableClock) -> None:
    card = approved_while_the_registry_is_down(app)
    clock.advance(timedelta(hours=25))
    wait_until(lambda: "expired" in shown(app, card))
    assert "Request again" in shown(app, card)
    app.registry.is_down = False  # type: ignore[attr-defined]  # the in-memory registry has this attribute
    app.registrar.execute_transitions("churn")
    assert app.production() == [3]


def test_the_transition_waits_while_slack_cannot_look_up_people(app: RunningApp) -> None:
    card = approved_while_the_registry_is_down(app)
    app.slack.fail("users.info", "internal_error", times=None)
    app.registry.is_down = False  # type: ignore[attr-defined]  # the in-memory registry has this attribute
    wait_until(lambda: "Slack can't confirm" in shown(app, card))
    assert app.production() == [3]
    app.slack.heal()
    wait_until(lambda: app.production() == [4])

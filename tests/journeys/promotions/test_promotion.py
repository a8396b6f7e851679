"""A promotion over the wire: request, decision, transition."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, RunningApp, message_text, running_app
from tests.support.registry.memory import MemoryRegistry


@pytest.fixture(params=["socket mode", "signed http"])
def anywhere(request: pytest.FixtureRequest, slack: LocalSlack, tmp_path: Path) -> Iterator[RunningApp]:
    """The bot, over Socket Mode and over HTTP."""
    with running_app(slack, tmp_path, MemoryRegistry(), http=request.param == "signed http") as app:
        yield app


def test_a_promotion_is_requested_approved_and_made(anywhere: RunningApp) -> None:
    app = anywhere
    app.alice.types(CHANNEL, '/model promote churn 4 production --reason "better f1"')
    card = app.card()
    app.bob.clicks(card, "Approve")
    done = app.card(holds="is in Production")
    assert done["ts"] == card["ts"]
    assert app.production() == [4]


def test_the_requester_is_told_that_someone_else_must_decide(app: RunningApp) -> None:
    app.alice.types(CHANNEL, "/model promote churn 4 production")
    app.alice.clicks(app.card(), "Approve")
    assert "<@U0BOB>" in app.answer(app.alice, "someone else has to decide")
    assert app.production() == [3]


def test_a_rejection_needs_a_reason_which_the_requester_reads(app: RunningApp) -> None:
    app.alice.types(CHANNEL, "/model promote churn 4 production")
    app.bob.clicks(app.card(), "Reject")
    app.bob.waits_for_modal()
    assert app.bob.submits({"reason": "latency doubled"}) is None
    assert "latency doubled" in message_text(app.alice.waits_for_direct_message())
    assert "Approve" not in message_text(app.card(holds="rejected"))


def test_two_of_two_need_two_people(app: RunningApp) -> None:
    assert isinstance(app.registry, MemoryRegistry)
    app.registry.add_model("two-eyes", versions=1)
    app.alice.types(CHANNEL, "/model promote two-eyes 1 production")
    card = app.card()
    app.bob.clicks(card, "Approve")
    app.card(holds="1 of 2")
    app.slack.person("dave").clicks(card, "Approve")
    app.card(holds="is in Production")
    assert app.production("two-eyes") == [1]

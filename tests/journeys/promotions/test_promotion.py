"""The main job over the wire: ask, decide, moved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.registry.memory import MemoryRegistry
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, RunningApp, message_text, running_app


@pytest.fixture(params=["socket mode", "signed http"])
def anywhere(request: pytest.FixtureRequest, slack: LocalSlack, tmp_path: Path) -> Iterator[RunningApp]:
    """The bot, reached in both ways."""
    with running_app(slack, tmp_path, MemoryRegistry(), http=request.param == "signed http") as world:
        yield world


def test_a_promotion_is_asked_for_approved_and_made(anywhere: RunningApp) -> None:
    world = anywhere
    world.alice.types(CHANNEL, '/model promote churn 4 production --reason "better f1"')
    card = world.card()
    world.bob.clicks(card, "Approve")
    done = world.card(holds="is in Production")
    assert done["ts"] == card["ts"]
    assert world.production() == [4]


def test_the_requester_is_told_that_somebody_else_has_to_decide(world: RunningApp) -> None:
    world.alice.types(CHANNEL, "/model promote churn 4 production")
    world.alice.clicks(world.card(), "Approve")
    assert "<@U0BOB>" in world.answer(world.alice, "somebody else has to decide")
    assert world.production() == [3]


def test_a_rejection_asks_why_and_the_requester_reads_it(world: RunningApp) -> None:
    world.alice.types(CHANNEL, "/model promote churn 4 production")
    world.bob.clicks(world.card(), "Reject")
    world.bob.waits_for_modal()
    assert world.bob.submits({"reason": "latency doubled"}) is None
    assert "latency doubled" in message_text(world.alice.waits_for_direct_message())
    assert "Approve" not in message_text(world.card(holds="rejected"))


def test_two_of_two_need_two_people(world: RunningApp) -> None:
    assert isinstance(world.registry, MemoryRegistry)
    world.registry.add("two-eyes", versions=1)
    world.alice.types(CHANNEL, "/model promote two-eyes 1 production")
    card = world.card()
    world.bob.clicks(card, "Approve")
    world.card(holds="1 of 2")
    world.slack.person("dave").clicks(card, "Approve")
    world.card(holds="is in Production")
    assert world.production("two-eyes") == [1]

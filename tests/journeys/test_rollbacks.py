"""Rolling back over the wire: one message, a thread of steps, and nobody who may not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.domain.registry import Stage
from bot.registry.memory import MemoryRegistry
from localslack import LocalSlack
from tests.world import CHANNEL, World, running, said


@pytest.fixture
def served(slack: LocalSlack, tmp_path: Path) -> Iterator[World]:
    """The bot over `churn`, of which v3 was in Production when it came, and v4 is since."""
    registry = MemoryRegistry()
    registry.add("churn", versions=[Stage.ARCHIVED, Stage.STAGING, Stage.PRODUCTION, Stage.NONE])
    registry.set_alias("churn", "champion", 3)
    with running(slack, tmp_path, registry) as world:
        world.registrar.poll()
        world.alice.types(CHANNEL, "/model promote churn 4 production")
        assert world.bob.clicks(world.card(), "Approve").acked
        world.card(holds="is in Production")
        yield world


def thread(world: World, message: dict[str, Any], ends: str) -> list[str]:
    def told() -> list[str]:
        lines = [said(one) for one in world.bob.thread(message)[1:]]
        return lines if any(ends in line for line in lines) else []

    return list(world.slack.wait_for(told))


def test_the_version_before_serves_again_and_the_channel_sees_one_message(served: World) -> None:
    served.bob.types(CHANNEL, '/model rollback churn --reason "accuracy fell"')
    message = served.card(holds="rolled back from v4 to v3")
    assert served.production() == [3]
    assert "read back from MLflow" in served.answer(served.bob, "Rolled back")
    lines = thread(served, message, "Tags are written")
    wanted = ("v4", "read back", "barred", "Tags")
    assert [words in line for words, line in zip(wanted, lines, strict=True)] == [True] * 4
    rollbacks = [one for one in served.bob.sees(CHANNEL) if "rolled back" in said(one) and not one["is_ephemeral"]]
    assert len(rollbacks) == 1


def test_who_may_not_is_told_who_may(served: World) -> None:
    served.alice.types(CHANNEL, '/model rollback churn --reason "?"')
    assert "Only those who may roll back" in served.answer(served.alice, "roll back")
    assert served.production() == [4]


def test_without_a_reason_a_form_asks_for_it(served: World) -> None:
    served.bob.types(CHANNEL, "/model rollback churn")
    served.bob.waits_for_modal()
    assert served.bob.submits({"reason": "accuracy fell"}) is None
    served.card(holds="rolled back from v4 to v3")
    assert served.production() == [3]


def test_who_may_not_gets_no_form(served: World) -> None:
    served.alice.types(CHANNEL, "/model rollback churn")
    assert "Only those who may roll back" in served.answer(served.alice, "roll back")


def test_undo_opens_a_request_and_moves_nothing(served: World) -> None:
    served.bob.types(CHANNEL, '/model rollback churn --reason "accuracy fell"')
    message = served.card(holds="rolled back from v4 to v3")
    assert served.alice.clicks(message, "Ask for v4 again…").acked
    served.alice.waits_for_modal()
    assert served.alice.submits() is None
    served.card(holds="Promote churn v4 to Production?")
    assert served.production() == [3]


def test_a_bar_is_lifted_with_a_reason(served: World) -> None:
    served.bob.types(CHANNEL, '/model rollback churn --reason "accuracy fell"')
    served.card(holds="rolled back from v4 to v3")
    served.alice.types(CHANNEL, '/model clear churn 4 --reason "mine"')
    served.answer(served.alice, "Only those who may roll back")
    served.bob.types(CHANNEL, '/model clear churn 4 --reason "it was the feature store"')
    served.bob.waits_for(CHANNEL, lambda message: "cleared `v4`" in said(message) and not message["is_ephemeral"])

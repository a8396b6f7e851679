"""A bot, and a snapshot of everything that bad input could change."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bot.registry.memory import MemoryRegistry
from localslack import LocalSlack, PersonSeed
from tests.support.app.app_fixture import CHANNEL, RunningApp, running_app
from tests.support.app.harness import (
    StateSnapshot,
    take_snapshot,
)


@pytest.fixture(scope="module")
def bot(_workspace: LocalSlack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    """One bot for the entire module, with one open request; its tests must not change anything."""
    _workspace.heal()
    _workspace.reset()
    for who in STRANGERS:
        _workspace.add_person(who)
    _workspace.set_members(CHANNEL, [*_workspace.members(CHANNEL), *(who.id for who in STRANGERS)])
    with running_app(_workspace, tmp_path_factory.mktemp("bot"), MemoryRegistry(), http=True) as app:
        app.alice.types(CHANNEL, "/model promote churn 4 production")
        app.answer(app.alice, "Requested ")
        yield app


@pytest.fixture
def before(bot: RunningApp) -> StateSnapshot:
    """The state before the test."""
    return take_snapshot(bot)


GUEST, VISITOR, MACHINE, GONE = STRANGERS = (
    PersonSeed(id="U0GUEST", name="guest", is_restricted=True),
    PersonSeed(id="U0VISITOR", name="visitor", team_id="T0OTHER"),
    PersonSeed(id="U0MACHINE", name="machine", is_bot=True),
    PersonSeed(id="U0GONE", name="gone", deleted=True),
)

"""A bot, and a snapshot of everything that bad input could change."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from localslack import PersonSeed
from tests.support.app.app_fixture import CHANNEL, MANIFEST, RunningApp, running_app
from tests.support.app.harness import StateSnapshot, take_snapshot
from tests.support.app.workspaces import local_slack
from tests.support.registry.memory import MemoryRegistry


@pytest.fixture(scope="module")
def bot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    """One bot for the entire module, with one open request; its tests must not change anything.

    It has a workspace of its own, because other tests of the module reset theirs while this bot is running.
    """
    with local_slack(MANIFEST) as slack:
        for who in STRANGERS:
            slack.add_person(who)
        slack.set_members(CHANNEL, [*slack.members(CHANNEL), *(who.id for who in STRANGERS)])
        with running_app(slack, tmp_path_factory.mktemp("bot"), MemoryRegistry(), http=True) as app:
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

"""One person sends many commands at once: others don't wait, and nothing acknowledged is lost."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Event

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.registry.model import VersionInfo
from handlers.slack.deferred import MAX_IN_PROGRESS
from localslack import LocalSlack, WorkspaceMember
from tests.support.app.app_fixture import CHANNEL, RunningApp, message_text, running_app
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import wait_until

HANGING = "/model show hanging"
REFUSED = f"You have {MAX_IN_PROGRESS} commands in progress. Wait for some of them to finish."


class HangingRegistry(MemoryRegistry):
    """A registry that doesn't return the versions of one model until it's `released`."""

    def __init__(self) -> None:
        super().__init__()
        self.released = Event()

    def versions(self, name: str) -> list[VersionInfo]:
        if name == "hanging":
            self.released.wait()
        return super().versions(name)


@pytest.fixture
def registry() -> Iterator[HangingRegistry]:
    registry = HangingRegistry()
    yield registry
    registry.released.set()


@pytest.fixture(params=["HTTP", "Socket Mode"])
def app(
    request: pytest.FixtureRequest, slack: LocalSlack, tmp_path: Path, registry: HangingRegistry
) -> Iterator[RunningApp]:
    """The complete bot with that registry, and Alice's queries about the model that hangs."""
    with running_app(slack, tmp_path, registry, http=request.param == "HTTP") as app:
        registry.add_model("hanging")
        yield app
        registry.released.set()


def flood(app: RunningApp, person: WorkspaceMember | None = None) -> None:
    """Let a person, usually Alice, send as many queries as they can; they all hang."""
    who = person or app.alice
    for _ in range(MAX_IN_PROGRESS):
        assert who.types(CHANNEL, HANGING).acked
    wait_until(lambda: app.registrar.in_progress(who.id) == MAX_IN_PROGRESS)


def answers(app: RunningApp, holds: str) -> list[str]:
    """Return the answers with this text that Alice sees."""
    return [text for one in app.alice.sees(CHANNEL) if holds in (text := message_text(one))]


def test_another_person_s_query_is_answered_while_one_person_s_queries_hang(app: RunningApp) -> None:
    flood(app)
    app.bob.types(CHANNEL, "/model show churn")
    assert app.answer(app.bob, "4 versions")


def test_a_person_with_too_many_commands_in_progress_is_refused_in_the_acknowledgment(app: RunningApp) -> None:
    flood(app)
    assert app.alice.types(CHANNEL, HANGING).text == REFUSED


def test_a_refused_command_changes_nothing(app: RunningApp) -> None:
    flood(app)
    before = app.audit()
    app.alice.types(CHANNEL, "/model promote churn 4 production")
    assert app.audit() == before


def test_another_person_can_decide_meanwhile(app: RunningApp) -> None:
    app.alice.types(CHANNEL, "/model promote churn 4 production")
    card = app.card()
    flood(app)
    assert app.bob.clicks(card, "Approve").acked
    app.slack.wait_for(lambda: app.production() == [4])


def test_everything_acknowledged_is_answered(app: RunningApp, registry: HangingRegistry) -> None:
    flood(app)
    registry.released.set()
    wait_until(lambda: len(answers(app, "No versions yet")) >= MAX_IN_PROGRESS)
    wait_until(lambda: app.registrar.in_progress(app.alice.id) == 0)
    assert len(answers(app, "No versions yet")) == MAX_IN_PROGRESS


def test_a_person_can_send_commands_again_once_some_have_finished(app: RunningApp, registry: HangingRegistry) -> None:
    flood(app)
    registry.released.set()
    wait_until(lambda: app.registrar.in_progress(app.alice.id) < MAX_IN_PROGRESS / 2)
    assert app.alice.types(CHANNEL, "/model help").text == "Commands"


def test_commands_in_a_row_are_never_refused(app: RunningApp) -> None:
    for count in range(MAX_IN_PROGRESS + 10):
        assert app.alice.types(CHANNEL, "/model show churn").text != REFUSED
        app.slack.wait_for(partial(lambda count: len(answers(app, "4 versions")) > count, count))


def test_a_form_stays_open_with_the_refusal(app: RunningApp) -> None:
    app.alice.types(CHANNEL, "/model promote churn 4 production")
    app.bob.clicks(app.card(), "Reject")
    app.bob.waits_for_modal()
    flood(app, app.bob)
    assert app.bob.submits({"Reason": "too slow"}) == {"reason": REFUSED}


def test_a_click_is_not_acknowledged_and_changes_nothing(app: RunningApp) -> None:
    app.bob.types(CHANNEL, "/model promote churn 4 production")
    card = app.card()
    flood(app)
    before = what_people_did(app)
    assert not app.alice.clicks(card, "Approve").acked
    assert what_people_did(app) == before


def what_people_did(app: RunningApp) -> list[str]:
    """Return the tags of the audit events, without the hashing of files in the background."""
    return [tag for tag in app.audit() if tag != EventTag.FILES_RECORDED.value]

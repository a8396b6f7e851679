"""The checklist in the channel, and its buttons, with the complete bot."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from slack_sdk import WebClient

from bot.domain.promotions.request import Request, RequestState
from handlers.demo import guide as module
from handlers.demo.checklist import DemoFacts, build_checklist
from handlers.demo.checklist_message import checklist_message
from handlers.demo.guide import DemoGuide
from localslack import LocalSlack, WorkspaceMember
from tests.support.app.app_fixture import CHANNEL, RunningApp, make_policy, message_text
from tests.support.app.live_world import BAD, MetricPusher, monitored_app, promote
from tests.support.waiting import wait_until


@dataclass(frozen=True, slots=True)
class Demo:
    """A running demo."""

    app: RunningApp
    metrics: MetricPusher
    folder: Path

    def guide(self) -> DemoGuide:
        """Return a guide that makes the readings of a broken version bad."""
        return DemoGuide(
            self.app.service.app, self.app.slack, self.app.registrar, self._break, self.folder / "broken.json"
        )

    def _break(self, version: int | None) -> None:
        self.metrics.bad_versions = {BAD, version or BAD}

    def requests(self) -> list[Request]:
        """Return all requests."""
        with self.app.ledger.read() as reader:
            return reader.requests(model="churn")

    def checklists(self) -> list[dict[str, Any]]:
        """Return the messages with a checklist."""
        return [one for one in self.app.alice.sees(CHANNEL) if "Try Registrar" in one["text"]]

    def waits_for(self, words: str) -> dict[str, Any]:
        """Wait until the checklist contains this text, and return its message."""
        return self.app.alice.waits_for(
            CHANNEL, lambda one: "Try Registrar" in one["text"] and words in message_text(one), 30
        )

    def clicks(self, button: str, person: WorkspaceMember | None = None) -> None:
        """Click a button of the checklist, once it's there."""
        message = self.app.alice.waits_for(
            CHANNEL, lambda one: "Try Registrar" in one["text"] and f"'{button}'" in str(one["blocks"])
        )
        assert (person or self.app.alice).clicks(message, button).acked

    def breaks(self) -> None:
        """Break v4 after its promotion."""
        promote(self.app, 4, "better")
        self.clicks("Break it")
        self.waits_for("<@U0ALICE> broke v4.")


@pytest.fixture
def demo(slack: LocalSlack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Demo]:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.1)
    with monitored_app(slack, tmp_path) as (app, _, metrics):
        yield Demo(app, metrics, tmp_path)


def test_the_whole_story_can_be_clicked_and_registrar_wins(demo: Demo) -> None:
    with demo.guide():
        for done in ("<@U0ALICE> requested v4.", "Registrar refused", "<@U0BOB> approved v4."):
            demo.clicks("Do it for me")
            demo.waits_for(done)
        demo.app.card(holds="v4 is in Production")
        demo.clicks("Break it")
        demo.waits_for("is falling")
        demo.waits_for("Registrar rolled back to v3 after")
        demo.clicks("Do it for me", demo.app.bob)
        demo.waits_for("<@U0BOB> read the history.")
        assert demo.checklists()[0]["text"] == "Try Registrar: done"
        assert demo.app.production() == [3]
    assert len(demo.checklists()) == 1


def test_what_people_do_without_the_buttons_is_ticked_too(demo: Demo) -> None:
    with demo.guide():
        promote(demo.app, 4, "better")
        demo.waits_for("<@U0BOB> approved v4.")
        demo.app.bob.types(CHANNEL, "/model history churn")
        demo.waits_for("<@U0BOB> read the history.")


def test_a_person_can_win_the_race(demo: Demo) -> None:
    with demo.guide():
        demo.breaks()
        demo.app.bob.types(CHANNEL, '/model rollback churn --reason "support calls rise"')
        assert "before Registrar." in message_text(demo.waits_for("<@U0BOB> rolled back to v3 after"))


def test_a_click_waits_for_the_request_s_card(demo: Demo) -> None:
    with demo.guide():
        demo.waits_for("six steps")
        demo.app.slack.slow("chat.postMessage", 0.5, times=1)
        demo.app.alice.types(CHANNEL, "/model promote churn 4 production")
        demo.waits_for("requested v4.")
        demo.clicks("Do it for me")
        demo.waits_for("Registrar refused")


def test_a_click_without_a_card_is_explained(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEP_SECONDS", 0.2)
    with demo.guide():
        demo.waits_for("six steps")
        demo.app.slack.fail("chat.postMessage", "fatal_error", times=None)
        demo.app.alice.types(CHANNEL, "/model promote churn 4 production")
        demo.waits_for("requested v4.")
        demo.clicks("Do it for me")
        demo.app.answer(demo.app.alice, "That didn't work for <@U0ALICE>: the request's card isn't in the channel yet.")


def test_two_clicks_request_once(demo: Demo) -> None:
    with demo.guide():
        first = demo.waits_for("Do it for me")
        for _ in range(2):
            assert demo.app.alice.clicks(first, "Do it for me").acked
        assert demo.app.answer(demo.app.alice, "That's already done.")
    assert len(demo.requests()) == 1


def test_nothing_is_broken_before_there_is_a_version_to_roll_back_to(demo: Demo) -> None:
    with demo.guide():
        demo.clicks("Break it")
        assert "First promote one: `/model promote churn 4 production`" in demo.app.answer(
            demo.app.alice, "There's no version to roll back to yet."
        )
    assert not (demo.folder / "broken.json").exists()


def test_a_rejected_request_can_be_opened_again(demo: Demo) -> None:
    with demo.guide():
        demo.clicks("Do it for me")
        demo.waits_for("requested v4.")
        demo.app.bob.clicks(demo.app.card(), "Reject")
        demo.app.bob.waits_for_modal()
        demo.app.bob.submits({"reason": "not today"})
        demo.waits_for("Type `/model promote churn 4 production`")
        assert [request.state for request in demo.requests()] == [RequestState.REJECTED]


def test_a_policy_that_requires_two_approvals_needs_two_clicks(demo: Demo) -> None:
    rules = make_policy({"models": {"*": {"production": {"approvers": ["lead"], "required": 2}}}})
    demo.app.registrar.context.active_policy.replace(rules, "edited")
    with demo.guide():
        for done in ("requested v4.", "Registrar refused"):
            demo.clicks("Do it for me")
            demo.waits_for(done)
        first = demo.waits_for("Registrar refused")
        for _ in range(2):
            demo.app.alice.clicks(first, "Do it for me")
        demo.waits_for("<@U0CAROL> approved v4.")


def test_what_registrar_refuses_is_explained(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEP_SECONDS", 0.5)
    demo.app.registrar.context.active_policy.replace(make_policy({"models": {"*": {}}}), "edited")
    with demo.guide():
        demo.clicks("Do it for me")
        expected = "It isn't done yet. Switch to <@U0ALICE> to see Registrar's answer."
        assert demo.app.answer(demo.app.alice, expected)


def test_a_restart_continues_the_same_message_and_breaks_the_version_again(demo: Demo) -> None:
    with demo.guide():
        demo.breaks()
    demo.metrics.bad_versions = {BAD}
    with demo.guide():
        assert demo.metrics.bad_versions == {BAD, 4}
        demo.waits_for("Registrar rolled back to v3 after")
    assert len(demo.checklists()) == 1


def test_a_restart_breaks_nothing_once_the_version_is_replaced(demo: Demo) -> None:
    with demo.guide():
        demo.breaks()
        demo.waits_for("Registrar rolled back to v3 after")
    with demo.guide():
        assert demo.metrics.bad_versions == {BAD}


def test_an_unreadable_file_of_an_earlier_demo_breaks_nothing(demo: Demo) -> None:
    (demo.folder / "broken.json").write_text("half")
    with demo.guide():
        demo.waits_for("six steps")


def test_a_checklist_that_someone_deleted_is_posted_at_the_next_start(demo: Demo) -> None:
    with demo.guide() as running:
        demo.app.slack.change_person("dave", is_admin=True)
        demo.app.slack.person("dave").deletes(demo.waits_for("six steps"))
        promote(demo.app, 4, "better")
        wait_until(lambda: not running._thread.is_alive())
        assert demo.checklists() == []
    with demo.guide():
        demo.waits_for("<@U0BOB> approved v4.")


def test_an_archived_channel_stops_nothing(demo: Demo, caplog: pytest.LogCaptureFixture) -> None:
    with demo.guide():
        demo.waits_for("six steps")
        demo.app.slack.archive(CHANNEL)
        demo.app.bob.types("#general", "/model history churn")
        wait_until(lambda: "can't update the checklist (is_inactive)" in caplog.text)
        demo.app.slack.archive(CHANNEL, archived=False)
        promote(demo.app, 4, "better")
        demo.waits_for("<@U0BOB> approved v4.")


def test_without_the_channel_there_is_no_checklist(demo: Demo, caplog: pytest.LogCaptureFixture) -> None:
    demo.app.slack.rename(CHANNEL, "models")
    with demo.guide() as running:
        wait_until(lambda: not running._thread.is_alive())
    assert "no checklist" in caplog.text


def test_a_click_on_an_old_checklist_without_the_demo_logs_no_error(
    app: RunningApp, caplog: pytest.LogCaptureFixture
) -> None:
    message = checklist_message(build_checklist(DemoFacts(policy=make_policy(), production=3)))
    WebClient(app.slack.bot_token, base_url=app.slack.api_url).chat_postMessage(
        channel=CHANNEL, text=message.text, blocks=message.blocks
    )
    old = app.alice.waits_for(CHANNEL)
    with caplog.at_level(logging.INFO):
        app.alice.clicks(old, "Break it")
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_clicks_end_with_the_demo(demo: Demo) -> None:
    with demo.guide():
        demo.waits_for("six steps")
    assert not any(thread.name.startswith("clicks") for thread in threading.enumerate())

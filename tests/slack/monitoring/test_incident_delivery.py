"""An incident told in Slack, over the wire: one message, its thread, its picture; and what becomes of it otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from slack_sdk import WebClient

from bot.domain.incidents import Doing, Ending, Incident, IncidentKind
from bot.domain.monitor_rule import MonitorRule
from bot.domain.monitors import Measurement, Monitor, Outcome
from bot.domain.serving import Serving, ServingState
from bot.domain.text import pack, say
from bot.ledger import SqlLedger
from bot.ports import Note, NoteKind, Posting
from bot.ports import Outcome as Delivered
from bot.slack.blocks import Message
from bot.slack.notifier import SHOWN_TRIES, SlackNotifier
from localslack import LocalSlack
from tests.support.app.app_fixture import message_text
from tests.support.slack.notifier_harness import NOW, POLICY, NotifierHarness
from tests.support.slack.worst_case_values import BOB

INCIDENT = Incident(
    id="i4k7q",
    kind=IncidentKind.FAILED,
    model="churn",
    source="",
    version=7,
    move="m1",
    monitors=("accuracy",),
    opened_at=NOW,
    since=NOW,
    lines=(say("accuracy: 0.61."),),
    doing=Doing.NOTIFIED,
    target=6,
)
MONITOR = Monitor(
    id="m4k7q", model="churn", created_at=NOW, rule=MonitorRule(name="accuracy", source="push", greater_than=0.85)
)
CARD = Note(key="incident:i4k7q:opened", lane="i4k7q", kind=NoteKind.INCIDENT, to="#ml-models")
AGAIN = Note(key="incident:i4k7q:resolved", lane="i4k7q", kind=NoteKind.INCIDENT, to="#ml-models")
CHART = Note(key="chart:i4k7q:opened", lane="i4k7q", kind=NoteKind.CHART, to="", data={"incident": "i4k7q"})
SHOWN = Note(
    key="chart:i4k7q:opened:shown",
    lane="chart:i4k7q:opened:shown",
    kind=NoteKind.CHART,
    to="",
    data={"incident": "i4k7q", "in_message": True},
    attempts=1,
)
UPLOAD = "files.completeUploadExternal"


@pytest.fixture
def desk(slack: LocalSlack, sqlite_url: str) -> Iterator[NotifierHarness]:
    """Return a desk with an open incident of a monitor that was checked twice, and nothing in Slack yet."""
    ledger = SqlLedger(sqlite_url)
    with ledger.write() as tx:
        tx.add_monitor(MONITOR)
        tx.add_incident(INCIDENT)
        for slot, value in ((1, 0.9), (2, 0.61)):
            at = NOW + slot * timedelta(minutes=5)
            tx.claim_slots({(MONITOR.id, slot): at}, "test", at)
            tx.finish_slots(
                [
                    Measurement(
                        monitor=MONITOR.id,
                        slot=slot,
                        at=at,
                        revision=1,
                        version=7,
                        move="m1",
                        outcome=Outcome.OK,
                        value=value,
                    )
                ],
                "test",
            )
    client = WebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[], timeout=5)
    yield NotifierHarness(slack, ledger, SlackNotifier(client, ledger, lambda: POLICY, lambda: NOW))
    ledger.close()


def save(desk: NotifierHarness, **changes: Any) -> None:
    with desk.ledger.write() as tx:
        tx.save_incident(replace(INCIDENT, **changes))


def files(desk: NotifierHarness) -> list[str]:
    return [file["name"] for message in desk.thread() for file in message.get("files") or []]


def test_an_incident_is_one_message_drawn_from_its_present_state(desk: NotifierHarness) -> None:
    desk.deliver(CARD)
    assert "🔴 churn v7: accuracy failed" in message_text(desk.posted()[0])
    save(desk, resolved_at=NOW, resolution=say("Recovered."), ending=Ending.RECOVERED)
    desk.deliver(AGAIN)
    [card] = desk.posted()
    assert "✅ churn v7: recovered" in message_text(card)
    assert "Recovered." in message_text(card)


def test_what_the_serving_side_said_after_the_rollback_is_told(desk: NotifierHarness) -> None:
    serving = Serving(move="rb1", model="churn", version=6, lane="i4k7q", asked_at=NOW, state=ServingState.DENIED)
    with desk.ledger.write() as tx:
        tx.save_serving(serving)
        tx.save_incident(replace(INCIDENT, doing=Doing.ROLLED_BACK, rollback="rb1"))
    desk.deliver(CARD)
    assert "The serving side does not report `v6`" in message_text(desk.posted()[0])


def test_what_slack_took_although_its_answer_was_lost_is_not_posted_twice(desk: NotifierHarness) -> None:
    desk.slack.reset_after("chat.postMessage")
    assert desk.deliver(CARD).outcome is Delivered.UNKNOWN
    assert desk.deliver(CARD, was_tried=True).outcome is Delivered.DELIVERED
    assert len(desk.posted()) == 1


def test_the_picture_is_in_the_thread(desk: NotifierHarness) -> None:
    desk.deliver(CARD)
    assert desk.deliver(CHART).outcome is Delivered.DELIVERED
    [name] = files(desk)
    assert name.startswith("churn-accuracy-")


def picture_in(card: dict[str, Any]) -> dict[str, Any] | None:
    return next((block for block in card["blocks"] if block["type"] == "image"), None)


def ready(desk: NotifierHarness) -> None:
    """Let Slack check the upload."""
    desk.slack.advance(2)


def test_once_slack_has_checked_the_picture_the_message_shows_it_as_well(desk: NotifierHarness) -> None:
    desk.deliver(CARD)
    assert picture_in(desk.posted()[0]) is None
    desk.deliver(CHART)
    ready(desk)
    assert desk.deliver(SHOWN).outcome is Delivered.DELIVERED
    [card] = desk.posted()
    picture = picture_in(card)
    assert picture is not None
    assert picture["slack_file"]["id"] == desk.thread()[0]["files"][0]["id"]
    assert picture["alt_text"] == "Chart of the readings of churn accuracy when the alert began."
    assert [block["type"] for block in card["blocks"]][-3:] == ["image", "actions", "context"]


@pytest.mark.parametrize("error", ["invalid_blocks", "invalid_arguments", "internal_error"])
def test_where_slack_does_not_show_it_yet_the_message_goes_without(desk: NotifierHarness, error: str) -> None:
    desk.deliver(CARD)
    desk.deliver(CHART)
    ready(desk)
    desk.slack.fail("chat.update", error)
    assert desk.deliver(AGAIN).outcome is Delivered.DELIVERED
    assert picture_in(desk.posted()[0]) is None
    assert desk.deliver(AGAIN).outcome is Delivered.DELIVERED
    assert picture_in(desk.posted()[0]) is not None


def test_before_the_picture_is_uploaded_the_message_waits_for_it(desk: NotifierHarness) -> None:
    desk.deliver(CARD)
    with desk.ledger.write() as tx:
        tx.add_note(CHART)
    assert desk.deliver(SHOWN).outcome is Delivered.LATER


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 1), (2, 2), (3, 4), (4, 8)])
def test_a_picture_that_slack_has_not_checked_is_tried_again_at_growing_intervals(
    desk: NotifierHarness, attempts: int, seconds: int
) -> None:
    desk.deliver(CARD)
    desk.deliver(CHART)
    desk.slack.fail("chat.update", "invalid_blocks")
    tried = desk.deliver(replace(SHOWN, attempts=attempts))
    assert (tried.outcome, tried.wait) == (Delivered.LATER, timedelta(seconds=seconds))


def test_a_picture_that_slack_does_not_take_stays_in_the_thread(desk: NotifierHarness) -> None:
    desk.deliver(CARD)
    desk.deliver(CHART)
    desk.slack.fail("chat.update", "invalid_blocks")
    assert desk.deliver(replace(SHOWN, attempts=SHOWN_TRIES)).outcome is Delivered.DELIVERED
    assert (picture_in(desk.posted()[0]), len(files(desk))) == (None, 1)


def test_without_a_picture_the_message_stays_as_it_is(desk: NotifierHarness) -> None:
    desk.deliver(CARD)
    assert desk.deliver(SHOWN).outcome is Delivered.DELIVERED
    assert desk.slack.calls("chat.update") == []


def test_a_message_that_changed_while_its_picture_came_is_drawn_again(desk: NotifierHarness) -> None:
    desk.deliver(CARD)
    desk.deliver(CHART)
    ready(desk)
    edit = desk.notifier._edit

    def overtaken(standing: Posting, message: Message) -> bool:
        save(desk, acknowledged_by=BOB, acknowledged_at=NOW)
        return edit(standing, message)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk.notifier, "_edit", overtaken)
        assert desk.deliver(SHOWN).outcome is Delivered.LATER
    assert desk.deliver(SHOWN).outcome is Delivered.DELIVERED
    assert "<@U0BOB> looks after it" in message_text(desk.posted()[0])


def test_a_picture_that_was_tried_before_is_looked_for(desk: NotifierHarness) -> None:
    desk.deliver(CARD)
    desk.deliver(CHART)
    assert desk.deliver(CHART, was_tried=True).outcome is Delivered.DELIVERED
    assert len(files(desk)) == 1
    ready(desk)
    desk.deliver(AGAIN)
    assert picture_in(desk.posted()[0]) is not None


@pytest.mark.parametrize("method", ["files.getUploadURLExternal", UPLOAD])
@pytest.mark.parametrize("error", ["missing_scope", "unknown_method", "internal_error"])
def test_if_slack_takes_no_picture_the_thread_goes_on_without_it(
    desk: NotifierHarness, method: str, error: str
) -> None:
    desk.deliver(CARD)
    desk.slack.fail(method, error)
    assert desk.deliver(CHART).outcome is Delivered.DELIVERED
    assert desk.thread() == []


def test_a_channel_without_the_bot_is_asked_once_to_invite_it(desk: NotifierHarness) -> None:
    desk.deliver(CARD)
    desk.slack.fail(UPLOAD, "not_in_channel", times=2)
    desk.deliver(CHART)
    desk.deliver(replace(CHART, key="chart:i4k7r:opened"))
    [line] = desk.thread()
    assert "`/invite @registrar`" in message_text(line)


def test_a_connection_that_is_lost_holds_nothing_up(desk: NotifierHarness) -> None:
    desk.deliver(CARD)
    desk.slack.reset_before("files.getUploadURLExternal")
    assert desk.deliver(CHART).outcome is Delivered.DELIVERED
    assert desk.thread() == []


def test_where_slack_wants_us_to_wait_the_picture_comes_later(desk: NotifierHarness) -> None:
    desk.deliver(CARD)
    desk.slack.rate_limit("files.getUploadURLExternal", 1)
    assert desk.deliver(CHART).outcome is Delivered.LATER
    assert len(desk.thread()) == 0


def test_without_readings_or_a_monitor_there_is_no_picture(desk: NotifierHarness) -> None:
    desk.deliver(CARD)
    with desk.ledger.write() as tx:
        tx.save_incident(replace(INCIDENT, monitors=("other",)))
    assert desk.deliver(CHART).outcome is Delivered.DELIVERED
    with desk.ledger.write() as tx:
        other = replace(MONITOR, id="m2", rule=MonitorRule(name="other", source="push", greater_than=0.85))
        tx.add_monitor(other)
    assert desk.deliver(CHART).outcome is Delivered.DELIVERED
    assert desk.thread() == []


def test_a_picture_of_a_message_that_was_given_up_holds_nothing_up(desk: NotifierHarness) -> None:
    assert desk.deliver(CHART).outcome is Delivered.NEVER
    assert desk.posted() == []


def test_what_ended_it_is_linked_once_it_is_posted(desk: NotifierHarness) -> None:
    cause = Note(
        key="said:monitor:m4k7q:paused:1",
        lane="said:monitor:m4k7q:paused:1",
        kind=NoteKind.SAID,
        to="#ml-models",
        data={"say": pack(say("Bob paused it."))},
    )
    desk.deliver(CARD)
    with desk.ledger.write() as tx:
        tx.add_note(cause)
    save(desk, resolved_at=NOW, resolution=say("Paused."), ending=Ending.PAUSED, ended_in=cause.lane)
    assert desk.deliver(AGAIN).outcome is Delivered.LATER  # it comes right after
    desk.slack.advance(1)  # a channel takes one message a second
    desk.deliver(cause)
    desk.deliver(AGAIN)
    card, told = desk.posted()
    assert str(told["ts"]).replace(".", "") in message_text(card)
    assert "|See the message>" in message_text(card)


def test_a_cause_that_never_reached_slack_is_not_linked(desk: NotifierHarness) -> None:
    desk.deliver(CARD)
    save(desk, resolved_at=NOW, resolution=say("Paused."), ending=Ending.PAUSED, ended_in="said:gone")
    desk.deliver(AGAIN)
    [card] = desk.posted()
    assert "Paused." in message_text(card)
    assert "See the message" not in message_text(card)

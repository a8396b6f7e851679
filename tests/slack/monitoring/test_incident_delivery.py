"""An incident in Slack, over the wire: one message, its thread, its chart, and what happens if delivery fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from slack_sdk import WebClient

from bot.domain.core.sentence import pack_sentence, say
from bot.domain.monitoring.incident import Incident, IncidentEnding, IncidentKind, IncidentStatus
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import CheckOutcome, Measurement
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.policy.parser import validate_policy
from bot.domain.transitions.serving_check import ServingCheck, ServingCheckState
from bot.ledger import SqlLedger
from bot.ports import DeliveryOutcome as Delivered
from bot.ports import MessageKind, MessageRef, OutboxMessage
from bot.slack.core.blocks import Message
from bot.slack.delivery.alerts import MAX_CHART_TRIES
from bot.slack.delivery.notifier import SlackNotifier
from bot.slack.delivery.poster import MessagePoster
from localslack import LocalSlack
from tests.support.app.app_fixture import message_text
from tests.support.ledger.records import slot_claims
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
    doing=IncidentStatus.NOTIFIED,
    target=6,
)
MONITOR = Monitor(
    id="m4k7q", model="churn", created_at=NOW, rule=MonitorConfig(name="accuracy", source="push", greater_than=0.85)
)
CARD = OutboxMessage(key="incident:i4k7q:opened", lane="i4k7q", kind=MessageKind.INCIDENT, to="#ml-models")
AGAIN = OutboxMessage(key="incident:i4k7q:resolved", lane="i4k7q", kind=MessageKind.INCIDENT, to="#ml-models")
CHART = OutboxMessage(key="chart:i4k7q:opened", lane="i4k7q", kind=MessageKind.CHART, to="", data={"incident": "i4k7q"})
SHOWN = OutboxMessage(
    key="chart:i4k7q:opened:shown",
    lane="chart:i4k7q:opened:shown",
    kind=MessageKind.CHART,
    to="",
    data={"incident": "i4k7q", "in_message": True},
    attempts=1,
)
REVIEW = OutboxMessage(
    key="review:i4k7q:resolved", lane="i4k7q", kind=MessageKind.REVIEW, to="", data={"incident": "i4k7q"}
)
UPLOAD = "files.completeUploadExternal"


@pytest.fixture
def harness(slack: LocalSlack, sqlite_url: str) -> Iterator[NotifierHarness]:
    """Return a harness with an open incident of a monitor with two checks, and nothing in Slack yet."""
    ledger = SqlLedger(sqlite_url)
    with ledger.write() as tx:
        tx.add_monitor(MONITOR)
        tx.add_incident(INCIDENT)
        for slot, value in ((1, 0.9), (2, 0.61)):
            at = NOW + slot * timedelta(minutes=5)
            tx.claim_slots(slot_claims({(MONITOR.id, slot): at}, "test", at))
            tx.finish_slots(
                [
                    Measurement(
                        monitor=MONITOR.id,
                        slot=slot,
                        at=at,
                        revision=1,
                        version=7,
                        move="m1",
                        outcome=CheckOutcome.OK,
                        value=value,
                    )
                ],
                "test",
            )
    client = WebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[], timeout=5)
    yield NotifierHarness(slack, ledger, SlackNotifier(client, ledger, lambda: POLICY, lambda: NOW))
    ledger.close()


def save(harness: NotifierHarness, **changes: Any) -> None:
    with harness.ledger.write() as tx:
        tx.save_incident(replace(INCIDENT, **changes))


def files(harness: NotifierHarness) -> list[str]:
    return [file["name"] for message in harness.thread() for file in message.get("files") or []]


def test_an_incident_is_one_message_with_its_current_state(harness: NotifierHarness) -> None:
    harness.deliver(CARD)
    assert "🔴 churn v7: accuracy failed" in message_text(harness.posted()[0])
    save(harness, resolved_at=NOW, resolution=say("Recovered."), ending=IncidentEnding.RECOVERED)
    harness.deliver(AGAIN)
    [card] = harness.posted()
    assert "✅ churn v7: recovered" in message_text(card)
    assert "Recovered." in message_text(card)


def test_the_endpoint_s_report_after_the_rollback_is_shown(harness: NotifierHarness) -> None:
    serving = ServingCheck(
        move="rb1", model="churn", version=6, lane="i4k7q", asked_at=NOW, state=ServingCheckState.TIMED_OUT
    )
    with harness.ledger.write() as tx:
        tx.save_serving_check(serving)
        tx.save_incident(replace(INCIDENT, doing=IncidentStatus.ROLLED_BACK, rollback="rb1"))
    harness.deliver(CARD)
    assert "The endpoint doesn't report `v6`" in message_text(harness.posted()[0])


def test_the_policy_says_who_on_call_is_mentioned(harness: NotifierHarness) -> None:
    policy = validate_policy({"models": {"churn": {"on_call": ["U0BOB"]}, "*": {}}, "on_call": ["S0ONCALL"]})
    client = WebClient(harness.slack.bot_token, base_url=harness.slack.api_url, retry_handlers=[], timeout=5)
    SlackNotifier(client, harness.ledger, lambda: policy, lambda: NOW).deliver(CARD)
    assert "Unacknowledged. On call: <@U0BOB>" in message_text(harness.posted()[0])


def test_a_message_whose_response_was_lost_is_not_posted_twice(harness: NotifierHarness) -> None:
    harness.slack.reset_after("chat.postMessage")
    assert harness.deliver(CARD).outcome is Delivered.UNKNOWN
    assert harness.deliver(CARD, was_tried=True).outcome is Delivered.DELIVERED
    assert len(harness.posted()) == 1


def test_the_chart_is_in_the_thread(harness: NotifierHarness) -> None:
    harness.deliver(CARD)
    assert harness.deliver(CHART).outcome is Delivered.DELIVERED
    [name] = files(harness)
    assert name.startswith("churn-accuracy-")


def picture_in(card: dict[str, Any]) -> dict[str, Any] | None:
    return next((block for block in card["blocks"] if block["type"] == "image"), None)


def ready(harness: NotifierHarness) -> None:
    """Make Slack finish its check of the upload."""
    harness.slack.advance(2)


def test_the_message_shows_the_chart_once_slack_has_checked_it(harness: NotifierHarness) -> None:
    harness.deliver(CARD)
    assert picture_in(harness.posted()[0]) is None
    harness.deliver(CHART)
    ready(harness)
    assert harness.deliver(SHOWN).outcome is Delivered.DELIVERED
    [card] = harness.posted()
    picture = picture_in(card)
    assert picture is not None
    assert picture["slack_file"]["id"] == harness.thread()[0]["files"][0]["id"]
    assert picture["alt_text"] == "Chart of the readings for churn accuracy when the alert began."
    assert [block["type"] for block in card["blocks"]][-3:] == ["actions", "image", "context"]


@pytest.mark.parametrize("error", ["invalid_blocks", "invalid_arguments", "internal_error"])
def test_the_message_has_no_chart_until_slack_displays_it(harness: NotifierHarness, error: str) -> None:
    harness.deliver(CARD)
    harness.deliver(CHART)
    ready(harness)
    harness.slack.fail("chat.update", error)
    assert harness.deliver(AGAIN).outcome is Delivered.DELIVERED
    assert picture_in(harness.posted()[0]) is None
    assert harness.deliver(AGAIN).outcome is Delivered.DELIVERED
    assert picture_in(harness.posted()[0]) is not None


def test_the_message_waits_for_the_chart_s_upload(harness: NotifierHarness) -> None:
    harness.deliver(CARD)
    with harness.ledger.write() as tx:
        tx.add_message(CHART)
    assert harness.deliver(SHOWN).outcome is Delivered.RETRY


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 1), (2, 2), (3, 4), (4, 8)])
def test_an_unchecked_chart_is_retried_at_growing_intervals(
    harness: NotifierHarness, attempts: int, seconds: int
) -> None:
    harness.deliver(CARD)
    harness.deliver(CHART)
    harness.slack.fail("chat.update", "invalid_blocks")
    tried = harness.deliver(replace(SHOWN, attempts=attempts))
    assert (tried.outcome, tried.retry_after) == (Delivered.RETRY, timedelta(seconds=seconds))


def test_a_chart_that_slack_rejects_stays_in_the_thread(harness: NotifierHarness) -> None:
    harness.deliver(CARD)
    harness.deliver(CHART)
    harness.slack.fail("chat.update", "invalid_blocks")
    assert harness.deliver(replace(SHOWN, attempts=MAX_CHART_TRIES)).outcome is Delivered.DELIVERED
    assert (picture_in(harness.posted()[0]), len(files(harness))) == (None, 1)


def test_a_message_without_a_chart_is_unchanged(harness: NotifierHarness) -> None:
    harness.deliver(CARD)
    assert harness.deliver(SHOWN).outcome is Delivered.DELIVERED
    assert harness.slack.calls("chat.update") == []


def test_a_message_that_changed_during_the_upload_is_updated_again(harness: NotifierHarness) -> None:
    harness.deliver(CARD)
    harness.deliver(CHART)
    ready(harness)
    edit = MessagePoster.edit

    def acknowledge_and_edit(poster: MessagePoster, existing: MessageRef, message: Message) -> bool:
        save(harness, acknowledged_by=BOB, acknowledged_at=NOW)
        return edit(poster, existing, message)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MessagePoster, "edit", acknowledge_and_edit)
        assert harness.deliver(SHOWN).outcome is Delivered.RETRY
    assert harness.deliver(SHOWN).outcome is Delivered.DELIVERED
    assert "Acknowledged by <@U0BOB>" in message_text(harness.posted()[0])


def test_a_chart_from_an_earlier_attempt_is_found(harness: NotifierHarness) -> None:
    harness.deliver(CARD)
    harness.deliver(CHART)
    assert harness.deliver(CHART, was_tried=True).outcome is Delivered.DELIVERED
    assert len(files(harness)) == 1
    ready(harness)
    harness.deliver(AGAIN)
    assert picture_in(harness.posted()[0]) is not None


@pytest.mark.parametrize("method", ["files.getUploadURLExternal", UPLOAD])
@pytest.mark.parametrize("error", ["missing_scope", "unknown_method", "internal_error"])
def test_if_slack_rejects_the_chart_the_thread_continues_without_it(
    harness: NotifierHarness, method: str, error: str
) -> None:
    harness.deliver(CARD)
    harness.slack.fail(method, error)
    assert harness.deliver(CHART).outcome is Delivered.DELIVERED
    assert harness.thread() == []


def test_a_channel_without_the_bot_is_asked_once_to_invite_it(harness: NotifierHarness) -> None:
    harness.deliver(CARD)
    harness.slack.fail(UPLOAD, "not_in_channel", times=2)
    harness.deliver(CHART)
    harness.deliver(replace(CHART, key="chart:i4k7r:opened"))
    [line] = harness.thread()
    assert "`/invite @registrar`" in message_text(line)


def test_a_lost_connection_blocks_nothing(harness: NotifierHarness) -> None:
    harness.deliver(CARD)
    harness.slack.reset_before("files.getUploadURLExternal")
    assert harness.deliver(CHART).outcome is Delivered.DELIVERED
    assert harness.thread() == []


def test_a_rate_limited_chart_is_posted_later(harness: NotifierHarness) -> None:
    harness.deliver(CARD)
    harness.slack.rate_limit("files.getUploadURLExternal", 1)
    assert harness.deliver(CHART).outcome is Delivered.RETRY
    assert len(harness.thread()) == 0


def test_without_readings_or_a_monitor_there_is_no_chart(harness: NotifierHarness) -> None:
    harness.deliver(CARD)
    with harness.ledger.write() as tx:
        tx.save_incident(replace(INCIDENT, monitors=("other",)))
    assert harness.deliver(CHART).outcome is Delivered.DELIVERED
    with harness.ledger.write() as tx:
        other = replace(MONITOR, id="m2", rule=MonitorConfig(name="other", source="push", greater_than=0.85))
        tx.add_monitor(other)
    assert harness.deliver(CHART).outcome is Delivered.DELIVERED
    assert harness.thread() == []


def test_a_chart_of_an_abandoned_message_blocks_nothing(harness: NotifierHarness) -> None:
    assert harness.deliver(CHART).outcome is Delivered.REFUSED
    assert harness.posted() == []


def test_the_cause_of_the_end_is_linked_once_it_is_posted(harness: NotifierHarness) -> None:
    cause = OutboxMessage(
        key="said:monitor:m4k7q:paused:1",
        lane="said:monitor:m4k7q:paused:1",
        kind=MessageKind.CHANNEL_MESSAGE,
        to="#ml-models",
        data={"say": pack_sentence(say("Bob paused it."))},
    )
    harness.deliver(CARD)
    with harness.ledger.write() as tx:
        tx.add_message(cause)
    save(harness, resolved_at=NOW, resolution=say("Paused."), ending=IncidentEnding.PAUSED, ended_in=cause.lane)
    assert harness.deliver(AGAIN).outcome is Delivered.RETRY  # it's posted right after
    harness.slack.advance(1)  # a channel accepts one message per second
    harness.deliver(cause)
    harness.deliver(AGAIN)
    card, told = harness.posted()
    assert str(told["ts"]).replace(".", "") in message_text(card)
    assert "|See the message>" in message_text(card)


def test_a_cause_that_was_never_posted_is_not_linked(harness: NotifierHarness) -> None:
    harness.deliver(CARD)
    save(harness, resolved_at=NOW, resolution=say("Paused."), ending=IncidentEnding.PAUSED, ended_in="said:gone")
    harness.deliver(AGAIN)
    [card] = harness.posted()
    assert "Paused." in message_text(card)
    assert "See the message" not in message_text(card)


# -- the review --------------------------------------------------------------------------------------------------------


def ended(harness: NotifierHarness) -> None:
    """Post the incident, and resolve it."""
    harness.deliver(CARD)
    save(harness, resolved_at=NOW, resolution=say("Recovered."), ending=IncidentEnding.RECOVERED)


def test_the_review_is_one_reply_with_its_chart_and_its_markdown(harness: NotifierHarness) -> None:
    ended(harness)
    assert harness.deliver(REVIEW).outcome is Delivered.DELIVERED
    [reply] = harness.thread()
    assert "*Incident review: `churn` `v7`*" in reply["text"]
    assert "*Recovered.*" in reply["text"]
    chart, markdown = (file["name"] for file in reply["files"])
    assert (chart.startswith("churn-accuracy-"), markdown) == (True, "incident-i4k7q.md")


def test_without_access_to_files_the_review_is_posted_without_them(harness: NotifierHarness) -> None:
    ended(harness)
    harness.slack.fail("files.getUploadURLExternal", "missing_scope")
    assert harness.deliver(REVIEW).outcome is Delivered.DELIVERED
    [reply] = harness.thread()
    assert "*Incident review: `churn` `v7`*" in message_text(reply)
    assert "file" not in message_text(reply)


def test_a_review_whose_response_was_lost_is_not_posted_twice(harness: NotifierHarness) -> None:
    ended(harness)
    harness.slack.reset_after(UPLOAD)
    assert harness.deliver(REVIEW).outcome is Delivered.UNKNOWN
    assert harness.deliver(REVIEW, was_tried=True).outcome is Delivered.DELIVERED
    assert len(harness.thread()) == 1

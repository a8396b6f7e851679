"""Slack's errors, and what happens to the message."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from slack_sdk import WebClient

from bot.ledger import SqlLedger
from bot.ports import DeliveryOutcome, MessageKind, OutboxMessage
from bot.slack.delivery.notifier import SlackNotifier
from tests.support.app.app_fixture import message_text
from tests.support.slack.notifier_harness import AGAIN, CARD, DIRECT, NEWS, POLICY, NotifierHarness


def test_a_rate_limited_message_waits_as_long_as_slack_says(harness: NotifierHarness) -> None:
    harness.slack.rate_limit("chat.postMessage", retry_after=7)
    delivery = harness.deliver(CARD)
    assert (delivery.outcome, delivery.retry_after) == (DeliveryOutcome.RETRY, timedelta(seconds=7))


def test_a_rate_limited_edit_waits(harness: NotifierHarness) -> None:
    harness.deliver(CARD)
    harness.slack.rate_limit("chat.update", retry_after=3)
    delivery = harness.deliver(AGAIN)
    assert (delivery.outcome, delivery.retry_after) == (DeliveryOutcome.RETRY, timedelta(seconds=3))


def test_a_rate_limited_search_posts_nothing(harness: NotifierHarness) -> None:
    harness.slack.rate_limit("conversations.history", retry_after=3)
    assert harness.deliver(CARD, was_tried=True).outcome is DeliveryOutcome.RETRY
    assert harness.posted() == []


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ("user_not_found", DeliveryOutcome.REFUSED),
        ("is_archived", DeliveryOutcome.RETRY),
        ("not_in_channel", DeliveryOutcome.RETRY),
        ("channel_not_found", DeliveryOutcome.RETRY),
        ("invalid_auth", DeliveryOutcome.RETRY),
        ("token_revoked", DeliveryOutcome.RETRY),
        ("ratelimited", DeliveryOutcome.RETRY),
        ("internal_error", DeliveryOutcome.UNKNOWN),
        ("something_new", DeliveryOutcome.RETRY),
    ],
)
def test_slack_errors_are_classified_by_outcome(harness: NotifierHarness, error: str, outcome: DeliveryOutcome) -> None:
    harness.slack.fail("chat.postMessage", error)
    assert harness.deliver(CARD).outcome is outcome


PERMANENT = [
    "msg_blocks_too_long",
    "restricted_action",
    "restricted_action_read_only_channel",
    "cannot_reply_to_message",
    "message_limit_exceeded",
    "invalid_metadata_format",
    "invalid_metadata_schema",
    "metadata_must_be_sent_from_app",
]


@pytest.mark.parametrize("error", PERMANENT)
def test_a_permanent_refusal_is_not_retried(harness: NotifierHarness, error: str) -> None:
    harness.slack.fail("chat.postMessage", error)
    delivery = harness.deliver(DIRECT)
    assert (delivery.outcome, delivery.why) == (DeliveryOutcome.REFUSED, error)


@pytest.mark.parametrize("error", ["msg_blocks_too_long", "invalid_blocks", "msg_too_long"])
def test_a_card_that_is_too_long_for_slack_is_posted_shorter_with_its_buttons(
    harness: NotifierHarness, error: str
) -> None:
    harness.slack.fail("chat.postMessage", error)
    assert harness.deliver(CARD).outcome is DeliveryOutcome.RETRY
    assert harness.deliver(CARD).outcome is DeliveryOutcome.DELIVERED
    [card] = harness.posted()
    assert [block["type"] for block in card["blocks"]] == ["section", "context", "actions"]
    assert "Details: `/model show churn 7`" in message_text(card)


def test_an_edit_that_is_too_long_is_shortened_and_the_next_one_is_full_length(
    harness: NotifierHarness,
) -> None:
    harness.deliver(CARD)
    whole = len(harness.posted()[0]["blocks"])
    harness.slack.fail("chat.update", "msg_blocks_too_long")
    shown = []
    for note in (AGAIN, AGAIN, replace(AGAIN, key="card:r4k7q:again")):
        harness.deliver(note)
        shown.append(len(harness.posted()[0]["blocks"]))
    assert shown == [whole, 3, whole]


def test_a_card_whose_shorter_form_is_refused_is_dropped_with_the_code(harness: NotifierHarness) -> None:
    harness.slack.fail("chat.postMessage", "msg_blocks_too_long", times=2)
    assert [harness.deliver(CARD).outcome for _ in range(2)] == [DeliveryOutcome.RETRY, DeliveryOutcome.REFUSED]
    assert harness.deliver(CARD).outcome is DeliveryOutcome.DELIVERED


def test_a_server_error_has_an_unknown_outcome(harness: NotifierHarness) -> None:
    harness.slack.server_error("chat.postMessage")
    assert harness.deliver(CARD).outcome is DeliveryOutcome.UNKNOWN


def test_a_lost_connection_has_an_unknown_outcome(sqlite_url: str) -> None:
    ledger = SqlLedger(sqlite_url)
    client = WebClient("xoxb-1", base_url="http://127.0.0.1:9/api/", retry_handlers=[], timeout=1)
    assert SlackNotifier(client, ledger, lambda: POLICY).deliver(DIRECT).outcome is DeliveryOutcome.UNKNOWN
    ledger.close()


def test_a_missing_channel_is_looked_up_again_later(harness: NotifierHarness) -> None:
    note = OutboxMessage(key="card:r4k7q:opened", lane="r4k7q", kind=MessageKind.CARD, to="#nowhere")
    assert harness.deliver(note).outcome is DeliveryOutcome.RETRY


def test_every_message_is_valid_for_slack(harness: NotifierHarness) -> None:
    for note in (CARD, NEWS, DIRECT, AGAIN):
        harness.deliver(note)
    assert harness.slack.problems() == []

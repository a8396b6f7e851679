"""A message whose response was lost is searched for, and never posted twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.domain.promotions.request import RequestState
from bot.ports import DeliveryOutcome, MessageKind, MessageRef, OutboxMessage
from bot.slack.delivery.notifier import SlackNotifier
from bot.slack.delivery.poster import MAX_CLOCK_SKEW, METADATA_TYPE
from tests.support.app.app_fixture import message_text
from tests.support.slack.notifier_harness import AGAIN, CARD, DIRECT, NEWS, POLICY, SENTENCE, NotifierHarness
from tests.support.slack.stub_slack import stub_slack

# -- lost responses ----------------------------------------------------------------------------------------------------


def kinds() -> Mapping[str, OutboxMessage]:
    return {"card": CARD, "news": NEWS, "direct": DIRECT}


@pytest.mark.parametrize("kind", kinds())
def test_a_message_whose_response_was_lost_is_not_posted_twice(harness: NotifierHarness, kind: str) -> None:
    if kind == "news":
        harness.deliver(CARD)
    before = len(seen(harness, kind))
    harness.slack.reset_after("chat.postMessage")
    assert harness.deliver(kinds()[kind]).outcome is DeliveryOutcome.UNKNOWN
    assert harness.deliver(kinds()[kind], was_tried=True).outcome is DeliveryOutcome.DELIVERED
    assert len(seen(harness, kind)) == before + 1


MANY = 500  # more than two pages


@pytest.mark.parametrize(("others", "pages"), [("long before", 1), ("just before", 3), ("after", 1)])
def test_our_message_is_found_in_a_thread_of_hundreds_of_replies(
    harness: NotifierHarness, others: str, pages: int
) -> None:
    harness.deliver(CARD)
    written = slacks_time(harness)
    if others != "after":
        answer_many(harness)
    news = replace(NEWS, created_at=slacks_time(harness) + MAX_CLOCK_SKEW if others == "long before" else written)
    harness.slack.reset_after("chat.postMessage")
    assert harness.deliver(news).outcome is DeliveryOutcome.UNKNOWN
    if others == "after":
        answer_many(harness)
    assert harness.deliver(news, was_tried=True).outcome is DeliveryOutcome.DELIVERED
    assert len([one for one in harness.thread() if one.get("bot_id")]) == 1
    assert len(harness.slack.calls("conversations.replies")) == pages


def test_in_a_channel_only_later_messages_are_searched(harness: NotifierHarness) -> None:
    began = datetime.now(UTC)
    harness.deliver(replace(DIRECT, created_at=began), was_tried=True)
    [call] = harness.slack.calls("conversations.history")
    assert float(call["args"]["oldest"]) == pytest.approx((began - MAX_CLOCK_SKEW).timestamp())


def slacks_time(harness: NotifierHarness) -> datetime:
    """Return the time of the thread's newest message: an earlier test may have advanced the workspace's clock."""
    return datetime.fromtimestamp(float(harness.slack.person("bob").thread(harness.posted()[0])[-1]["ts"]), UTC)


def answer_many(harness: NotifierHarness) -> None:
    """Post replies in the card's thread."""
    card = harness.posted()[0]
    for number in range(MANY):
        harness.slack.person("bob").types("#ml-models", f"answer {number}", thread=card)


@pytest.mark.parametrize("kind", kinds())
def test_a_message_that_slack_never_got_is_posted(harness: NotifierHarness, kind: str) -> None:
    if kind == "news":
        harness.deliver(CARD)
    before = len(seen(harness, kind))
    harness.slack.reset_before("chat.postMessage")
    assert harness.deliver(kinds()[kind]).outcome is DeliveryOutcome.UNKNOWN
    assert harness.deliver(kinds()[kind], was_tried=True).outcome is DeliveryOutcome.DELIVERED
    assert len(seen(harness, kind)) == before + 1


def seen(harness: NotifierHarness, kind: str) -> list[dict[str, Any]]:
    """Return where a message of this kind is posted."""
    if kind == "direct":
        return [one for one in harness.slack.person("alice").direct_messages() if one.get("bot_id")]
    return harness.posted() if kind == "card" else harness.thread()


def test_a_card_that_was_found_is_edited_afterward(harness: NotifierHarness) -> None:
    harness.slack.reset_after("chat.postMessage")
    harness.deliver(CARD)
    harness.deliver(CARD, was_tried=True)
    harness.become(RequestState.CANCELLED)
    harness.deliver(AGAIN)
    [card] = harness.posted()
    assert "canceled" in message_text(card)


def test_a_message_is_posted_again_without_access_to_the_history(harness: NotifierHarness) -> None:
    harness.slack.remove_method("conversations.history")
    harness.slack.reset_after("chat.postMessage")
    harness.deliver(CARD)
    assert harness.deliver(CARD, was_tried=True).outcome is DeliveryOutcome.DELIVERED
    assert len(harness.posted()) == 2


def test_another_app_s_message_is_not_mistaken_for_ours(harness: NotifierHarness) -> None:
    harness.deliver(DIRECT)
    other = OutboxMessage(key="direct:rother:done", lane="x", kind=MessageKind.DIRECT, to="U0ALICE", data=SENTENCE)
    harness.deliver(other, was_tried=True)
    assert len(seen(harness, "direct")) == 2


ODD = {
    "a server that repeats a cursor": {"messages": [], "response_metadata": {"next_cursor": "more"}},
    "no metadata": {"messages": [{"ts": "1.1", "metadata": None}]},
    "no payload": {"messages": [{"ts": "1.1", "metadata": {"event_type": METADATA_TYPE, "event_payload": None}}]},
}


@pytest.mark.parametrize("history", ODD.values(), ids=ODD)
def test_the_search_ends_whatever_the_server_returns(harness: NotifierHarness, history: dict[str, Any]) -> None:
    posted = {"channel": "D1", "ts": "1.2"}
    answers = {
        "conversations.open": {"channel": {"id": "D1"}},
        "conversations.history": history,
        "chat.postMessage": posted,
    }
    with stub_slack(answers) as (client, _):
        delivery = SlackNotifier(client, harness.ledger, lambda: POLICY).deliver(replace(DIRECT, was_tried=True))
    assert delivery.message_ref == MessageRef("D1", "1.2")


# -- several processes -------------------------------------------------------------------------------------------------


def test_a_duplicate_message_is_deleted_once(harness: NotifierHarness) -> None:
    first, second = harness.notifier.deliver(CARD), harness.notifier.deliver(CARD)
    assert (first.is_new, second.is_new) == (True, True)
    assert second.message_ref is not None
    for _ in range(2):  # fine if it's already gone
        harness.notifier.delete_message(second.message_ref)
    [left] = harness.posted()
    assert first.message_ref is not None
    assert left["ts"] == first.message_ref.ts


def test_an_edited_or_found_message_is_not_new(harness: NotifierHarness) -> None:
    harness.deliver(CARD)
    assert not harness.notifier.deliver(AGAIN).is_new
    harness.notifier.deliver(DIRECT)
    assert not harness.notifier.deliver(replace(DIRECT, was_tried=True)).is_new


@pytest.mark.parametrize("note", [CARD, DIRECT], ids=["card", "direct"])
def test_nothing_is_posted_shortly_before_the_lease_expires(harness: NotifierHarness, note: OutboxMessage) -> None:
    late = replace(note, claimed_until=datetime.now(UTC) + timedelta(seconds=9))
    assert harness.notifier.deliver(late).outcome is DeliveryOutcome.RETRY
    assert harness.posted() + harness.slack.person("alice").direct_messages() == []

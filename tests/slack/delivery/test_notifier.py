"""Delivery to Slack over the wire: once, in the right place, with a recorded outcome."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from slack_sdk import WebClient

from bot.domain.core.actors import Person
from bot.domain.core.sentence import MessageLink, pack_sentence, say
from bot.domain.policy.parser import validate_policy
from bot.domain.promotions.request import RequestState
from bot.domain.promotions.votes import Vote, VoteChoice
from bot.ports import DeliveryOutcome, DeliveryResult, MessageKind, OutboxMessage
from bot.slack.delivery.notifier import SlackNotifier
from tests.support.app.app_fixture import message_text
from tests.support.slack.notifier_harness import AGAIN, CARD, DIRECT, NEWS, NOW, REQUEST, SENTENCE, NotifierHarness

# -- mentions and invitations ------------------------------------------------------------------------------------------


def under(harness: NotifierHarness, **rule: Any) -> SlackNotifier:
    """Return a notifier with a two-approver rule, and a Slack that knows Bob by name."""
    policy = validate_policy({"models": {"*": {"production": {"approvers": ["U0BOB", "U0CAROL"], **rule}}}})
    client = WebClient(harness.slack.bot_token, base_url=harness.slack.api_url, retry_handlers=[], timeout=5)
    return SlackNotifier(client, harness.ledger, lambda: policy, lambda: NOW, lambda _: {"U0BOB": "Bob & <!here>"})


def test_a_card_mentions_its_pending_approvers(harness: NotifierHarness) -> None:
    under(harness).deliver(CARD)
    assert "Waiting for <@U0BOB> or <@U0CAROL>." in message_text(harness.posted()[0])


@pytest.mark.parametrize("how", ["direct", "none"])
def test_a_card_without_notifications_names_people_without_a_mention(harness: NotifierHarness, how: str) -> None:
    under(harness, tell_approvers=how).deliver(CARD)
    shown = message_text(harness.posted()[0])
    assert "Waiting for Bob &amp; &lt;!here&gt; or `U0CAROL`." in shown
    assert "<@U0BOB>" not in shown
    assert "<@U0CAROL>" not in shown


def test_a_fully_approved_card_waits_for_no_one(harness: NotifierHarness) -> None:
    with harness.ledger.write() as tx:
        for number in range(REQUEST.required):
            tx.add_vote(
                Vote(request=REQUEST.id, voter=Person("T1", f"U{number}"), choice=VoteChoice.APPROVE, reason="", at=NOW)
            )
    under(harness).deliver(CARD)
    assert "Waiting for" not in message_text(harness.posted()[0])


INVITATION = OutboxMessage(
    key="direct:r4k7q:opened:U0BOB",
    lane="r4k7q:U0BOB:direct",
    kind=MessageKind.DIRECT,
    to="U0BOB",
    data={"say": pack_sentence(say("{card}.", card=MessageLink("r4k7q", "#ml-models", "Open the card", CARD.key)))},
)


def invited(harness: NotifierHarness) -> str:
    """Return the direct messages to Bob."""
    return " ".join(message_text(one) for one in harness.slack.person("bob").direct_messages())


def test_an_invitation_links_to_a_card_that_is_not_recorded_yet(harness: NotifierHarness) -> None:
    posting = harness.notifier.deliver(CARD).message_ref
    assert posting is not None
    assert harness.deliver(INVITATION).outcome is DeliveryOutcome.DELIVERED
    assert f"/archives/{posting.channel}/p{posting.ts.replace('.', '')}|Open the card>" in invited(harness)


def test_an_invitation_waits_for_its_card(harness: NotifierHarness) -> None:
    with harness.ledger.write() as tx:
        tx.add_message(CARD)
    assert harness.deliver(INVITATION).outcome is DeliveryOutcome.RETRY
    assert invited(harness) == ""


def test_an_invitation_waits_as_long_as_its_card_does(harness: NotifierHarness) -> None:
    with harness.ledger.write() as tx:
        tx.add_message(CARD)
        tx.postpone_message(tx.due_messages(NOW)[0], NOW + timedelta(seconds=40))
    assert under(harness).deliver(INVITATION).retry_after == timedelta(seconds=40)


def test_a_card_s_link_is_fetched_once_for_all_invitations(harness: NotifierHarness) -> None:
    harness.deliver(CARD)
    for user in ("U0BOB", "U0CAROL", "U0DAVE"):
        harness.deliver(replace(INVITATION, key=f"direct:{user}", lane=user, to=user))
    assert len(harness.slack.calls("chat.getPermalink")) == 1


def test_an_invitation_to_a_dropped_card_has_no_link(harness: NotifierHarness) -> None:
    assert harness.deliver(INVITATION).outcome is DeliveryOutcome.DELIVERED
    assert "Open the card in `#ml-models`." in invited(harness)


def test_an_invitation_has_no_link_if_slack_returns_none(harness: NotifierHarness) -> None:
    harness.deliver(CARD)
    harness.slack.fail("chat.getPermalink", "message_not_found")
    assert harness.deliver(INVITATION).outcome is DeliveryOutcome.DELIVERED
    assert "Open the card in `#ml-models`." in invited(harness)


# -- posting and editing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["#ml-models", "C0MLMODELS"])
def test_a_card_is_posted_in_a_channel_by_name_or_by_id(harness: NotifierHarness, to: str) -> None:
    delivery = harness.deliver(OutboxMessage(key=CARD.key, lane=CARD.lane, kind=CARD.kind, to=to))
    assert delivery.outcome is DeliveryOutcome.DELIVERED
    assert delivery.message_ref is not None
    assert delivery.message_ref.channel == "C0MLMODELS"
    assert len(harness.posted()) == 1


def test_a_card_shows_the_current_state(harness: NotifierHarness) -> None:
    harness.become(RequestState.CANCELLED)
    harness.deliver(CARD)
    assert "canceled" in message_text(harness.posted()[0])


def test_a_posted_card_is_edited_in_place(harness: NotifierHarness) -> None:
    harness.deliver(CARD)
    harness.become(RequestState.CANCELLED)
    harness.deliver(AGAIN)
    [card] = harness.posted()
    assert "canceled" in message_text(card)


def test_a_deleted_card_is_posted_again(harness: NotifierHarness) -> None:
    first = harness.deliver(CARD)
    delete(harness, first)
    harness.deliver(AGAIN)
    assert len(harness.posted()) == 1
    with harness.ledger.read() as reading:
        standing = reading.message_ref("r4k7q")
    assert standing is not None
    assert standing.ts == harness.posted()[0]["ts"]


def test_a_deleted_card_is_posted_once_even_if_the_response_is_lost(harness: NotifierHarness) -> None:
    delete(harness, harness.deliver(CARD))
    harness.slack.reset_after("chat.postMessage")
    assert harness.deliver(AGAIN).outcome is DeliveryOutcome.UNKNOWN
    assert harness.deliver(AGAIN, was_tried=True).outcome is DeliveryOutcome.DELIVERED
    assert len(harness.posted()) == 1


def test_a_card_that_cannot_be_edited_is_posted_again_even_if_found(harness: NotifierHarness) -> None:
    harness.deliver(CARD)
    harness.slack.fail("chat.update", "edit_window_closed")
    assert harness.deliver(AGAIN, was_tried=True).is_new
    assert len(harness.posted()) == 2


def test_a_card_in_an_archived_channel_moves_to_the_policy_s_current_channel(
    harness: NotifierHarness,
) -> None:
    harness.deliver(CARD)
    harness.slack.archive("#ml-models")
    assert harness.deliver(AGAIN).why == "is_archived"
    assert harness.deliver(replace(AGAIN, to="#churn")).outcome is DeliveryOutcome.DELIVERED
    assert len(harness.posted("#churn")) == 1


def delete(harness: NotifierHarness, delivery: DeliveryResult) -> None:
    assert delivery.message_ref is not None
    client = WebClient(harness.slack.bot_token, base_url=harness.slack.api_url)
    client.chat_delete(channel=delivery.message_ref.channel, ts=delivery.message_ref.ts)


def test_updates_go_to_the_card_s_thread(harness: NotifierHarness) -> None:
    harness.deliver(CARD)
    harness.deliver(NEWS)
    assert [message_text(one) for one in harness.thread()] == [
        "`&lt;!channel&gt;` is done. `&lt;!channel&gt;` is done."
    ]


def test_updates_for_a_dropped_card_do_not_block_others(harness: NotifierHarness) -> None:
    assert harness.deliver(NEWS).outcome is DeliveryOutcome.REFUSED
    assert harness.posted() == []


def test_a_direct_message_reaches_only_that_person(harness: NotifierHarness) -> None:
    harness.deliver(DIRECT)
    assert "is done" in message_text(harness.slack.person("alice").direct_messages()[-1])
    assert harness.posted() == []


def test_links_are_not_unfurled_and_names_are_not_parsed(harness: NotifierHarness) -> None:
    harness.deliver(CARD)
    [call] = harness.slack.calls("chat.postMessage")
    sent = {name: str(call["args"][name]).lower() for name in ("parse", "unfurl_links", "unfurl_media")}
    assert sent["parse"] == "none"
    assert {sent["unfurl_links"], sent["unfurl_media"]} <= {"false", "0"}


def test_a_server_that_rejects_user_ids_as_channels_gets_the_conversation(harness: NotifierHarness) -> None:
    harness.slack.fail("chat.postMessage", "channel_not_found")
    assert harness.deliver(DIRECT).outcome is DeliveryOutcome.DELIVERED
    assert "is done" in message_text(harness.slack.person("alice").direct_messages()[-1])


# -- channels by ID ----------------------------------------------------------------------------------------------------


def channels_posted_to(harness: NotifierHarness) -> list[str]:
    return [str(call["args"]["channel"]) for call in harness.slack.calls("chat.postMessage")]


def test_messages_go_to_the_id_of_the_policy_s_channel(harness: NotifierHarness) -> None:
    for note in (CARD, NEWS):
        harness.deliver(note)
        harness.slack.advance(1)
    assert channels_posted_to(harness) == ["C0MLMODELS", "C0MLMODELS"]
    assert len(harness.slack.calls("conversations.list")) == 1


def test_messages_to_a_person_who_left_do_not_wait(harness: NotifierHarness) -> None:
    harness.deliver(DIRECT)
    harness.slack.change_person("alice", deleted=True)
    assert harness.deliver(replace(DIRECT, key="direct:r4k7q:later")).outcome is DeliveryOutcome.REFUSED


def test_a_person_and_their_conversation_count_as_one_channel(harness: NotifierHarness) -> None:
    posted = harness.deliver(DIRECT).message_ref
    assert posted is not None
    assert harness.notifier.channel_id(DIRECT.to) == posted.channel


def test_a_channel_found_only_by_slack_is_known_by_id_afterward(harness: NotifierHarness) -> None:
    harness.slack.rate_limit("conversations.list")
    for at in range(2):
        harness.deliver(
            OutboxMessage(
                key=f"said:{at}", lane=f"said:{at}", kind=MessageKind.CHANNEL_MESSAGE, to="#churn", data=SENTENCE
            )
        )
        harness.slack.advance(1)
    assert channels_posted_to(harness) == ["#churn", "C0CHURN"]


def test_a_new_channel_gets_the_messages_of_an_archived_one_with_the_same_name(harness: NotifierHarness) -> None:
    said_there = OutboxMessage(
        key="said:1", lane="said:1", kind=MessageKind.CHANNEL_MESSAGE, to="#churn", data=SENTENCE
    )
    harness.deliver(said_there)
    harness.slack.advance(1)
    harness.slack.archive("#churn")
    harness.slack.add_channel("C0CHURN2", "churn")
    again = replace(said_there, key="said:2", lane="said:2")
    assert [harness.deliver(again).outcome for _ in range(2)] == [DeliveryOutcome.RETRY, DeliveryOutcome.DELIVERED]
    assert channels_posted_to(harness) == ["C0CHURN", "C0CHURN", "C0CHURN2"]

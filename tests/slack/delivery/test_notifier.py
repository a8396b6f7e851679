"""Telling Slack, over the wire: once, in the right place, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from slack_sdk import WebClient

from bot.domain.approvals import Choice, Request, RequestState, Vote
from bot.domain.people import Person
from bot.domain.policy import read_policy
from bot.domain.registry import Stage
from bot.domain.text import Name, pack, say
from bot.ledger import SqlLedger
from bot.ports import Delivery, Note, NoteKind, Outcome, Posting
from bot.slack.notifier import EVENT_TYPE, SKEW, SlackNotifier
from localslack import LocalSlack
from tests.support.app.app_fixture import said
from tests.support.slack.notifier_harness import NOW, POLICY, Desk
from tests.support.slack.stub_slack import other_slack

REQUEST = Request(
    id="r4k7q",
    model="churn",
    version=7,
    from_stage=Stage.STAGING,
    target=Stage.PRODUCTION,
    incumbent=5,
    requester=Person("T0LOCAL", "U0ALICE"),
    reason="better f1",
    required=1,
    opened_at=NOW,
    expires_at=NOW + timedelta(days=1),
)


CARD = Note(key="card:r4k7q:opened", lane="r4k7q", kind=NoteKind.CARD, to="#ml-models")


AGAIN = Note(key="card:r4k7q:done", lane="r4k7q", kind=NoteKind.CARD, to="#ml-models")


SENTENCE = {"say": pack(say("{name} is done.", name=Name("<!channel>")))}


NEWS = Note(key="news:r4k7q:done", lane="r4k7q", kind=NoteKind.NEWS, to="", data=SENTENCE)


DIRECT = Note(key="direct:r4k7q:done", lane="r4k7q:direct", kind=NoteKind.DIRECT, to="U0ALICE", data=SENTENCE)


@pytest.fixture
def desk(slack: LocalSlack, sqlite_url: str) -> Iterator[Desk]:
    """Return a desk with an open request in the ledger, and nothing in Slack yet."""
    ledger = SqlLedger(sqlite_url)
    with ledger.write() as tx:
        tx.add_request(REQUEST)
    client = WebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[], timeout=5)
    yield Desk(slack, ledger, SlackNotifier(client, ledger, lambda: POLICY))
    ledger.close()


# -- who is told -------------------------------------------------------------------------------------------------------


def under(desk: Desk, **rule: Any) -> SlackNotifier:
    """Return a notifier under a rule with two approvers, for a Slack that knows Bob by name."""
    policy = read_policy({"models": {"*": {"production": {"approvers": ["U0BOB", "U0CAROL"], **rule}}}})
    client = WebClient(desk.slack.bot_token, base_url=desk.slack.api_url, retry_handlers=[], timeout=5)
    return SlackNotifier(client, desk.ledger, lambda: policy, lambda: NOW, lambda _: {"U0BOB": "Bob & <!here>"})


def test_a_card_mentions_whom_it_waits_for(desk: Desk) -> None:
    under(desk).deliver(CARD)
    assert "Waiting for <@U0BOB> or <@U0CAROL>." in said(desk.posted()[0])


@pytest.mark.parametrize("how", ["direct", "none"])
def test_a_card_that_notifies_nobody_names_people_without_a_mention(desk: Desk, how: str) -> None:
    under(desk, tell_approvers=how).deliver(CARD)
    shown = said(desk.posted()[0])
    assert "Waiting for Bob &amp; &lt;!here&gt; or `U0CAROL`." in shown
    assert "<@U0BOB>" not in shown
    assert "<@U0CAROL>" not in shown


def test_a_card_waits_for_nobody_where_everyone_approved(desk: Desk) -> None:
    with desk.ledger.write() as tx:
        for number in range(REQUEST.required):
            tx.add_vote(
                Vote(request=REQUEST.id, voter=Person("T1", f"U{number}"), choice=Choice.APPROVE, reason="", at=NOW)
            )
    under(desk).deliver(CARD)
    assert "Waiting for" not in said(desk.posted()[0])


INVITATION = Note(
    key="direct:r4k7q:opened:U0BOB",
    lane="r4k7q:U0BOB:direct",
    kind=NoteKind.DIRECT,
    to="U0BOB",
    data=SENTENCE | {"card": "r4k7q", "after": CARD.key},
)


def invited(desk: Desk) -> str:
    """Return what Bob was told directly."""
    return " ".join(said(one) for one in desk.slack.person("bob").direct_messages())


def test_an_invitation_links_to_the_card_even_before_that_is_written_down(desk: Desk) -> None:
    posting = desk.notifier.deliver(CARD).posting
    assert posting is not None
    assert desk.deliver(INVITATION).outcome is Outcome.DELIVERED
    assert f"/archives/{posting.channel}/p{posting.ts.replace('.', '')}|Open the card>" in invited(desk)


def test_an_invitation_waits_for_its_card(desk: Desk) -> None:
    with desk.ledger.write() as tx:
        tx.add_note(CARD)
    assert desk.deliver(INVITATION).outcome is Outcome.LATER
    assert invited(desk) == ""


def test_an_invitation_waits_as_long_as_its_card_does(desk: Desk) -> None:
    with desk.ledger.write() as tx:
        tx.add_note(CARD)
        tx.postpone(tx.due_notes(NOW)[0], NOW + timedelta(seconds=40))
    assert under(desk).deliver(INVITATION).wait == timedelta(seconds=40)


def test_the_link_to_a_card_is_asked_for_once_for_everyone_invited(desk: Desk) -> None:
    desk.deliver(CARD)
    for user in ("U0BOB", "U0CAROL", "U0DAVE"):
        desk.deliver(replace(INVITATION, key=f"direct:{user}", lane=user, to=user))
    assert len(desk.slack.calls("chat.getPermalink")) == 1


def test_an_invitation_to_a_card_that_was_given_up_goes_without_a_link(desk: Desk) -> None:
    assert desk.deliver(INVITATION).outcome is Outcome.DELIVERED
    assert "To approve it, type `/model approve r4k7q`" in invited(desk)


def test_an_invitation_goes_without_a_link_that_slack_does_not_tell(desk: Desk) -> None:
    desk.deliver(CARD)
    desk.slack.fail("chat.getPermalink", "message_not_found")
    assert desk.deliver(INVITATION).outcome is Outcome.DELIVERED
    assert "Its card is in the channel" in invited(desk)


# -- where it stands ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["#ml-models", "C0MLMODELS"])
def test_a_card_is_posted_in_a_channel_by_name_or_by_id(desk: Desk, to: str) -> None:
    delivery = desk.deliver(Note(key=CARD.key, lane=CARD.lane, kind=CARD.kind, to=to))
    assert delivery.outcome is Outcome.DELIVERED
    assert delivery.posting is not None
    assert delivery.posting.channel == "C0MLMODELS"
    assert len(desk.posted()) == 1


def test_the_card_is_drawn_from_its_present_state(desk: Desk) -> None:
    desk.become(RequestState.CANCELLED)
    desk.deliver(CARD)
    assert "cancelled" in said(desk.posted()[0])


def test_a_card_that_stands_is_edited_in_place(desk: Desk) -> None:
    desk.deliver(CARD)
    desk.become(RequestState.CANCELLED)
    desk.deliver(AGAIN)
    [card] = desk.posted()
    assert "cancelled" in said(card)


def test_a_card_that_somebody_deleted_is_posted_again(desk: Desk) -> None:
    first = desk.deliver(CARD)
    delete(desk, first)
    desk.deliver(AGAIN)
    assert len(desk.posted()) == 1
    with desk.ledger.read() as reading:
        standing = reading.posting("r4k7q")
    assert standing is not None
    assert standing.ts == desk.posted()[0]["ts"]


def test_a_card_that_somebody_deleted_is_posted_once_although_the_answer_was_lost(desk: Desk) -> None:
    delete(desk, desk.deliver(CARD))
    desk.slack.reset_after("chat.postMessage")
    assert desk.deliver(AGAIN).outcome is Outcome.UNKNOWN
    assert desk.deliver(AGAIN, was_tried=True).outcome is Outcome.DELIVERED
    assert len(desk.posted()) == 1


def test_a_card_that_nobody_can_edit_is_posted_again_although_it_is_found(desk: Desk) -> None:
    desk.deliver(CARD)
    desk.slack.fail("chat.update", "edit_window_closed")
    assert desk.deliver(AGAIN, was_tried=True).is_new
    assert len(desk.posted()) == 2


def test_a_card_in_an_archived_channel_is_posted_in_the_channel_that_the_policy_names_now(desk: Desk) -> None:
    desk.deliver(CARD)
    desk.slack.archive("#ml-models")
    assert desk.deliver(AGAIN).why == "is_archived"
    assert desk.deliver(replace(AGAIN, to="#churn")).outcome is Outcome.DELIVERED
    assert len(desk.posted("#churn")) == 1


def delete(desk: Desk, delivery: Delivery) -> None:
    assert delivery.posting is not None
    client = WebClient(desk.slack.bot_token, base_url=desk.slack.api_url)
    client.chat_delete(channel=delivery.posting.channel, ts=delivery.posting.ts)


def test_news_goes_into_the_card_s_thread(desk: Desk) -> None:
    desk.deliver(CARD)
    desk.deliver(NEWS)
    assert [said(one) for one in desk.thread()] == ["`&lt;!channel&gt;` is done. `&lt;!channel&gt;` is done."]


def test_news_of_a_card_that_was_given_up_holds_nothing_up(desk: Desk) -> None:
    assert desk.deliver(NEWS).outcome is Outcome.NEVER
    assert desk.posted() == []


def test_a_direct_message_reaches_the_person_and_nobody_else(desk: Desk) -> None:
    desk.deliver(DIRECT)
    assert "is done" in said(desk.slack.person("alice").direct_messages()[-1])
    assert desk.posted() == []


def test_nothing_is_unfurled_and_no_name_is_looked_for(desk: Desk) -> None:
    desk.deliver(CARD)
    [call] = desk.slack.calls("chat.postMessage")
    sent = {name: str(call["args"][name]).lower() for name in ("parse", "unfurl_links", "unfurl_media")}
    assert sent["parse"] == "none"
    assert {sent["unfurl_links"], sent["unfurl_media"]} <= {"false", "0"}


def test_a_server_that_takes_no_person_for_a_channel_gets_the_conversation(desk: Desk) -> None:
    desk.slack.fail("chat.postMessage", "channel_not_found")
    assert desk.deliver(DIRECT).outcome is Outcome.DELIVERED
    assert "is done" in said(desk.slack.person("alice").direct_messages()[-1])


# -- an answer that was lost -------------------------------------------------------------------------------------------


def kinds() -> Mapping[str, Note]:
    return {"card": CARD, "news": NEWS, "direct": DIRECT}


@pytest.mark.parametrize("kind", kinds())
def test_what_slack_took_although_its_answer_was_lost_is_not_posted_twice(desk: Desk, kind: str) -> None:
    if kind == "news":
        desk.deliver(CARD)
    before = len(seen(desk, kind))
    desk.slack.reset_after("chat.postMessage")
    assert desk.deliver(kinds()[kind]).outcome is Outcome.UNKNOWN
    assert desk.deliver(kinds()[kind], was_tried=True).outcome is Outcome.DELIVERED
    assert len(seen(desk, kind)) == before + 1


MANY = 500  # more than two pages


@pytest.mark.parametrize(("others", "pages"), [("long before", 1), ("just before", 3), ("after", 1)])
def test_our_message_is_found_in_a_thread_of_hundreds_of_replies(desk: Desk, others: str, pages: int) -> None:
    desk.deliver(CARD)
    written = slacks_time(desk)
    if others != "after":
        answer_many(desk)
    news = replace(NEWS, created_at=slacks_time(desk) + SKEW if others == "long before" else written)
    desk.slack.reset_after("chat.postMessage")
    assert desk.deliver(news).outcome is Outcome.UNKNOWN
    if others == "after":
        answer_many(desk)
    assert desk.deliver(news, was_tried=True).outcome is Outcome.DELIVERED
    assert len([one for one in desk.thread() if one.get("bot_id")]) == 1
    assert len(desk.slack.calls("conversations.replies")) == pages


def test_in_a_channel_only_later_messages_are_searched(desk: Desk) -> None:
    began = datetime.now(UTC)
    desk.deliver(replace(DIRECT, created_at=began), was_tried=True)
    [call] = desk.slack.calls("conversations.history")
    assert float(call["args"]["oldest"]) == pytest.approx((began - SKEW).timestamp())


def slacks_time(desk: Desk) -> datetime:
    """Return the time of the thread's newest message: a test before may have put the workspace's clock forward."""
    return datetime.fromtimestamp(float(desk.slack.person("bob").thread(desk.posted()[0])[-1]["ts"]), UTC)


def answer_many(desk: Desk) -> None:
    """Let people answer in the card's thread."""
    card = desk.posted()[0]
    for number in range(MANY):
        desk.slack.person("bob").types("#ml-models", f"answer {number}", thread=card)


@pytest.mark.parametrize("kind", kinds())
def test_what_slack_never_saw_is_posted(desk: Desk, kind: str) -> None:
    if kind == "news":
        desk.deliver(CARD)
    before = len(seen(desk, kind))
    desk.slack.reset_before("chat.postMessage")
    assert desk.deliver(kinds()[kind]).outcome is Outcome.UNKNOWN
    assert desk.deliver(kinds()[kind], was_tried=True).outcome is Outcome.DELIVERED
    assert len(seen(desk, kind)) == before + 1


def seen(desk: Desk, kind: str) -> list[dict[str, Any]]:
    """Return where a note of this kind ends up."""
    if kind == "direct":
        return [one for one in desk.slack.person("alice").direct_messages() if one.get("bot_id")]
    return desk.posted() if kind == "card" else desk.thread()


def test_a_card_that_was_found_is_edited_from_then_on(desk: Desk) -> None:
    desk.slack.reset_after("chat.postMessage")
    desk.deliver(CARD)
    desk.deliver(CARD, was_tried=True)
    desk.become(RequestState.CANCELLED)
    desk.deliver(AGAIN)
    [card] = desk.posted()
    assert "cancelled" in said(card)


def test_where_nobody_can_look_it_is_posted_again(desk: Desk) -> None:
    desk.slack.remove_method("conversations.history")
    desk.slack.reset_after("chat.postMessage")
    desk.deliver(CARD)
    assert desk.deliver(CARD, was_tried=True).outcome is Outcome.DELIVERED
    assert len(desk.posted()) == 2


def test_somebody_else_s_message_is_not_taken_for_ours(desk: Desk) -> None:
    desk.deliver(DIRECT)
    other = Note(key="direct:rother:done", lane="x", kind=NoteKind.DIRECT, to="U0ALICE", data=SENTENCE)
    desk.deliver(other, was_tried=True)
    assert len(seen(desk, "direct")) == 2


ODD = {
    "a server that repeats a cursor": {"messages": [], "response_metadata": {"next_cursor": "more"}},
    "no metadata": {"messages": [{"ts": "1.1", "metadata": None}]},
    "no payload": {"messages": [{"ts": "1.1", "metadata": {"event_type": EVENT_TYPE, "event_payload": None}}]},
}


@pytest.mark.parametrize("history", ODD.values(), ids=ODD)
def test_whatever_a_server_answers_looking_ends(desk: Desk, history: dict[str, Any]) -> None:
    posted = {"channel": "D1", "ts": "1.2"}
    answers = {
        "conversations.open": {"channel": {"id": "D1"}},
        "conversations.history": history,
        "chat.postMessage": posted,
    }
    with other_slack(answers) as (client, _):
        delivery = SlackNotifier(client, desk.ledger, lambda: POLICY).deliver(replace(DIRECT, was_tried=True))
    assert delivery.posting == Posting("D1", "1.2")


# -- several processes -------------------------------------------------------------------------------------------------


def test_a_message_that_two_have_posted_is_taken_back_once(desk: Desk) -> None:
    first, second = desk.notifier.deliver(CARD), desk.notifier.deliver(CARD)
    assert (first.is_new, second.is_new) == (True, True)
    assert second.posting is not None
    for _ in range(2):  # where it is gone already that is well, too
        desk.notifier.take_back(second.posting)
    [left] = desk.posted()
    assert first.posting is not None
    assert left["ts"] == first.posting.ts


def test_what_is_edited_or_found_is_not_new(desk: Desk) -> None:
    desk.deliver(CARD)
    assert not desk.notifier.deliver(AGAIN).is_new
    desk.notifier.deliver(DIRECT)
    assert not desk.notifier.deliver(replace(DIRECT, was_tried=True)).is_new


@pytest.mark.parametrize("note", [CARD, DIRECT], ids=["card", "direct"])
def test_shortly_before_the_lease_is_over_nothing_is_said_any_more(desk: Desk, note: Note) -> None:
    late = replace(note, claimed_until=datetime.now(UTC) + timedelta(seconds=9))
    assert desk.notifier.deliver(late).outcome is Outcome.LATER
    assert desk.posted() + desk.slack.person("alice").direct_messages() == []


# -- what slack says ---------------------------------------------------------------------------------------------------


def test_when_there_is_too_much_slack_says_how_long_to_wait(desk: Desk) -> None:
    desk.slack.rate_limit("chat.postMessage", retry_after=7)
    delivery = desk.deliver(CARD)
    assert (delivery.outcome, delivery.wait) == (Outcome.LATER, timedelta(seconds=7))


def test_a_rate_limit_on_an_edit_waits_too(desk: Desk) -> None:
    desk.deliver(CARD)
    desk.slack.rate_limit("chat.update", retry_after=3)
    delivery = desk.deliver(AGAIN)
    assert (delivery.outcome, delivery.wait) == (Outcome.LATER, timedelta(seconds=3))


def test_a_rate_limit_while_looking_posts_nothing(desk: Desk) -> None:
    desk.slack.rate_limit("conversations.history", retry_after=3)
    assert desk.deliver(CARD, was_tried=True).outcome is Outcome.LATER
    assert desk.posted() == []


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ("user_not_found", Outcome.NEVER),
        ("is_archived", Outcome.LATER),
        ("not_in_channel", Outcome.LATER),
        ("channel_not_found", Outcome.LATER),
        ("invalid_auth", Outcome.LATER),
        ("token_revoked", Outcome.LATER),
        ("ratelimited", Outcome.LATER),
        ("internal_error", Outcome.UNKNOWN),
        ("something_new", Outcome.LATER),
    ],
)
def test_what_slack_answers_is_sorted_into_what_can_be_done(desk: Desk, error: str, outcome: Outcome) -> None:
    desk.slack.fail("chat.postMessage", error)
    assert desk.deliver(CARD).outcome is outcome


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
def test_what_slack_refuses_permanently_is_not_tried_again(desk: Desk, error: str) -> None:
    desk.slack.fail("chat.postMessage", error)
    delivery = desk.deliver(DIRECT)
    assert (delivery.outcome, delivery.why) == (Outcome.NEVER, error)


@pytest.mark.parametrize("error", ["msg_blocks_too_long", "invalid_blocks", "msg_too_long"])
def test_a_card_that_is_too_long_for_slack_is_posted_shorter_with_its_buttons(desk: Desk, error: str) -> None:
    desk.slack.fail("chat.postMessage", error)
    assert desk.deliver(CARD).outcome is Outcome.LATER
    assert desk.deliver(CARD).outcome is Outcome.DELIVERED
    [card] = desk.posted()
    assert [block["type"] for block in card["blocks"]] == ["section", "context", "actions"]
    assert "Details: `/model show churn 7`" in said(card)


def test_an_edit_that_is_too_long_for_slack_is_shortened_and_the_next_one_is_whole_again(desk: Desk) -> None:
    desk.deliver(CARD)
    whole = len(desk.posted()[0]["blocks"])
    desk.slack.fail("chat.update", "msg_blocks_too_long")
    shown = []
    for note in (AGAIN, AGAIN, replace(AGAIN, key="card:r4k7q:again")):
        desk.deliver(note)
        shown.append(len(desk.posted()[0]["blocks"]))
    assert shown == [whole, 3, whole]


def test_a_card_whose_shorter_form_is_refused_too_is_given_up_with_the_code(desk: Desk) -> None:
    desk.slack.fail("chat.postMessage", "msg_blocks_too_long", times=2)
    assert [desk.deliver(CARD).outcome for _ in range(2)] == [Outcome.LATER, Outcome.NEVER]
    assert desk.deliver(CARD).outcome is Outcome.DELIVERED


def test_a_server_error_leaves_it_unknown(desk: Desk) -> None:
    desk.slack.server_error("chat.postMessage")
    assert desk.deliver(CARD).outcome is Outcome.UNKNOWN


def test_nobody_there_leaves_it_unknown(sqlite_url: str) -> None:
    ledger = SqlLedger(sqlite_url)
    client = WebClient("xoxb-1", base_url="http://127.0.0.1:9/api/", retry_handlers=[], timeout=1)
    assert SlackNotifier(client, ledger, lambda: POLICY).deliver(DIRECT).outcome is Outcome.UNKNOWN
    ledger.close()


def test_a_channel_that_is_not_there_is_asked_for_again_later(desk: Desk) -> None:
    note = Note(key="card:r4k7q:opened", lane="r4k7q", kind=NoteKind.CARD, to="#nowhere")
    assert desk.deliver(note).outcome is Outcome.LATER


def test_every_message_is_one_that_slack_takes(desk: Desk) -> None:
    for note in (CARD, NEWS, DIRECT, AGAIN):
        desk.deliver(note)
    assert desk.slack.problems() == []


# -- channels by their ids ---------------------------------------------------------------------------------------------


def channels_posted_to(desk: Desk) -> list[str]:
    return [str(call["args"]["channel"]) for call in desk.slack.calls("chat.postMessage")]


def test_messages_go_to_the_id_of_the_channel_that_the_policy_names(desk: Desk) -> None:
    for note in (CARD, NEWS):
        desk.deliver(note)
        desk.slack.advance(1)
    assert channels_posted_to(desk) == ["C0MLMODELS", "C0MLMODELS"]
    assert len(desk.slack.calls("conversations.list")) == 1


def test_nothing_waits_for_a_person_who_left_after_an_earlier_message(desk: Desk) -> None:
    desk.deliver(DIRECT)
    desk.slack.change_person("alice", deleted=True)
    assert desk.deliver(replace(DIRECT, key="direct:r4k7q:later")).outcome is Outcome.NEVER


def test_a_person_and_the_conversation_with_them_are_one_channel(desk: Desk) -> None:
    posted = desk.deliver(DIRECT).posting
    assert posted is not None
    assert desk.notifier.channel(DIRECT.to) == posted.channel


def test_a_channel_that_only_slack_can_find_by_name_is_known_by_its_id_afterwards(desk: Desk) -> None:
    desk.slack.rate_limit("conversations.list")
    for at in range(2):
        desk.deliver(Note(key=f"said:{at}", lane=f"said:{at}", kind=NoteKind.SAID, to="#churn", data=SENTENCE))
        desk.slack.advance(1)
    assert channels_posted_to(desk) == ["#churn", "C0CHURN"]


def test_a_new_channel_gets_the_messages_of_an_archived_one_with_the_same_name(desk: Desk) -> None:
    said_there = Note(key="said:1", lane="said:1", kind=NoteKind.SAID, to="#churn", data=SENTENCE)
    desk.deliver(said_there)
    desk.slack.advance(1)
    desk.slack.archive("#churn")
    desk.slack.add_channel("C0CHURN2", "churn")
    again = replace(said_there, key="said:2", lane="said:2")
    assert [desk.deliver(again).outcome for _ in range(2)] == [Outcome.LATER, Outcome.DELIVERED]
    assert channels_posted_to(desk) == ["C0CHURN", "C0CHURN", "C0CHURN2"]

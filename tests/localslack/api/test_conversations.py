"""conversations.*: histories, replies, lists, and members."""

from __future__ import annotations

from typing import Any

from slack_sdk import WebClient

from localslack import LocalSlack
from tests.localslack.bolt_apps import SlackErrorOf


def test_history_is_newest_first_and_paged(client: WebClient) -> None:
    for number in range(5):
        client.chat_postMessage(channel="#churn", text=str(number))
    first = client.conversations_history(channel="C0CHURN", limit=3)
    assert [message["text"] for message in first["messages"]] == ["4", "3", "2"]
    assert first["has_more"]
    cursor = first["response_metadata"]["next_cursor"]
    rest = client.conversations_history(channel="C0CHURN", limit=3, cursor=cursor)
    assert [message["text"] for message in rest["messages"]] == ["1", "0"]
    assert not rest["has_more"]


def test_history_is_limited_by_oldest_and_latest(client: WebClient) -> None:
    stamps = [client.chat_postMessage(channel="#churn", text=str(number))["ts"] for number in range(4)]

    def between(**bounds: Any) -> list[str]:
        messages = client.conversations_history(channel="C0CHURN", **bounds)["messages"]
        return [message["text"] for message in messages]

    assert between(oldest=stamps[0], latest=stamps[3]) == ["2", "1"]
    assert between(oldest=stamps[0], latest=stamps[3], inclusive=True) == ["3", "2", "1", "0"]


def test_history_includes_metadata_only_on_request(client: WebClient) -> None:
    metadata = {"event_type": "asked", "event_payload": {"id": 7}}
    client.chat_postMessage(channel="#churn", text="x", metadata=metadata)
    assert "metadata" not in client.conversations_history(channel="C0CHURN")["messages"][0]
    asked = client.conversations_history(channel="C0CHURN", include_all_metadata=True)["messages"][0]
    assert asked["metadata"] == metadata


def test_history_needs_membership(slack: LocalSlack, client: WebClient, slack_error: SlackErrorOf) -> None:
    slack.set_members("#churn", ["alice"])
    assert slack_error(client.conversations_history, channel="C0CHURN") == "not_in_channel"
    client.conversations_join(channel="C0CHURN")
    assert client.conversations_history(channel="C0CHURN")["messages"] == []


def test_history_has_no_ephemeral_messages_and_no_replies(client: WebClient) -> None:
    ts = client.chat_postMessage(channel="#churn", text="question")["ts"]
    client.chat_postMessage(channel="#churn", text="answer", thread_ts=ts)
    client.chat_postEphemeral(channel="C0CHURN", user="U0ALICE", text="secret")
    (only,) = client.conversations_history(channel="C0CHURN")["messages"]
    assert only["text"] == "question"
    assert only["reply_count"] == 1


def test_replies_start_with_the_parent_message(client: WebClient) -> None:
    ts = client.chat_postMessage(channel="#churn", text="question")["ts"]
    answer = client.chat_postMessage(channel="#churn", text="answer", thread_ts=ts)["ts"]
    nested = client.chat_postMessage(channel="#churn", text="answer to that", thread_ts=answer)
    assert nested["message"]["thread_ts"] == ts
    replies = client.conversations_replies(channel="C0CHURN", ts=ts)["messages"]
    assert [message["text"] for message in replies] == ["question", "answer", "answer to that"]


def test_every_page_of_replies_starts_with_the_parent_message(client: WebClient) -> None:
    ts = client.chat_postMessage(channel="#churn", text="question")["ts"]
    for number in range(3):
        client.chat_postMessage(channel="#churn", text=str(number), thread_ts=ts)
    pages = client.conversations_replies(channel="C0CHURN", ts=ts, limit=3)
    assert [[message["text"] for message in page["messages"]] for page in pages] == [
        ["question", "0", "1"],
        ["question", "2"],
    ]


def test_the_parent_message_is_included_even_with_oldest(client: WebClient) -> None:
    ts = client.chat_postMessage(channel="#churn", text="question")["ts"]
    stamps = [client.chat_postMessage(channel="#churn", text=str(n), thread_ts=ts)["ts"] for n in range(3)]
    late = client.conversations_replies(channel="C0CHURN", ts=ts, oldest=stamps[1])["messages"]
    assert [message["text"] for message in late] == ["question", "2"]


def test_replies_to_a_missing_message_aren_t_found(client: WebClient, slack_error: SlackErrorOf) -> None:
    assert slack_error(client.conversations_replies, channel="C0CHURN", ts="1.000001") == "thread_not_found"


def test_a_broken_cursor_is_refused(client: WebClient, slack_error: SlackErrorOf) -> None:
    assert slack_error(client.conversations_history, channel="C0CHURN", cursor="???") == "invalid_cursor"


def test_conversations_are_listed_by_type(slack: LocalSlack, client: WebClient) -> None:
    slack.add_channel("C0SECRET", "secret", is_private=True, members=["alice", "bot"])
    slack.add_channel("C0OTHER", "other", is_private=True, members=["alice"])
    public = client.conversations_list()["channels"]
    assert [channel["name"] for channel in public] == ["general", "ml-models", "churn"]
    private = client.conversations_list(types="private_channel")["channels"]
    assert [channel["name"] for channel in private] == ["secret"]


def test_a_page_of_conversations_can_be_short_or_empty_and_not_the_last(slack: LocalSlack, client: WebClient) -> None:
    slack.add_channel("C0SECRET", "secret", is_private=True, members=["alice"])
    slack.add_channel("C0HIDDEN", "hidden", is_private=True, members=["alice"])
    slack.add_channel("C0LAST", "last")
    pages = [[room["name"] for room in page["channels"]] for page in client.conversations_list(limit=2)]
    assert pages == [["general", "ml-models"], ["churn"], ["last"]]
    pages = [[room["name"] for room in page["channels"]] for page in client.conversations_list(limit=1)]
    assert pages == [["general"], ["ml-models"], ["churn"], [], [], ["last"]]


def test_a_page_of_conversations_is_at_most_a_thousand(client: WebClient, slack_error: SlackErrorOf) -> None:
    assert client.conversations_list(limit=1000)["ok"]
    assert slack_error(client.conversations_list, limit=1001) == "invalid_limit"


def test_members_include_the_bot_user(client: WebClient) -> None:
    bot = client.auth_test()["user_id"]
    assert bot in client.conversations_members(channel="C0CHURN")["members"]


def test_opening_a_conversation_twice_returns_the_same_one(client: WebClient) -> None:
    first = client.conversations_open(users="U0ALICE")["channel"]["id"]
    again = client.conversations_open(users=["U0ALICE"])
    assert again["channel"]["id"] == first
    assert again["already_open"] is True

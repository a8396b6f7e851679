"""Events about people's messages: files, mentions, edits, deletions, and reactions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from slack_sdk import WebClient
from websockets.sync.client import ClientConnection

from localslack import LocalSlack, RefusedError, WorkspaceMember
from tests.localslack.bolt_apps import MANIFEST, SlackErrorOf, manifest_without, receive, silent_connection, web_client
from tests.support.app.workspaces import local_slack

JSON = dict[str, Any]
EVENTS = ["message.channels", "message.im", "app_mention", "reaction_added", "reaction_removed"]


@pytest.fixture(scope="module")
def workspace() -> Iterator[LocalSlack]:
    """Run a workspace whose app subscribes to all message events."""
    with local_slack({**MANIFEST, "settings": {"event_subscriptions": {"bot_events": EVENTS}}}) as slack:
        yield slack


class EventStream:
    """A connection that receives the app's events one at a time, in order."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        receive(socket)  # the greeting

    def next(self) -> JSON:
        frame = receive(self._socket)
        self._socket.send(json.dumps({"envelope_id": frame["envelope_id"]}))
        return dict(frame["payload"]["event"])


@pytest.fixture
def events(slack: LocalSlack) -> Iterator[EventStream]:
    with silent_connection(slack) as socket:
        yield EventStream(socket)


def send_message(person: WorkspaceMember, text: str = "v4 looks odd", **more: Any) -> JSON:
    message = person.types("#churn", text, **more).message
    assert message is not None
    return message


# -- mentions and files ---------------------------------------------------------------------------------------------


def test_a_mention_in_a_channel_sends_an_app_mention(events: EventStream, alice: WorkspaceMember) -> None:
    send_message(alice, "@tester hello")
    kinds = {events.next()["type"], events.next()["type"]}
    assert kinds == {"message", "app_mention"}


def test_a_mention_in_a_direct_conversation_is_only_a_message(events: EventStream, alice: WorkspaceMember) -> None:
    alice.types(alice.slack.query("direct", user="alice")["channel"], "@tester hello")
    send_message(alice, "the next thing")
    assert [events.next()["text"] for _ in range(2)] == ["<@U0LOCALAPP> hello", "the next thing"]


def test_a_message_with_a_file_is_a_file_share(events: EventStream, client: WebClient, alice: WorkspaceMember) -> None:
    sent = alice.uploads("#churn", "notes.csv", b"a,b")
    event = events.next()
    assert (event["type"], event["subtype"]) == ("message", "file_share")
    (held,) = client.conversations_history(channel="C0CHURN")["messages"]
    assert held["subtype"] == sent["subtype"] == "file_share"


# -- edits and deletions --------------------------------------------------------------------------------------------


def test_an_edit_sends_the_previous_message(events: EventStream, alice: WorkspaceMember) -> None:
    message = send_message(alice)
    events.next()
    alice.edits(message, "v4 looks @bob-proof")
    event = events.next()
    assert (event["subtype"], event["hidden"], event["channel_type"]) == ("message_changed", True, "channel")
    assert event["message"]["text"] == "v4 looks @bob-proof"
    assert event["message"]["edited"]["user"] == "U0ALICE"
    assert event["previous_message"]["text"] == "v4 looks odd"
    assert event["message"]["ts"] == message["ts"] != event["ts"]


def test_an_edited_message_links_names_like_a_new_one(alice: WorkspaceMember) -> None:
    assert alice.edits(send_message(alice), "ask @bob")["text"] == "ask <@U0BOB>"


def test_a_deletion_sends_the_previous_message(events: EventStream, alice: WorkspaceMember) -> None:
    message = send_message(alice)
    events.next()
    alice.deletes(message)
    event = events.next()
    assert (event["subtype"], event["deleted_ts"]) == ("message_deleted", message["ts"])
    assert event["previous_message"]["text"] == "v4 looks odd"
    assert alice.sees("#churn") == []


def test_deleting_the_first_message_of_a_thread_leaves_a_tombstone(events: EventStream, alice: WorkspaceMember) -> None:
    message = send_message(alice)
    send_message(alice, "indeed", thread=message)
    for _ in range(2):
        events.next()
    alice.deletes(message)
    event = events.next()
    assert (event["subtype"], event["message"]["subtype"]) == ("message_changed", "tombstone")


def test_no_one_can_edit_the_app_s_messages(client: WebClient, alice: WorkspaceMember, bob: WorkspaceMember) -> None:
    client.chat_postMessage(channel="C0CHURN", text="A card")
    for person in (alice, bob):
        with pytest.raises(RefusedError, match="cant_update_message"):
            person.edits(person.sees("#churn")[0], "mine now")


def test_only_an_admin_can_delete_someone_else_s_message(
    client: WebClient, alice: WorkspaceMember, bob: WorkspaceMember
) -> None:
    client.chat_postMessage(channel="C0CHURN", text="A card")
    with pytest.raises(RefusedError, match="cant_delete_message"):
        alice.deletes(alice.sees("#churn")[0])
    bob.deletes(bob.sees("#churn")[0])
    assert alice.sees("#churn") == []


# -- reactions ------------------------------------------------------------------------------------------------------


def test_a_reaction_is_sent_to_the_app_and_shown(
    events: EventStream, client: WebClient, alice: WorkspaceMember, bob: WorkspaceMember
) -> None:
    message = send_message(alice)
    events.next()
    bob.reacts(message, "eyes")
    event = events.next()
    assert (event["type"], event["reaction"], event["user"]) == ("reaction_added", "eyes", "U0BOB")
    assert event["item"] == {"type": "message", "channel": "C0CHURN", "ts": message["ts"]}
    assert event["item_user"] == "U0ALICE"
    (held,) = client.conversations_history(channel="C0CHURN")["messages"]
    assert held["reactions"] == [{"name": "eyes", "users": ["U0BOB"], "count": 1}]
    assert "edited" not in held


def test_a_reaction_can_be_removed(events: EventStream, alice: WorkspaceMember, bob: WorkspaceMember) -> None:
    message = send_message(alice)
    bob.reacts(message, "eyes")
    bob.reacts(message, "eyes", remove=True)
    assert [events.next()["type"] for _ in range(3)] == ["message", "reaction_added", "reaction_removed"]
    assert "reactions" not in alice.sees("#churn")[0]


def test_the_app_can_react(events: EventStream, client: WebClient, alice: WorkspaceMember) -> None:
    message = send_message(alice)
    events.next()
    client.reactions_add(channel="C0CHURN", timestamp=message["ts"], name="eyes")
    assert events.next()["user"] == "U0LOCALAPP"
    client.reactions_remove(channel="C0CHURN", timestamp=message["ts"], name="eyes")
    assert events.next()["type"] == "reaction_removed"


def test_a_reaction_that_slack_would_refuse_is_refused(
    slack: LocalSlack, client: WebClient, alice: WorkspaceMember, slack_error: SlackErrorOf
) -> None:
    about = {"channel": "C0CHURN", "timestamp": send_message(alice)["ts"]}
    client.reactions_add(**about, name="eyes")
    assert slack_error(client.reactions_add, **about, name="eyes") == "already_reacted"
    assert slack_error(client.reactions_remove, **about, name="tada") == "no_reaction"
    assert slack_error(client.reactions_add, **about, name=":eyes:") == "invalid_name"
    assert slack_error(client.reactions_add, **{**about, "timestamp": "1.000001"}, name="eyes") == "message_not_found"
    assert slack_error(client.reactions_add, channel="C0CHURN", timestamp="", name="eyes") == "no_item_specified"
    slack.set_members("#churn", ["alice"])
    assert slack_error(client.reactions_add, **about, name="tada") == "not_in_channel"


def test_reactions_need_their_scope(slack_error: SlackErrorOf) -> None:
    with local_slack(manifest_without("reactions:write")) as slack:
        assert (
            slack_error(web_client(slack).reactions_add, channel="C0CHURN", timestamp="1.1", name="eyes")
            == "missing_scope"
        )


# -- apps without events ----------------------------------------------------------------------------------------------


def test_an_app_outside_the_channel_gets_no_events(
    slack: LocalSlack, events: EventStream, alice: WorkspaceMember
) -> None:
    slack.set_members("#churn", ["alice"])
    message = send_message(alice)
    alice.reacts(message, "eyes")
    alice.edits(message, "changed")
    alice.deletes(message)
    alice.types("#general", "the only thing heard")
    assert events.next()["text"] == "the only thing heard"


def test_an_app_without_subscriptions_gets_no_events() -> None:
    manifest = {**MANIFEST, "settings": {"event_subscriptions": {"bot_events": ["app_mention"]}}}
    with local_slack(manifest) as slack, silent_connection(slack) as socket:
        received, alice = EventStream(socket), slack.person("alice")
        message = send_message(alice)
        alice.reacts(message, "eyes")
        alice.edits(message, "changed")
        send_message(alice, "@tester hello")
        assert received.next()["type"] == "app_mention"

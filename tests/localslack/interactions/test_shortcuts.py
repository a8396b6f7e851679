"""Shortcuts: their payloads, and the app's responses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from slack_bolt import Ack, App, Respond
from slack_sdk import WebClient

from localslack import LocalSlack, RefusedError, WorkspaceMember
from tests.localslack.block_builders import modal
from tests.localslack.bolt_apps import bolt_app, over_http, over_socket_mode

JSON = dict[str, Any]


def send_message(alice: WorkspaceMember, text: str = "the data looks odd", channel: str = "#churn") -> JSON:
    message = alice.types(channel, text).message
    assert message is not None
    return message


def record_payloads(app: App, callback_id: str) -> list[JSON]:
    received: list[JSON] = []

    @app.shortcut(callback_id)
    def listener(ack: Ack, body: JSON) -> None:
        received.append(body)
        ack()

    return received


@pytest.fixture(params=["socket mode", "signed http"])
def running_app(request: pytest.FixtureRequest, slack: LocalSlack) -> Iterator[App]:
    app = bolt_app(slack)
    connection = over_socket_mode if request.param == "socket mode" else over_http
    with connection(slack, app):
        yield app


@pytest.mark.parametrize("name", ["start_round", "Start a round"])
def test_a_global_shortcut_works_by_its_callback_id_or_name(
    running_app: App, alice: WorkspaceMember, name: str
) -> None:
    received = record_payloads(running_app, "start_round")
    assert alice.uses(name).acked
    assert (received[0]["type"], received[0]["callback_id"]) == ("shortcut", "start_round")
    assert received[0]["user"]["id"] == "U0ALICE"


def test_a_global_shortcut_has_no_conversation(connected_app: App, alice: WorkspaceMember) -> None:
    received = record_payloads(connected_app, "start_round")
    alice.uses("start_round")
    assert received[0].keys().isdisjoint({"channel", "message", "response_url", "api_app_id"})


def test_a_global_shortcut_opens_a_modal(connected_app: App, alice: WorkspaceMember) -> None:
    @connected_app.shortcut("start_round")
    def start(ack: Ack, body: JSON, client: WebClient) -> None:
        ack()
        client.views_open(trigger_id=body["trigger_id"], view=modal(title="A round"))

    alice.uses("start_round")
    assert alice.waits_for_modal()["title"]["text"] == "A round"


def test_a_message_shortcut_contains_the_message(
    running_app: App, alice: WorkspaceMember, bob: WorkspaceMember
) -> None:
    received = record_payloads(running_app, "look_into")
    message = send_message(alice)
    assert bob.uses("Look into this", message).acked
    body = received[0]
    assert (body["type"], body["callback_id"]) == ("message_action", "look_into")
    assert body["message_ts"] == body["message"]["ts"] == message["ts"]
    assert body["message"]["text"] == "the data looks odd"
    assert body["channel"] == {"id": "C0CHURN", "name": "churn"}
    assert body["user"]["id"] == "U0BOB"


def test_the_response_url_answers_only_the_person_who_used_the_shortcut(
    connected_app: App, alice: WorkspaceMember, bob: WorkspaceMember
) -> None:
    @connected_app.shortcut("look_into")
    def look(ack: Ack, respond: Respond) -> None:
        ack()
        respond("On it.")

    bob.uses("look_into", send_message(alice))
    answer = bob.waits_for("#churn", lambda message: message["text"] == "On it.")
    assert answer["is_ephemeral"]
    assert [message["text"] for message in alice.sees("#churn")] == ["the data looks odd"]


def test_a_message_shortcut_works_where_the_app_isn_t_a_member(
    slack: LocalSlack, connected_app: App, alice: WorkspaceMember
) -> None:
    received = record_payloads(connected_app, "look_into")
    slack.set_members("#churn", ["alice"])
    message = send_message(alice)
    assert alice.uses("look_into", message).acked
    answer = httpx2.post(received[0]["response_url"], json={"text": "Noted."}, trust_env=False)
    assert answer.status_code == 200


def test_a_shortcut_on_a_message_that_the_person_can_t_see_is_refused(
    slack: LocalSlack, alice: WorkspaceMember, bob: WorkspaceMember
) -> None:
    slack.add_channel("G0SECRET", "secret", is_private=True, members=["alice", "bot"])
    with pytest.raises(RefusedError, match="channel_not_found"):
        bob.uses("look_into", send_message(alice, channel="#secret"))


def test_ephemeral_messages_have_no_shortcuts(client: WebClient, alice: WorkspaceMember) -> None:
    client.chat_postEphemeral(channel="C0CHURN", user="U0ALICE", text="psst")
    with pytest.raises(RefusedError, match="message_not_found"):
        alice.uses("look_into", alice.sees("#churn")[0])


def test_a_shortcut_missing_from_the_manifest_can_t_be_used(alice: WorkspaceMember) -> None:
    with pytest.raises(RefusedError, match="the manifest has no global shortcut 'look_into'"):
        alice.uses("look_into")


def test_people_see_an_error_if_the_app_isn_t_running(alice: WorkspaceMember) -> None:
    outcome = alice.uses("start_round")
    assert (outcome.acked, outcome.error) == (False, "dispatch_failed")

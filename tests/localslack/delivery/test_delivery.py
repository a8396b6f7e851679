"""Delivery of payloads to the app, and what people see if it fails."""

from __future__ import annotations

import contextlib
import json
import threading
from typing import Any
from urllib.parse import parse_qs

import httpx2
import pytest
from slack_bolt import Ack, App
from slack_sdk.signature import SignatureVerifier
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from localslack import LocalSlack, WorkspaceMember
from localslack.payloads import Actor, ChannelRef, as_http_body, slash_command
from localslack.signing import signed_headers
from tests.localslack.block_builders import actions, button
from tests.localslack.bolt_apps import (
    bolt_app,
    http_server,
    in_background,
    open_url,
    over_http,
    receive,
    silent_connection,
    web_client,
)

JSON = dict[str, Any]


# -- Socket Mode ------------------------------------------------------------------------------------------------


def test_a_connection_is_greeted(slack: LocalSlack) -> None:
    with silent_connection(slack) as socket:
        hello = receive(socket)
    assert hello["type"] == "hello"
    assert hello["num_connections"] == 1
    assert hello["connection_info"]["app_id"].startswith("A")


def test_a_connection_url_works_once(slack: LocalSlack) -> None:
    url = open_url(slack)
    with connect(url, proxy=None) as socket:
        receive(socket)
    with pytest.raises(InvalidStatus), connect(url, proxy=None):
        pass


def test_each_payload_goes_to_exactly_one_connection(slack: LocalSlack, alice: WorkspaceMember) -> None:
    with silent_connection(slack) as first, connect(open_url(slack), proxy=None) as second:
        for socket in (first, second):
            receive(socket)
        received: list[tuple[int, str]] = []

        def answer(number: int, socket: ClientConnection) -> None:
            with contextlib.suppress(ConnectionClosed, TimeoutError):
                while True:
                    frame = receive(socket)
                    received.append((number, frame["envelope_id"]))
                    socket.send(json.dumps({"envelope_id": frame["envelope_id"]}))

        for number, socket in enumerate((first, second)):
            threading.Thread(target=answer, args=(number, socket), daemon=True).start()
        assert all(alice.types("#churn", f"/ask {number}").acked for number in range(6))
    assert len({envelope for _, envelope in received}) == len(received) == 6
    assert sorted(number for number, _ in received) == [0, 0, 0, 1, 1, 1]


def test_the_eleventh_connection_is_closed(slack: LocalSlack) -> None:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(connect(open_url(slack), proxy=None)) for _ in range(11)]
        first_words = [receive(socket) for socket in sockets]
    slack.wait_for(lambda: slack.status()["connections"] == 0)
    assert [words["type"] for words in first_words] == ["hello"] * 10 + ["disconnect"]
    assert first_words[-1]["reason"] == "too_many_websockets"


def test_a_slash_command_has_slack_s_format(slack: LocalSlack, alice: WorkspaceMember) -> None:
    with silent_connection(slack) as socket:
        receive(socket)
        typing = in_background(alice.types, "#churn", "/ask  why now? ")
        envelope = receive(socket)
        socket.send(json.dumps({"envelope_id": envelope["envelope_id"]}))
        assert typing.result().acked
    payload = envelope["payload"]
    assert envelope["type"] == "slash_commands"
    assert envelope["accepts_response_payload"] is True
    assert payload["command"] == "/ask"
    assert payload["text"] == "why now?"
    assert payload["channel_name"] == "churn"
    assert payload["user_id"] == "U0ALICE"
    assert payload["response_url"].startswith(slack.url)
    assert {"token", "team_id", "team_domain", "api_app_id", "trigger_id"} <= set(payload)


def test_a_click_has_slack_s_format(slack: LocalSlack, alice: WorkspaceMember) -> None:
    blocks = [actions(button("Go", "go", value="7", style="primary"))]
    web_client(slack).chat_postMessage(channel="#churn", text="x", blocks=blocks)
    with silent_connection(slack) as socket:
        receive(socket)
        click = in_background(alice.clicks, alice.sees("#churn")[-1], "Go")
        envelope = receive(socket)
        socket.send(json.dumps({"envelope_id": envelope["envelope_id"]}))
        click.result()
    payload = envelope["payload"]
    action = payload["actions"][0]
    assert payload["type"] == "block_actions"
    assert payload["enterprise"] is None
    assert payload["user"] == {"id": "U0ALICE", "username": "alice", "name": "alice", "team_id": slack.team_id}
    assert payload["container"]["message_ts"] == payload["message"]["ts"]
    assert payload["state"] == {"values": {}}
    assert (action["type"], action["value"], action["style"]) == ("button", "7", "primary")
    assert action["text"]["text"] == "Go"


def test_a_click_on_an_ephemeral_message_contains_no_message(slack: LocalSlack, alice: WorkspaceMember) -> None:
    blocks = [actions(button("Go", "go"))]
    web_client(slack).chat_postEphemeral(channel="C0CHURN", user="U0ALICE", text="x", blocks=blocks)
    with silent_connection(slack) as socket:
        receive(socket)
        click = in_background(alice.clicks, alice.sees("#churn")[-1], "Go")
        envelope = receive(socket)
        socket.send(json.dumps({"envelope_id": envelope["envelope_id"]}))
        click.result()
    assert "message" not in envelope["payload"]
    assert envelope["payload"]["container"]["is_ephemeral"] is True


def test_without_an_answer_the_person_sees_a_timeout(slack: LocalSlack, alice: WorkspaceMember) -> None:
    with silent_connection(slack) as socket:
        receive(socket)
        typing = in_background(alice.types, "#churn", "/ask why")
        receive(socket)
        slack.advance(3)
        outcome = typing.result()
    assert not outcome.acked
    assert outcome.error == "operation_timeout"
    assert alice.sees("#churn")[-1]["text"] == '/ask failed with the error "operation_timeout"'


def test_a_late_answer_is_ignored(slack: LocalSlack, alice: WorkspaceMember) -> None:
    with silent_connection(slack) as socket:
        receive(socket)
        typing = in_background(alice.types, "#churn", "/ask why")
        envelope = receive(socket)
        slack.advance(3)
        typing.result()
        socket.send(json.dumps({"envelope_id": envelope["envelope_id"], "payload": {"text": "too late"}}))
        socket.ping().wait(5)
    assert "too late" not in [message["text"] for message in alice.sees("#churn")]


def test_without_a_connection_nothing_is_delivered(slack: LocalSlack, alice: WorkspaceMember) -> None:
    assert alice.types("#churn", "/ask why").error == "dispatch_failed"


@pytest.mark.parametrize("how", ["graceful", "close", "abrupt"])
def test_the_app_reconnects_after_a_disconnection(slack: LocalSlack, connected_app: App, how: str) -> None:
    before = slack.status()["connections_so_far"]
    assert slack.disconnect_sockets(how) == 1
    assert slack.wait_for(lambda: slack.status()["connections_so_far"] > before)


def test_acknowledgments_on_a_silent_connection_are_lost(slack: LocalSlack, alice: WorkspaceMember) -> None:
    with silent_connection(slack) as socket:
        receive(socket)
        slack.disconnect_sockets("silent")
        typing = in_background(alice.types, "#churn", "/ask why")
        envelope = receive(socket)
        socket.send(json.dumps({"envelope_id": envelope["envelope_id"]}))
        slack.advance(3)
        assert typing.result().error == "operation_timeout"
        slack.disconnect_sockets("abrupt")


def test_an_event_is_redelivered_until_it_s_acknowledged(slack: LocalSlack, alice: WorkspaceMember) -> None:
    with silent_connection(slack) as socket:
        receive(socket)
        alice.types("#churn", "hello everybody")
        first = receive(socket)
        slack.advance(3)
        second = receive(socket)
        socket.send(json.dumps({"envelope_id": second["envelope_id"]}))
    assert first["type"] == "events_api"
    assert first["payload"]["event"]["text"] == "hello everybody"
    assert first["retry_attempt"] == 0
    assert (second["retry_attempt"], second["retry_reason"]) == (1, "timeout")
    assert second["payload"]["event_id"] == first["payload"]["event_id"]


def test_an_event_names_its_bot(slack: LocalSlack, alice: WorkspaceMember) -> None:
    with silent_connection(slack) as socket:
        receive(socket)
        alice.types("#churn", "hello")
        envelope = receive(socket)
        socket.send(json.dumps({"envelope_id": envelope["envelope_id"]}))
    (authorization,) = envelope["payload"]["authorizations"]
    assert authorization["user_id"] == web_client(slack).auth_test()["user_id"]
    assert (authorization["team_id"], authorization["is_bot"]) == (slack.team_id, True)


def test_a_reset_ends_redeliveries(slack: LocalSlack, alice: WorkspaceMember) -> None:
    alice.types("#churn", "before")
    slack.reset()
    with silent_connection(slack) as socket:
        receive(socket)
        slack.advance(3600)
        alice.types("#churn", "after")
        envelope = receive(socket)
        socket.send(json.dumps({"envelope_id": envelope["envelope_id"]}))
    assert envelope["payload"]["event"]["text"] == "after"


def test_a_mention_is_a_separate_event(slack: LocalSlack, alice: WorkspaceMember) -> None:
    with silent_connection(slack) as socket:
        receive(socket)
        alice.types("#churn", "@tester are you there?")
        kinds = []
        for _ in range(2):
            envelope = receive(socket)
            kinds.append(envelope["payload"]["event"]["type"])
            socket.send(json.dumps({"envelope_id": envelope["envelope_id"]}))
    assert sorted(kinds) == ["app_mention", "message"]


# -- signed HTTP ------------------------------------------------------------------------------------------------


def test_a_request_is_a_signed_form(slack: LocalSlack, alice: WorkspaceMember) -> None:
    seen: list[tuple[str, dict[str, str]]] = []

    def answer(body: str, headers: dict[str, str]) -> tuple[int, str, str]:
        seen.append((body, headers))
        return 200, "text/plain", ""

    with http_server(answer) as url:
        slack.deliver_to(url)
        assert alice.types("#churn", "/ask why").acked
        slack.deliver_to(None)
    body, headers = seen[0]
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs(body)["text"] == ["why"]
    lower = {name.lower(): value for name, value in headers.items()}
    assert SignatureVerifier(slack.signing_secret).is_valid_request(body, lower)


@pytest.mark.parametrize(
    ("status", "kind", "words", "text"),
    [(200, "text/plain", "Plain words", "Plain words"), (200, "application/json", '{"text": "JSON"}', "JSON")],
)
def test_the_user_sees_the_response_body(
    slack: LocalSlack, alice: WorkspaceMember, status: int, kind: str, words: str, text: str
) -> None:
    with http_server(lambda *_: (status, kind, words)) as url:
        slack.deliver_to(url)
        outcome = alice.types("#churn", "/ask why")
        slack.deliver_to(None)
    assert outcome.text == text
    assert outcome.message is not None
    assert outcome.message["is_ephemeral"]


def test_a_response_can_be_for_everyone_in_the_channel(
    slack: LocalSlack, alice: WorkspaceMember, bob: WorkspaceMember
) -> None:
    answer = json.dumps({"text": "For all", "response_type": "in_channel"})
    with http_server(lambda *_: (200, "application/json", answer)) as url:
        slack.deliver_to(url)
        alice.types("#churn", "/ask why")
        slack.deliver_to(None)
    assert bob.sees("#churn")[-1]["text"] == "For all"


def test_the_user_sees_a_server_error(slack: LocalSlack, alice: WorkspaceMember) -> None:
    with http_server(lambda *_: (500, "text/plain", "oops")) as url:
        slack.deliver_to(url)
        assert alice.types("#churn", "/ask why").error == "http_service_error"
        slack.deliver_to(None)


def test_the_user_sees_a_refused_connection(slack: LocalSlack, alice: WorkspaceMember) -> None:
    slack.deliver_to("http://127.0.0.1:9/slack/events")
    assert alice.types("#churn", "/ask why").error == "dispatch_failed"


def test_a_forged_payload_is_accepted_like_a_real_one(slack: LocalSlack) -> None:
    app, received = bolt_app(slack), []

    @app.command("/ask")
    def ask(ack: Ack, body: JSON) -> None:
        received.append(body["user_id"])
        ack()

    forged = slash_command("/ask", "x", actor=Actor(id="U0EVE", name="eve"), place=ChannelRef(id="C1", name="c"))
    body, content_type = as_http_body(forged)
    with over_http(slack, app) as url:
        headers = {"Content-Type": content_type, **signed_headers(slack.signing_secret, body)}
        assert httpx2.post(url, content=body, headers=headers, trust_env=False).status_code == 200
        wrong = {"Content-Type": content_type, **signed_headers("another secret", body)}
        assert httpx2.post(url, content=body, headers=wrong, trust_env=False).status_code == 401
    assert received == ["U0EVE"]

"""An unmodified Bolt app with the workspace, over Socket Mode and HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from slack_bolt import Ack, App, Respond
from slack_sdk import WebClient

from localslack import LocalSlack, WorkspaceMember
from tests.localslack.block_builders import actions, button, modal
from tests.localslack.bolt_apps import bolt_app, over_http, over_socket_mode

JSON = dict[str, Any]


@pytest.fixture(params=["socket mode", "signed http"])
def running_app(request: pytest.FixtureRequest, slack: LocalSlack) -> Iterator[App]:
    app = bolt_app(slack)
    _listen(app)
    connection = over_socket_mode if request.param == "socket mode" else over_http
    with connection(slack, app):
        yield app


def _listen(app: App) -> None:
    @app.command("/ask")
    def ask(ack: Ack, respond: Respond, client: WebClient, body: JSON) -> None:
        ack(f"You asked: {body['text']}")
        respond("Still thinking.")
        card = [actions(button("Decide", "decide", value="7"))]
        client.chat_postMessage(channel=body["channel_id"], text="A question", blocks=card)

    @app.action("decide")
    def decide(ack: Ack, client: WebClient, body: JSON) -> None:
        ack()
        channel, ts = body["channel"]["id"], body["message"]["ts"]
        client.chat_update(channel=channel, ts=ts, text=f"Decided on {body['actions'][0]['value']}", blocks=[])
        client.views_open(trigger_id=body["trigger_id"], view=modal())

    @app.view("form")
    def submitted(ack: Ack, client: WebClient, body: JSON, view: JSON) -> None:
        reason = view["state"]["values"]["reason"]["value"]["value"]
        if reason == "because":
            ack(response_action="errors", errors={"reason": "That is no reason."})
            return
        ack()
        client.chat_postMessage(channel=body["user"]["id"], text=f"Noted: {reason}")


def test_only_the_user_sees_the_answer_to_a_command(
    running_app: App, alice: WorkspaceMember, bob: WorkspaceMember
) -> None:
    outcome = alice.types("#churn", "/ask why now?")
    assert outcome.acked
    assert outcome.text == "You asked: why now?"
    assert "You asked: why now?" not in [message["text"] for message in bob.sees("#churn")]


def test_respond_reaches_the_user_later(running_app: App, alice: WorkspaceMember) -> None:
    alice.types("#churn", "/ask why")
    later = alice.waits_for("#churn", lambda message: message["text"] == "Still thinking.")
    assert later["is_ephemeral"]


def test_a_button_updates_its_message(running_app: App, alice: WorkspaceMember, bob: WorkspaceMember) -> None:
    alice.types("#churn", "/ask why")
    card = bob.waits_for("#churn", lambda message: message.get("blocks"))
    assert bob.clicks(card, "Decide").acked
    decided = bob.waits_for("#churn", lambda message: message["ts"] == card["ts"] and message.get("edited"))
    assert decided["text"] == "Decided on 7"


def test_a_modal_shows_errors_and_then_closes(running_app: App, alice: WorkspaceMember) -> None:
    alice.types("#churn", "/ask why")
    alice.clicks(alice.waits_for("#churn", lambda message: message.get("blocks")), "decide")
    alice.waits_for_modal()
    assert alice.submits({"Reason": "because"}) == {"reason": "That is no reason."}
    assert alice.modal() is not None
    assert alice.submits({"Reason": "the data changed"}) is None
    assert alice.modal() is None
    assert alice.waits_for_direct_message()["text"] == "Noted: the data changed"

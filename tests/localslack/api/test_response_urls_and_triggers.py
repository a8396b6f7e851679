"""Response URLs and trigger ids, which expire."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from slack_bolt import Ack, App
from slack_sdk import WebClient

from localslack import LocalSlack, WorkspaceMember
from localslack.blocks import BLOCKS_MAX
from tests.localslack.block_builders import actions, blocks_with_length, button, modal
from tests.localslack.bolt_apps import SlackErrorOf

JSON = dict[str, Any]


@pytest.fixture
def body(connected_app: App, client: WebClient, alice: WorkspaceMember) -> JSON:
    """The payload of a click by Alice that the app has acknowledged."""
    received: list[JSON] = []

    @connected_app.action("go")
    def go(ack: Ack, body: JSON) -> None:
        received.append(body)
        ack()

    client.chat_postMessage(channel="#churn", text="card", blocks=[actions(button("Go", "go"))])
    assert alice.clicks(alice.sees("#churn")[-1], "Go").acked
    return received[0]


def respond(body: JSON, **answer: Any) -> httpx2.Response:
    return httpx2.post(body["response_url"], json=answer, trust_env=False)


def test_an_answer_is_ephemeral_by_default(body: JSON, alice: WorkspaceMember, bob: WorkspaceMember) -> None:
    assert respond(body, text="for you").status_code == 200
    respond(body, text="for all", response_type="in_channel")
    assert [message["text"] for message in alice.sees("#churn")] == ["card", "for you", "for all"]
    assert [message["text"] for message in bob.sees("#churn")] == ["card", "for all"]


def test_a_url_works_five_times(body: JSON) -> None:
    statuses = [respond(body, text="x").status_code for _ in range(6)]
    assert statuses == [200] * 5 + [404]
    assert respond(body, text="x").json()["error"] == "used_url"


def test_a_refused_answer_doesn_t_count(body: JSON) -> None:
    assert respond(body, text="").json()["error"] == "no_text"
    assert respond(body, blocks=[{"type": "banner"}]).status_code == 400
    assert [respond(body, text="x").status_code for _ in range(5)] == [200] * 5


def test_too_many_characters_of_blocks_are_refused(body: JSON) -> None:
    assert respond(body, text="x", blocks=blocks_with_length(BLOCKS_MAX)).status_code == 200
    assert respond(body, text="x", blocks=blocks_with_length(BLOCKS_MAX + 1)).json()["error"] == "msg_blocks_too_long"


def test_a_url_works_for_thirty_minutes(slack: LocalSlack, body: JSON) -> None:
    slack.advance(29 * 60)
    assert respond(body, text="x").status_code == 200
    slack.advance(2 * 60)
    assert respond(body, text="x").json()["error"] == "expired_url"


def test_the_original_can_be_replaced_and_deleted(body: JSON, alice: WorkspaceMember) -> None:
    respond(body, replace_original=True, text="replaced")
    (message,) = alice.sees("#churn")
    assert message["text"] == "replaced"
    assert "blocks" not in message
    respond(body, delete_original=True)
    assert alice.sees("#churn") == []


def test_a_trigger_opens_one_modal(
    client: WebClient, body: JSON, alice: WorkspaceMember, slack_error: SlackErrorOf
) -> None:
    client.views_open(trigger_id=body["trigger_id"], view=modal())
    assert alice.modal() is not None
    again = slack_error(client.views_open, trigger_id=body["trigger_id"], view=modal())
    assert again == "exchanged_trigger_id"


def test_a_trigger_works_for_three_seconds(
    slack: LocalSlack, client: WebClient, body: JSON, slack_error: SlackErrorOf
) -> None:
    slack.advance(3.1)
    late = slack_error(client.views_open, trigger_id=body["trigger_id"], view=modal())
    assert late == "expired_trigger_id"


def test_a_made_up_trigger_is_invalid(client: WebClient, slack_error: SlackErrorOf) -> None:
    assert slack_error(client.views_open, trigger_id="1.2.abc", view=modal()) == "invalid_trigger_id"


def test_an_invalid_view_doesn_t_use_up_the_trigger(
    client: WebClient, body: JSON, alice: WorkspaceMember, slack_error: SlackErrorOf
) -> None:
    wrong = modal(title="x" * 25)
    assert slack_error(client.views_open, trigger_id=body["trigger_id"], view=wrong) == "invalid_arguments"
    client.views_open(trigger_id=body["trigger_id"], view=modal())
    assert alice.modal() is not None


def test_a_trigger_from_a_message_can_t_push_a_view(client: WebClient, body: JSON, slack_error: SlackErrorOf) -> None:
    assert slack_error(client.views_push, trigger_id=body["trigger_id"], view=modal()) == "not_found"

"""People's actions on the Home tab."""

from __future__ import annotations

import pytest
from slack_bolt import Ack, App
from slack_sdk import WebClient

from localslack import LocalSlack, RefusedError, WorkspaceMember
from tests.localslack.block_builders import actions, button, home, modal, plain, text_input
from tests.localslack.bolt_apps import (
    SlackErrorOf,
    in_background,
    receive,
    silent_connection,
)
from tests.localslack.home_views import JSON, STAGES, acknowledge, section, texts_of


def test_a_click_on_the_home_tab_has_slack_s_format(
    slack: LocalSlack, client: WebClient, alice: WorkspaceMember
) -> None:
    client.views_publish(
        user_id="U0ALICE", view=home(text_input("note", "Note"), actions(button("Go", "go", value="7")))
    )
    shown = alice.waits_for_home()
    with silent_connection(slack) as socket:
        receive(socket)
        click = in_background(alice.clicks, shown, "Go")
        envelope = receive(socket)
        acknowledge(socket, envelope)
        assert click.result().acked
    payload = envelope["payload"]
    assert envelope["type"] == "interactive"
    assert payload["type"] == "block_actions"
    assert payload["container"] == {"type": "view", "view_id": shown["id"]}
    assert (payload["view"]["type"], payload["view"]["hash"]) == ("home", shown["hash"])
    assert payload["view"]["state"] == {"values": {"note": {"value": {"type": "plain_text_input", "value": None}}}}
    assert payload["user"]["id"] == "U0ALICE"
    assert payload["team"]["id"] == slack.team_id
    assert payload["trigger_id"]
    assert (payload["actions"][0]["action_id"], payload["actions"][0]["value"]) == ("go", "7")
    assert not {"response_url", "channel", "message", "state"} & set(payload)


def test_a_button_can_update_its_own_home_tab(running_app: App, client: WebClient, alice: WorkspaceMember) -> None:
    @running_app.action("done")
    def done(ack: Ack, body: JSON, client: WebClient) -> None:
        ack()
        client.views_publish(user_id=body["user"]["id"], view=home(section("all done")), hash=body["view"]["hash"])

    ask = {"title": plain("Sure?"), "text": plain("x"), "confirm": plain("Yes"), "deny": plain("No")}
    client.views_publish(user_id="U0ALICE", view=home(actions(button("Done", "done", confirm=ask))))
    assert alice.clicks(alice.waits_for_home(), "Done").acked
    alice.waits_for_home(lambda view: texts_of(view) == ["all done"])


def test_a_choice_is_sent_and_kept_when_the_tab_is_published_again(
    running_app: App, client: WebClient, alice: WorkspaceMember
) -> None:
    received: list[JSON] = []

    @running_app.action("stage")
    def stage(ack: Ack, body: JSON) -> None:
        received.append(body)
        ack()

    select = {"type": "static_select", "action_id": "stage", "options": STAGES, "placeholder": plain("Stage")}
    client.views_publish(user_id="U0ALICE", view=home(actions(select)))
    assert alice.chooses(alice.waits_for_home(), "Stage", "Production").acked
    chosen = {"actions": {"stage": {"type": "static_select", "selected_option": STAGES[1]}}}
    assert received[0]["actions"][0]["selected_option"] == STAGES[1]
    assert received[0]["view"]["state"]["values"] == chosen
    client.views_publish(user_id="U0ALICE", view=home(section("new"), actions(select)))
    assert alice.waits_for_home()["state"]["values"] == chosen


def test_a_modal_opens_from_the_home_tab(
    running_app: App, client: WebClient, alice: WorkspaceMember, slack_error: SlackErrorOf
) -> None:
    errors: list[str] = []

    @running_app.action("ask")
    def ask(ack: Ack, body: JSON, client: WebClient) -> None:
        errors.append(slack_error(client.views_push, trigger_id=body["trigger_id"], view=modal()))
        client.views_open(trigger_id=body["trigger_id"], view=modal(title="Why?"))
        ack()

    client.views_publish(user_id="U0ALICE", view=home(actions(button("Ask", "ask"))))
    assert alice.clicks(alice.waits_for_home(), "Ask").acked
    assert alice.waits_for_modal()["title"]["text"] == "Why?"
    assert errors == ["not_found"]


def test_a_block_id_selects_one_of_several_equal_buttons(
    running_app: App, client: WebClient, alice: WorkspaceMember
) -> None:
    pressed: list[str] = []

    @running_app.action("go")
    def go(ack: Ack, action: JSON) -> None:
        pressed.append(action["block_id"])
        ack()

    rows = [actions(button("Go", "go"), block_id=block_id) for block_id in ("first", "second")]
    client.views_publish(user_id="U0ALICE", view=home(*rows))
    alice.clicks(alice.waits_for_home(), "Go", block="second")
    assert pressed == ["second"]


def test_no_one_can_click_on_another_person_s_tab_or_on_a_removed_button(
    client: WebClient, alice: WorkspaceMember, bob: WorkspaceMember
) -> None:
    client.views_publish(user_id="U0ALICE", view=home(actions(button("Go", "go"))))
    view = alice.waits_for_home()
    with pytest.raises(RefusedError, match="not_found"):
        bob.clicks(view, "Go")
    client.views_publish(user_id="U0ALICE", view=home(section("gone")))
    with pytest.raises(RefusedError, match="not_found"):
        alice.clicks(view, "Go")


def test_a_home_tab_can_t_be_submitted(slack: LocalSlack, client: WebClient) -> None:
    view = client.views_publish(user_id="U0ALICE", view=home(text_input("note", "Note")))["view"]
    with pytest.raises(RefusedError, match="not_found"):
        slack.act("submit", user="alice", view_id=view["id"])

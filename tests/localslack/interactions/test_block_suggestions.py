"""Menus with external options: the payloads that the app gets, and the options that people see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from slack_bolt import Ack, App
from slack_sdk import WebClient

from localslack import LocalSlack, RefusedError, WorkspaceMember
from tests.localslack.block_builders import actions, button, home, modal, plain
from tests.localslack.bolt_apps import HOME_MANIFEST, bolt_app, over_http, over_socket_mode
from tests.support.app.workspaces import local_slack

JSON = dict[str, Any]
TEAMS = ["churn", "pricing", "fraud"]


def option(name: str) -> JSON:
    return {"text": plain(name.title()), "value": f"team-{name}"}


def menu(kind: str = "external_select", **fields: Any) -> JSON:
    return {"type": kind, "action_id": "team", "placeholder": plain("Pick a team"), "min_query_length": 1, **fields}


def field(**fields: Any) -> JSON:
    return {"type": "input", "block_id": "teams", "label": plain("Team"), "element": menu(**fields)}


def offer_options(app: App, answer: Any = None) -> list[JSON]:
    """Let the app offer teams that start with the typed text, or a fixed answer; return its payloads."""
    received: list[JSON] = []

    @app.options("team")
    def team(ack: Ack, body: JSON) -> None:
        received.append(body)
        matching = [option(name) for name in TEAMS if name.startswith(body["value"].lower())]
        ack(**(answer or {"options": matching}))

    return received


def record_choices(app: App) -> list[JSON]:
    received: list[JSON] = []

    @app.action("team")
    def team(ack: Ack, body: JSON) -> None:
        received.append(body["actions"][0])
        ack()

    return received


def post_element(client: WebClient, alice: WorkspaceMember, element: JSON) -> JSON:
    client.chat_postMessage(channel="C0CHURN", text="x", blocks=[actions(element)])
    return alice.sees("#churn")[-1]


def open_modal(app: App, alice: WorkspaceMember, view: JSON) -> JSON:
    @app.command("/ask")
    def ask(ack: Ack, client: WebClient, body: JSON) -> None:
        ack()
        client.views_open(trigger_id=body["trigger_id"], view=view)

    alice.types("#churn", "/ask")
    return alice.waits_for_modal()


@pytest.fixture(scope="module")
def workspace() -> Iterator[LocalSlack]:
    """Run a workspace whose app has a Home tab."""
    with local_slack(HOME_MANIFEST) as slack:
        yield slack


@pytest.fixture(params=["socket mode", "signed http"])
def running_app(request: pytest.FixtureRequest, slack: LocalSlack) -> Iterator[App]:
    app = bolt_app(slack)
    connection = over_socket_mode if request.param == "socket mode" else over_http
    with connection(slack, app):
        yield app


def test_the_app_offers_options_for_the_typed_text(running_app: App, client: WebClient, alice: WorkspaceMember) -> None:
    offer_options(running_app)
    card = post_element(client, alice, menu())
    assert alice.looks_up(card, "Pick a team", "p") == [option("pricing")]


def test_the_app_gets_text_typed_in_a_message_s_menu(
    connected_app: App, client: WebClient, alice: WorkspaceMember
) -> None:
    received = offer_options(connected_app)
    card = post_element(client, alice, menu())
    alice.looks_up(card, "team", "fr")
    said = received[0]
    assert (said["type"], said["value"], said["action_id"]) == ("block_suggestion", "fr", "team")
    assert said["block_id"] == "actions"
    assert said["container"]["message_ts"] == said["message"]["ts"] == card["ts"]
    assert said["channel"] == {"id": "C0CHURN", "name": "churn"}
    assert said["user"]["id"] == "U0ALICE"
    assert "trigger_id" not in said


def test_the_app_gets_text_typed_in_a_modal_s_menu(connected_app: App, alice: WorkspaceMember) -> None:
    received = offer_options(connected_app)
    view = open_modal(connected_app, alice, modal(field()))
    alice.looks_up(view, "team", "ch")
    assert received[0]["container"] == {"type": "view", "view_id": view["id"]}
    assert received[0]["view"]["id"] == view["id"]
    assert "message" not in received[0]


def test_an_offered_option_can_be_chosen(connected_app: App, client: WebClient, alice: WorkspaceMember) -> None:
    offer_options(connected_app)
    received = record_choices(connected_app)
    card = post_element(client, alice, menu())
    (pricing,) = alice.looks_up(card, "team", "pri")
    assert alice.chooses(card, "team", pricing).acked
    assert received[0]["selected_option"] == option("pricing")


def test_choosing_by_text_looks_up_the_option(connected_app: App, client: WebClient, alice: WorkspaceMember) -> None:
    offer_options(connected_app)
    received = record_choices(connected_app)
    alice.chooses(post_element(client, alice, menu()), "team", "Fraud")
    assert received[0]["selected_option"] == option("fraud")


def test_an_option_that_the_app_doesn_t_offer_can_t_be_chosen(
    connected_app: App, client: WebClient, alice: WorkspaceMember
) -> None:
    offer_options(connected_app)
    card = post_element(client, alice, menu())
    with pytest.raises(LookupError, match="no option 'Churn and more'"):
        alice.chooses(card, "team", "Churn and more")


def test_an_answer_that_isn_t_an_option_is_refused(
    slack: LocalSlack, client: WebClient, alice: WorkspaceMember
) -> None:
    card = post_element(client, alice, menu())
    body = {"channel": card["channel"], "ts": card["ts"], "block_id": "actions", "action_id": "team"}
    with pytest.raises(RefusedError, match="accepts only options that the app offered"):
        slack.act("click", user="alice", **body, answer="anything")


def test_a_form_is_submitted_with_the_chosen_options(connected_app: App, alice: WorkspaceMember) -> None:
    offer_options(connected_app)
    received: list[JSON] = []

    @connected_app.view("form")
    def form(ack: Ack, view: JSON) -> None:
        received.append(view["state"]["values"]["teams"]["team"])
        ack()

    open_modal(connected_app, alice, modal(field(type="multi_external_select")))
    assert alice.submits({"Team": ["Churn", "Fraud"]}) is None
    assert received[0]["selected_options"] == [option("churn"), option("fraud")]


def test_a_choice_on_the_home_tab_is_in_the_state_of_the_next_click(
    connected_app: App, client: WebClient, alice: WorkspaceMember
) -> None:
    offer_options(connected_app)
    record_choices(connected_app)
    states: list[JSON] = []

    @connected_app.action("go")
    def go(ack: Ack, body: JSON) -> None:
        states.append(body["view"]["state"]["values"]["actions"]["team"])
        ack()

    client.views_publish(user_id="U0ALICE", view=home(actions(menu(), button("Go", "go"))))
    alice.chooses(alice.waits_for_home(), "team", "Churn")
    alice.clicks(alice.waits_for_home(), "Go")
    assert states == [{"type": "external_select", "selected_option": option("churn")}]


def test_option_groups_are_offered_too(connected_app: App, client: WebClient, alice: WorkspaceMember) -> None:
    groups = [{"label": plain("Ours"), "options": [option("churn")]}]
    offer_options(connected_app, {"option_groups": groups})
    assert alice.looks_up(post_element(client, alice, menu()), "team", "x") == [option("churn")]


def test_no_matching_options_is_a_valid_answer(connected_app: App, client: WebClient, alice: WorkspaceMember) -> None:
    offer_options(connected_app)
    assert alice.looks_up(post_element(client, alice, menu()), "team", "zzz") == []


def test_the_app_isn_t_queried_before_three_letters_by_default(
    connected_app: App, client: WebClient, alice: WorkspaceMember
) -> None:
    received = offer_options(connected_app)
    card = post_element(client, alice, {**menu(), "min_query_length": None})
    assert alice.looks_up(card, "team", "ch") == []
    assert received == []
    assert alice.looks_up(card, "team", "chu") == [option("churn")]


PATIENCE = {"text": plain("x" * 76), "value": "x"}
BLUNT = {"text": plain("x"), "value": "x" * 151}


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ({"options": [option(str(number)) for number in range(101)]}, "no more than 100 items"),
        ({"options": [PATIENCE]}, "less than 76 characters"),
        ({"options": [BLUNT]}, "less than 151 characters"),
        ({"option_groups": [{"label": plain("x"), "options": []}]}, "no fewer than 1 items"),
    ],
)
def test_options_that_slack_wouldn_t_show_are_refused(
    slack: LocalSlack, connected_app: App, client: WebClient, alice: WorkspaceMember, answer: JSON, complaint: str
) -> None:
    offer_options(connected_app, answer)
    card = post_element(client, alice, menu())
    with pytest.raises(RefusedError, match="invalid_options"):
        alice.looks_up(card, "team", "x")
    assert complaint in slack.problems()[0]


def test_people_see_an_error_if_the_app_doesn_t_answer(client: WebClient, alice: WorkspaceMember) -> None:
    with pytest.raises(RefusedError, match="dispatch_failed"):
        alice.looks_up(post_element(client, alice, menu()), "team", "x")


def test_a_menu_with_static_options_doesn_t_query_the_app(client: WebClient, alice: WorkspaceMember) -> None:
    static = {"type": "static_select", "action_id": "team", "options": [option("churn")]}
    with pytest.raises(RefusedError, match="a menu with external options"):
        alice.looks_up(post_element(client, alice, static), "team", "churn")

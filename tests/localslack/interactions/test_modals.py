"""Modals: stacks, hashes, answers, and the app's responses."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from slack_bolt import Ack, App
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from localslack import LocalSlack, WorkspaceMember
from tests.localslack.block_builders import actions, button, modal, plain, text_input
from tests.localslack.bolt_apps import SlackErrorOf

JSON = dict[str, Any]
STAGES = [{"text": plain("Staging"), "value": "s"}, {"text": plain("Production"), "value": "p"}]


def open_on_command(app: App, view: JSON) -> None:
    @app.command("/ask")
    def ask(ack: Ack, client: WebClient, body: JSON) -> None:
        ack()
        client.views_open(trigger_id=body["trigger_id"], view=view)


def record_submissions(app: App, **answer: Any) -> list[JSON]:
    received: list[JSON] = []

    @app.view("form")
    def form(ack: Ack, body: JSON) -> None:
        received.append(body)
        ack(**answer)

    return received


def open_modal(alice: WorkspaceMember) -> JSON:
    alice.types("#churn", "/ask")
    return alice.waits_for_modal()


def test_each_element_sends_its_answer_in_slack_s_format(connected_app: App, alice: WorkspaceMember) -> None:
    inputs = {
        "stage": {"type": "static_select", "action_id": "value", "options": STAGES},
        "stages": {"type": "multi_static_select", "action_id": "value", "options": STAGES},
        "who": {"type": "users_select", "action_id": "value"},
        "day": {"type": "datepicker", "action_id": "value", "initial_date": "2026-01-31"},
        "sure": {"type": "checkboxes", "action_id": "value", "options": STAGES},
    }
    labelled = [
        {"type": "input", "block_id": name, "label": plain(name), "element": element, "optional": True}
        for name, element in inputs.items()
    ]
    open_on_command(connected_app, modal(*labelled))
    received = record_submissions(connected_app)
    open_modal(alice)
    assert alice.submits({"stage": "Production", "stages": ["s", "Production"], "who": "U0BOB"}) is None
    values = {name: state["value"] for name, state in received[0]["view"]["state"]["values"].items()}
    assert values["stage"] == {"type": "static_select", "selected_option": STAGES[1]}
    assert values["stages"]["selected_options"] == STAGES
    assert values["who"] == {"type": "users_select", "selected_user": "U0BOB"}
    assert values["day"]["selected_date"] == "2026-01-31"
    assert values["sure"]["selected_options"] == []


def test_a_submission_contains_the_view(slack: LocalSlack, connected_app: App, alice: WorkspaceMember) -> None:
    open_on_command(connected_app, modal(private_metadata="request 7"))
    received = record_submissions(connected_app)
    view = open_modal(alice)
    alice.submits({"reason": "because"})
    sent = received[0]["view"]
    assert (sent["id"], sent["hash"], sent["callback_id"]) == (view["id"], view["hash"], "form")
    assert sent["private_metadata"] == "request 7"
    assert sent["root_view_id"] == view["id"]
    assert sent["previous_view_id"] is None
    assert received[0]["team"]["id"] == slack.team_id


@pytest.mark.parametrize(
    ("field", "said", "complaint"),
    [
        ({}, "", "Please complete this required field."),
        ({"min_length": 5}, "no", "This field must be at least 5 characters."),
        ({"max_length": 3}, "long", "This field can't be longer than 3 characters."),
    ],
)
def test_slack_s_client_refuses_invalid_input(
    connected_app: App, alice: WorkspaceMember, field: JSON, said: str, complaint: str
) -> None:
    open_on_command(connected_app, modal(text_input("reason", "Reason", **field)))
    received = record_submissions(connected_app)
    open_modal(alice)
    assert alice.submits({"reason": said}) == {"reason": complaint}
    assert received == []


def test_an_update_replaces_the_view(connected_app: App, alice: WorkspaceMember) -> None:
    open_on_command(connected_app, modal())
    record_submissions(connected_app, response_action="update", view=modal(title="Second"))
    first = open_modal(alice)
    alice.submits({"reason": "x"})
    (view,) = alice.modals()
    assert view["title"]["text"] == "Second"
    assert view["id"] == first["id"]
    assert view["hash"] != first["hash"]


def test_a_pushed_view_is_on_top_and_closes_first(connected_app: App, alice: WorkspaceMember) -> None:
    open_on_command(connected_app, modal())
    record_submissions(connected_app, response_action="push", view=modal(title="Second", callback_id="other"))
    first = open_modal(alice)
    alice.submits({"reason": "x"})
    second = alice.modals()[-1]
    assert second["previous_view_id"] == second["root_view_id"] == first["id"]
    alice.closes()
    assert [view["id"] for view in alice.modals()] == [first["id"]]


def test_clear_closes_all_views(connected_app: App, alice: WorkspaceMember) -> None:
    open_on_command(connected_app, modal())
    record_submissions(connected_app, response_action="clear")
    open_modal(alice)
    assert alice.submits({"reason": "x"}) is None
    assert alice.modals() == []


@pytest.mark.parametrize(
    "answer",
    [
        {"response_action": "errors", "errors": {"elsewhere": "x"}},
        {"response_action": "update", "view": modal(title="x" * 25)},
        {"response_action": "dance"},
    ],
)
def test_an_invalid_answer_is_an_error_for_the_person_and_a_problem_for_the_developer(
    slack: LocalSlack, connected_app: App, alice: WorkspaceMember, answer: JSON
) -> None:
    open_on_command(connected_app, modal())

    @connected_app.view("form")
    def form(ack: Ack) -> None:
        ack(answer)

    open_modal(alice)
    errors = alice.submits({"reason": "x"})
    assert errors == {"*": "We had some trouble connecting. Try again?"}
    assert len(slack.problems()) == 1


def test_at_most_three_views_can_be_open(connected_app: App, alice: WorkspaceMember, slack: LocalSlack) -> None:
    with_more = modal(actions(button("More", "more")))
    open_on_command(connected_app, with_more)

    @connected_app.action("more")
    def more(client: WebClient, ack: Ack, body: JSON) -> None:
        with contextlib.suppress(SlackApiError):
            client.views_push(trigger_id=body["trigger_id"], view=with_more)
        ack()

    open_modal(alice)
    for _ in range(3):
        alice.clicks(alice.modals()[-1], "More")
    assert [call["error"] for call in slack.calls("views.push")] == [None, None, "push_limit_reached"]
    assert len(alice.modals()) == 3


def test_an_update_with_an_old_hash_is_refused(
    connected_app: App, client: WebClient, alice: WorkspaceMember, slack_error: SlackErrorOf
) -> None:
    open_on_command(connected_app, modal())
    view = open_modal(alice)
    client.views_update(view_id=view["id"], hash=view["hash"], view=modal(title="New"))
    again = slack_error(client.views_update, view_id=view["id"], hash=view["hash"], view=modal())
    assert again == "hash_conflict"


def test_an_update_keeps_answers(connected_app: App, client: WebClient, alice: WorkspaceMember) -> None:
    open_on_command(connected_app, modal(text_input("reason", "Reason"), actions(button("Check", "check"))))

    @connected_app.action("check")
    def check(ack: Ack) -> None:
        ack()

    view = open_modal(alice)
    alice.slack.act(
        "click",
        user="alice",
        view_id=view["id"],
        block_id="actions",
        action_id="check",
        answers={"reason": {"value": "half-written"}},
    )
    client.views_update(view_id=view["id"], view=modal(text_input("reason", "Reason"), title="New"))
    shown = alice.modal()
    assert shown is not None
    assert shown["state"]["values"]["reason"]["value"]["value"] == "half-written"


def test_a_view_is_found_by_its_external_id(
    connected_app: App, client: WebClient, alice: WorkspaceMember, slack_error: SlackErrorOf
) -> None:
    open_on_command(connected_app, modal(external_id="request-7"))
    open_modal(alice)
    client.views_update(external_id="request-7", view=modal(title="New", external_id="request-7"))
    assert alice.modals()[0]["title"]["text"] == "New"
    assert slack_error(client.views_update, external_id="request-8", view=modal()) == "not_found"


def test_closing_a_view_sends_an_event_if_notify_on_close_is_set(connected_app: App, alice: WorkspaceMember) -> None:
    open_on_command(connected_app, modal(notify_on_close=True))
    received: list[JSON] = []

    @connected_app.view_closed("form")
    def closed(ack: Ack, body: JSON) -> None:
        received.append(body)
        ack()

    open_modal(alice)
    assert alice.closes() == {"ok": True, "closed": 1, "notified": 1}
    assert received[0]["is_cleared"] is False


def test_a_view_that_is_too_large_is_refused(client: WebClient, slack_error: SlackErrorOf) -> None:
    fields = [{"type": "mrkdwn", "text": "x" * 2000}] * 10
    large = modal(*[{"type": "section", "fields": fields}] * 13)
    assert slack_error(client.views_open, trigger_id="any", view=large) == "view_too_large"

"""Commands in direct messages and mentions."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from slack_bolt import BoltRequest

from handlers.serve import build_bolt_app
from localslack import WorkspaceMember, payloads
from tests.support.app.app_fixture import CHANNEL, RunningApp, message_text, settings_for
from tests.support.app.harness import only_request, signed_client


def direct_channel(person: WorkspaceMember) -> str:
    """Return the ID of a person's conversation with the bot."""
    return str(person.slack.query("direct", user=person.name)["channel"])


def test_a_direct_message_is_answered_with_a_message(app: RunningApp) -> None:
    app.alice.types(direct_channel(app.alice), "show churn")
    answer = app.alice.waits_for_direct_message(lambda message: "4 versions" in message_text(message))
    assert not answer["is_ephemeral"]


def test_a_direct_message_in_a_thread_is_answered_there(app: RunningApp) -> None:
    direct = direct_channel(app.alice)
    question = app.alice.types(direct, "help").message
    assert question is not None
    app.alice.types(direct, "help promote", thread=question)
    answer = app.slack.wait_for(lambda: [one for one in app.alice.thread(question) if "--to" in message_text(one)])
    assert answer


def test_a_mention_in_a_thread_is_answered_there_and_only_to_the_person(app: RunningApp) -> None:
    question = app.bob.types(CHANNEL, "what's in production?").message
    assert question is not None
    app.alice.types(CHANNEL, "@registrar show churn", thread=question)
    [answer] = app.slack.wait_for(lambda: [one for one in app.alice.thread(question) if "4 versions" in str(one)])
    assert answer["is_ephemeral"]
    assert "4 versions" not in str(app.bob.thread(question))


def test_a_mention_alone_shows_the_menu(app: RunningApp) -> None:
    app.alice.types(CHANNEL, "@registrar")
    assert app.answer(app.alice, "What would you like to do?")


def test_a_typo_in_a_message_is_answered(app: RunningApp) -> None:
    app.alice.types(CHANNEL, "@registrar prmote churn 4 production")
    assert app.answer(app.alice, "/model promote")


def test_a_decision_in_a_message_is_posted_as_usual(app: RunningApp) -> None:
    app.alice.types(direct_channel(app.alice), "promote churn 4 production")
    app.card()
    app.bob.types(CHANNEL, f"@registrar approve {only_request(app.ledger).id}")
    app.card(holds="is in Production")
    assert app.production() == [4]


def test_a_stranger_s_message_is_refused(app: RunningApp) -> None:
    app.slack.change_person("alice", team_id="T0OTHER")
    app.alice.types(CHANNEL, "@registrar show churn")
    assert app.answer(app.alice, "Only members of this workspace")


def test_a_message_without_the_arguments_offers_the_form(app: RunningApp) -> None:
    app.alice.types(direct_channel(app.alice), "promote churn 4")
    offer = app.alice.waits_for_direct_message(lambda message: "Missing STAGE" in message_text(message))
    app.alice.clicks(offer, "Open form")
    assert "churn" in str(app.alice.waits_for_modal()["blocks"])


def test_a_redelivered_message_is_executed_once_even_by_another_process(app: RunningApp, tmp_path: Path) -> None:
    event = {"type": "message", "channel": direct_channel(app.alice), "channel_type": "im", "user": "U0ALICE"}
    event |= {"ts": "5.1", "text": "promote churn 4 production"}
    body = payloads.event_callback(event, event_id="Ev1", event_time=5)
    for _ in range(2):
        signed_client(app).send(body)
    other, interactions = build_bolt_app(settings_for(app.slack, tmp_path), app.registrar)
    with closing(interactions):
        other.dispatch(BoltRequest(mode="socket_mode", body=body))
        app.alice.waits_for_direct_message(lambda message: "Requested" in message_text(message))
    assert app.audit().count("person:promotion:asked") == 1

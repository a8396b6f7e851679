"""Forged buttons and forms, and requests that Slack didn't sign, are refused and change nothing."""

from __future__ import annotations

import time
from typing import Any

import pytest

from bot.domain.audit.events import EventTag
from bot.slack.promotions import request_card
from localslack import LocalSlack, PersonSeed, WorkspaceMember, payloads
from localslack.signing import signature
from tests.support.app.app_fixture import CHANNEL, RunningApp, message_text, running_app
from tests.support.app.harness import (
    BOB,
    DAVE,
    StateSnapshot,
    audit_links,
    click,
    command,
    only_request,
    reply_to,
    run_concurrently,
    signed_client,
    take_snapshot,
)
from tests.support.app.untouched_bot import GONE, GUEST, MACHINE, VISITOR
from tests.support.registry.memory import MemoryRegistry


def actor(seed: PersonSeed) -> payloads.Actor:
    """Return this person as the actor of a payload."""
    return payloads.Actor(id=seed.id, name=seed.name, team_id=seed.team_id or "T0LOCAL")


# -- forged buttons and forms ------------------------------------------------------------------------------------------


FORGED: list[Any] = [
    "",
    "r00000",
    "R",
    "null",
    "{}",
    '{"request": "r00000", "user": "U0BOB"}',
    "' OR 1=1 --",
    "../..",
    "🦄",
    "r" * 2000,
    "<!channel>",
    None,
    7,
    ["r00000"],
    {"request": "r00000"},
]


@pytest.mark.parametrize("value", FORGED, ids=[repr(value)[:30] for value in FORGED])
@pytest.mark.parametrize("button", [request_card.APPROVE, request_card.REJECT, request_card.DETAILS])
def test_a_forged_button_decides_nothing(bot: RunningApp, before: StateSnapshot, button: str, value: Any) -> None:
    sentence = reply_to(bot.bob, lambda: signed_client(bot).send(click(BOB, value, button)))
    assert "request" in sentence.casefold()
    assert take_snapshot(bot) == before


def test_a_button_without_a_value_decides_nothing(bot: RunningApp, before: StateSnapshot) -> None:
    payload = click(BOB, "")
    del payload["actions"][0]["value"]
    assert "request" in reply_to(bot.bob, lambda: signed_client(bot).send(payload))
    assert take_snapshot(bot) == before


def test_the_clicking_person_comes_from_slack_s_payload_not_the_button(bot: RunningApp, before: StateSnapshot) -> None:
    request = only_request(bot.ledger)
    payload = click(DAVE, request.id)
    payload["actions"][0]["user"] = payload["message"]["user"] = {"id": "U0BOB", "team_id": "T0LOCAL"}
    sentence = reply_to(bot.slack.person("dave"), lambda: signed_client(bot).send(payload))
    assert "Only approvers can decide" in sentence
    assert take_snapshot(bot) == before


@pytest.mark.parametrize("metadata", ["", "r00000", '{"request": "r00000"}', "<!channel>", "r" * 3000])
@pytest.mark.parametrize("form", ["promote", "reject"])
def test_a_forged_form_is_answered_under_a_field(
    bot: RunningApp, before: StateSnapshot, form: str, metadata: str
) -> None:
    typed = {"model": "churn", "version": "2", "to": "production", "reason": "because"}
    values = {field: {"value": {"type": "plain_text_input", "value": text}} for field, text in typed.items()}
    view = {"type": "modal", "id": "V1", "callback_id": form, "private_metadata": metadata, "state": {"values": values}}
    answer = signed_client(bot).send(payloads.view_submission(view, actor=BOB))
    assert answer.json()["response_action"] == "errors"
    assert take_snapshot(bot) == before


@pytest.mark.parametrize(
    ("who", "sentence"),
    [
        (VISITOR, "Only members of this workspace"),
        (GUEST, "Guests can view, but can't request or decide"),
        (MACHINE, "Bots and deactivated accounts can't use"),
        (GONE, "Bots and deactivated accounts can't use"),
    ],
    ids=["another workspace", "guest", "bot", "deactivated"],
)
@pytest.mark.parametrize("act", ["ask", "type", "press", "reject"])
def test_someone_who_is_not_a_full_member_is_told_so(
    bot: RunningApp, before: StateSnapshot, who: PersonSeed, sentence: str, act: str
) -> None:
    request = only_request(bot.ledger)
    payload = {
        "ask": command(actor(who), "promote churn 2 staging"),
        "type": command(actor(who), f"approve {request.id}"),
        "press": click(actor(who), request.id),
        "reject": click(actor(who), request.id, request_card.REJECT),
    }[act]
    assert sentence in whispers(bot, who, payload)
    assert take_snapshot(bot) == before


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("list", "1 model"),
        ("show churn", "`churn`: 4 versions"),
        ("history churn", "`v3`  *serving now*"),
        ("requests", "1 open request"),
    ],
)
def test_a_guest_can_read(bot: RunningApp, text: str, shown: str) -> None:
    assert shown in whispers(bot, GUEST, command(actor(GUEST), text))


@pytest.mark.parametrize("text", ["list", "show churn", "history churn", "requests"])
def test_a_stranger_cannot_read(bot: RunningApp, text: str) -> None:
    assert "Only members of this workspace" in whispers(bot, VISITOR, command(actor(VISITOR), text))


def test_a_stranger_s_click_is_audited(bot: RunningApp) -> None:
    whispers(bot, VISITOR, click(actor(VISITOR), only_request(bot.ledger).id))
    refused = audit_links(bot.ledger, EventTag.REQUEST_COMMAND_REFUSED)[-1].event
    assert (refused.actor.team, refused.actor.user) == ("T0OTHER", "U0VISITOR")  # type: ignore[union-attr]


def whispers(bot: RunningApp, who: PersonSeed, payload: dict[str, Any]) -> str:
    """Send a forged payload, and return the sentence that this account gets, immediately or later."""
    person = WorkspaceMember(bot.slack, who.id)
    answers: list[str] = []

    def act() -> None:
        reply = signed_client(bot).send(payload)
        assert reply.status_code == 200
        if reply.content and "text" in reply.json():
            answers.append(message_text(reply.json()))

    seen = {message["ts"] for message in person.sees(CHANNEL)}
    act()
    if answers:
        return answers[0]
    return message_text(person.waits_for(CHANNEL, lambda m: m.get("is_ephemeral") and m["ts"] not in seen))


# -- not signed by Slack -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("age", [302, 3600, -310, -86400])
def test_an_old_or_future_signature_is_refused(bot: RunningApp, before: StateSnapshot, age: int) -> None:
    payload = click(BOB, only_request(bot.ledger).id)
    assert signed_client(bot).send(payload, timestamp=int(time.time()) - age).status_code == 401
    assert take_snapshot(bot) == before


@pytest.mark.parametrize("stamp", ["", "now", "-1", "1e9", "12.5", "9" * 400, "0x10", "１２３", "NaN"])
def test_a_malformed_timestamp_is_refused(bot: RunningApp, before: StateSnapshot, stamp: str) -> None:
    payload = click(BOB, only_request(bot.ledger).id)
    body, _ = payloads.as_http_body(payload)
    headers = {
        "X-Slack-Request-Timestamp": stamp.encode(),
        "X-Slack-Signature": signature(bot.slack.signing_secret, body, stamp),
    }
    assert signed_client(bot).send(payload, headers=headers).status_code == 401
    assert take_snapshot(bot) == before


@pytest.mark.parametrize("signed", ["", "v0=", "v0=00", "v1=" + "0" * 64, "v0=" + "é" * 64, "x" * 5000])
def test_a_malformed_signature_is_refused(bot: RunningApp, before: StateSnapshot, signed: str) -> None:
    payload = click(BOB, only_request(bot.ledger).id)
    headers = {"X-Slack-Signature": signed.encode()}
    assert signed_client(bot).send(payload, headers=headers).status_code == 401
    assert take_snapshot(bot) == before


def test_a_signature_with_another_secret_is_refused(bot: RunningApp, before: StateSnapshot) -> None:
    assert signed_client(bot).send(click(BOB, only_request(bot.ledger).id), secret="somebody else's").status_code == 401
    assert take_snapshot(bot) == before


@pytest.mark.parametrize(
    "body", [b"", b"{", b"payload=", b"payload=7", b"payload={}", b"\xff\xfe", b"[]", b"payload=[]"]
)
def test_a_meaningless_signed_body_changes_nothing(bot: RunningApp, before: StateSnapshot, body: bytes) -> None:
    assert signed_client(bot).post(body).status_code != 200
    assert take_snapshot(bot) == before


def test_an_endless_body_is_refused(bot: RunningApp, before: StateSnapshot) -> None:
    assert signed_client(bot).post(b"payload=" + b"x" * 1_000_001).status_code == 413
    assert take_snapshot(bot) == before


def test_a_replayed_click_counts_once(slack: LocalSlack, tmp_path: Any) -> None:
    with running_app(slack, tmp_path, MemoryRegistry(), http=True) as app:
        app.alice.types(CHANNEL, "/model promote churn 4 production")
        app.card()
        payload = click(BOB, only_request(app.ledger).id)
        now = int(time.time())
        sends = [lambda: signed_client(app).send(payload, timestamp=now).status_code] * 8
        assert sorted(run_concurrently(sends)) == [200, *[401] * 7]
        app.card(holds="is in Production")
        assert len(audit_links(app.ledger, EventTag.VOTED)) == 1
        assert audit_links(app.ledger, EventTag.REQUEST_COMMAND_REFUSED) == []

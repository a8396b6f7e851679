"""Bad input over the wire: a sentence for each, and nothing changed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from bot.domain.approvals import RequestState
from bot.domain.events import Tag
from bot.registry.memory import MemoryRegistry
from bot.slack import cards
from localslack import LocalSlack, PersonSeed, WorkspaceMember, payloads
from localslack.signing import signature
from tests.harness import (
    ALICE,
    BOB,
    DAVE,
    State,
    all_at_once,
    click,
    command,
    hears,
    links,
    state_of,
    texts_sent,
    the_request,
    types_and_hears,
    wire_to,
)
from tests.waiting import wait_until
from tests.world import CHANNEL, World, running, said

LONG_TEXT = "x" * 3000


@pytest.fixture(scope="module")
def bot(_workspace: LocalSlack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One bot for the whole module, with one open request: nothing here may change anything."""
    _workspace.heal()
    _workspace.reset()
    for who in STRANGERS:
        _workspace.add_person(who)
    _workspace.set_members(CHANNEL, [*_workspace.members(CHANNEL), *(who.id for who in STRANGERS)])
    with running(_workspace, tmp_path_factory.mktemp("bot"), MemoryRegistry(), http=True) as world:
        world.alice.types(CHANNEL, "/model promote churn 4 production")
        world.answer(world.alice, "Requested ")
        yield world


@pytest.fixture
def before(bot: World) -> State:
    """Everything as it was before the test."""
    return state_of(bot)


GUEST, VISITOR, MACHINE, GONE = STRANGERS = (
    PersonSeed(id="U0GUEST", name="guest", is_restricted=True),
    PersonSeed(id="U0VISITOR", name="visitor", team_id="T0OTHER"),
    PersonSeed(id="U0MACHINE", name="machine", is_bot=True),
    PersonSeed(id="U0GONE", name="gone", deleted=True),
)


def actor(seed: PersonSeed) -> payloads.Actor:
    """Return this person as the one who acted."""
    return payloads.Actor(id=seed.id, name=seed.name, team_id=seed.team_id or "T0LOCAL")


# -- what is typed ---------------------------------------------------------------------------------------------------

TYPED = [
    ("promote chrun 4 production", "Did you mean `churn`?"),
    ("show chrun", "Did you mean `churn`?"),
    ("history chrun", "Did you mean `churn`?"),
    ("promote 🦄🦄 4 production", "MLflow has no model `🦄🦄`"),
    ("promote churn 99 production", "v4, v3, v2, v1"),
    ("promote churn 0 production", "v4, v3, v2, v1"),
    ("promote churn 9.9.9 production", "v4, v3, v2, v1"),
    ("promote churn @nobody production", "v4, v3, v2, v1"),
    ("show churn 99", "v4, v3, v2, v1"),
    ("promote churn seven production", "`seven` is no version"),
    ("promote churn -- -7 production", "`-7` is no version"),
    ("promote churn 4 live", "Write `staging` or `production`"),
    ("promote churn 4 archived", "Write `staging` or `production`"),
    ("promote churn 3 production", "is in Production already"),
    ("promote churn 3 staging", "would leave nobody there"),
    ("promote churn 2 production", "is still open"),
    ("promtoe churn 4 production", "Did you mean `promote`?"),
    ("🚀", "Try `help`"),
    ("promote churn 4 production now", "`now` is one word too many"),
    ("list churn everything", "`everything` is one word too many"),
    ("promote churn 4 production --raeson x", "Did you mean `--reason`?"),
    ("promote churn 4 production --force", "`promote` knows no `--force`"),
    ("promote churn 4 production --reason", "needs a value"),
    ('promote churn 4 production --reason "open', "never closed"),
    ("promote a/b 4 production", "no slash, colon or control character"),
    ("promote models:/churn 4 production", "no slash, colon or control character"),
    ("promote churn 4 production --version 5 --model-name x y", "one word too many"),
    ("approve", "REQUEST is missing"),
    ("cancel", "REQUEST is missing"),
    ("reject", "REQUEST and TEXT are missing"),
    ("show", "MODEL is missing"),
    ("approve ../../etc/passwd", "is no request"),
    ("approve r00000", "There is no request `r00000`"),
    ("reject r00000 --reason slow", "There is no request `r00000`"),
    ("cancel r00000", "There is no request `r00000`"),
    ("history churn --last 0", "`--last`"),
    ("history churn --last many", "`--last`"),
    ("help promtoe", "Did you mean `promote`?"),
    (LONG_TEXT, "I know no"),
    (f"promote {LONG_TEXT} 4 production", "longer than the 250 characters"),
    (f"promote churn {LONG_TEXT} production", "is no version"),
    (f"promote churn 4 {LONG_TEXT}", "is no stage"),
    (f"promote churn 4 production --reason {LONG_TEXT}", "longer than 1,000 characters"),
    (f"approve {LONG_TEXT}", "is no request"),
    (f"list {LONG_TEXT}", "No model's name holds"),
]


@pytest.mark.parametrize(("typed", "answer"), TYPED, ids=[typed[:40] for typed, _ in TYPED])
def test_what_cannot_be_done_is_answered_with_a_sentence(bot: World, before: State, typed: str, answer: str) -> None:
    assert answer in types_and_hears(bot.alice, f"/model {typed}")
    assert state_of(bot) == before


@pytest.mark.parametrize(
    ("typed", "filled"),
    [("promote", {}), ("promote churn", {"model": "churn"}), ("promote churn v4", {"model": "churn", "version": "v4"})],
)
def test_missing_arguments_open_a_form_with_what_was_given(
    bot: World, before: State, typed: str, filled: dict[str, str]
) -> None:
    bot.alice.types(CHANNEL, f"/model {typed}")
    form = bot.alice.waits_for_modal()
    bot.alice.closes()
    assert {field: value for field, value in held(form).items() if field in {"model", "version"}} == filled
    assert state_of(bot) == before


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"model": "a/b", "version": "4"}, "model"),
        ({"model": "churn", "version": "four"}, "version"),
        ({"model": "churn", "version": "🦄"}, "version"),
    ],
)
def test_a_wrong_field_of_the_form_is_told_under_it(
    bot: World, before: State, fields: dict[str, str], wrong: str
) -> None:
    bot.alice.types(CHANNEL, "/model promote")
    bot.alice.waits_for_modal()
    errors = bot.alice.submits(fields)
    bot.alice.closes()
    assert errors is not None
    assert list(errors) == [wrong]
    assert state_of(bot) == before


def test_a_rejection_without_a_reason_is_told_under_its_field(bot: World, before: State) -> None:
    bot.bob.types(CHANNEL, f"/model reject {the_request(bot.ledger).id}")
    bot.bob.waits_for_modal()
    errors = bot.bob.submits({"reason": " "})
    bot.bob.closes()
    assert errors is not None
    assert "reason" in errors
    assert state_of(bot) == before


def test_a_command_in_a_direct_message_is_answered_there(bot: World, before: State) -> None:
    direct = bot.alice.direct_messages()
    assert direct == []
    channel = bot.slack.query("direct", user="alice")["channel"]
    assert "Did you mean `churn`?" in types_and_hears(bot.alice, "/model show chrun", channel)
    assert "v4" in types_and_hears(bot.alice, "/model show churn", channel)
    assert state_of(bot) == before


def held(view: dict[str, Any]) -> dict[str, str]:
    """Return what the fields of a form hold, by block id."""
    elements = {block["block_id"]: block["element"] for block in view["blocks"] if block["type"] == "input"}
    return {field: one["initial_value"] for field, one in elements.items() if one.get("initial_value")}


# -- what is forged --------------------------------------------------------------------------------------------------

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
@pytest.mark.parametrize("button", [cards.APPROVE, cards.REJECT, cards.DETAILS])
def test_a_forged_button_decides_nothing(bot: World, before: State, button: str, value: Any) -> None:
    sentence = hears(bot.bob, lambda: wire_to(bot).send(click(BOB, value, button)))
    assert "request" in sentence
    assert state_of(bot) == before


def test_a_button_without_a_value_decides_nothing(bot: World, before: State) -> None:
    payload = click(BOB, "")
    del payload["actions"][0]["value"]
    assert "request" in hears(bot.bob, lambda: wire_to(bot).send(payload))
    assert state_of(bot) == before


def test_who_pressed_is_what_slack_signed_and_not_what_the_button_says(bot: World, before: State) -> None:
    request = the_request(bot.ledger)
    payload = click(DAVE, request.id)
    payload["actions"][0]["user"] = payload["message"]["user"] = {"id": "U0BOB", "team_id": "T0LOCAL"}
    sentence = hears(bot.slack.person("dave"), lambda: wire_to(bot).send(payload))
    assert "not among those who may decide" in sentence
    assert state_of(bot) == before


@pytest.mark.parametrize("metadata", ["", "r00000", '{"request": "r00000"}', "<!channel>", "r" * 3000])
@pytest.mark.parametrize("form", ["promote", "reject"])
def test_a_forged_form_is_answered_under_a_field(bot: World, before: State, form: str, metadata: str) -> None:
    typed = {"model": "churn", "version": "2", "to": "production", "reason": "because"}
    values = {field: {"value": {"type": "plain_text_input", "value": text}} for field, text in typed.items()}
    view = {"type": "modal", "id": "V1", "callback_id": form, "private_metadata": metadata, "state": {"values": values}}
    answer = wire_to(bot).send(payloads.view_submission(view, actor=BOB))
    assert answer.json()["response_action"] == "errors"
    assert state_of(bot) == before


@pytest.mark.parametrize(
    ("who", "sentence"),
    [
        (VISITOR, "Only members of this workspace"),
        (GUEST, "Guests can look, but not ask or decide"),
        (MACHINE, "Bots and deactivated accounts never act"),
        (GONE, "Bots and deactivated accounts never act"),
    ],
    ids=["another workspace", "guest", "bot", "deactivated"],
)
@pytest.mark.parametrize("act", ["ask", "type", "press", "reject"])
def test_who_is_no_full_member_is_told_so(bot: World, before: State, who: PersonSeed, sentence: str, act: str) -> None:
    request = the_request(bot.ledger)
    payload = {
        "ask": command(actor(who), "promote churn 2 staging"),
        "type": command(actor(who), f"approve {request.id}"),
        "press": click(actor(who), request.id),
        "reject": click(actor(who), request.id, cards.REJECT),
    }[act]
    assert sentence in whispers(bot, who, payload)
    assert state_of(bot) == before


@pytest.mark.parametrize("text", ["list", "show churn", "history churn", "requests"])
def test_a_guest_may_look(bot: World, text: str) -> None:
    assert "Guests" not in whispers(bot, GUEST, command(actor(GUEST), text))


@pytest.mark.parametrize("text", ["list", "show churn", "history churn", "requests"])
def test_a_stranger_may_not_even_look(bot: World, text: str) -> None:
    assert "Only members of this workspace" in whispers(bot, VISITOR, command(actor(VISITOR), text))


def test_the_press_of_a_stranger_is_kept_in_the_audit(bot: World) -> None:
    whispers(bot, VISITOR, click(actor(VISITOR), the_request(bot.ledger).id))
    refused = links(bot.ledger, Tag.VOTE_REFUSED)[-1].event
    assert (refused.actor.team, refused.actor.user) == ("T0OTHER", "U0VISITOR")  # type: ignore[union-attr]


def whispers(bot: World, who: PersonSeed, payload: dict[str, Any]) -> str:
    """Send a forged payload and return the sentence that this account hears, directly or afterwards."""
    person = WorkspaceMember(bot.slack, who.id)
    answers: list[str] = []

    def act() -> None:
        reply = wire_to(bot).send(payload)
        assert reply.status_code == 200
        if reply.content and "text" in reply.json():
            answers.append(said(reply.json()))

    seen = {message["ts"] for message in person.sees(CHANNEL)}
    act()
    if answers:
        return answers[0]
    return said(person.waits_for(CHANNEL, lambda m: m.get("is_ephemeral") and m["ts"] not in seen))


# -- what is not signed by Slack --------------------------------------------------------------------------------------


@pytest.mark.parametrize("age", [302, 3600, -310, -86400])
def test_an_old_signature_or_one_from_the_future_is_refused(bot: World, before: State, age: int) -> None:
    payload = click(BOB, the_request(bot.ledger).id)
    assert wire_to(bot).send(payload, timestamp=int(time.time()) - age).status_code == 401
    assert state_of(bot) == before


@pytest.mark.parametrize("stamp", ["", "now", "-1", "1e9", "12.5", "9" * 400, "0x10", "１２３", "NaN"])
def test_a_malformed_timestamp_is_refused(bot: World, before: State, stamp: str) -> None:
    payload = click(BOB, the_request(bot.ledger).id)
    body, _ = payloads.as_http_body(payload)
    headers = {
        "X-Slack-Request-Timestamp": stamp.encode(),
        "X-Slack-Signature": signature(bot.slack.signing_secret, body, stamp),
    }
    assert wire_to(bot).send(payload, headers=headers).status_code == 401
    assert state_of(bot) == before


@pytest.mark.parametrize("signed", ["", "v0=", "v0=00", "v1=" + "0" * 64, "v0=" + "é" * 64, "x" * 5000])
def test_a_malformed_signature_is_refused(bot: World, before: State, signed: str) -> None:
    payload = click(BOB, the_request(bot.ledger).id)
    headers = {"X-Slack-Signature": signed.encode()}
    assert wire_to(bot).send(payload, headers=headers).status_code == 401
    assert state_of(bot) == before


def test_a_signature_with_another_secret_is_refused(bot: World, before: State) -> None:
    assert wire_to(bot).send(click(BOB, the_request(bot.ledger).id), secret="somebody else's").status_code == 401
    assert state_of(bot) == before


@pytest.mark.parametrize(
    "body", [b"", b"{", b"payload=", b"payload=7", b"payload={}", b"\xff\xfe", b"[]", b"payload=[]"]
)
def test_a_signed_body_that_makes_no_sense_changes_nothing(bot: World, before: State, body: bytes) -> None:
    assert wire_to(bot).post(body).status_code != 200
    assert state_of(bot) == before


def test_a_body_without_end_is_refused(bot: World, before: State) -> None:
    assert wire_to(bot).post(b"payload=" + b"x" * 1_000_001).status_code == 413
    assert state_of(bot) == before


def test_a_replayed_click_counts_once(slack: LocalSlack, tmp_path: Any) -> None:
    with running(slack, tmp_path, MemoryRegistry(), http=True) as world:
        world.alice.types(CHANNEL, "/model promote churn 4 production")
        world.card()
        payload = click(BOB, the_request(world.ledger).id)
        now = int(time.time())
        sends = [lambda: wire_to(world).send(payload, timestamp=now).status_code] * 8
        assert sorted(all_at_once(sends)) == [200, *[401] * 7]
        world.card(holds="is in Production")
        assert len(links(world.ledger, Tag.VOTED)) == 1
        assert links(world.ledger, Tag.VOTE_REFUSED) == []


# -- what would be markup ---------------------------------------------------------------------------------------------

EVIL_NAME = "<!channel>*_`x`_<@U0DAVE>&"
EVIL_REASON = "<!channel> <!here> <@U0DAVE> <!subteam^S0LEADS> *x* _y_ `z` & <https:evil.example|click me>"
EVIL = ("<!channel", "<!here", "<@U0DAVE", "<!subteam^S0LEADS", "<https:")


def test_names_and_reasons_never_reach_slack_as_markup(slack: LocalSlack, tmp_path: Any) -> None:
    registry = MemoryRegistry()
    registry.add(EVIL_NAME, versions=2, description=EVIL_REASON, tags={"semver": EVIL_REASON})
    with running(slack, tmp_path, registry, http=True) as world:
        world.alice.types(CHANNEL, f"/model promote {EVIL_NAME} 1 production --reason '{EVIL_REASON}'")
        world.bob.clicks(world.card(), "Approve")
        world.card(holds="is in Production")
        world.alice.types(CHANNEL, f"/model promote {EVIL_NAME} 2 production")
        world.card(holds="v2 to Production?")
        request = the_request(world.ledger)
        for text in (
            "list",
            f"show {EVIL_NAME}",
            f"show {EVIL_NAME} 1",
            f"history {EVIL_NAME}",
            f"show {EVIL_NAME} 9",
            f"show {EVIL_NAME}x",
            f"requests {EVIL_NAME}",
            f"approve {EVIL_NAME}",
            EVIL_NAME,
            f"list {EVIL_NAME} <@U0DAVE>",
            f"reject {request.id} --reason '{EVIL_REASON}'",
        ):
            answer = types_and_hears(world.bob, f"/model {text}")
            assert [mark for mark in EVIL if mark in answer] == []
        world.card(holds="rejected")
        world.alice.waits_for_direct_message(lambda message: "rejected" in said(message))
        assert [text for text in texts_sent(slack) if any(mark in text for mark in EVIL)] == []


# -- what only looks bad ----------------------------------------------------------------------------------------------


def test_smart_quotes_and_dashes_of_a_phone_are_understood(slack: LocalSlack, tmp_path: Any) -> None:
    with running(slack, tmp_path, MemoryRegistry(), http=True) as world:
        world.alice.types(CHANNEL, "/model  promote churn  V4 Production —reason “Bob’s f1 is better – by 2 %” ")
        world.card()
        assert the_request(world.ledger).reason == "Bob's f1 is better – by 2 %"


def test_emoji_and_a_long_reason_stand_on_the_card(slack: LocalSlack, tmp_path: Any) -> None:
    with running(slack, tmp_path, MemoryRegistry(), http=True) as world:
        reason = "🦄&" * 500
        world.alice.types(CHANNEL, f'/model promote churn 4 production --reason "{reason}"')
        assert "🦄" in said(world.card())
        assert the_request(world.ledger).state is RequestState.PENDING
        assert slack.problems() == []


def test_what_slack_escapes_on_the_way_is_what_the_person_typed(slack: LocalSlack, tmp_path: Any) -> None:
    with running(slack, tmp_path, MemoryRegistry(), http=True) as world:
        typed = command(
            ALICE, "promote churn 4 production --reason &lt;0.2 &amp;amp; falling".replace(" &amp;amp; ", "&amp;")
        )
        wire_to(world).send(typed)
        wait_until(lambda: state_of(world).requests)
        assert the_request(world.ledger).reason == "<0.2&falling"

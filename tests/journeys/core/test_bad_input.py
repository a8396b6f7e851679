"""Bad input over the wire gets a sentence and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from bot.domain.promotions.request import RequestState
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, RunningApp, message_text, running_app
from tests.support.app.harness import (
    ALICE,
    StateSnapshot,
    command,
    only_request,
    sent_texts,
    signed_client,
    take_snapshot,
    type_and_read_reply,
)
from tests.support.registry.memory import MemoryRegistry
from tests.support.waiting import wait_until

LONG_TEXT = "x" * 3000


# -- commands ----------------------------------------------------------------------------------------------------------


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
    ("promote churn seven production", "Can't read `seven` as a version"),
    ("promote churn -- -7 production", "Can't read `-7` as a version"),
    ("promote churn 4 live", "Try `staging` or `production`"),
    ("promote churn 4 archived", "Try `staging` or `production`"),
    ("promote churn 3 production", "is already in Production"),
    ("promote churn 3 staging", "would leave Production empty"),
    ("promote churn 2 production", "is still open"),
    ("promtoe churn 4 production", "Did you mean `/model promote`?"),
    ("🚀", "Try `/model help`"),
    ("promote churn 4 production now", "Unexpected word `now`"),
    ("list churn everything", "Unexpected word `everything`"),
    ("promote churn 4 production --raeson x", "Did you mean `--reason`?"),
    ("promote churn 4 production --force", "`promote` has no flag `--force`"),
    ("promote churn 4 production --reason", "needs a value"),
    ('promote churn 4 production --reason "open', "closing quotation mark"),
    ("promote a/b 4 production", "allow slashes, colons, or control characters"),
    ("promote models:/churn 4 production", "allow slashes, colons, or control characters"),
    ("promote churn 4 production --version 5 --model-name x y", "Unexpected word"),
    ("approve", "Missing REQUEST"),
    ("cancel", "Missing REQUEST"),
    ("reject", "Missing REQUEST and TEXT"),
    ("tag", "Missing MODEL, VERSION, and KEY=VALUE"),
    ("approve ../../etc/passwd", "as a request ID"),
    ("approve r00000", "Request `r00000` doesn't exist"),
    ("reject r00000 --reason slow", "Request `r00000` doesn't exist"),
    ("cancel r00000", "Request `r00000` doesn't exist"),
    ("history churn --last 0", "`--last`"),
    ("history churn --last many", "`--last`"),
    ("help promtoe", "Did you mean `/model promote`?"),
    (LONG_TEXT, "Unknown command"),
    (f"promote {LONG_TEXT} 4 production", "longer than 250 characters"),
    (f"promote churn {LONG_TEXT} production", "as a version"),
    (f"promote churn 4 {LONG_TEXT}", "as a target stage"),
    (f"promote churn 4 production --reason {LONG_TEXT}", "over 1,000 characters"),
    (f"approve {LONG_TEXT}", "as a request ID"),
    (f"list {LONG_TEXT}", "No model name contains"),
]


@pytest.mark.parametrize(("typed", "answer"), TYPED, ids=[typed[:40] for typed, _ in TYPED])
def test_a_command_that_cannot_be_done_is_answered_with_a_sentence(
    bot: RunningApp, before: StateSnapshot, typed: str, answer: str
) -> None:
    assert answer in type_and_read_reply(bot.alice, f"/model {typed}")
    assert take_snapshot(bot) == before


@pytest.mark.parametrize(
    ("typed", "filled"),
    [("promote", {}), ("promote churn", {"model": "churn"}), ("promote churn v4", {"model": "churn", "version": "v4"})],
)
def test_missing_arguments_open_a_form_prefilled_with_the_given_ones(
    bot: RunningApp, before: StateSnapshot, typed: str, filled: dict[str, str]
) -> None:
    bot.alice.types(CHANNEL, f"/model {typed}")
    form = bot.alice.waits_for_modal()
    bot.alice.closes()
    assert {field: value for field, value in held(form).items() if field in {"model", "version"}} == filled
    assert take_snapshot(bot) == before


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"model": "a/b", "version": "4"}, "model"),
        ({"model": "churn", "version": "four"}, "version"),
        ({"model": "churn", "version": "🦄"}, "version"),
    ],
)
def test_an_invalid_form_field_shows_its_error(
    bot: RunningApp, before: StateSnapshot, fields: dict[str, str], wrong: str
) -> None:
    bot.alice.types(CHANNEL, "/model promote")
    form = bot.alice.waits_for_modal()
    actions = {block["block_id"]: block["element"]["action_id"] for block in form["blocks"]}
    errors = bot.alice.submits({field: {actions[field]: forged(value)} for field, value in fields.items()})
    bot.alice.closes()
    assert errors is not None
    assert list(errors) == [wrong]
    assert take_snapshot(bot) == before


def test_a_rejection_without_a_reason_shows_an_error_at_its_field(bot: RunningApp, before: StateSnapshot) -> None:
    bot.bob.types(CHANNEL, f"/model reject {only_request(bot.ledger).id}")
    bot.bob.waits_for_modal()
    errors = bot.bob.submits({"reason": " "})
    bot.bob.closes()
    assert errors is not None
    assert "reason" in errors
    assert take_snapshot(bot) == before


def test_a_command_in_a_direct_message_is_answered_there(bot: RunningApp, before: StateSnapshot) -> None:
    direct = bot.alice.direct_messages()
    assert direct == []
    channel = bot.slack.query("direct", user="alice")["channel"]
    assert "Did you mean `churn`?" in type_and_read_reply(bot.alice, "/model show chrun", channel)
    assert "v4" in type_and_read_reply(bot.alice, "/model show churn", channel)
    assert take_snapshot(bot) == before


def forged(value: str) -> dict[str, Any]:
    """Return an option that the bot doesn't offer."""
    return {"text": {"type": "plain_text", "text": value}, "value": value}


def held(view: dict[str, Any]) -> dict[str, str]:
    """Return the values of a form's fields, by block id."""
    elements = {block["block_id"]: block["element"] for block in view["blocks"] if block["type"] == "input"}
    filled = {
        field: one.get("initial_value") or one.get("initial_option", {}).get("value") for field, one in elements.items()
    }
    return {field: value for field, value in filled.items() if value}


# -- markup ------------------------------------------------------------------------------------------------------------


EVIL_NAME = "<!channel>*_`x`_<@U0DAVE>&"


EVIL_REASON = "<!channel> <!here> <@U0DAVE> <!subteam^S0LEADS> *x* _y_ `z` & <https:evil.example|click me>"


EVIL = ("<!channel", "<!here", "<@U0DAVE", "<!subteam^S0LEADS", "<https:")


def test_names_and_reasons_never_reach_slack_as_markup(slack: LocalSlack, tmp_path: Any) -> None:
    registry = MemoryRegistry()
    registry.add_model(EVIL_NAME, versions=2, description=EVIL_REASON, tags={"semver": EVIL_REASON})
    with running_app(slack, tmp_path, registry, http=True) as app:
        app.alice.types(CHANNEL, f"/model promote {EVIL_NAME} 1 production --reason '{EVIL_REASON}'")
        app.bob.clicks(app.card(), "Approve")
        app.card(holds="is in Production")
        app.alice.types(CHANNEL, f"/model promote {EVIL_NAME} 2 production")
        app.card(holds="v2 to Production?")
        request = only_request(app.ledger)
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
            answer = type_and_read_reply(app.bob, f"/model {text}")
            assert [mark for mark in EVIL if mark in answer] == []
        app.card(holds="rejected")
        app.alice.waits_for_direct_message(lambda message: "rejected" in message_text(message))
        assert [text for text in sent_texts(slack) if any(mark in text for mark in EVIL)] == []


# -- unusual but valid input -------------------------------------------------------------------------------------------


def test_smart_quotes_and_dashes_from_a_phone_are_understood(slack: LocalSlack, tmp_path: Any) -> None:
    with running_app(slack, tmp_path, MemoryRegistry(), http=True) as app:
        app.alice.types(CHANNEL, "/model  promote churn  V4 Production —reason “Bob’s f1 is better – by 2 %” ")
        app.card(holds="Approve")
        assert only_request(app.ledger).reason == "Bob's f1 is better – by 2 %"


def test_emoji_and_a_long_reason_are_shown_on_the_card(slack: LocalSlack, tmp_path: Any) -> None:
    with running_app(slack, tmp_path, MemoryRegistry(), http=True) as app:
        reason = "🦄&" * 500
        app.alice.types(CHANNEL, f'/model promote churn 4 production --reason "{reason}"')
        assert "🦄" in message_text(app.card())
        assert only_request(app.ledger).state is RequestState.PENDING
        assert slack.problems() == []


def test_text_that_slack_escapes_is_read_as_typed(slack: LocalSlack, tmp_path: Any) -> None:
    with running_app(slack, tmp_path, MemoryRegistry(), http=True) as app:
        typed = command(
            ALICE, "promote churn 4 production --reason &lt;0.2 &amp;amp; falling".replace(" &amp;amp; ", "&amp;")
        )
        signed_client(app).send(typed)
        wait_until(lambda: take_snapshot(app).requests)
        assert only_request(app.ledger).reason == "<0.2&falling"

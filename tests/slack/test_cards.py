"""Every message is within Slack's limits and pings nobody, whatever a model is called and a reason says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.approvals import RequestState
from bot.domain.registry import ModelInfo, RunInfo, Stage, VersionInfo
from bot.domain.text import say
from bot.services.lookups import ModelView
from bot.slack import answers, cards
from bot.slack.blocks import Message
from localslack.blocks import message_problems
from tests.slack.worst import (
    ALICE,
    BOB,
    TEXTS,
    a_bare_card,
    a_model,
    a_request,
    a_version,
    every_message,
    votes,
)
from tests.world import said

# What we write ourselves; anything else in angle brackets would be somebody else's.
OURS = re.compile(
    r"<!date\^\d+\^\{date_short_pretty\} \{time\}\|\d{4}-\d\d-\d\d \d\d:\d\d UTC>"
    r"|<@(?!U0EVIL)[UW][A-Za-z0-9]+>"
    r"|<!subteam\^S\w+>"
    r"|<https://ci\.example/r+\?a=1&amp;b=2\|[^<>]*>"
    r"|<https://mlflow\.example:5000/base/#/[^|<>\s]+\|(?:Version|Run) in MLflow>"
)
PENDING = cards.card(a_request(), [])


def texts(message: Message) -> Iterator[str]:
    """Yield everything that Slack reads as its markup."""
    yield message.text
    yield from (part["text"] for part in objects(message.blocks) if part.get("type") == "mrkdwn")


def objects(part: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every object in the blocks."""
    if isinstance(part, Mapping):
        yield part
        for value in part.values():
            yield from objects(value)
    elif isinstance(part, list):
        for one in part:
            yield from objects(one)


def shown(message: Message) -> str:
    """Return all that a message says."""
    return said({"text": message.text, "blocks": message.blocks})


def buttons(message: Message) -> list[str]:
    """Return the action ids of the buttons."""
    return [part["action_id"] for part in objects(message.blocks) if part.get("type") == "button"]


def wrong(name: str, faults: Callable[[Message], object]) -> dict[str, object]:
    """Return what is wrong with the messages that are made of one of the texts, by what they are."""
    found = {what: faults(message) for what, message in every_message(name)}
    return {what: fault for what, fault in found.items() if fault}


each = pytest.mark.parametrize("name", TEXTS)


@each
def test_slack_would_take_every_message(name: str) -> None:
    assert wrong(name, lambda message: message_problems(message.blocks)) == {}


@each
def test_the_fallback_text_can_be_posted_and_edited(name: str) -> None:
    assert wrong(name, lambda message: not 0 < len(message.text) <= 4000) == {}


@each
def test_only_what_we_mean_is_mentioned_and_linked(name: str) -> None:
    quoting = re.compile(r"^> ", flags=re.MULTILINE)
    assert wrong(name, lambda message: set("<>") & set(quoting.sub("", OURS.sub("", "\n".join(texts(message)))))) == {}


@each
def test_no_entity_is_cut_in_two(name: str) -> None:
    assert wrong(name, lambda message: re.findall(r"&(?!amp;|lt;|gt;)", "\n".join(texts(message)))) == {}


@each
def test_nothing_unseen_is_shown(name: str) -> None:
    assert wrong(name, lambda message: set("\u202e\u2066\u200b\x00") & set(shown(message))) == {}


@each
def test_slack_looks_for_no_links_and_names_of_its_own(name: str) -> None:
    markup = [
        part for _, message in every_message(name) for part in objects(message.blocks) if part.get("type") == "mrkdwn"
    ]
    assert all(part["verbatim"] is True for part in markup)


# -- the card ----------------------------------------------------------------------------------------------------------


def test_a_pending_card_has_its_buttons() -> None:
    open_to_all = cards.card(a_request(seen=None), [])
    assert buttons(open_to_all) == [cards.APPROVE, cards.REJECT, cards.DETAILS]


def test_a_card_whose_gates_failed_has_a_button_to_let_them_pass_until_somebody_did() -> None:
    assert cards.OVERRIDE in buttons(PENDING)
    passed = cards.card(a_request(overridden_by=BOB, override_reason="measured anew tomorrow"), [])
    assert cards.OVERRIDE not in buttons(passed)
    assert f"let pass by <@{BOB.user}>: measured anew tomorrow" in said({"blocks": passed.blocks})


ASK_AGAIN = {RequestState.STALE, RequestState.EXPIRED}  # what can be asked for anew from its card


@pytest.mark.parametrize("state", [state for state in RequestState if state is not RequestState.PENDING])
def test_a_decided_card_has_no_button_that_decides(state: RequestState) -> None:
    assert buttons(cards.card(a_request(state=state), [])) == ([cards.AGAIN] if state in ASK_AGAIN else [])


def test_a_button_carries_an_id_and_nothing_else() -> None:
    values = {part["value"] for part in objects(PENDING.blocks) if part.get("type") == "button"}
    assert values == {"r4k7q"}


def test_approve_asks_back_what_it_will_do() -> None:
    confirm = next(part["confirm"] for part in objects(PENDING.blocks) if part.get("confirm"))
    assert confirm["text"]["text"] == "churn: v999999998 → v999999999 in Production"


def test_a_card_tells_who_asks_for_what_and_why() -> None:
    shown = said({"blocks": cards.card(a_request(reason="better f1", version=7, incumbent=5), []).blocks})
    for part in ("Promote churn v7 to Production?", "`v5` → `v7` in Production", "<@U0ALICE>", "better f1", "0 of 50"):
        assert part in shown


def test_a_card_names_those_who_approved() -> None:
    assert "2 of 50: <@U0XXXXXXXX00>, <@U0XXXXXXXX01>" in said({"blocks": cards.card(a_request(), votes(2)).blocks})


def test_a_decided_card_tells_who_and_why() -> None:
    shown = said({"blocks": cards.card(a_request(state=RequestState.REJECTED, outcome="too slow"), []).blocks})
    assert f"*Rejected by*\n<@{BOB.user}>" in shown
    assert "*Why*\ntoo slow" in shown


def test_a_card_tells_that_the_incumbent_stays() -> None:
    assert "stays in the stage" in said({"blocks": PENDING.blocks})


def test_a_card_tells_what_stops_production_while_it_can_be_decided() -> None:
    stopped = say("Production is frozen.")
    assert "frozen" in said({"blocks": cards.card(a_request(), [], stopped=stopped).blocks})
    assert "frozen" not in said({"blocks": cards.card(a_request(state=RequestState.DONE), [], stopped=stopped).blocks})


def test_the_text_of_a_notification_says_who_asks_for_what() -> None:
    assert PENDING.text == f"<@{ALICE.user}> asks: `churn` `v999999998` → `v999999999` in Production"


# -- lists -------------------------------------------------------------------------------------------------------------


def rows(message: Message) -> int:
    """Return how many rows a list shows."""
    return sum(text.count("• ") for text in texts(message))


@pytest.mark.parametrize(("number", "shown"), [(0, 0), (1, 1), (20, 20), (21, 20), (1000, 20)])
@pytest.mark.parametrize("kind", ["models", "requests", "versions"])
def test_a_list_shows_twenty_and_counts_the_others(kind: str, number: int, shown: int) -> None:
    listed = {
        "models": lambda: answers.model_list([a_model()] * number, ""),
        "requests": lambda: answers.request_list([a_request()] * number),
        "versions": lambda: answers.model_view(ModelView(a_model(), [a_version(aliases=())] * number, [])),
    }[kind]()
    assert rows(listed) == shown
    begins = "Page 1 of " if kind == "models" else f"{number - shown} "  # models have pages, the others a rest
    counted = [text for text in texts(listed) if text.startswith(begins)]
    assert len(counted) == (number > shown)


def test_no_models_at_all_is_told_apart_from_none_of_that_name() -> None:
    assert answers.model_list([], "").text == "MLflow has no registered models yet."
    assert "`fraud`" in answers.model_list([], "fraud").text


def test_a_model_is_listed_with_what_is_where() -> None:
    assert "Production `v7`  ·  Staging `v9`" in said(
        {"blocks": answers.model_list([ModelInfo(name="m", latest={Stage.PRODUCTION: 7, Stage.STAGING: 9})], "").blocks}
    )


def test_a_failed_registration_is_told() -> None:
    version = VersionInfo(model="m", version=1, stage=Stage.NONE, status="FAILED_REGISTRATION")
    card = replace(a_bare_card(), version=version)
    for shown in (answers.version_card(card, None), answers.model_view(ModelView(a_model(), [version], []))):
        assert "registration failed" in said({"blocks": shown.blocks})


def test_a_link_to_a_deleted_run_says_so() -> None:
    shown = answers.version_card(replace(a_bare_card(), run=RunInfo(id="r1", is_deleted=True)), "http://mlflow")
    assert "Run in MLflow (deleted)" in said({"blocks": shown.blocks})


def test_what_a_version_lacks_is_marked_missing() -> None:
    shown = said({"blocks": answers.version_card(a_bare_card(), None).blocks})
    assert "*Semver*\nmissing" in shown
    assert "*Metrics*  missing" in shown

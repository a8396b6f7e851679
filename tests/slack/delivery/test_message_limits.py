"""Every message is within Slack's limits and pings no one, for any model name and reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.commands.audit import ShowAudit
from bot.domain.core.sentence import Mention, say
from bot.domain.policy.freezes import ActiveFreeze
from bot.domain.promotions.model_overview import ModelView
from bot.domain.promotions.request import GateResult, Request, RequestSnapshot, RequestState
from bot.domain.registry.model import ModelInfo, RunInfo, Stage, VersionInfo
from bot.ports import NO_LINKS
from bot.registry.mlflow.adapter import links
from bot.slack.core.blocks import Message, with_picture
from bot.slack.monitoring import incident_card
from bot.slack.promotions import request_card
from bot.slack.registry import answers as registry_answers
from localslack.blocks import BLOCKS_MAX, length_of, message_problems
from tests.support.app.app_fixture import message_text
from tests.support.slack.message_parts import OURS, buttons, objects, shown_text
from tests.support.slack.worst_case_messages import every_message, incidents, rendered
from tests.support.slack.worst_case_monitors import an_incident
from tests.support.slack.worst_case_values import (
    ALICE,
    BOB,
    TEXTS,
    a_bare_card,
    a_block,
    a_link,
    a_model,
    a_request,
    a_version,
    votes,
)

PENDING = request_card.request_card(a_request(), [])


def texts(message: Message) -> Iterator[str]:
    """Yield every text in which Slack reads markup."""
    yield message.text
    yield from (part["text"] for part in objects(message.blocks) if part.get("type") == "mrkdwn")


def wrong(name: str, faults: Callable[[Message], object]) -> dict[str, object]:
    """Return the problems of the messages built from each text, by kind of message."""
    found = {what: faults(message) for what, message in every_message(name)}
    return {what: fault for what, fault in found.items() if fault}


each = pytest.mark.parametrize("name", TEXTS)


@each
def test_slack_accepts_every_message(name: str) -> None:
    assert wrong(name, lambda message: message_problems(message.blocks)) == {}


@each
def test_the_blocks_of_a_message_stay_within_the_total_limit(name: str) -> None:
    assert wrong(name, lambda message: length_of(message.blocks) > BLOCKS_MAX) == {}


@each
def test_an_alert_has_room_for_its_picture(name: str) -> None:
    alt = incident_card.chart_alt_text(an_incident(name))
    alerts = {what: with_picture(message, "F0123456789", alt) for what, message in incidents(name)}
    assert {what for what, message in alerts.items() if length_of(message.blocks) > BLOCKS_MAX} == set()


@each
def test_the_fallback_text_can_be_posted_and_edited(name: str) -> None:
    assert wrong(name, lambda message: not 0 < len(message.text) <= 4000) == {}


@each
def test_only_intended_mentions_and_links_appear(name: str) -> None:
    quoting = re.compile(r"^> ", flags=re.MULTILINE)
    assert wrong(name, lambda message: set("<>") & set(quoting.sub("", OURS.sub("", "\n".join(texts(message)))))) == {}


@each
def test_no_entity_is_cut_in_two(name: str) -> None:
    assert wrong(name, lambda message: re.findall(r"&(?!amp;|lt;|gt;)", "\n".join(texts(message)))) == {}


@each
def test_no_invisible_characters_are_shown(name: str) -> None:
    assert wrong(name, lambda message: set("\u202e\u2066\u200b\x00") & set(shown_text(message))) == {}


@each
def test_slack_does_not_parse_links_and_names(name: str) -> None:
    markup = [
        part for _, message in every_message(name) for part in objects(message.blocks) if part.get("type") == "mrkdwn"
    ]
    assert all(part["verbatim"] is True for part in markup)


# -- the card ----------------------------------------------------------------------------------------------------------


def test_a_pending_card_has_its_buttons() -> None:
    open_to_all = request_card.request_card(a_request(seen=None), [])
    assert buttons(open_to_all) == [
        request_card.APPROVE,
        request_card.REJECT,
        request_card.DETAILS,
        request_card.CANCEL,
    ]


def test_a_card_with_failed_gates_has_an_override_button_until_they_are_overridden() -> None:
    assert request_card.OVERRIDE in buttons(PENDING)
    passed = request_card.request_card(a_request(overridden_by=BOB, override_reason="measured anew tomorrow"), [])
    assert request_card.OVERRIDE not in buttons(passed)
    assert f"overridden by <@{BOB.user}>: measured anew tomorrow" in message_text({"blocks": passed.blocks})


REQUEST_AGAIN, ROLL_BACK = [request_card.REQUEST_AGAIN], [request_card.ROLL_BACK]
FIRST_BUTTONS = {
    RequestState.STALE: REQUEST_AGAIN,
    RequestState.EXPIRED: REQUEST_AGAIN,
    RequestState.DONE: ROLL_BACK,
}


@pytest.mark.parametrize("state", [state for state in RequestState if state is not RequestState.PENDING])
def test_a_decided_card_offers_what_can_follow(state: RequestState) -> None:
    card = request_card.request_card(a_request(state=state), [], page="https://mlflow.example/#/models/churn")
    always = [request_card.DETAILS, request_card.HISTORY, request_card.OPEN_REGISTRY]
    assert buttons(card) == [*FIRST_BUTTONS.get(state, []), *always]


def test_a_card_of_staging_has_no_rollback_or_history_and_no_link_without_a_page() -> None:
    card = request_card.request_card(a_request(state=RequestState.DONE, target=Stage.STAGING), [])
    assert buttons(card) == [request_card.DETAILS]


def test_a_button_carries_only_an_id() -> None:
    values = {part["value"] for part in objects(PENDING.blocks) if part.get("type") == "button"}
    assert values == {"r4k7q"}


def test_approve_asks_for_confirmation() -> None:
    confirm = next(part["confirm"] for part in objects(PENDING.blocks) if part.get("confirm"))
    assert confirm["text"]["text"] == "churn: v999999998 → v999999999 in Production"


def test_a_card_shows_requester_change_and_reason() -> None:
    shown = message_text(
        {
            "blocks": request_card.request_card(
                a_request(reason="better f1", version=7, incumbent=5, seen=None), []
            ).blocks
        }
    )
    for part in ("Promote churn v7 to Production?", "`v5` → `v7` in Production", "<@U0ALICE>", "better f1", "0 of 50"):
        assert part in shown


def test_a_card_lists_its_approvers() -> None:
    assert "2 of 50 approvals: <@U0XXXXXXXX00>, <@U0XXXXXXXX01>" in message_text(
        {"blocks": request_card.request_card(a_request(), votes(2)).blocks}
    )


def test_a_card_lists_ten_of_many_approvers() -> None:
    card = shown_text(request_card.request_card(a_request(), votes(30)))
    assert "<@U0XXXXXXXX09>, and 20 more" in card
    assert "<@U0XXXXXXXX10>" not in card


def test_a_decided_card_shows_who_and_why() -> None:
    shown = message_text(
        {"blocks": request_card.request_card(a_request(state=RequestState.REJECTED, outcome="too slow"), []).blocks}
    )
    assert f"*Rejected by*\n<@{BOB.user}>" in shown
    assert "*Why*\ntoo slow" in shown


def test_a_card_says_that_the_incumbent_stays() -> None:
    assert "stays in Production, too" in message_text({"blocks": PENDING.blocks})


def test_a_pending_card_shows_an_active_freeze() -> None:
    stopped = ActiveFreeze(say("Production is frozen."), None, "audit")
    assert "frozen" in message_text({"blocks": request_card.request_card(a_request(), [], freeze=stopped).blocks})
    assert "frozen" not in message_text(
        {"blocks": request_card.request_card(a_request(state=RequestState.DONE), [], freeze=stopped).blocks}
    )


def header(message: Message) -> str:
    """Return a card's headline."""
    return str(message.blocks[0]["text"]["text"])


def approve_style(message: Message) -> str | None:
    """Return the style of the Approve button."""
    return next(part.get("style") for part in objects(message.blocks) if part.get("action_id") == request_card.APPROVE)


CHURN = a_request(model="churn", version=7, incumbent=5)


ONE_FAILED = replace(
    CHURN, seen=RequestSnapshot(gates=(GateResult(name="f1", bound="≥ 0.9", value="0.8", passed=False),))
)


FROZEN = ActiveFreeze(say("Production is frozen."), None, "end of quarter.")


@pytest.mark.parametrize(
    ("request_", "stopped", "headline", "style"),
    [
        (replace(CHURN, seen=None), None, "Promote churn v7 to Production?", "primary"),
        (ONE_FAILED, None, "⛔ churn v7 → Production is blocked: f1 failed, override needed", None),
        (CHURN, None, "⛔ churn v7 → Production is blocked: 50 gates failed, override needed", None),
        (replace(ONE_FAILED, overridden_by=BOB), None, "Promote churn v7 to Production?", "primary"),
        (ONE_FAILED, FROZEN, "❄️ churn v7 → Production is frozen: end of quarter", None),
        (CHURN, replace(FROZEN, reason=""), "❄️ churn v7 → Production is frozen by policy", None),
    ],
    ids=["open", "blocked", "blocked by many", "overridden", "frozen", "frozen by a window"],
)
def test_approve_is_primary_only_if_it_decides_and_otherwise_the_headline_says_why(
    request_: Request, stopped: ActiveFreeze | None, headline: str, style: str | None
) -> None:
    card = request_card.request_card(request_, [], freeze=stopped)
    assert (header(card), approve_style(card)) == (headline, style)


def test_a_pending_card_says_whom_it_waits_for() -> None:
    waiting = say("Waiting for {who}.", who=Mention("U0BOB"))
    assert "Waiting for <@U0BOB>." in shown_text(request_card.request_card(a_request(), [], status=waiting))


def test_a_pending_card_says_that_its_version_is_blocked() -> None:
    block = a_block("plain")
    assert "⛔ `v999999999` was rolled back by" in message_text(
        {"blocks": request_card.request_card(a_request(), [], block=block).blocks}
    )
    assert "⛔" not in message_text(
        {"blocks": request_card.request_card(a_request(state=RequestState.DONE), [], block=block).blocks}
    )


def test_the_notification_text_names_requester_and_change() -> None:
    assert PENDING.text.startswith(f"<@{ALICE.user}> with `churn")
    assert PENDING.text.endswith(f"` for <@{ALICE.user}> requested `churn` `v999999998` → `v999999999` in Production")


# -- lists -------------------------------------------------------------------------------------------------------------


def rows(message: Message) -> int:
    """Return how many rows a list shows."""
    return sum(text.count("• ") for text in texts(message))


@each
def test_no_row_is_lost_between_pages(name: str) -> None:
    page = registry_answers.model_answer(
        ModelView(a_model(name), [a_version(name)] * 45, [], {7: a_block(name)}), page=2
    )
    assert shown_text(page).count("• `v7`") == registry_answers.PAGE_SIZE


def test_a_list_shows_two_of_many_aliases_and_counts_the_others() -> None:
    version = a_version(aliases=("champion", "blue", "eu", "us"))
    listed = shown_text(registry_answers.model_answer(ModelView(a_model(), [version], [])))
    assert "`@champion`  ·  `@blue`  ·  and 2 more  ·  " in listed


def test_open_requests_that_do_not_fit_are_counted() -> None:
    view = ModelView(a_model(), [a_version()], [a_request()] * 30)
    assert "25 more: `/model requests churn`" in shown_text(registry_answers.model_answer(view))


@pytest.mark.parametrize(("number", "shown"), [(0, 0), (1, 1), (20, 20), (21, 20), (1000, 20)])
@pytest.mark.parametrize("kind", ["models", "requests", "versions"])
def test_a_list_shows_twenty_and_counts_the_others(kind: str, number: int, shown: int) -> None:
    listed = {
        "models": lambda: registry_answers.model_list([a_model()] * number, ""),
        "requests": lambda: registry_answers.request_list([a_request()] * number),
        "versions": lambda: registry_answers.model_answer(ModelView(a_model(), [a_version(aliases=())] * number, [])),
    }[kind]()
    assert rows(listed) == shown
    begins = f"{number - shown} " if kind == "requests" else "Page 1 of "  # requests have a count, the others pages
    counted = [text for text in texts(listed) if text.startswith(begins)]
    assert len(counted) == (number > shown)


def test_the_next_page_of_an_audit_starts_with_the_first_omitted_row() -> None:
    links = [replace(a_link("long", EventTag.MONITOR_ADDED), number=at) for at in range(100, 80, -1)]
    page = rendered(ShowAudit(model="m"), (links, None))
    last = 101 - rows(page)
    assert last - 1 > 80  # some are left for the next page
    assert (f"• `{last}`" in shown_text(page), f"--before {last}`" in shown_text(page)) == (True, True)


def versions(number: int, page: int) -> str:
    """Return the text of one page of a model with this many versions."""
    view = ModelView(a_model(), [a_version(version=at) for at in range(number, 0, -1)], [])
    return message_text({"blocks": registry_answers.model_answer(view, page).blocks})


def test_every_version_of_a_model_has_its_page() -> None:
    shown = [[at for at in range(1, 46) if f"• `v{at}`" in versions(45, page)] for page in (1, 2, 3)]
    assert shown == [list(range(26, 46)), list(range(6, 26)), list(range(1, 6))]
    assert "Page 3 of 3, 45 versions" in versions(45, 99)


def test_the_first_page_leads_to_older_versions_and_the_last_to_newer_ones() -> None:
    assert ("Older" in versions(45, 1), "Newer" in versions(45, 1)) == (True, False)
    assert ("Older" in versions(45, 3), "Newer" in versions(45, 3)) == (False, True)
    assert "Older" not in versions(20, 1)


def test_a_version_is_listed_with_its_semver_stage_status_and_run() -> None:
    version = VersionInfo(model="m", version=7, stage=Stage.STAGING, run_id="0a1b2c3d4e5f", tags={"semver": "1.2.0"})
    shown = message_text({"blocks": registry_answers.model_answer(ModelView(a_model(), [version], [])).blocks})
    assert "• `v7`  ·  *Staging*  ·  `1.2.0`  ·  ready  ·  run `0a1b2c3d`" in shown


def test_no_models_and_no_matching_model_have_different_messages() -> None:
    assert registry_answers.model_list([], "").text == "MLflow has no registered models yet."
    assert "`fraud`" in registry_answers.model_list([], "fraud").text


def test_a_model_is_listed_with_the_versions_in_its_stages() -> None:
    assert "Production `v7`  ·  Staging `v9`" in message_text(
        {
            "blocks": registry_answers.model_list(
                [ModelInfo(name="m", latest={Stage.PRODUCTION: 7, Stage.STAGING: 9})], ""
            ).blocks
        }
    )


def test_a_failed_registration_is_shown() -> None:
    version = VersionInfo(model="m", version=1, stage=Stage.NONE, status="FAILED_REGISTRATION")
    card = replace(a_bare_card(), version=version)
    for message in (
        registry_answers.version_answer(card, NO_LINKS),
        registry_answers.model_answer(ModelView(a_model(), [version], [])),
    ):
        assert "registration failed" in message_text({"blocks": message.blocks})


def test_a_link_to_a_deleted_run_says_so() -> None:
    shown = registry_answers.version_answer(
        replace(a_bare_card(), run=RunInfo(id="r1", is_deleted=True)), links("http://mlflow")
    )
    assert "Run in MLflow (deleted)" in message_text({"blocks": shown.blocks})


def test_missing_fields_of_a_version_are_marked() -> None:
    shown = message_text({"blocks": registry_answers.version_answer(a_bare_card(), NO_LINKS).blocks})
    assert "*Semver*\nmissing" in shown
    assert "*Metrics*  missing" in shown

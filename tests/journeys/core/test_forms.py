"""Forms over the wire: type-ahead, corrected commands, and nothing that was typed is lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.domain.core.errors import UnknownVersion
from bot.domain.registry.model import parse_version_ref
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, AdjustableClock, RunningApp, message_text, running_app
from tests.support.app.harness import BOB, click, only_request, signed_client
from tests.support.faults.registry_outage import SlowRegistry
from tests.support.slack.front_door import OUTSIDERS
from tests.support.waiting import wait_until

JSON = dict[str, Any]


@pytest.fixture
def registry() -> SlowRegistry:
    return SlowRegistry()


@pytest.fixture
def clock() -> AdjustableClock:
    return AdjustableClock()


@pytest.fixture
def app(slack: LocalSlack, tmp_path: Path, registry: SlowRegistry, clock: AdjustableClock) -> Iterator[RunningApp]:
    with running_app(slack, tmp_path, registry, http=True, clock=clock) as app:
        app.registrar.poll_registry()
        yield app


def open_form(app: RunningApp, text: str) -> JSON:
    assert app.alice.types(CHANNEL, f"/model {text}").acked
    return app.alice.waits_for_modal()


def offered(app: RunningApp, form: JSON, menu: str, typed: str = "") -> list[str]:
    return [option["text"]["text"] for option in app.alice.looks_up(form, menu, typed)]


def correction(app: RunningApp, typed: str) -> JSON:
    """Type a command with a typo, and return the answer with a button."""
    assert app.alice.types(CHANNEL, f"/model {typed}").acked
    return app.alice.waits_for(CHANNEL, lambda message: "Run it" in message_text(message))


# -- type-ahead --------------------------------------------------------------------------------------------------------


def test_the_menus_offer_models_and_the_versions_of_the_chosen_one(app: RunningApp) -> None:
    form = open_form(app, "promote")
    assert offered(app, form, "suggest_version", "4") == ["4 (as typed)"]
    assert offered(app, form, "suggest_model", "chu") == ["churn", "chu (as typed)"]
    assert app.alice.chooses(form, "suggest_model", "churn").acked
    assert offered(app, form, "suggest_version") == ["v4", "v3 · Production", "v2", "v1 · Archived"]
    assert app.alice.submits({"model": "churn", "version": "v4", "reason": "better"}) is None
    app.card()
    assert (only_request(app.ledger).version, only_request(app.ledger).reason) == (4, "better")


def test_typed_text_can_be_submitted_while_the_registry_is_down_and_corrected_later(
    app: RunningApp, registry: SlowRegistry, clock: AdjustableClock
) -> None:
    registry.is_down = True
    form = open_form(app, "promote churn")
    assert offered(app, form, "suggest_version", "12")[-1] == "12 (as typed)"
    assert app.alice.submits({"version": "12", "reason": "better f1"}) is None
    app.answer(app.alice, "Your request is recorded")
    registry.is_down = False
    clock.advance(timedelta(seconds=5))
    answer = app.alice.waits_for_direct_message(lambda message: "no version `v12`" in message_text(message))
    app.alice.clicks(answer, "Edit and try again…")
    app.alice.waits_for_modal()
    assert app.alice.submits({"version": "4"}) is None
    app.card()
    assert (only_request(app.ledger).version, only_request(app.ledger).reason) == (4, "better f1")


def test_only_versions_that_served_are_offered_for_a_rollback(app: RunningApp) -> None:
    app.alice.types(CHANNEL, "/model promote churn 4 production")
    app.bob.clicks(app.card(), "Approve")
    app.card(holds="is in Production")
    wait_until(lambda: app.registrar.suggestions.rollback_targets("churn", ""))
    app.bob.types(CHANNEL, "/model rollback churn")
    form = app.bob.waits_for_modal()
    options = app.bob.looks_up(form, "suggest_rollback_target", "")
    assert [option["value"] for option in options] == ["3"]


@pytest.mark.parametrize("name", ["bob", "guest", "visitor"])
def test_someone_else_gets_no_versions(app: RunningApp, slack: LocalSlack, name: str) -> None:
    for who in OUTSIDERS:
        if who.name == name:
            slack.add_person(who)
    form = open_form(app, "promote churn")
    draft, person = form["private_metadata"], slack.person(name)
    actor = {"id": person.id, "team_id": "T0LOCAL" if name != "visitor" else "T0OTHER"}
    body = {
        "type": "block_suggestion",
        "action_id": "suggest_version",
        "block_id": "version",
        "value": "",
        "user": actor,
        "team": {"id": "T0LOCAL"},
        "view": {"id": "V1", "type": "modal", "private_metadata": draft},
    }
    assert signed_client(app).send(body).json() == {"options": []}


# -- errors ------------------------------------------------------------------------------------------------------------


def test_a_version_that_does_not_exist_is_refused_under_its_field(app: RunningApp) -> None:
    form = open_form(app, "promote")
    app.alice.chooses(form, "suggest_model", "churn")
    wait_until(lambda: denies_version_99(app))
    errors = app.alice.submits({"model": "churn", "version": "99", "reason": "better f1"})
    assert errors == {"version": "“churn” has no version v99. Newest versions: v4, v3, v2, v1."}
    app.alice.closes()


def denies_version_99(app: RunningApp) -> bool:
    """Return whether the bot has read churn's versions."""
    try:
        app.registrar.suggestions.check("churn", parse_version_ref("99"))
    except UnknownVersion:
        return True
    return False


def test_a_form_that_fails_after_it_closed_can_be_opened_again_with_all_that_was_typed(app: RunningApp) -> None:
    app.alice.types(CHANNEL, "/model promote churn 3 production --keep-existing --reason 'better f1'")
    answer = app.alice.waits_for(CHANNEL, lambda message: "Edit and try again…" in message_text(message))
    assert "already in Production" in message_text(answer)
    app.alice.clicks(answer, "Edit and try again…")
    form = app.alice.waits_for_modal()
    assert app.alice.submits({"version": "4"}) is None
    app.card()
    request = only_request(app.ledger)
    assert (request.model, request.version, request.reason, request.keep_existing) == ("churn", 4, "better f1", True)
    assert form["private_metadata"]


def test_reported_results_are_only_for_the_version_that_they_were_reported_for(app: RunningApp) -> None:
    app.alice.types(CHANNEL, "/model promote churn 3 production --validation accuracy=0.99")
    answer = app.alice.waits_for(CHANNEL, lambda message: "Edit and try again…" in message_text(message))
    app.alice.clicks(answer, "Edit and try again…")
    app.alice.waits_for_modal()
    refused = app.alice.submits({"version": "4"})
    assert "reported validation results for v3" in str(refused)
    with app.ledger.read() as reading:
        assert reading.requests() == []


def test_the_form_of_a_forced_rollback_says_that_it_is_forced(app: RunningApp) -> None:
    app.bob.types(CHANNEL, "/model rollback churn --force")
    assert "Forced" in message_text(app.bob.waits_for_modal())


# -- typos -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed",
    [
        "prmote churn 4 production --reason 'it''s better'",
        "promote chrun 4 production --reason 'it''s better'",
        "promote churn 4 prodction --reason 'it''s better'",
        "promote churn 4 production --raeson 'it''s better'",
        "promote churn 44 production --reason 'it''s better'",
    ],
)
def test_a_typo_comes_back_with_the_corrected_command_which_a_click_runs(app: RunningApp, typed: str) -> None:
    answer = correction(app, typed)
    assert "/model promote churn" in message_text(answer)
    app.alice.clicks(answer, "Run it")
    app.card()
    assert (only_request(app.ledger).model, only_request(app.ledger).version) == ("churn", 4)


def test_a_corrected_command_runs_once(app: RunningApp) -> None:
    answer = correction(app, "prmote churn 4 production")
    app.alice.clicks(answer, "Run it")
    app.card()
    app.alice.clicks(answer, "Run it")
    app.answer(app.alice, "That has already run. To run it again, type the command.")
    assert only_request(app.ledger).version == 4


def test_a_corrected_command_without_all_its_arguments_opens_the_form(app: RunningApp) -> None:
    app.alice.clicks(correction(app, "prmote churn"), "Run it")
    assert app.alice.waits_for_modal()["callback_id"] == "promote"


def test_a_corrected_change_is_still_confirmed(app: RunningApp) -> None:
    bob = app.bob
    bob.types(CHANNEL, "/model archive chrun 2")
    answer = bob.waits_for(CHANNEL, lambda message: "Run it" in message_text(message))
    bob.clicks(answer, "Run it")
    bob.waits_for(CHANNEL, lambda message: "Archive it" in message_text(message))


def test_someone_else_s_click_does_not_run_it(app: RunningApp) -> None:
    answer = correction(app, "prmote churn 4 production")
    button = answer["blocks"][-1]["elements"][0]
    assert signed_client(app).send(click(BOB, button["value"], button["action_id"])).status_code == 200
    app.answer(app.bob, "Only the person who typed this can use it.")
    with app.ledger.read() as reading:
        assert reading.requests() == []


def test_a_guest_s_typo_gets_the_sentence_alone(app: RunningApp, slack: LocalSlack) -> None:
    guest = next(who for who in OUTSIDERS if who.name == "guest")
    slack.add_person(guest)
    slack.set_members(CHANNEL, [*slack.members(CHANNEL), guest.id])
    person = slack.person("guest")
    person.types(CHANNEL, "/model shwo churn")
    answer = person.waits_for(CHANNEL, lambda message: "Did you mean" in message_text(message))
    assert "Run it" not in message_text(answer)

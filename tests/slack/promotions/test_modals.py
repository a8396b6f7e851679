"""Modals stay within Slack's limits, and are prefilled with the typed fields."""

from __future__ import annotations

from typing import Any

import pytest
from slack_sdk.models.blocks import Block

from bot.domain.registry.metric_catalog import MetricCatalog
from bot.ports import NO_LINKS
from bot.slack.core import modal_inputs
from bot.slack.monitoring import add_monitor_modal
from bot.slack.promotions import modals
from bot.slack.promotions.details import request_details
from bot.slack.registry import answers as registry_answers
from localslack.blocks import view_problems
from tests.support.app.app_fixture import message_text
from tests.support.slack.worst_case_values import REASONS, TEXTS, a_card, a_request, votes

GIVEN: list[dict[str, str]] = [
    {},
    {"model": "churn", "version": "7", "to": "staging", "reason": "better f1"},
    {"model": "", "reason": ""},
    {"to": "nonsense"},
    {"model": "m" * 3000, "version": "v" * 3000, "reason": "r" * 3000},
    *({"model": text, "version": text, "to": text, "reason": REASONS[name]} for name, text in TEXTS.items()),
]
FILLED = modals.promote_modal("rdraft", {"model": "churn", "version": "7", "to": "staging", "reason": "better f1"})


def held(view: dict[str, Any]) -> dict[str, Any]:
    """Return the initial values of a form's inputs."""
    inputs = {block["block_id"]: block["element"] for block in view["blocks"] if block["type"] == "input"}
    return {
        name: one.get("initial_value", (one.get("initial_option") or {}).get("value")) for name, one in inputs.items()
    }


@pytest.mark.parametrize("given", GIVEN, ids=lambda given: str(given)[:40])
def test_slack_accepts_the_promotion_form(given: dict[str, str]) -> None:
    assert view_problems(modals.promote_modal("rdraft", given)) == []


MONITORS: list[dict[str, str]] = [
    {},
    {"model": "churn", "name": "accuracy", "source": "live", "greater_than": "0.85", "action": "dry-run"},
    {"source": "nonsense", "rule": "nonsense", "action": "nonsense"},
    *(dict.fromkeys(add_monitor_modal.MONITOR_FIELDS, text) for text in TEXTS.values()),
    *(dict.fromkeys(add_monitor_modal.MONITOR_FIELDS, text) for text in REASONS.values()),
]


@pytest.mark.parametrize("given", MONITORS, ids=lambda given: str(given)[:40])
@pytest.mark.parametrize("sources", [["push", "mlflow"], [f"{'s' * 200}{n}" for n in range(300)]], ids=["few", "many"])
def test_slack_accepts_the_monitor_form(given: dict[str, str], sources: list[str]) -> None:
    assert view_problems(add_monitor_modal.monitor_modal("rdraft", given, sources)) == []


def test_a_monitor_form_is_prefilled_with_the_typed_fields() -> None:
    values = held(add_monitor_modal.monitor_modal("rdraft", MONITORS[1], ["push", "live"]))
    assert (values["model"], values["name"], values["greater_than"]) == ("churn", "accuracy", "0.85")
    assert (values["source"], values["action"]) == ("live", "dry_run")
    assert (values["every"], values["rule"]) == ("5m", "threshold")
    typed = held(add_monitor_modal.monitor_modal("rdraft", {"window": "30m", "min_effect": "0.01 abs"}, ["push"]))
    assert (typed["window"], typed["min_effect"]) == ("30m", "0.01 abs")


@pytest.mark.parametrize("name", TEXTS)
def test_slack_accepts_the_rejection_form(name: str) -> None:
    assert view_problems(modals.reject_modal(a_request(name))) == []


def _details(name: str) -> list[Block | dict[str, Any]]:
    """Return a request's details with as much as possible in them."""
    card = registry_answers.version_answer(a_card(name), NO_LINKS)
    return [*request_details(a_request(name), votes(50), MetricCatalog()), *card.blocks]


@pytest.mark.parametrize("name", TEXTS)
def test_slack_accepts_the_details(name: str) -> None:
    assert view_problems(modals.details_modal(_details(name), is_complete=True)) == []


def test_details_open_before_the_registry_is_read() -> None:
    assert view_problems(modals.details_modal()) == []


def test_a_promotion_form_is_prefilled_with_the_typed_fields() -> None:
    values = held(FILLED)
    assert (values["model"], values["version"], values["reason"]) == ("churn", "7", "better f1")
    assert values["to"] == "staging"


def test_a_typed_metric_of_the_registry_is_chosen_in_the_menu_and_another_query_is_text() -> None:
    of_runs = held(add_monitor_modal.monitor_modal("rdraft", {"source": "mlflow", "query": "f1"}, ["mlflow"]))
    assert (of_runs["metric"], of_runs["query"]) == ("f1", None)
    elsewhere = held(add_monitor_modal.monitor_modal("rdraft", {"source": "live", "query": "rate(x[5m])"}, ["live"]))
    assert (elsewhere["metric"], elsewhere["query"]) == (None, "rate(x[5m])")


def test_a_name_that_s_too_long_for_a_menu_is_prefilled_in_a_text_field() -> None:
    assert held(modals.promote_modal("rdraft", {"model": "m" * 200}))["model"] == "m" * 200


def test_every_form_is_closed_with_cancel() -> None:
    views = [FILLED, modals.reject_modal(a_request()), add_monitor_modal.monitor_modal("rdraft", {}, ["push"])]
    assert {view["close"]["text"] for view in views} == {"Cancel"}


def test_production_is_the_default_stage() -> None:
    assert held(modals.promote_modal("rdraft", {}))["to"] == "production"


@pytest.mark.parametrize(
    ("view", "metadata"), [(FILLED, "rdraft"), (modals.reject_modal(a_request()), "r4k7q")], ids=["promote", "reject"]
)
def test_a_form_holds_only_an_id(view: dict[str, Any], metadata: str) -> None:
    assert view["private_metadata"] == metadata


def test_a_rejection_form_mentions_no_one() -> None:
    assert "<!channel>" not in message_text(modals.reject_modal(a_request("nasty")))


def test_submitted_values_are_read_by_field() -> None:
    state = {
        "values": {
            "model": {modal_inputs.INPUT_ACTION: {"type": "plain_text_input", "value": "churn"}},
            "to": {modal_inputs.INPUT_ACTION: {"type": "static_select", "selected_option": {"value": "staging"}}},
            "reason": {modal_inputs.INPUT_ACTION: {"type": "plain_text_input", "value": None}},
        }
    }
    assert modal_inputs.submitted_values(state) == {"model": "churn", "to": "staging"}


@pytest.mark.parametrize("state", [{}, {"values": {}}, {"values": {"to": {"value": {"selected_option": None}}}}])
def test_an_empty_form_has_no_values(state: dict[str, Any]) -> None:
    assert modal_inputs.submitted_values(state) == {}

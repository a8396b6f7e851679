"""Attempts to get around the rules, and their refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.domain.core.errors import AlreadyDecided, BadInput, Misconfigured, Refused
from bot.domain.policy.parser import validate_policy
from bot.domain.promotions.request import RequestState
from bot.domain.registry.model import Stage, check_model_name
from bot.services.promotions.gate_checks import GateChecks
from bot.services.transitions.completion import Completion
from bot.services.transitions.executor import TransitionExecutor
from bot.services.transitions.preconditions import Preconditions
from tests.support.registry.files import no_changes, no_entry_hook
from tests.support.services.bench import BOB, STRANGER, Bench
from tests.support.services.production_rules import with_production_rule

RULES: dict[str, dict[str, object]] = {
    "more approvals": {"approvers": ["lead"], "required": 2},
    "another approver": {"approvers": ["lead", "UDAVE"]},
    "the requester can approve": {"approvers": ["lead"], "requester_may_approve": True},
    "a gate": {"approvers": ["lead"], "gates": [{"semver": "set"}]},
    "an overrider": {"approvers": ["lead"], "override": ["UDAVE"]},
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_request_is_outdated_if_its_rule_changed(bench: Bench, rule: dict[str, object]) -> None:
    request = bench.open()
    with pytest.raises(AlreadyDecided, match="rule for Production changed"):
        with_production_rule(bench, rule).approve(request, BOB)
    assert bench.state(request) is RequestState.STALE


def test_a_request_is_outdated_if_a_role_in_its_rule_changed(bench: Bench) -> None:
    request = bench.open()
    with_production_rule(bench, {"approvers": ["lead"]}, roles={"lead": ["UBOB", "UEVE"], "admin": []})
    assert bench.request_upkeep.end_outdated() == 1
    assert bench.state(request) is RequestState.STALE


@pytest.mark.parametrize("more", [{"expires_after": "9d"}, {"remind_after": "4h"}, {"review_within": "1d"}], ids=str)
def test_a_changed_expiry_does_not_make_a_request_outdated(bench: Bench, more: dict[str, object]) -> None:
    request = bench.open()
    assert (
        with_production_rule(bench, {"approvers": ["lead"]} | more).approve(request, BOB).request.state
        is RequestState.APPROVED
    )


def test_a_rule_change_between_decision_and_transition_stops_it(bench: Bench) -> None:
    request = bench.approved()
    with_production_rule(bench, {"approvers": ["UDAVE"]})
    bench.moves.execute_due("churn")
    assert bench.state(request) is RequestState.STALE
    assert bench.registry.holders() == [3]


def test_brackets_in_a_pattern_can_match_a_model_s_name_literally() -> None:
    rules = {"*": {"channel": "#lax"}, "fraud[eu]": {"channel": "#strict"}}
    assert validate_policy({"models": rules}).channel_for("fraud[eu]") == "#strict"


def test_a_model_s_exact_name_takes_precedence_over_a_longer_pattern() -> None:
    rules = {"churn*": {"channel": "#lax"}, "churn": {"channel": "#strict"}}
    assert validate_policy({"models": rules}).channel_for("churn") == "#strict"


@pytest.mark.parametrize("unseen", ["\u200b", "\u200d", "\u3164", "\ufe0f", "\u202e", "\u2060"])
def test_invisible_characters_in_a_model_s_name_are_refused(unseen: str) -> None:
    with pytest.raises(BadInput, match="invisible characters"):
        check_model_name(f"churn{unseen}")


@pytest.mark.parametrize("name", ["churn ❤️", "👩‍🔬 lab", "☁️"])
def test_an_emoji_in_a_name_is_allowed(name: str) -> None:
    assert check_model_name(name) == name


def test_a_clock_that_was_set_back_makes_the_poll_report_nothing(bench: Bench) -> None:
    bench.watch.poll()
    bench.clock.advance(hours=-1)
    bench.approve(bench.open())
    bench.moves.execute_due("churn")
    assert bench.watch.poll() == 0


def test_an_unreadable_model_does_not_hide_other_models(bench: Bench) -> None:
    bench.registry.add_model("!'\"", versions=[Stage.PRODUCTION])
    assert bench.watch.poll() == 1
    assert bench.moves_of()[0].version == 3


def test_a_command_with_an_internal_error_does_not_block_others(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.registry.add_model("two", versions=1)
    bench.ask()
    other = bench.ask("promote two 1 production")
    bench.clock.advance(minutes=1)
    real = bench.lookups.model_and_versions

    def breaks(name: str) -> object:
        if name == "churn":
            raise OverflowError("unforeseen")
        return real(name)

    monkeypatch.setattr(bench.lookups, "model_and_versions", breaks)
    bench.errands.execute_due()
    with bench.ledger.read() as reading:
        assert reading.queued_command(other.id).request is not None


def test_a_refused_command_is_not_opened_later(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = bench.ask("promote churn 9 production")
    real = bench.lookups.model_and_versions

    def refused_meanwhile(name: str) -> object:
        found = real(name)
        monkeypatch.undo()
        with pytest.raises(BadInput):
            bench.open_ask(ask.id)
        bench.registry.add_version("churn")
        return found[0], [replace(found[1][0], version=9)]

    monkeypatch.setattr(bench.lookups, "model_and_versions", refused_meanwhile)
    with pytest.raises(Refused, match="was just refused"):
        bench.open_ask(ask.id)
    assert "registrar:request:opened" not in bench.tags()


def test_a_refusal_and_its_message_are_one_change(bench: Bench) -> None:
    bench.ask("promote churn 9 production")
    bench.clock.advance(minutes=1)
    bench.errands.execute_due()
    assert "has no version v9" in bench.told("direct:ask")


def test_an_alias_that_someone_keeps_moving_does_not_fail_the_transition(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = bench.approved()
    monkeypatch.setattr(bench.registry, "set_alias", lambda name, alias, version: None)
    TransitionExecutor(
        bench.context,
        Preconditions(bench.context, GateChecks(bench.context, bench.lookups), bench.fitness, no_changes),
        Completion(bench.context, no_entry_hook),
    ).execute_due("churn")
    assert bench.state(request) is RequestState.DONE
    assert "Something else keeps moving the alias champion" in bench.now(request).outcome


def test_a_stranger_cannot_open_a_form(bench: Bench) -> None:
    with pytest.raises(Refused):
        bench.errands.create_draft(STRANGER, {}, channel="C1")


@pytest.mark.parametrize(
    "rule", [{"required": True}, {"expires_after": "9999999d"}, {"gates": [{"metric": "f1", "at_most": float("inf")}]}]
)
def test_an_invalid_rule_is_refused_immediately(rule: dict[str, object]) -> None:
    with pytest.raises(Misconfigured):
        validate_policy({"models": {"*": {"production": {"approvers": ["UBOB"]} | rule}}})


def test_a_role_name_cannot_look_like_a_slack_id() -> None:
    with pytest.raises(Misconfigured, match="can't look like a Slack ID"):
        validate_policy({"roles": {"UBOB": ["UEVE"]}, "models": {}})

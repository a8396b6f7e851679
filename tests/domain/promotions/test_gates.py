"""Gates: passing, failing, and missing values, and changes since the request."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter

from bot.domain.core.actors import Person
from bot.domain.policy.gate_config import Gate
from bot.domain.promotions.gates import (
    GateFacts,
    check_gates,
    decision_basis_change,
    describe_gate_result,
    summarize_gates,
)
from bot.domain.promotions.request import GateResult, Request, RequestSnapshot, pack_snapshot, unpack_snapshot
from bot.domain.registry.model import ModelInfo, Signature, SignatureColumn, Stage, VersionInfo
from bot.domain.transitions.model_card_sources import ModelCardSources, fill_model_card

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
VERSION = VersionInfo(model="churn", version=7, stage=Stage.STAGING, tags={"semver": "2.1.0", "owner": "ann"})
CARD = fill_model_card(ModelCardSources(version=VERSION, model=ModelInfo(name="churn")))
FACTS = GateFacts(
    version=VERSION,
    missing=CARD.missing(),
    now=NOW,
    incumbent=5,
    metrics={"accuracy": 0.90, "latency_ms": 40.0, "f1": 0.80},
    incumbent_metrics={"accuracy": 0.91, "latency_ms": 35.0},
    staged_since=NOW - timedelta(hours=30),
)


def gate(**fields: Any) -> Gate:
    found: Gate = TypeAdapter(Gate).validate_python(fields)
    return found


def only(facts: GateFacts = FACTS, /, **fields: Any) -> GateResult:
    [result] = check_gates([gate(**fields)], facts)
    return result


def with_facts(**changes: Any) -> GateFacts:
    return replace(FACTS, **changes)


# -- bounds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bound", "passes"),
    [
        ({"at_least": 0.89}, True),
        ({"at_least": 0.90}, True),
        ({"at_least": 0.91}, False),
        ({"at_most": 0.89}, False),
        ({"at_most": 0.90}, True),
        ({"at_most": 0.91}, True),
    ],
    ids=str,
)
def test_the_bound_itself_passes(bound: dict[str, Any], passes: bool) -> None:
    assert only(metric="accuracy", **bound).passed is passes


def test_two_bounds_give_two_results() -> None:
    results = check_gates([gate(metric="accuracy", at_least=0.5, at_most=0.6)], FACTS)
    assert [(result.bound, result.passed) for result in results] == [("≥ 0.5", True), ("≤ 0.6", False)]


def test_a_missing_metric_fails() -> None:
    result = only(metric="recall", at_least=0.0)
    assert (result.value, result.passed) == ("missing", False)


def test_a_value_just_below_its_bound_is_not_shown_as_the_bound() -> None:
    result = only(with_facts(metrics={"accuracy": 0.849996}), metric="accuracy", at_least=0.85)
    assert (result.value, result.passed) == ("0.849996", False)


def test_a_passing_value_is_rounded() -> None:
    assert only(with_facts(metrics={"accuracy": 0.850004}), metric="accuracy", at_least=0.85).value == "0.85"


# -- compared with the incumbent ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("margin", "passes"), [(0.0, False), (0.009, False), (0.01, True), (0.02, True)])
def test_a_metric_can_be_worse_by_the_margin_but_not_more(margin: float, passes: bool) -> None:
    assert only(metric="accuracy", not_worse_than_incumbent_by=margin).passed is passes


@pytest.mark.parametrize(("margin", "passes"), [(4.9, False), (5, True)])
def test_a_higher_value_is_worse_if_lower_is_better(margin: float, passes: bool) -> None:
    assert only(metric="latency_ms", not_worse_than_incumbent_by=margin).passed is passes


def test_the_policy_s_directions_decide_which_way_is_worse() -> None:
    lower = with_facts(directions={"accuracy": "lower"})
    assert only(lower, metric="accuracy", not_worse_than_incumbent_by=0).passed


def test_the_difference_from_the_incumbent_is_shown() -> None:
    result = only(metric="accuracy", not_worse_than_incumbent_by=0.5)
    assert (result.value, result.bound) == ("0.9 (-0.01 vs v5)", "at most 0.5 worse than the incumbent")


def test_a_comparison_passes_without_an_incumbent() -> None:
    result = only(with_facts(incumbent=None, incumbent_metrics={}), metric="accuracy", not_worse_than_incumbent_by=0)
    assert result.passed
    assert "no incumbent" in result.note


def test_a_missing_metric_fails_even_without_an_incumbent() -> None:
    assert not only(with_facts(incumbent=None), metric="recall", not_worse_than_incumbent_by=0).passed


def test_a_comparison_fails_if_the_incumbent_lacks_the_metric() -> None:
    result = only(metric="f1", not_worse_than_incumbent_by=0.5)
    assert (result.passed, result.note) == (False, "v5 has no value to compare with")


# -- results that the requester reports --------------------------------------------------------------------------------


def test_a_requester_s_result_counts_if_the_run_has_none_and_is_marked_as_reported() -> None:
    result = only(with_facts(validation={"recall": 0.7}), metric="recall", at_least=0.6)
    assert (result.passed, result.note) == (True, "reported by requester")


def test_a_requester_s_result_does_not_replace_the_run_s() -> None:
    result = only(with_facts(validation={"accuracy": 0.99}), metric="accuracy", at_least=0.95)
    assert (result.passed, result.value, result.note) == (False, "0.9", "")


def test_a_gate_can_require_the_requester_s_result() -> None:
    assert only(with_facts(validation={"accuracy": 0.99}), metric="validation_accuracy", at_least=0.95).passed


# -- other gates -------------------------------------------------------------------------------------------------------


def test_a_card_gate_requires_its_fields() -> None:
    assert only(card=["owner", "semver"]).passed
    result = only(card=["owner", "use_case", "dataset_version"])
    assert (result.passed, result.value) == (False, "missing: use_case, dataset_version")


def test_a_semver_gate_requires_a_semver() -> None:
    assert (only(semver="set").passed, only(semver="set").value) == (True, "2.1.0")
    assert not only(with_facts(version=replace(VERSION, tags={})), semver="set").passed


@pytest.mark.parametrize(("time", "passes"), [("29h", True), ("30h", True), ("31h", False)])
def test_time_in_staging_is_counted(time: str, passes: bool) -> None:
    assert only(in_staging_for=time).passed is passes


@pytest.mark.parametrize(
    "elsewhere", [{"version": replace(VERSION, stage=Stage.NONE)}, {"staged_since": None}], ids=str
)
def test_a_version_that_is_not_in_staging_has_spent_no_time_there(elsewhere: dict[str, Any]) -> None:
    result = only(with_facts(**elsewhere), in_staging_for="0s")
    assert (result.passed, result.value) == (False, "not in Staging")


SIGNATURE = Signature(
    inputs=(SignatureColumn(name="age", type="long"),), outputs=(SignatureColumn(name="", type="double"),)
)


@pytest.mark.parametrize(
    ("changed", "passes"),
    [
        (SIGNATURE, True),
        (
            replace(SIGNATURE, inputs=(*SIGNATURE.inputs, SignatureColumn(name="plan", type="string", required=False))),
            True,
        ),
        (replace(SIGNATURE, inputs=(*SIGNATURE.inputs, SignatureColumn(name="plan", type="string"))), False),
        (replace(SIGNATURE, inputs=(SignatureColumn(name="age", type="string"),)), False),
        (replace(SIGNATURE, inputs=(SignatureColumn(name="plan", type="string", required=False),)), False),
        (replace(SIGNATURE, outputs=(SignatureColumn(name="", type="string"),)), False),
        (replace(SIGNATURE, params=(SignatureColumn(name="cut", type="double"),)), False),
    ],
    ids=["the same", "optional input", "required input", "retyped", "removed", "other output", "required parameter"],
)
def test_a_signature_gate_requires_compatibility_with_the_incumbent(changed: Signature, passes: bool) -> None:
    facts = with_facts(signature=changed, incumbent_signature=SIGNATURE)
    assert only(facts, signature="compatible").passed is passes


@pytest.mark.parametrize(
    ("facts", "passes"),
    [
        ({"incumbent": None, "signature": None}, True),
        ({"signature": SIGNATURE, "incumbent_signature": None}, True),
        ({"signature": None, "incumbent_signature": None}, True),
        ({"signature": None, "incumbent_signature": SIGNATURE}, False),
    ],
    ids=["no incumbent", "incumbent has none", "neither has one", "only the incumbent has one"],
)
def test_a_signature_gate_without_an_incumbent_signature_passes(facts: dict[str, Any], passes: bool) -> None:
    result = only(with_facts(**facts), signature="compatible")
    assert result.passed is passes
    assert result.note


BROKEN = {
    2: Signature(inputs=(SignatureColumn(name="age", type="string"), SignatureColumn(name="plan", type="string"))),
    3: Signature(
        inputs=(SignatureColumn(name="age", type="string"), SignatureColumn(name="plan", type="string")),
        outputs=(SignatureColumn(name="", type="string"),),
    ),
    5: Signature(
        inputs=(SignatureColumn(name="age", type="string"), SignatureColumn(name="plan", type="string")),
        outputs=(SignatureColumn(name="", type="string"), SignatureColumn(name="why", type="string")),
        params=(SignatureColumn(name="cut", type="double"),),
    ),
}


@pytest.mark.parametrize("number", BROKEN)
def test_three_breaking_changes_are_listed_and_the_others_counted(number: int) -> None:
    old = replace(
        SIGNATURE, outputs=(SignatureColumn(name="", type="double"), SignatureColumn(name="old", type="double"))
    )
    before = SIGNATURE if number < 5 else old
    result = only(with_facts(signature=BROKEN[number], incumbent_signature=before), signature="compatible")
    more = {2: "", 3: "", 5: " and 3 more"}[number]
    told_of = result.value.removesuffix(more) if more else result.value
    assert result.value.endswith(more)
    assert " more" not in told_of
    assert len(told_of.split("; ")) == min(number, 3)


# -- summaries ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("passed", "said"),
    [
        ([], "The policy has no gates for churn v7 → Production."),
        ([True], "churn v7 → Production: the gate passed."),
        ([True, True], "churn v7 → Production: all 2 gates passed."),
        ([False], "churn v7 → Production: the gate failed."),
        ([False, True], "churn v7 → Production: 1 of 2 gates failed."),
        ([False, False, True], "churn v7 → Production: 2 of 3 gates failed."),
    ],
    ids=str,
)
def test_gates_are_summarized_in_one_sentence(passed: list[bool], said: str) -> None:
    gates = tuple(GateResult(name=f"g{n}", bound="", value="", passed=one) for n, one in enumerate(passed))
    assert str(summarize_gates(VERSION, Stage.PRODUCTION, RequestSnapshot(gates=gates))) == said


# -- changes since the request -----------------------------------------------------------------------------------------

PASSED = GateResult(name="accuracy", bound="≥ 0.85", value="0.9", passed=True)
FAILED = replace(PASSED, value="0.8", passed=False)
SEEN = RequestSnapshot(metrics={"accuracy": 0.9}, gates=(PASSED,), rule="abc")
REQUEST = Request(
    id="r4k7q",
    model="churn",
    version=7,
    from_stage=Stage.NONE,
    target=Stage.PRODUCTION,
    incumbent=5,
    requester=Person("T1", "U1"),
    reason="",
    required=1,
    opened_at=NOW,
    expires_at=NOW,
    seen=SEEN,
)


def test_an_unchanged_basis_is_no_change() -> None:
    assert decision_basis_change(REQUEST, SEEN) is None


def test_a_request_from_an_older_release_is_not_compared() -> None:
    assert decision_basis_change(replace(REQUEST, seen=None), replace(SEEN, rule="other")) is None


def test_a_changed_rule_is_reported() -> None:
    assert str(decision_basis_change(REQUEST, replace(SEEN, rule="other"))) == (
        "The policy rule for Production changed after the request."
    )


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"accuracy": 0.89}, "accuracy was 0.9 and is 0.89"),
        ({}, "accuracy was 0.9 and is missing"),
        ({"accuracy": 0.9, "f1": 0.5}, "f1 was missing and is 0.5"),
    ],
    ids=["changed", "gone", "new"],
)
def test_changed_metrics_are_reported(metrics: dict[str, float], said: str) -> None:
    assert said in str(decision_basis_change(REQUEST, replace(SEEN, metrics=metrics)))


def test_three_changed_metrics_are_listed_and_the_others_counted() -> None:
    for number, more in ((3, ""), (5, "2 more")):
        changed = {**SEEN.metrics, **{f"m{n}": 1.0 for n in range(number)}}
        said = str(decision_basis_change(REQUEST, replace(SEEN, metrics=changed)))
        assert ("more" in said) is bool(more)
        assert more in said


def test_changes_of_the_incumbent_s_metrics_are_ignored() -> None:
    assert decision_basis_change(REQUEST, replace(SEEN, against={"accuracy": 0.5})) is None


def test_a_gate_that_fails_now_is_reported() -> None:
    assert "accuracy is 0.8, required: ≥ 0.85" in str(decision_basis_change(REQUEST, replace(SEEN, gates=(FAILED,))))


def test_an_overridden_gate_can_still_fail() -> None:
    passed = replace(REQUEST, seen=replace(SEEN, gates=(FAILED,)), overridden_by=Person("T1", "U2"))
    assert decision_basis_change(passed, replace(SEEN, gates=(replace(FAILED, value="0.7"),))) is None


def test_an_override_does_not_cover_other_gates() -> None:
    other = replace(FAILED, name="f1")
    passed = replace(REQUEST, seen=replace(SEEN, gates=(FAILED,)), overridden_by=Person("T1", "U2"))
    assert "f1" in str(decision_basis_change(passed, replace(SEEN, gates=(FAILED, other))))


def test_a_gate_that_failed_before_is_reported_without_an_override() -> None:
    failed = replace(REQUEST, seen=replace(SEEN, gates=(FAILED,)))
    assert decision_basis_change(failed, replace(SEEN, gates=(FAILED,))) is not None


def test_a_request_is_blocked_until_its_failed_gate_is_overridden() -> None:
    failed = replace(REQUEST, seen=replace(SEEN, gates=(FAILED,)))
    assert failed.has_blocking_gates
    assert not replace(failed, overridden_by=Person("T1", "U2")).has_blocking_gates
    assert not REQUEST.has_blocking_gates
    assert not replace(REQUEST, seen=None).has_blocking_gates


def test_a_snapshot_survives_packing_and_unpacking() -> None:
    seen = replace(SEEN, gates=(PASSED, FAILED), validation={"f1": 0.5}, against={"accuracy": 0.1}, policy="p")
    assert unpack_snapshot(pack_snapshot(seen)) == seen


@pytest.mark.parametrize(("length", "is_cut"), [(300, False), (301, True)])
def test_a_long_value_is_cut(length: int, is_cut: bool) -> None:
    assert ("…" in str(describe_gate_result(replace(FAILED, value="x" * length)))) is is_cut


def test_a_note_is_shown_with_its_gate() -> None:
    assert str(describe_gate_result(replace(FAILED, note="theirs"))) == "accuracy is 0.8, required: ≥ 0.85 (theirs)"

"""Gates are checked again right before the transition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.errors import AlreadyDecided, GateFailed
from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.model import ModelPackage, Signature, SignatureColumn, Stage
from tests.support.services.bench import Bench
from tests.support.services.gates import (
    ACCURATE,
    FRAUD,
    GOOD,
    NO_WORSE,
    SIGNATURE,
    events,
    measure,
    override_gates,
    run_transition,
    set_gates,
    withdraw,
)

STAGED: Mapping[str, Any] = {"in_staging_for": "24h"}


# -- right before the transition ---------------------------------------------------------------------------------------


def approved(bench: Bench, *gates: Mapping[str, Any], **production: Any) -> Request:
    """Return an approved request for `fraud` under these gates; its transition isn't made yet."""
    set_gates(bench, *gates, **production)
    return bench.approved(FRAUD)


def test_an_unchanged_version_is_promoted(fraud: Bench) -> None:
    assert run_transition(fraud, approved(fraud, ACCURATE, NO_WORSE)).state is RequestState.DONE


def test_a_version_with_changed_metrics_is_not_promoted(fraud: Bench) -> None:
    request = approved(fraud, ACCURATE)
    measure(fraud, 2, accuracy=0.95, f1=0.8)
    ended = run_transition(fraud, request)
    assert ended.state is RequestState.STALE
    assert ended.outcome == "The metrics of v2 changed after the request: accuracy was 0.9 and is 0.95."
    assert fraud.registry.holders("fraud") == [1]


def test_an_improved_incumbent_makes_a_gate_fail(fraud: Bench) -> None:
    request = approved(fraud, NO_WORSE)
    measure(fraud, 1, f1=0.95)
    ended = run_transition(fraud, request)
    assert ended.state is RequestState.STALE
    assert ended.outcome.startswith("A gate no longer passes: f1 is 0.8 (-0.15 vs v1)")


def test_an_incumbent_s_metrics_can_change_if_every_gate_still_passes(fraud: Bench) -> None:
    request = approved(fraud, NO_WORSE)
    measure(fraud, 1, f1=0.79, load=3)
    assert run_transition(fraud, request).state is RequestState.DONE


def test_a_removed_card_field_fails_the_gate(fraud: Bench) -> None:
    fraud.registry.set_tags("fraud", 2, {"owner": "risk"})
    request = approved(fraud, {"card": ["owner"]})
    fraud.registry.set_tags("fraud", 2, {"owner": None})
    ended = run_transition(fraud, request)
    assert ended.state is RequestState.STALE
    assert "metadata card is missing: owner" in ended.outcome


def test_a_card_field_can_come_from_the_model_s_tags(bench: Bench) -> None:
    bench.registry.add_model("fraud", versions=[Stage.PRODUCTION, Stage.NONE], tags={"owner": "risk"})
    assert run_transition(bench, approved(bench, {"card": ["owner"]})).state is RequestState.DONE


def test_an_incumbent_moved_in_mlflow_ends_the_request(fraud: Bench) -> None:
    request = approved(fraud, ACCURATE)
    fraud.registry.by_hand("fraud", 1, Stage.ARCHIVED)
    ended = run_transition(fraud, request)
    assert ended.state is RequestState.STALE
    assert ended.outcome == "Production has changed from v1 to no version since this was requested."


def test_a_changed_rule_ends_the_request_without_reading_metrics(fraud: Bench) -> None:
    request = approved(fraud, ACCURATE)
    set_gates(fraud, ACCURATE, NO_WORSE)
    fraud.registry.request_counts.clear()
    ended = run_transition(fraud, request)
    assert ended.state is RequestState.STALE
    assert "rule for Production changed" in ended.outcome
    assert fraud.registry.request_counts["runs"] == 0


def test_an_edit_that_does_not_affect_the_decision_ends_nothing(fraud: Bench) -> None:
    request = approved(fraud, ACCURATE)
    set_gates(fraud, ACCURATE, expires_after="1h", remind_after="5m")
    assert run_transition(fraud, request).state is RequestState.DONE


def test_an_overridden_gate_can_fail_again(fraud: Bench, blocked: Request) -> None:
    override_gates(fraud, blocked)
    fraud.approve(blocked)
    assert run_transition(fraud, blocked).state is RequestState.DONE


def test_an_override_does_not_cover_a_newly_failing_gate(fraud: Bench) -> None:
    measure(fraud, 2, accuracy=0.83, f1=0.8)
    set_gates(fraud, ACCURATE, NO_WORSE, override=["admin"])
    request = fraud.open(FRAUD)
    override_gates(fraud, request)
    fraud.approve(request)
    measure(fraud, 1, f1=0.95)
    ended = run_transition(fraud, request)
    assert ended.state is RequestState.STALE
    assert "f1 is 0.8" in ended.outcome


def test_a_signature_is_read_again_before_the_transition(fraud: Bench) -> None:
    for version in fraud.registry.versions("fraud"):
        fraud.registry.add_package(version, ModelPackage(signature=SIGNATURE))
    request = approved(fraud, {"signature": "compatible"})
    assert fraud.registry.request_counts["package"] == 2
    assert run_transition(fraud, request).state is RequestState.DONE
    assert fraud.registry.request_counts["package"] == 4


def test_a_version_whose_signature_changed_after_the_approval_is_not_promoted(fraud: Bench) -> None:
    for version in fraud.registry.versions("fraud"):
        fraud.registry.add_package(version, ModelPackage(signature=SIGNATURE))
    request = approved(fraud, {"signature": "compatible"})
    fraud.registry.add_package(
        fraud.registry.version("fraud", request.version),
        ModelPackage(
            signature=Signature(inputs=(SignatureColumn(name="other", type="string"),), outputs=SIGNATURE.outputs)
        ),
    )
    assert run_transition(fraud, request).state is RequestState.STALE


def test_a_version_whose_mlmodel_file_is_gone_after_the_approval_is_not_promoted(fraud: Bench) -> None:
    for version in fraud.registry.versions("fraud"):
        fraud.registry.add_package(version, ModelPackage(signature=SIGNATURE))
    request = approved(fraud, {"signature": "compatible"})
    fraud.registry.remove_package(fraud.registry.version("fraud", request.version))
    ended = run_transition(fraud, request)
    assert (ended.state, "no MLmodel file" in ended.outcome) == (RequestState.STALE, True)


@pytest.mark.parametrize("number", [0, 200], ids=lambda number: f"{number} more versions")
def test_a_transition_s_checks_take_three_registry_calls_for_any_number_of_versions(fraud: Bench, number: int) -> None:
    for version in range(3, 3 + number):
        measure(fraud, version, **GOOD)
        fraud.registry.add_version("fraud", run_id=f"run{version}")
    request = approved(fraud, ACCURATE, NO_WORSE, {"card": ["metrics"]})
    fraud.registry.request_counts.clear()
    asked: list[int] = []
    fraud.registry.before = lambda: asked.append(fraud.registry.request_counts.total())
    assert run_transition(fraud, request).state is RequestState.DONE
    assert asked == [3]  # versions, the model, the runs


# -- time in Staging ---------------------------------------------------------------------------------------------------


@pytest.fixture
def at_hand(fraud: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a bench whose registry uses the manual clock, with a gate that requires 24 h in Staging."""
    monkeypatch.setattr(fraud.registry, "_now", fraud.clock.now)
    set_gates(fraud, STAGED)
    return fraud


def test_time_in_staging_counts_from_our_transition_whatever_was_written_since(at_hand: Bench) -> None:
    at_hand.approved("promote fraud 2 staging")
    at_hand.moves.execute_due("fraud")
    at_hand.clock.advance(hours=20)
    at_hand.registry.set_description("fraud", 2, "better")
    at_hand.clock.advance(hours=4)
    assert at_hand.open(FRAUD).from_stage is Stage.STAGING


def test_a_minute_less_than_required_in_staging_fails(at_hand: Bench) -> None:
    at_hand.approved("promote fraud 2 staging")
    at_hand.moves.execute_due("fraud")
    at_hand.clock.advance(hours=23, minutes=59)
    with pytest.raises(GateFailed, match="time in Staging"):
        at_hand.open(FRAUD)


def test_time_in_staging_of_a_version_moved_in_mlflow_comes_from_the_registry(at_hand: Bench) -> None:
    at_hand.registry.by_hand("fraud", 2, Stage.STAGING)
    at_hand.clock.advance(hours=23)
    with pytest.raises(GateFailed, match="time in Staging"):
        at_hand.open(FRAUD)
    at_hand.clock.advance(hours=1)
    assert at_hand.open(FRAUD).state is RequestState.PENDING


def test_a_version_outside_staging_has_no_time_in_staging(at_hand: Bench) -> None:
    with pytest.raises(GateFailed, match="not in Staging"):
        at_hand.open(FRAUD)


# -- outdated according to the ledger ----------------------------------------------------------------------------------


def test_a_click_on_an_outdated_request_ends_it(fraud: Bench) -> None:
    set_gates(fraud, ACCURATE)
    request = fraud.open(FRAUD)
    set_gates(fraud, NO_WORSE)
    with pytest.raises(AlreadyDecided, match="rule for Production changed"):
        fraud.approve(request)
    assert fraud.state(request) is RequestState.STALE


def test_overriding_the_gates_of_an_outdated_request_ends_it(fraud: Bench, blocked: Request) -> None:
    fraud.clock.advance(minutes=1)
    fraud.registry.by_hand("fraud", 1, Stage.ARCHIVED)
    fraud.watch.poll()
    with pytest.raises(AlreadyDecided):
        override_gates(fraud, blocked)
    assert fraud.state(blocked) is RequestState.STALE
    assert events(fraud, EventTag.GATES_OVERRIDDEN) == []


def test_a_poll_that_finds_a_moved_incumbent_ends_the_pending_request(fraud: Bench) -> None:
    request = fraud.open(FRAUD)
    fraud.clock.advance(minutes=1)
    fraud.registry.by_hand("fraud", 1, Stage.ARCHIVED)
    fraud.watch.poll()
    assert fraud.request_upkeep.end_outdated() == 1
    assert fraud.state(request) is RequestState.STALE


def test_withdrawing_and_rejecting_need_no_current_facts(fraud: Bench) -> None:
    set_gates(fraud, ACCURATE, required=2)
    request = fraud.open(FRAUD)
    fraud.approve(request)
    set_gates(fraud, NO_WORSE, required=2)
    assert withdraw(fraud, request) == 0
    assert fraud.reject(request).request.state is RequestState.REJECTED

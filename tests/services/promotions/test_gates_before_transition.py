"""Gates right before the transition: what was approved is checked again."""

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


# -- right before the move ---------------------------------------------------------------------------------------------


def approved(bench: Bench, *gates: Mapping[str, Any], **production: Any) -> Request:
    """Return an approved request for `fraud` under these gates; its move is not made yet."""
    set_gates(bench, *gates, **production)
    return bench.approved(FRAUD)


def test_what_is_as_it_was_is_moved(fraud: Bench) -> None:
    assert run_transition(fraud, approved(fraud, ACCURATE, NO_WORSE)).state is RequestState.DONE


def test_a_version_that_was_measured_anew_is_not_moved(fraud: Bench) -> None:
    request = approved(fraud, ACCURATE)
    measure(fraud, 2, accuracy=0.95, f1=0.8)
    ended = run_transition(fraud, request)
    assert ended.state is RequestState.STALE
    assert ended.outcome == "v2 was measured anew since this was asked: accuracy was 0.9 and is 0.95."
    assert fraud.registry.holders("fraud") == [1]


def test_an_incumbent_that_got_better_makes_a_gate_fail(fraud: Bench) -> None:
    request = approved(fraud, NO_WORSE)
    measure(fraud, 1, f1=0.95)
    ended = run_transition(fraud, request)
    assert ended.state is RequestState.STALE
    assert ended.outcome.startswith("A gate does not pass any more: f1 is 0.8 (-0.15 against v1)")


def test_an_incumbent_s_live_figures_may_change_where_every_gate_still_passes(fraud: Bench) -> None:
    request = approved(fraud, NO_WORSE)
    measure(fraud, 1, f1=0.79, load=3)
    assert run_transition(fraud, request).state is RequestState.DONE


def test_a_field_of_the_card_that_was_taken_away_is_missed(fraud: Bench) -> None:
    fraud.registry.set_tags("fraud", 2, {"owner": "risk"})
    request = approved(fraud, {"card": ["owner"]})
    fraud.registry.set_tags("fraud", 2, {"owner": None})
    ended = run_transition(fraud, request)
    assert ended.state is RequestState.STALE
    assert "metadata card is missing: owner" in ended.outcome


def test_a_field_that_the_model_s_own_tags_fill_is_looked_up_there(bench: Bench) -> None:
    bench.registry.add_model("fraud", versions=[Stage.PRODUCTION, Stage.NONE], tags={"owner": "risk"})
    assert run_transition(bench, approved(bench, {"card": ["owner"]})).state is RequestState.DONE


def test_an_incumbent_moved_by_hand_ends_it(fraud: Bench) -> None:
    request = approved(fraud, ACCURATE)
    fraud.registry.by_hand("fraud", 1, Stage.ARCHIVED)
    ended = run_transition(fraud, request)
    assert ended.state is RequestState.STALE
    assert ended.outcome == "Production held v1 when this was asked and holds no version now."


def test_an_edited_rule_ends_it_without_a_look_at_the_figures(fraud: Bench) -> None:
    request = approved(fraud, ACCURATE)
    set_gates(fraud, ACCURATE, NO_WORSE)
    fraud.registry.request_counts.clear()
    ended = run_transition(fraud, request)
    assert ended.state is RequestState.STALE
    assert "rule for Production was changed" in ended.outcome
    assert fraud.registry.request_counts["runs"] == 0


def test_an_edit_of_what_decides_nothing_ends_nothing(fraud: Bench) -> None:
    request = approved(fraud, ACCURATE)
    set_gates(fraud, ACCURATE, expires_after="1h", remind_after="5m")
    assert run_transition(fraud, request).state is RequestState.DONE


def test_a_gate_that_was_let_pass_may_fail_again(fraud: Bench, blocked: Request) -> None:
    override_gates(fraud, blocked)
    fraud.approve(blocked)
    assert run_transition(fraud, blocked).state is RequestState.DONE


def test_another_gate_that_begins_to_fail_was_not_let_pass(fraud: Bench) -> None:
    measure(fraud, 2, accuracy=0.83, f1=0.8)
    set_gates(fraud, ACCURATE, NO_WORSE, override=["admin"])
    request = fraud.open(FRAUD)
    override_gates(fraud, request)
    fraud.approve(request)
    measure(fraud, 1, f1=0.95)
    ended = run_transition(fraud, request)
    assert ended.state is RequestState.STALE
    assert "f1 is 0.8" in ended.outcome


def test_a_signature_is_read_again_before_the_move(fraud: Bench) -> None:
    for version in fraud.registry.versions("fraud"):
        fraud.registry.add_package(version, ModelPackage(signature=SIGNATURE))
    request = approved(fraud, {"signature": "compatible"})
    assert fraud.registry.request_counts["package"] == 2
    assert run_transition(fraud, request).state is RequestState.DONE
    assert fraud.registry.request_counts["package"] == 4


def test_a_version_whose_signature_has_changed_since_the_approval_is_not_moved(fraud: Bench) -> None:
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


def test_a_version_whose_mlmodel_file_has_gone_since_the_approval_is_not_moved(fraud: Bench) -> None:
    for version in fraud.registry.versions("fraud"):
        fraud.registry.add_package(version, ModelPackage(signature=SIGNATURE))
    request = approved(fraud, {"signature": "compatible"})
    fraud.registry.remove_package(fraud.registry.version("fraud", request.version))
    ended = run_transition(fraud, request)
    assert (ended.state, "no MLmodel file" in ended.outcome) == (RequestState.STALE, True)


@pytest.mark.parametrize("number", [0, 200], ids=lambda number: f"{number} more versions")
def test_before_the_move_the_registry_is_asked_three_times_at_any_number_of_versions(fraud: Bench, number: int) -> None:
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
    """Return the bench whose registry goes by the hand clock, too; what goes to Production has been staged for 24 h."""
    monkeypatch.setattr(fraud.registry, "_now", fraud.clock.now)
    set_gates(fraud, STAGED)
    return fraud


def test_time_in_staging_counts_from_our_move_whatever_was_written_since(at_hand: Bench) -> None:
    at_hand.approved("promote fraud 2 staging")
    at_hand.moves.execute_due("fraud")
    at_hand.clock.advance(hours=20)
    at_hand.registry.set_description("fraud", 2, "better")
    at_hand.clock.advance(hours=4)
    assert at_hand.open(FRAUD).from_stage is Stage.STAGING


def test_a_minute_too_little_in_staging_is_too_little(at_hand: Bench) -> None:
    at_hand.approved("promote fraud 2 staging")
    at_hand.moves.execute_due("fraud")
    at_hand.clock.advance(hours=23, minutes=59)
    with pytest.raises(GateFailed, match="time in Staging"):
        at_hand.open(FRAUD)


def test_of_what_others_put_into_staging_the_registry_tells_since_when(at_hand: Bench) -> None:
    at_hand.registry.by_hand("fraud", 2, Stage.STAGING)
    at_hand.clock.advance(hours=23)
    with pytest.raises(GateFailed, match="time in Staging"):
        at_hand.open(FRAUD)
    at_hand.clock.advance(hours=1)
    assert at_hand.open(FRAUD).state is RequestState.PENDING


def test_what_is_not_in_staging_has_spent_no_time_there(at_hand: Bench) -> None:
    with pytest.raises(GateFailed, match="not in Staging"):
        at_hand.open(FRAUD)


# -- ended by what the ledger knows ------------------------------------------------------------------------------------


def test_a_click_on_what_the_ledger_knows_to_be_out_of_date_ends_it(fraud: Bench) -> None:
    set_gates(fraud, ACCURATE)
    request = fraud.open(FRAUD)
    set_gates(fraud, NO_WORSE)
    with pytest.raises(AlreadyDecided, match="rule for Production was changed"):
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


def test_an_incumbent_that_the_poll_found_moved_ends_what_waits(fraud: Bench) -> None:
    request = fraud.open(FRAUD)
    fraud.clock.advance(minutes=1)
    fraud.registry.by_hand("fraud", 1, Stage.ARCHIVED)
    fraud.watch.poll()
    assert fraud.request_upkeep.end_outdated() == 1
    assert fraud.state(request) is RequestState.STALE


def test_taking_a_vote_back_and_rejecting_need_no_fresh_facts(fraud: Bench) -> None:
    set_gates(fraud, ACCURATE, required=2)
    request = fraud.open(FRAUD)
    fraud.approve(request)
    set_gates(fraud, NO_WORSE, required=2)
    assert withdraw(fraud, request) == 0
    assert fraud.reject(request).request.state is RequestState.REJECTED

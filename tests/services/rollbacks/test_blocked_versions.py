"""Versions that were rolled back: what refuses them, and who can override or unblock them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.domain.commands.parser import build_command, parse_command
from bot.domain.commands.promotions import Validate
from bot.domain.commands.rollbacks import Unblock
from bot.domain.core.errors import GateFailed, LedgerUnavailable, Refused
from bot.domain.promotions.request import RequestSnapshot, RequestState
from bot.domain.registry.model import Stage
from bot.services.core.blocked_versions import blocks_for_display
from tests.support.services.bench import ALICE, BOB, CAROL, DAVE, Bench
from tests.support.services.blocked_versions import REQUEST_AGAIN, failed_gates, set_production_rule, unblock
from tests.support.services.rollbacks import ROLL_BACK

# -- opening a request -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["staging", "production"])
def test_a_blocked_version_cannot_be_requested_and_the_refusal_says_how_to_unblock_it(bad: Bench, stage: str) -> None:
    with pytest.raises(GateFailed) as refusal:
        bad.open(f"promote churn 4 {stage}")
    assert str(refusal.value) == (
        "No request was opened for “churn” v4: it was rolled back on 2026-05-07 (accuracy fell). "
        'To unblock it: /model unblock churn 4 --reason "…"'
    )


def test_an_unblocked_version_can_be_requested(bad: Bench) -> None:
    unblock(bad)
    assert failed_gates(bad.open(REQUEST_AGAIN)) == []


def test_a_policy_can_ignore_the_block(bad: Bench) -> None:
    set_production_rule(bad, {"not_blocked": False})
    assert failed_gates(bad.open(REQUEST_AGAIN)) == []


def test_the_gate_can_be_named_too(bad: Bench) -> None:
    set_production_rule(bad, {"not_blocked": True})
    with pytest.raises(GateFailed, match="rolled back"):
        bad.open(REQUEST_AGAIN)
    [gate] = bad.open("promote churn 3 production").seen.gates  # type: ignore[union-attr]
    assert (gate.name, gate.value, gate.passed) == ("not_blocked", "not blocked", True)


def test_validation_shows_the_gate(bad: Bench) -> None:
    command = parse_command("validate churn 4")
    assert isinstance(command, Validate)
    _, seen = bad.gate_checks.validate_gates(command)
    assert [(gate.name, gate.value) for gate in seen.failed_gates] == [
        ("not_blocked", "rolled back on 2026-05-07 (accuracy fell)")
    ]


def test_another_version_with_the_same_number_is_not_blocked(bad: Bench) -> None:
    versions = bad.registry._models["churn"].versions
    versions[4] = replace(versions[4], run_id="another", source="elsewhere", created_at=bad.clock.now())
    assert failed_gates(bad.open(REQUEST_AGAIN)) == []


def test_without_a_ledger_no_version_counts_as_blocked(bad: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def read() -> None:
        raise LedgerUnavailable("There is none.")

    monkeypatch.setattr(bad.context.ledger, "read", read)
    assert blocks_for_display(bad.context, [bad.registry.version("churn", 4)]) == {}


# -- overriding and unblocking ---------------------------------------------------------------------------------------


def test_an_override_with_a_reason_also_applies_at_the_transition(bad: Bench) -> None:
    set_production_rule(bad, override=["admin"])
    request = bad.open(REQUEST_AGAIN)
    assert failed_gates(request) == ["not_blocked"]
    bad.approve(request)
    bad.override(request, DAVE, "the feature store is fixed")
    bad.moves.execute_due("churn")
    assert (bad.state(request), bad.registry.holders()) == (RequestState.DONE, [4])


def test_break_glass_ignores_the_block(bad: Bench) -> None:
    request = bad.open(f"{REQUEST_AGAIN} --break-glass --reason fraud", DAVE)
    bad.moves.execute_due("churn")
    assert (bad.state(request), bad.registry.holders()) == (RequestState.DONE, [4])


def test_unblocking_lets_a_pending_request_be_decided(bad: Bench) -> None:
    set_production_rule(bad, override=["admin"])
    request = bad.open(REQUEST_AGAIN)
    unblock(bad)
    assert not bad.now(request).has_blocking_gates
    assert any(note.key.startswith(f"card:{request.id}:unblocked:") for note in bad.notes())
    bad.approve(request)
    bad.moves.execute_due("churn")
    assert bad.registry.holders() == [4]


def test_unblocking_approves_requests_that_waited_only_for_it(bad: Bench) -> None:
    set_production_rule(bad, override=["admin"])
    request = bad.open(REQUEST_AGAIN)
    bad.approve(request)
    assert bad.state(request) is RequestState.PENDING
    unblock(bad)
    assert bad.state(request) is RequestState.APPROVED
    bad.moves.execute_due("churn")
    assert (bad.state(request), bad.registry.holders()) == (RequestState.DONE, [4])


def test_unblocking_another_version_changes_nothing(bad: Bench) -> None:
    set_production_rule(bad, override=["admin"])
    request = bad.open(REQUEST_AGAIN)
    bad.do("rollback churn --reason 'worse'", BOB)
    unblock(bad, 2)
    assert bad.now(request).has_blocking_gates


@pytest.fixture
def twice(bad: Bench) -> tuple[int, int]:
    """Return two versions of one run's files: the first is blocked, the second was registered afterward."""
    run = bad.registry.add_run()
    first = bad.registry.add_version("churn", run_id=run, source="models:/m-1")
    bad.approve(bad.open(f"promote churn {first} production"))
    bad.moves.execute_due("churn")
    bad.clock.advance(hours=1)
    bad.do(ROLL_BACK, BOB)
    return first, bad.registry.add_version("churn", run_id=run, source="models:/m-1")


def test_registering_the_same_run_again_does_not_bypass_the_block(bad: Bench, twice: tuple[int, int]) -> None:
    first, again = twice
    with pytest.raises(GateFailed) as refusal:
        bad.open(f"promote churn {again} production")
    assert f"it was registered from the same run as v{first}, which was rolled back on" in str(refusal.value)
    assert f"/model unblock churn {first}" in str(refusal.value)


def test_unblocking_also_unblocks_the_same_files_under_another_number(bad: Bench, twice: tuple[int, int]) -> None:
    first, again = twice
    set_production_rule(bad, override=["admin"])
    request = bad.open(f"promote churn {again} production")
    bad.approve(request)
    assert bad.state(request) is RequestState.PENDING
    unblock(bad, first)
    bad.moves.execute_due("churn")
    assert (bad.state(request), bad.registry.holders()) == (RequestState.DONE, [again])


def test_a_blocked_version_s_request_from_an_older_release_is_not_promoted(bad: Bench) -> None:
    set_production_rule(bad, {"not_blocked": False})
    request = bad.approve(bad.open(REQUEST_AGAIN)).request
    set_production_rule(bad)
    with bad.ledger.write() as tx:  # as if it was opened before this gate existed
        seen = replace(
            request.seen or RequestSnapshot(), rule=bad.context.policy.fingerprint("churn", Stage.PRODUCTION)
        )
        tx.save_request(replace(tx.lock_request(request.id), seen=seen))
    bad.moves.execute_due("churn")
    assert (bad.state(request), bad.registry.holders()) == (RequestState.STALE, [2])
    assert "it was rolled back" in bad.now(request).outcome


def test_a_version_unblocked_before_the_transition_is_promoted(bad: Bench) -> None:
    set_production_rule(bad, override=["admin"])
    request = bad.open(REQUEST_AGAIN)
    bad.override(request, DAVE, "fixed")
    bad.approve(request)
    unblock(bad)
    bad.moves.execute_due("churn")
    assert bad.state(request) is RequestState.DONE


def test_a_version_rolled_back_twice_is_blocked_by_the_newest_rollback(bad: Bench) -> None:
    bad.open(f"{REQUEST_AGAIN} --break-glass --reason fraud", DAVE)
    bad.moves.execute_due("churn")
    bad.clock.advance(hours=1)
    bad.do("rollback churn --reason 'still bad'", CAROL)
    [block] = blocks_for_display(bad.context, [bad.registry.version("churn", 4)]).values()
    assert (block.reason, block.by) == ("still bad", CAROL.person)
    unblock(bad)
    assert blocks_for_display(bad.context, [bad.registry.version("churn", 4)]) == {}


def test_only_people_who_can_roll_back_can_unblock(bad: Bench) -> None:
    command = build_command(Unblock, {"model": "churn", "version": "4", "reason": "mine"})
    with pytest.raises(Refused):
        bad.execute(ALICE, command)
    with pytest.raises(GateFailed):
        bad.open(REQUEST_AGAIN)

"""Several executors at once: leases, dead processes, and slow processes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.model import Stage, VersionInfo
from bot.domain.transitions.transition import Transition
from bot.ports import Claim
from bot.services.transitions.executor import LEASE
from tests.support.services.bench import Bench, second_bench
from tests.support.services.executor import refuses


def intend(bench: Bench, *versions: int) -> list[Transition]:
    """Record transitions of several versions to Production, as if all had been decided at the same moment."""
    pattern = bench.move(bench.approved())
    moves = [
        replace(pattern, id=f"test:{one}", version=one, from_stage=_stage(bench, one), request=None) for one in versions
    ]
    with bench.ledger.write() as tx:
        for move in moves:
            tx.add_transition(move)
    return moves


def _stage(bench: Bench, version: int) -> Stage:
    return next(one.stage for one in bench.registry.versions("churn") if one.version == version)


def test_exactly_one_of_several_simultaneous_transitions_is_done(bench: Bench) -> None:
    intend(bench, 1, 2)
    workers = [bench, second_bench(bench), bench, second_bench(bench)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda worker: worker.moves.execute_due("churn"), workers))
    bench.moves.execute_due("churn")
    assert len(bench.registry.holders()) == 1
    assert sorted(move.state.value for move in bench.moves_of()) == ["done", "stale", "stale"]


def test_a_process_skips_a_model_that_another_one_is_moving(bench: Bench, request_: Request) -> None:
    other = second_bench(bench)
    bench.registry.before = lambda: other.moves.execute_due("churn")
    bench.moves.execute_due("churn")
    assert bench.registry.transitions == 1
    assert bench.state(request_) is RequestState.DONE


def test_a_dead_process_is_replaced_when_its_lease_expires(bench: Bench, request_: Request) -> None:
    with bench.ledger.write() as tx:
        tx.claim_transition("churn", Claim("gone:9:z", bench.clock.now(), bench.clock.now() + LEASE))
    bench.moves.execute_due("churn")
    assert bench.registry.transitions == 0
    bench.clock.advance(seconds=LEASE.total_seconds())
    bench.moves.execute_due("churn")
    assert bench.state(request_) is RequestState.DONE


def test_a_slow_process_that_was_replaced_ends_nothing_twice(bench: Bench, request_: Request) -> None:
    other = second_bench(bench)

    def sleep_past_the_lease() -> None:
        bench.clock.advance(seconds=2 * LEASE.total_seconds())
        other.moves.execute_due("churn")

    bench.registry.after = sleep_past_the_lease
    bench.moves.execute_due("churn")
    assert bench.state(request_) is RequestState.DONE
    assert bench.tags().count("registrar:version:moved") == 1


def test_a_process_replaced_before_the_stage_change_changes_nothing(
    bench: Bench, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = second_bench(bench)

    def hang(name: str) -> list[VersionInfo]:
        monkeypatch.undo()
        read = bench.registry.versions(name)
        bench.clock.advance(seconds=2 * LEASE.total_seconds())
        other.moves.execute_due("churn")
        other.approved("promote churn 2 production")
        other.moves.execute_due("churn")
        return read

    monkeypatch.setattr(bench.registry, "versions", hang)
    bench.moves.execute_due("churn")
    assert bench.registry.holders() == [2]
    assert bench.registry.model("churn").aliases["champion"] == 2


def test_a_process_replaced_after_the_stage_change_leaves_the_alias_alone(bench: Bench, request_: Request) -> None:
    other = second_bench(bench)

    def hang() -> None:
        bench.clock.advance(seconds=2 * LEASE.total_seconds())
        other.moves.execute_due("churn")
        other.approved("promote churn 2 production")
        other.moves.execute_due("churn")

    bench.registry.after = hang
    bench.moves.execute_due("churn")
    assert bench.registry.model("churn").aliases["champion"] == 2


def test_a_replaced_process_that_the_registry_refuses_ends_nothing(bench: Bench, request_: Request) -> None:
    other = second_bench(bench)

    def hang() -> None:
        bench.clock.advance(seconds=2 * LEASE.total_seconds())
        other.moves.execute_due("churn")
        refuses()

    bench.registry.before = hang
    bench.moves.execute_due("churn")
    assert bench.state(request_) is RequestState.DONE
    assert bench.tags().count("registrar:request:failed") == 0


def test_a_bug_leaves_the_transition_for_a_retry(bench: Bench, request_: Request) -> None:
    def stumble() -> None:
        raise ZeroDivisionError

    bench.registry.before = stumble
    with pytest.raises(ZeroDivisionError):
        bench.moves.execute_due("churn")
    for _ in range(2):  # it's released first, and then done
        bench.moves.execute_due("churn")
        bench.clock.advance(minutes=2)
    assert bench.state(request_) is RequestState.DONE

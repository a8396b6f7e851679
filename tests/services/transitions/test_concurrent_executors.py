"""Several executors at once: leases, processes that died, and who was too slow."""

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
    """Write moves of several versions into Production down, as if all had been decided at the same moment."""
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


def test_of_several_moves_at_the_same_instant_exactly_one_is_made(bench: Bench) -> None:
    intend(bench, 1, 2)
    workers = [bench, second_bench(bench), bench, second_bench(bench)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda worker: worker.moves.execute_due("churn"), workers))
    bench.moves.execute_due("churn")
    assert len(bench.registry.holders()) == 1
    assert sorted(move.state.value for move in bench.moves_of()) == ["done", "stale", "stale"]


def test_while_one_process_moves_a_model_another_leaves_it_alone(bench: Bench, request_: Request) -> None:
    other = second_bench(bench)
    bench.registry.before = lambda: other.moves.execute_due("churn")
    bench.moves.execute_due("churn")
    assert bench.registry.transitions == 1
    assert bench.state(request_) is RequestState.DONE


def test_a_process_that_died_is_taken_over_when_its_lease_is_over(bench: Bench, request_: Request) -> None:
    with bench.ledger.write() as tx:
        tx.claim_transition("churn", Claim("gone:9:z", bench.clock.now(), bench.clock.now() + LEASE))
    bench.moves.execute_due("churn")
    assert bench.registry.transitions == 0
    bench.clock.advance(seconds=LEASE.total_seconds())
    bench.moves.execute_due("churn")
    assert bench.state(request_) is RequestState.DONE


def test_who_was_too_slow_and_taken_over_ends_nothing_twice(bench: Bench, request_: Request) -> None:
    other = second_bench(bench)

    def sleep_past_the_lease() -> None:
        bench.clock.advance(seconds=2 * LEASE.total_seconds())
        other.moves.execute_due("churn")

    bench.registry.after = sleep_past_the_lease
    bench.moves.execute_due("churn")
    assert bench.state(request_) is RequestState.DONE
    assert bench.tags().count("registrar:version:moved") == 1


def test_who_hung_before_the_move_and_was_taken_over_moves_nothing_any_more(
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


def test_who_hung_within_the_move_and_was_taken_over_leaves_the_alias_alone(bench: Bench, request_: Request) -> None:
    other = second_bench(bench)

    def hang() -> None:
        bench.clock.advance(seconds=2 * LEASE.total_seconds())
        other.moves.execute_due("churn")
        other.approved("promote churn 2 production")
        other.moves.execute_due("churn")

    bench.registry.after = hang
    bench.moves.execute_due("churn")
    assert bench.registry.model("churn").aliases["champion"] == 2


def test_who_was_taken_over_and_then_refused_by_the_registry_ends_nothing(bench: Bench, request_: Request) -> None:
    other = second_bench(bench)

    def hang() -> None:
        bench.clock.advance(seconds=2 * LEASE.total_seconds())
        other.moves.execute_due("churn")
        refuses()

    bench.registry.before = hang
    bench.moves.execute_due("churn")
    assert bench.state(request_) is RequestState.DONE
    assert bench.tags().count("registrar:request:failed") == 0


def test_a_bug_of_ours_leaves_the_move_to_be_made_later(bench: Bench, request_: Request) -> None:
    def stumble() -> None:
        raise ZeroDivisionError

    bench.registry.before = stumble
    with pytest.raises(ZeroDivisionError):
        bench.moves.execute_due("churn")
    for _ in range(2):  # it is given back first, and made then
        bench.moves.execute_due("churn")
        bench.clock.advance(minutes=2)
    assert bench.state(request_) is RequestState.DONE

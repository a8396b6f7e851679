"""Waiting transitions: how long they wait before the next attempt."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import TransitionState
from tests.support.services.bench import BOB, Bench
from tests.support.services.freezes import freeze, unfreeze

A_MOMENT = timedelta(microseconds=1)


@pytest.fixture
def request_(bench: Bench) -> Request:
    """Return an approved request whose transition isn't done yet."""
    return bench.approved()


def attempts_after(bench: Bench, request: Request, pause: timedelta) -> tuple[int, int]:
    """Run the executor right before and right after `pause`; return how many attempts there were each time."""
    bench.clock.advance(seconds=(pause - A_MOMENT).total_seconds())
    bench.moves.execute_due("churn")
    before = bench.move(request).attempts
    bench.clock.advance(seconds=A_MOMENT.total_seconds())
    bench.moves.execute_due("churn")
    return before, bench.move(request).attempts


def test_a_transition_waiting_for_the_registry_is_always_retried_after_two_seconds(
    bench: Bench, request_: Request
) -> None:
    bench.registry.is_down = True
    bench.moves.execute_due("churn")
    for attempts in range(1, 8):
        assert attempts_after(bench, request_, timedelta(seconds=2)) == (attempts, attempts + 1)


def test_delays_double_up_to_a_minute_while_slack_is_down(bench: Bench, request_: Request) -> None:
    bench.directory.is_down = True
    bench.moves.execute_due("churn")
    for attempts, seconds in enumerate((2, 4, 8, 16, 32, 60, 60), start=1):
        assert attempts_after(bench, request_, timedelta(seconds=seconds)) == (attempts, attempts + 1)


def test_a_frozen_transition_is_checked_every_ten_seconds(bench: Bench, request_: Request) -> None:
    freeze(bench)
    bench.moves.execute_due("churn")
    for attempts in range(1, 6):
        assert attempts_after(bench, request_, timedelta(seconds=10)) == (attempts, attempts + 1)
    unfreeze(bench)
    bench.clock.advance(seconds=10)
    bench.moves.execute_due("churn")
    assert bench.state(request_) is RequestState.DONE


def test_a_transition_interrupted_by_a_bug_waits_two_seconds(bench: Bench, request_: Request) -> None:
    def stumble() -> None:
        raise ZeroDivisionError

    bench.registry.before = stumble
    with pytest.raises(ZeroDivisionError):
        bench.moves.execute_due("churn")
    bench.moves.execute_due("churn")
    assert bench.move(request_).state is TransitionState.INTENDED
    assert attempts_after(bench, request_, timedelta(seconds=2)) == (1, 2)
    assert bench.state(request_) is RequestState.DONE


def test_a_repair_accepted_before_a_freeze_waits_until_the_freeze_ends(bench: Bench) -> None:
    bench.watch.poll()
    bench.registry.by_hand("churn", 4, Stage.PRODUCTION, archive_existing=False)
    bench.clock.advance(minutes=1)
    bench.watch.poll()
    [finding] = [one for one in bench.findings() if one.mend]
    bench.tending.repair_stage(BOB, finding.id, origin="slack")
    freeze(bench)
    bench.moves.execute_due("churn")
    assert bench.registry.holders() == [4, 3]
    unfreeze(bench)
    bench.clock.advance(seconds=10)
    bench.moves.execute_due("churn")
    assert bench.registry.holders() == [3]

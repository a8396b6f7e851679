"""The scheduler: what's checked when, with which results and actions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.monitoring.incident import IncidentKind
from bot.domain.monitoring.monitor import Monitor, MonitorStatus
from bot.domain.monitoring.readings import Answer, CheckOutcome
from bot.domain.monitoring.rules.evaluation import evaluate_rule
from bot.domain.registry.model import Stage
from bot.services.monitoring import check_evaluation
from tests.support.ledger.records import slot_claims
from tests.support.monitoring.monitoring import (
    HOURS,
    add_monitor,
    check_values,
    incidents,
    keep_measuring,
    monitor_state,
    record_history,
    tick,
)
from tests.support.services.bench import Bench, second_bench

# -- measuring ---------------------------------------------------------------------------------------------------------


def test_a_value_within_its_bound_is_ok(served: Bench) -> None:
    monitor = add_monitor(served)
    check_values(served, 0.9)
    assert (monitor_state(served, monitor).state, monitor_state(served, monitor).value) == (MonitorStatus.OK, 0.9)


def test_equality_fails(served: Bench) -> None:
    monitor = add_monitor(served)
    check_values(served, 0.85)
    assert monitor_state(served, monitor).state is MonitorStatus.PENDING


def test_a_monitor_fails_after_enough_bad_checks_in_a_row(served: Bench) -> None:
    monitor = add_monitor(served, action="notify", fail_after=3)
    check_values(served, 0.5, 0.5, 0.9, 0.5, 0.5)
    assert monitor_state(served, monitor).state is MonitorStatus.PENDING
    check_values(served, 0.5)
    assert monitor_state(served, monitor).state is MonitorStatus.FAILED


def test_each_slot_is_checked_once(served: Bench) -> None:
    monitor = add_monitor(served)
    check_values(served, 0.9, 0.9, 0.9)
    with served.ledger.read() as reading:
        assert [one.slot for one in reading.measurements(monitor.id)] == [3, 2, 1]


def test_a_monitor_that_is_not_due_is_not_checked(served: Bench) -> None:
    add_monitor(served)
    check_values(served, 0.9)
    assert tick(served) == 0


def test_equal_queries_to_a_source_are_sent_together(served: Bench) -> None:
    for name in ("a", "b", "c"):
        add_monitor(served, name)
    check_values(served, 0.9, query="a")
    assert [[query.query for query in batch] for batch in served.sources.asked] == [["a", "b", "c"]]


def test_a_promotion_restarts_the_counts(served: Bench) -> None:
    monitor = add_monitor(served, action="notify")
    check_values(served, 0.5)
    served.approved("promote churn 1 production")
    served.moves.execute_due("churn")
    check_values(served, 0.5)
    assert (monitor_state(served, monitor).state, monitor_state(served, monitor).version) == (MonitorStatus.PENDING, 1)


def test_during_the_warm_up_only_the_hard_limit_counts(served: Bench) -> None:
    monitor = add_monitor(served, warmup="1h", hard_limit=0.2)
    check_values(served, 0.5, 0.5, 0.5)
    assert monitor_state(served, monitor).state is MonitorStatus.WARMUP
    check_values(served, 0.1, 0.1)
    assert served.registry.holders() == [2]


def test_readings_from_before_the_promotion_do_not_count(served: Bench) -> None:
    monitor = add_monitor(served)
    before = served.clock.now() - timedelta(hours=1)
    served.sources.say("accuracy", (before, 0.1))
    served.clock.advance(seconds=12)
    tick(served)
    assert monitor_state(served, monitor).state is MonitorStatus.OK
    with served.ledger.read() as reading:
        assert reading.measurements(monitor.id)[0].outcome is CheckOutcome.NO_DATA


def test_with_nothing_in_production_nothing_is_judged(served: Bench) -> None:
    served.registry.by_hand("churn", 4, Stage.NONE)
    served.watch.poll()
    monitor = add_monitor(served)
    check_values(served, 0.5, 0.5)
    assert monitor_state(served, monitor).state is MonitorStatus.DISABLED


def test_a_paused_monitor_is_not_checked(served: Bench) -> None:
    monitor = add_monitor(served)
    with served.ledger.write() as tx:
        tx.save_monitor(replace(monitor, is_paused=True))
    check_values(served, 0.5)
    assert served.sources.asked == []


def test_a_monitor_can_be_checked_on_demand(served: Bench) -> None:
    monitor = add_monitor(served)
    check_values(served, 0.9)
    served.sources.say("accuracy", (served.clock.now(), 0.5))
    assert served.monitoring.check_now(monitor.id).state is MonitorStatus.PENDING
    assert monitor_state(served, monitor).slot == 2
    check_values(served, 0.9)
    assert monitor_state(served, monitor).state is MonitorStatus.OK


# -- what hangs, and clocks --------------------------------------------------------------------------------------------


@pytest.fixture
def hang() -> Iterator[threading.Event]:
    """Return the event that releases a hanging source; it's set at the end of the test."""
    free = threading.Event()
    yield free
    free.set()
    for thread in threading.enumerate():
        if thread.name.startswith("checks of"):
            thread.join(10)


def test_a_hanging_check_does_not_stop_others(served: Bench, hang: threading.Event) -> None:
    stuck, other = add_monitor(served, "stuck", source="mlflow"), add_monitor(served, "accuracy")
    read = served.sources.read

    begun = threading.Event()

    def slow(name: str, queries: Any) -> Any:
        if name == "mlflow":
            begun.set()
            hang.wait(30)
        return read(name, queries)

    served.sources.read = slow  # type: ignore[method-assign]
    served.clock.advance(seconds=12)
    served.sources.say("accuracy", (served.clock.now(), 0.9))
    served.monitoring.tick()
    [thread] = [one for one in threading.enumerate() if one.name == "checks of push"] or [threading.current_thread()]
    if thread is not threading.current_thread():
        thread.join(10)
    assert monitor_state(served, other).state is MonitorStatus.OK
    assert begun.wait(10)
    served.clock.advance(minutes=2)
    served.monitoring.tick()
    with served.ledger.read() as reading:
        assert reading.measurements(stuck.id)[0].outcome is CheckOutcome.ERROR


def test_a_hanging_source_s_late_answer_is_ignored(served: Bench, hang: threading.Event) -> None:
    stuck, begun = add_monitor(served, fail_after=1), threading.Event()

    def slow(name: str, queries: Any) -> Any:
        begun.set()
        hang.wait(30)
        return [Answer(points=[(served.clock.now(), 0.1)])]

    served.sources.read = slow  # type: ignore[method-assign]
    served.clock.advance(seconds=12)
    served.monitoring.tick()
    assert begun.wait(10)
    served.clock.advance(minutes=2)
    served.monitoring._abandon_hanging()
    hang.set()
    for thread in threading.enumerate():
        if thread.name.startswith("checks of"):
            thread.join(10)
    with served.ledger.read() as reading:
        assert [one.outcome for one in reading.measurements(stuck.id)] == [CheckOutcome.ERROR]
    assert served.registry.holders() == [4]


def test_a_clock_set_back_neither_loses_nor_repeats_a_check(served: Bench) -> None:
    monitor = add_monitor(served)
    check_values(served, 0.9, 0.9)
    served.clock.set_back(hours=1)
    check_values(served, 0.9, 0.9)
    with served.ledger.read() as reading:
        assert [one.slot for one in reading.measurements(monitor.id)] == [4, 3, 2, 1]


def test_a_clock_set_forward_neither_loses_nor_repeats_a_check(served: Bench) -> None:
    monitor = add_monitor(served)
    check_values(served, 0.9, 0.9)
    served.clock.time += timedelta(hours=1)
    check_values(served, 0.9, 0.9)
    with served.ledger.read() as reading:
        assert [one.slot for one in reading.measurements(monitor.id)] == [4, 3, 2, 1]


def test_another_process_runs_the_checks_of_a_dead_one(served: Bench) -> None:
    monitor = add_monitor(served)
    with served.ledger.write() as tx:
        tx.claim_slots(
            slot_claims({(monitor.id, 1): served.clock.now() + timedelta(seconds=40)}, "gone:1:x", served.clock.now())
        )
    check_values(served, 0.9)
    assert monitor_state(served, monitor).slot == 0
    check_values(served, 0.9, 0.9, 0.9)
    assert monitor_state(served, monitor).slot >= 1


def test_two_processes_check_each_slot_once(served: Bench) -> None:
    monitor, other = add_monitor(served), second_bench(served)
    other.sources.answers = served.sources.answers
    served.clock.advance(seconds=12)
    served.sources.say("accuracy", (served.clock.now(), 0.9))
    begun = [bench.monitoring.tick() for bench in (served, other)]
    for thread in threading.enumerate():
        if thread.name.startswith("checks of"):
            thread.join(10)
    assert (sum(begun), monitor_state(served, monitor).slot) == (1, 1)


def test_a_rule_that_raises_does_not_stop_others(served: Bench, monkeypatch: pytest.MonkeyPatch) -> None:

    def odd(monitor: Monitor, *more: Any) -> Any:
        if monitor.name == "odd":
            raise ZeroDivisionError("oops")
        return evaluate_rule(monitor, *more)

    monkeypatch.setattr(check_evaluation, "evaluate_rule", odd)
    broken, other = add_monitor(served, "odd", query="accuracy"), add_monitor(served)
    check_values(served, 0.9, 0.9, 0.9)
    assert (monitor_state(served, other).state, monitor_state(served, other).slot) == (MonitorStatus.OK, 3)
    assert monitor_state(served, broken).state is MonitorStatus.CANT_JUDGE
    assert [one.kind for one in incidents(served)] == [IncidentKind.BLIND]


# -- what a whole check keeps to ---------------------------------------------------------------------------------------


def test_a_value_barely_better_than_the_bound_is_not_a_recovery(served: Bench) -> None:
    monitor = add_monitor(served, **HOURS | {"action": "notify", "recover_after": 1})
    record_history(served, monitor, lambda slot: 0.9 + 0.0005 * (slot % 5), hours=8)
    keep_measuring(served, lambda at: 0.85, minutes=35)
    assert monitor_state(served, monitor).state is MonitorStatus.FAILED
    keep_measuring(
        served, lambda at: 0.887, minutes=30
    )  # worse by 1.5 %: less than the 2 % it takes, more than half of it
    assert monitor_state(served, monitor).state is MonitorStatus.FAILED
    keep_measuring(served, lambda at: 0.9, minutes=30)
    assert monitor_state(served, monitor).state is MonitorStatus.OK


def test_the_source_gets_the_time_limit(served: Bench) -> None:
    add_monitor(served, timeout="7s")
    check_values(served, 0.9)
    assert served.sources.asked[-1][0].timeout == timedelta(seconds=7)

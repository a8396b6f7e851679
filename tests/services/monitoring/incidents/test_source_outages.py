"""A failing source with many monitors has one alert for all of them."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.monitoring.consecutive_checks import RuleResult
from bot.domain.monitoring.incident import IncidentEnding, IncidentKind
from bot.domain.monitoring.monitor import Monitor, MonitorState, MonitorStatus
from bot.domain.monitoring.readings import Answer, CheckOutcome, Measurement
from bot.services.monitoring import check_evaluation
from bot.services.monitoring.checks import current_term
from bot.services.monitoring.scheduler import MAX_HANGING_BATCHES
from tests.support.ledger.records import slot_claims
from tests.support.monitoring.monitoring import (
    add_monitor,
    check_values,
    incidents,
    monitor_state,
    put_into_production,
    tick,
)
from tests.support.monitoring.no_verdict import BLOCKS, CANT, measure_minutes
from tests.support.services.bench import Bench

MODELS = ("churn", "a", "b", "c")


def fleet(bench: Bench, **fields: Any) -> list[Monitor]:
    """Return a monitor for each of four models, with different times in Production; all have verdicts."""
    for model in MODELS[1:]:
        put_into_production(bench, model)
        bench.clock.advance(minutes=3)
    monitors = [add_monitor(bench, "q", model, **BLOCKS | {"query": "q"} | fields) for model in MODELS]
    for one in monitors:
        with bench.ledger.write() as tx:
            tx.save_monitor_state(replace(tx.monitor_state(one.id), judged_at=bench.clock.now()))
    return monitors


def test_a_source_outage_is_one_alert_until_all_its_monitors_are_judged(
    served: Bench,
    rule: dict[str, Any],
) -> None:
    fleet(served)
    measure_minutes(served, "!!!!!", query="q")
    [incident] = incidents(served)
    assert (incident.is_of_source, sorted(incident.monitors)) == (True, ["a q", "b q", "c q", "churn q"])
    rule["q"] = CANT
    measure_minutes(served, "++++", query="q")
    assert all("can't judge. The baseline is gone." in str(line) for line in incidents(served)[0].lines)
    rule["q"] = RuleResult(is_worse=False)
    measure_minutes(served, "+", query="q")
    [incident] = incidents(served)
    assert (incident.is_open, incident.ending) == (False, IncidentEnding.RECOVERED)


def live_fleet(bench: Bench) -> list[Monitor]:
    """Return the same monitors, with the real rule and their own last eight hours as the baseline."""
    for model in MODELS[1:]:
        put_into_production(bench, model)
        bench.clock.advance(minutes=3)
    bench.clock.advance(hours=9)
    monitors = [add_monitor(bench, "q", model, **BLOCKS | {"query": "q", "baseline": "live"}) for model in MODELS]
    now, slots = bench.clock.now(), 8 * 60
    with bench.ledger.write() as tx:
        for one in monitors:
            term = current_term(tx, one.model)
            assert term is not None
            for slot in range(1, slots + 1):
                at = now - timedelta(minutes=slots - slot)
                tx.claim_slots(slot_claims({(one.id, slot): at + timedelta(minutes=1)}, "x", at))
                tx.finish_slots(
                    [
                        Measurement(
                            monitor=one.id,
                            slot=slot,
                            at=at,
                            revision=1,
                            version=term.version,
                            move=term.transition_id,
                            outcome=CheckOutcome.OK,
                            value=0.9 + 0.002 * (slot % 5),
                            points=1,
                        )
                    ],
                    "x",
                )
            tx.save_monitor_state(
                MonitorState(
                    monitor=one.id,
                    slot=slots,
                    next_at=now,
                    revision=1,
                    version=term.version,
                    move=term.transition_id,
                    state=MonitorStatus.WARMUP,
                    at=now,
                    points=slots,
                )
            )
            tx.save_monitor(replace(one, created_at=term.since))
    measure_minutes(bench, 22 * "+", query="q")
    assert {monitor_state(bench, one).state for one in monitors} == {MonitorStatus.OK}
    assert incidents(bench) == []
    return monitors


@pytest.mark.parametrize("outage", ["." * 7, "!" * 7, ".+..+..+.." * 3])
def test_missing_data_of_a_source_is_one_alert_until_every_window_is_complete(served: Bench, outage: str) -> None:
    monitors = live_fleet(served)
    measure_minutes(served, outage, query="q")
    measure_minutes(served, "+", query="q")
    assert [(one.is_of_source, one.is_open) for one in incidents(served)] == [(True, True)]
    measure_minutes(served, 28 * "+", query="q")
    assert {monitor_state(served, one).state for one in monitors} == {MonitorStatus.OK}
    assert [(one.is_of_source, one.is_open, one.ending) for one in incidents(served)] == [
        (True, False, IncidentEnding.RECOVERED)
    ]


def test_the_last_monitors_of_an_outage_get_no_separate_alert(served: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet(served)
    measure_minutes(served, "!!!!!", query="q")
    said = {"churn": CANT}

    def judge(monitor: Monitor, *more: Any) -> RuleResult:
        return said.get(monitor.model, RuleResult(is_worse=False))

    monkeypatch.setattr(check_evaluation, "evaluate_rule", judge)
    measure_minutes(served, "++++", query="q")
    assert [(one.is_of_source, one.is_open) for one in incidents(served)] == [(True, True)]
    del said["churn"]
    measure_minutes(served, "+", query="q")
    assert [one.is_open for one in incidents(served)] == [False]


def test_a_source_with_gaps_is_one_alert_although_the_windows_end_at_different_times(
    served: Bench,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fleet(served)
    blind: set[str] = set()

    def judge(monitor: Monitor, *more: Any) -> RuleResult:
        return CANT if monitor.model in blind else RuleResult(is_worse=False)

    monkeypatch.setattr(check_evaluation, "evaluate_rule", judge)
    measure_minutes(served, "+.+.", query="q")
    for model in MODELS:
        blind.add(model)
        measure_minutes(served, "+++", query="q")
    [incident] = incidents(served)
    assert (incident.is_of_source, len(incident.monitors)) == (True, 4)


def test_a_single_model_does_not_make_its_source_suspect(served: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet(served)
    monkeypatch.setattr(
        check_evaluation,
        "evaluate_rule",
        lambda monitor, *more: CANT if monitor.model == "a" else RuleResult(is_worse=False),
    )
    measure_minutes(served, "+++", query="q")
    [incident] = incidents(served)
    assert (incident.model, incident.monitors) == ("a", ("q",))


def test_new_monitors_that_cannot_judge_yet_do_not_make_a_source_suspect(
    served: Bench,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fleet(served)
    for number in range(6):
        add_monitor(served, f"new{number}", MODELS[number % 3], **BLOCKS | {"query": "q"})
    monkeypatch.setattr(
        check_evaluation,
        "evaluate_rule",
        lambda monitor, *more: CANT if monitor.name != "q" or monitor.model == "a" else RuleResult(is_worse=False),
    )
    measure_minutes(served, "++++", query="q")
    [incident] = incidents(served)
    assert (incident.model, incident.monitors) == ("a", ("q",))


def test_a_source_alert_ends_when_all_its_monitors_start_over(served: Bench) -> None:
    monitors = fleet(served)
    measure_minutes(served, "!!!!!", query="q")
    with served.ledger.write() as tx:
        for one in monitors:
            tx.save_monitor_state(MonitorState(monitor=one.id, state=MonitorStatus.WARMUP))
    served.incidents.end_and_remind()
    assert [(one.is_open, one.ending) for one in incidents(served)] == [(False, IncidentEnding.RECOVERED)]


def test_a_monitor_that_alerted_alone_first_alerts_once(served: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet(served)
    blind = {"a"}
    monkeypatch.setattr(
        check_evaluation,
        "evaluate_rule",
        lambda monitor, *more: CANT if monitor.model in blind else RuleResult(is_worse=False),
    )
    measure_minutes(served, "+++", query="q")
    measure_minutes(served, "!!!!", query="q")
    assert {one.model: sorted(one.monitors) for one in incidents(served)} == {
        "a": ["q"],
        "": ["b q", "c q", "churn q"],
    }


def test_a_source_s_incident_ends_when_few_fail(served: Bench) -> None:
    for number in range(4):
        add_monitor(served, f"q{number}", query=f"q{number}", fail_after=1, recover_after=1)
    served.clock.advance(seconds=12)
    say_all(served, 4, 0.1)
    [incident] = incidents(served)
    assert (incident.kind, incident.is_open) == (IncidentKind.SOURCE, True)
    say_all(served, 1, 0.9)
    served.incidents.end_and_remind()
    assert incidents(served)[0].is_open  # three fail still
    say_all(served, 4, 0.9)
    served.incidents.end_and_remind()
    [incident] = incidents(served)
    assert not incident.is_open
    assert str(incident.resolution).startswith("The monitors that use push have recovered")


def say_all(bench: Bench, count: int, value: float) -> None:
    """Give the first `count` queries this value and leave the others unchanged, then check all."""
    bench.clock.advance(seconds=12)
    for number in range(4):
        before = bench.sources.answers.get(f"q{number}")
        last = before.points[-1][1] if isinstance(before, Answer) and before.points else value
        bench.sources.say(f"q{number}", (bench.clock.now(), value if number < count else last))
    tick(bench)


def test_a_source_that_hangs_repeatedly_is_not_queried_until_it_responds(served: Bench) -> None:
    monitor, free, hung = add_monitor(served), threading.Event(), threading.Semaphore(0)
    read, asked = served.sources.read, []

    def slow(name: str, queries: Any) -> Any:
        asked.append(name)
        hung.release()
        free.wait(30)
        return read(name, queries)

    served.sources.read = slow  # type: ignore[method-assign]

    def checks_again() -> None:
        for span in ({"minutes": 2}, {"seconds": 12}):  # the one before is given up, and the next one is due
            served.clock.advance(**span)
            served.monitoring.tick()

    for _ in range(MAX_HANGING_BATCHES):
        checks_again()
        assert hung.acquire(timeout=10)
    for _ in range(3):
        checks_again()
    assert len(asked) == MAX_HANGING_BATCHES
    free.set()
    for thread in threading.enumerate():
        if thread.name.startswith("checks of"):
            thread.join(10)
    served.sources.read = read  # type: ignore[method-assign]
    check_values(served, 0.9)
    check_values(served, 0.9)
    assert monitor_state(served, monitor).state is MonitorStatus.OK

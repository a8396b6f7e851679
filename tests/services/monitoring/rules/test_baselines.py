"""A version compared with its baseline."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.monitoring.monitor import Monitor, MonitorState, MonitorStatus
from bot.domain.monitoring.monitor_overview import build_monitor_chart
from bot.domain.monitoring.readings import Answer, CheckOutcome, Measurement
from bot.domain.registry.metric_catalog import MetricCatalog
from bot.domain.registry.rollback_block import RollbackBlock
from tests.support.ledger.records import slot_claims
from tests.support.monitoring.monitoring import (
    HOURS,
    add_monitor,
    check_values,
    incidents,
    keep_measuring,
    monitor_state,
    record_history,
    rollbacks,
    tick,
)
from tests.support.services.bench import BOB, Bench


def test_a_version_worse_than_its_baseline_is_rolled_back(served: Bench) -> None:
    monitor = add_monitor(served, **HOURS)
    record_history(served, monitor, lambda slot: 0.9 + 0.002 * (slot % 5), hours=8)
    keep_measuring(served, lambda at: 0.8 + 0.002 * (at % 5), minutes=35)
    assert served.registry.holders() == [2]


def test_a_block_of_rates_is_their_mean(served: Bench) -> None:
    monitor = add_monitor(served, **HOURS, aggregate="rate", direction="lower")
    record_history(served, monitor, lambda slot: 3.0, hours=8)
    for minute in range(35):
        served.clock.advance(seconds=66)
        now = served.clock.now()
        grown = [(now - timedelta(seconds=back), 3.0 * (66 * minute - back) + 1e6) for back in (60, 30, 0)]
        served.sources.answers["accuracy"] = Answer(points=grown)
        tick(served)
    assert monitor_state(served, monitor).state is MonitorStatus.OK
    assert monitor_state(served, monitor).usual == pytest.approx(3.0)


def test_a_version_as_good_as_its_baseline_stays(served: Bench) -> None:
    monitor = add_monitor(served, **HOURS)
    record_history(served, monitor, lambda slot: 0.9 + 0.002 * (slot % 5), hours=8)
    keep_measuring(served, lambda at: 0.9 + 0.002 * (at % 5), minutes=35)
    assert (served.registry.holders(), monitor_state(served, monitor).state) == ([4], MonitorStatus.OK)
    with served.ledger.read() as reading:
        measured = reading.measurements(monitor.id, limit=500)
    bounds = build_monitor_chart(monitor, monitor_state(served, monitor), measured, [], MetricCatalog()).bounds
    assert bounds == pytest.approx({"fails below": 0.886, "baseline": 0.904}, abs=0.002)


def test_a_baseline_that_is_too_short_judges_and_moves_nothing(served: Bench) -> None:
    monitor = add_monitor(served, **HOURS)
    record_history(served, monitor, lambda slot: 0.9, hours=3)
    keep_measuring(served, lambda at: 0.5, minutes=35)
    assert (served.registry.holders(), rollbacks(served)) == ([4], [])
    assert monitor_state(served, monitor).state is MonitorStatus.CANT_JUDGE
    assert str(monitor_state(served, monitor).why) == (
        "There's only 3h of usable data from before v4, and its own past days cover 19m 48s of the 7h needed. "
        "Evaluation starts at 2026-05-07 07:20 UTC."
    )


def test_the_sequential_rule_finds_a_version_that_is_worse_from_its_first_reading(served: Bench) -> None:
    monitor = add_monitor(served, **HOURS | {"rule": "sequential", "fail_after": 1})
    record_history(served, monitor, lambda slot: 0.9 + 0.002 * (slot % 5), hours=8)
    keep_measuring(served, lambda at: 0.8 + 0.002 * (at % 5), minutes=35)
    assert served.registry.holders() == [2]


def test_the_sequential_rule_keeps_a_version_as_good_as_its_baseline(served: Bench) -> None:
    monitor = add_monitor(served, **HOURS | {"rule": "sequential", "fail_after": 1})
    record_history(served, monitor, lambda slot: 0.9 + 0.002 * (slot % 5), hours=8)
    keep_measuring(served, lambda at: 0.9 + 0.002 * (at % 5), minutes=35)
    assert (served.registry.holders(), monitor_state(served, monitor).state) == ([4], MonitorStatus.OK)


def lately(bench: Bench, monitor: Monitor, value: float, *, hours: float) -> None:
    """Record values of the current version, up to now."""
    with bench.ledger.read() as reading:
        [now, *_] = bench.rollbacks.serving_periods(reading, "churn")
    slots = int(hours * 60)
    with bench.ledger.write() as tx:
        for slot in range(slots):
            at = bench.clock.now() - timedelta(minutes=slots - slot)
            tx.claim_slots(slot_claims({(monitor.id, slot + 1): at + timedelta(minutes=1)}, "x", at))
            tx.finish_slots(
                [
                    Measurement(
                        monitor=monitor.id,
                        slot=slot + 1,
                        at=at,
                        revision=1,
                        version=now.version,
                        move=now.started_by.id,
                        outcome=CheckOutcome.OK,
                        value=value + 0.002 * (slot % 5),
                        points=1,
                    )
                ],
                "x",
            )
        tx.save_monitor_state(
            MonitorState(
                monitor=monitor.id,
                slot=slots,
                next_at=bench.clock.now(),
                revision=1,
                move=now.started_by.id,
                points=slots,
                version=now.version,
                state=MonitorStatus.OK,
                at=bench.clock.now(),
            )
        )


@pytest.mark.parametrize("baseline", ["live", "previous"])
def test_without_earlier_days_a_version_s_own_past_is_its_baseline(served: Bench, baseline: str) -> None:
    served.clock.advance(hours=9)
    monitor = add_monitor(served, **HOURS, baseline=baseline)
    lately(served, monitor, 0.9, hours=8)
    keep_measuring(served, lambda at: 0.8 + 0.002 * (at % 5), minutes=35)
    assert served.registry.holders() == [2]
    lines = " ".join(str(line) for alert in incidents(served) for line in alert.lines)
    remark = "There's no usable data from before v4, so it's compared with its own past days."
    assert (remark in lines) is (baseline == "previous")


def test_a_blocked_version_is_not_used_as_a_baseline(served: Bench) -> None:
    monitor = add_monitor(served, **HOURS)
    record_history(served, monitor, lambda slot: 0.9 + 0.002 * (slot % 5), hours=8)
    with served.ledger.write() as tx:
        tx.add_rollback_block(
            RollbackBlock(
                id="b", model="churn", version=2, move="m", at=served.clock.now(), by=BOB.person, reason="bad"
            )
        )
    keep_measuring(served, lambda at: 0.8 + 0.002 * (at % 5), minutes=35)
    assert (served.registry.holders(), rollbacks(served)) == ([4], [])
    assert "own past days" in str(monitor_state(served, monitor).why)


def test_delayed_labels_shift_the_window(served: Bench) -> None:
    monitor = add_monitor(served, label_delay="5m", fail_after=1)
    served.clock.advance(minutes=10)
    now = served.clock.now()
    served.sources.answers["accuracy"] = Answer(points=[(now - timedelta(minutes=5), 0.9), (now, 0.1)])
    tick(served)
    assert served.sources.asked[-1][0].until == now - timedelta(minutes=5)
    assert (monitor_state(served, monitor).state, monitor_state(served, monitor).value) == (MonitorStatus.OK, 0.9)


@pytest.mark.parametrize("hours", [3, 5, 6, 7, 12, 24, 48])
def test_the_sequential_rule_judges_at_every_time_of_day(served: Bench, hours: int) -> None:
    """Even in the last moments of the rule's day, which isn't a whole number of hours in floating point."""
    monitor = add_monitor(
        served, **HOURS | {"rule": "sequential", "history": f"{hours}h", "fail_after": 1, "every": "10m"}
    )
    served.clock.advance(hours=1)
    with served.ledger.read() as reading:
        now, before, *_ = served.rollbacks.serving_periods(reading, "churn")
    with served.ledger.write() as tx:
        for slot in range(29 * 6):
            at = now.since - timedelta(minutes=10 * (29 * 6 - slot))
            tx.claim_slots(slot_claims({(monitor.id, slot + 1): at + timedelta(minutes=1)}, "x", at))
            tx.finish_slots(
                [
                    Measurement(
                        monitor=monitor.id,
                        slot=slot + 1,
                        at=at,
                        revision=1,
                        version=before.version,
                        move=before.started_by.id,
                        outcome=CheckOutcome.OK,
                        value=0.9 + 0.002 * (slot % 5),
                        points=1,
                    )
                ],
                "x",
            )
        tx.save_monitor_state(replace(monitor_state(served, monitor), slot=29 * 6, next_at=served.clock.now()))
    for _ in range(40):
        served.clock.advance(minutes=12)
        served.sources.say("accuracy", (served.clock.now(), 0.9))
        tick(served)
        assert monitor_state(served, monitor).state is not MonitorStatus.ERROR
    assert "raised" not in str(monitor_state(served, monitor).why)


def test_readings_during_the_warm_up_do_not_count(served: Bench) -> None:
    monitor = add_monitor(served, **HOURS | {"rule": "sequential", "fail_after": 1, "warmup": "60m"})
    record_history(served, monitor, lambda slot: 0.9 + 0.002 * (slot % 5), hours=8)
    keep_measuring(served, lambda at: 0.7 + 0.002 * (at % 5), minutes=40)
    keep_measuring(served, lambda at: 0.9 + 0.002 * (at % 5), minutes=40)
    assert (served.registry.holders(), monitor_state(served, monitor).state) == ([4], MonitorStatus.OK)


# -- what a whole check keeps to ---------------------------------------------------------------------------------------


def test_a_block_that_began_during_the_warm_up_is_not_judged(served: Bench) -> None:
    monitor = add_monitor(served, **HOURS | {"warmup": "55m", "fail_after": 1})
    record_history(served, monitor, lambda slot: 0.9 + 0.002 * (slot % 5), hours=8)
    keep_measuring(served, lambda at: 0.5, minutes=47)  # to the 62nd minute: the last whole block began in the 50th
    assert (served.registry.holders(), monitor_state(served, monitor).judged_to) == ([4], None)
    keep_measuring(served, lambda at: 0.5, minutes=12)
    assert served.registry.holders() == [2]


def test_the_hard_limit_does_not_wait_for_a_number_of_readings(served: Bench) -> None:
    add_monitor(served, min_points=50, hard_limit=0.3)
    check_values(served, 0.5, 0.5, 0.5)
    assert served.registry.holders() == [4]
    check_values(served, 0.1, 0.1)
    assert served.registry.holders() == [2]

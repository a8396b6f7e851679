"""Versions with days of measurements behind them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bot.domain.monitoring.monitor import FrozenBaseline, Monitor, MonitorStatus
from bot.domain.monitoring.readings import CheckOutcome, Measurement
from tests.support.ledger.records import slot_claims
from tests.support.monitoring.monitoring import add_monitor, monitor_state, tick
from tests.support.services.bench import Bench

DAY = timedelta(days=1)


def usual_value(at: datetime) -> float:
    """Return an accuracy that's lower at night, with noise that's the same on every machine."""
    night = 0.01 if at.hour < 6 else 0.0
    return 0.9 - night + 0.004 * ((at.toordinal() * 7919 + at.hour * 104_729 + at.minute * 613) % 997 / 997 - 0.5)


def record_measurements(
    bench: Bench, monitor: Monitor, span: timedelta, value: Callable[[datetime], float] = usual_value
) -> None:
    """Advance the clock by `span`, and record a check every five minutes as the service does."""
    before = monitor_state(bench, monitor)
    with bench.ledger.read() as reading:
        term = bench.rollbacks.serving_periods(reading, "churn")[0]
    count = span // timedelta(minutes=5)
    times = [bench.clock.now() + timedelta(minutes=5) * number for number in range(count)]
    checks = [
        Measurement(
            monitor=monitor.id,
            slot=before.slot + 1 + number,
            at=at,
            revision=1,
            version=term.version,
            move=term.started_by.id,
            outcome=CheckOutcome.OK,
            points=1,
            value=value(at),
        )
        for number, at in enumerate(times)
    ]
    bench.clock.advance(seconds=span.total_seconds())
    now = bench.clock.now()
    with bench.ledger.write() as tx:
        tx.claim_slots(slot_claims({(monitor.id, one.slot): now for one in checks}, "x", now))
        tx.finish_slots(checks, "x")
        tx.save_monitor_state(replace(before, slot=before.slot + count, next_at=now, points=before.points + count))


def measure_until(
    bench: Bench, monitor: Monitor, value: Callable[[datetime], float], until: timedelta
) -> timedelta | None:
    """Check every 5.5 minutes, the most that jitter makes of five; return how long it took to fail, or None."""
    began = bench.clock.now()
    while bench.clock.now() - began < until:
        bench.clock.advance(seconds=330)
        bench.sources.say("accuracy", (bench.clock.now() - monitor.rule.label_delay, value(bench.clock.now())))
        tick(bench)
        if monitor_state(bench, monitor).state is MonitorStatus.FAILED:
            return bench.clock.now() - began
    return None


def promoted(bench: Bench, version: int) -> None:
    bench.approved(f"promote churn {version} production")
    bench.moves.execute_due("churn")


def frozen_baseline(bench: Bench, monitor: Monitor) -> FrozenBaseline:
    with bench.ledger.read() as reading:
        return reading.baselines([monitor.id])[monitor.id]


BLOCKS: dict[str, Any] = {
    "rule": "blocks",
    "greater_than": None,
    "every": "5m",
    "min_points": 1,
    "warmup": None,
    "action": "notify",
}


@pytest.fixture
def watched(served: Bench) -> tuple[Bench, Monitor]:
    """Return a bench with 21 days of accuracy of v4, and v1 promoted just now."""
    monitor = add_monitor(served, **BLOCKS)
    record_measurements(served, monitor, 21 * DAY)
    promoted(served, 1)
    return served, monitor

"""A monitor with the rule `default`, and days of readings for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from bot.domain.audit.events import Event, EventTag
from bot.domain.monitoring.monitor import FrozenBaseline, Monitor
from tests.support.monitoring.baselines import DAY, promoted, record_measurements, usual_value
from tests.support.monitoring.monitoring import add_monitor, monitor_state
from tests.support.services.bench import Bench

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


DEFAULT: dict[str, Any] = {
    "rule": "default",
    "greater_than": None,
    "every": "5m",
    "warmup": None,
    "action": "notify",
}


@pytest.fixture
def watched(served: Bench) -> tuple[Bench, Monitor]:
    """Return a bench with 21 days of accuracy of v4, and v1 promoted just now."""
    return after_days(served, **DEFAULT)


def after_days(
    bench: Bench, days: float = 21, value: Callable[[datetime], float] = usual_value, **fields: Any
) -> tuple[Bench, Monitor]:
    monitor = add_monitor(bench, **fields)
    record_measurements(bench, monitor, days * DAY, value)
    promoted(bench, 1)
    return bench, monitor


def scaled_by(by: float) -> Callable[[datetime], float]:
    return lambda at: by * usual_value(at)


def own_baseline(bench: Bench, monitor: Monitor) -> FrozenBaseline | None:
    with bench.ledger.read() as reading:
        return reading.baselines([monitor.id], own=True).get(monitor.id)


def raised_baselines(bench: Bench) -> list[Event]:
    return [one for one in bench.events() if one.tag is EventTag.BASELINE_RATCHETED]


def why(bench: Bench, monitor: Monitor) -> str:
    return str(monitor_state(bench, monitor).why)

"""Days of readings that a scan judges."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from bot.domain.monitoring.rules import scan_statistics
from bot.domain.monitoring.rules.baselines import Baseline
from bot.domain.monitoring.rules.evaluation import Deviation
from bot.domain.monitoring.rules.time_series import HOUR, TimeSeries
from bot.domain.policy.effect_size import MinimumEffect
from tests.support.domain.time_series import EVERY, START, a_week, during, noise, on_weekends, series, summary

TWO_PERCENT = MinimumEffect(0.02)


SEEDS = range(8)


@cache
def usual(phi: float = 0.7, seed: int = 1, days: float = 21.0, weekend: float = 0.0, every: float = EVERY) -> Baseline:
    """Return the baseline of 21 days of accuracy at 0.9, with a noise of one point."""
    return summary(on_weekends(a_week(phi=phi, seed=seed, days=days, every=every), weekend))


def live(drop: float = 0.0, phi: float = 0.7, seed: int = 101, hours: float = 9.0, every: float = EVERY) -> TimeSeries:
    """Return eight hours as usual, and then so much of 0.9 less."""
    values = 0.9 + noise(int(hours * HOUR / every), phi=phi, seed=seed)
    return during(series(values, START, every), START + 8 * HOUR, math.inf, -0.9 * drop)


def scan(points: TimeSeries, baseline: Baseline, **changes: Any) -> Deviation | None:
    """Judge the newest reading by the defaults of a monitor."""
    how: dict[str, Any] = {"higher_is_better": True, "effect": TWO_PERCENT, "sigma": 3.0}
    return scan_statistics.judge_scan(points, baseline, **how | changes)

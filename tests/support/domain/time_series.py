"""Series of readings for the tests of the rules: AR(1) noise around a level, weekends, incidents, and their summary."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy  # opens its parts when they are used: a process that runs other files needs none

from bot.domain.monitoring.rules.baseline_summary import summarize
from bot.domain.monitoring.rules.baselines import MIN_BASELINE_SECONDS, Baseline
from bot.domain.monitoring.rules.time_series import DAY, HOUR, Floats, TimeSeries

EVERY = 300.0  # seconds between readings
START = 1_780_272_000.0  # midnight UTC, and a Monday; baselines end here


def series(values: Any, start: float = START, every: float = EVERY) -> TimeSeries:
    """Return readings that come `every` so many seconds from `start` on."""
    return TimeSeries.from_columns(start + every * np.arange(len(values)), values)


def noise(count: int, sd: float = 0.01, phi: float = 0.0, seed: int = 1) -> Floats:
    """Return so many values of AR(1) noise with a mean of 0."""
    shocks = np.random.default_rng(seed).normal(0, sd * math.sqrt(1 - phi**2), count + 500)
    found: Floats = scipy.signal.lfilter([1.0], [1.0, -phi], shocks)[500:]
    return found


def a_week(
    sd: float = 0.01, phi: float = 0.0, mean: float = 0.9, seed: int = 1, days: float = 7, every: float = EVERY
) -> TimeSeries:
    """Return readings of so many days that end at START: AR(1) noise around a mean."""
    values = mean + noise(int(days * DAY / every), sd, phi, seed)
    return series(values, START - every * len(values), every)


def an_hour(value: float, at: float = START, readings: int = 12) -> TimeSeries:
    """Return readings that all have the same value."""
    return series(np.full(readings, value), at)


def scaled(points: TimeSeries, by: float, more: float = 0.0) -> TimeSeries:
    """Return the readings in another unit."""
    return TimeSeries(points.at, points.value * by + more)


def on_weekends(points: TimeSeries, more: float, *, behind: float = 0.0) -> TimeSeries:
    """Return the readings with so much added on Saturdays and Sundays of a time zone so many seconds behind UTC."""
    is_free = (points.at - behind - 2 * DAY) % (7 * DAY) < 2 * DAY  # 1970 began on a Thursday
    return TimeSeries(points.at, points.value + more * is_free)


def during(points: TimeSeries, start: float, end: float, more: float) -> TimeSeries:
    """Return the readings with so much added from `start` on and before `end`."""
    return TimeSeries(points.at, points.value + more * ((points.at >= start) & (points.at < end)))


def summary(
    points: TimeSeries, start: float = START, window: float = HOUR, history: float = MIN_BASELINE_SECONDS
) -> Baseline:
    """Return a baseline's summary as a monitor has it."""
    return summarize(points, start=start, window=window, history=history)

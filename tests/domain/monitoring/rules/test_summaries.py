"""Baseline summaries: by hour, stored, and loaded."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.monitoring.rules import baseline_summary, baselines
from bot.domain.monitoring.rules.baselines import MIN_BASELINE_SECONDS, Baseline, dump_baseline, load_baseline
from bot.domain.monitoring.rules.time_series import DAY, HOUR, TimeSeries
from tests.support.domain.baselines import NAN, dice, values
from tests.support.domain.time_series import (
    EVERY,
    START,
    a_week,
    on_weekends,
    scaled,
    series,
    summary,
)

# -- summaries ---------------------------------------------------------------------------------------------------------


def test_a_summary_has_the_means_of_its_hours() -> None:
    points = a_week(sd=0.001)
    found = summary(points)
    by_hour = points.value.reshape(7, 24, 12)
    free = np.zeros((7, 24))
    free[5:] = found.weekend
    assert found.same == pytest.approx((by_hour.mean(axis=2) - free).mean(axis=0), abs=1e-4)
    assert (found.days, found.size, found.covers) == ((7.0,) * 24, 12, 7 * DAY)


def test_a_summary_begins_at_the_given_time_of_day() -> None:
    points = a_week(sd=0.001)
    one, other = summary(points), summary(points, START + 3 * HOUR)
    assert other.same == pytest.approx(np.roll(one.same, -3), abs=2e-4)
    assert other.slot_at(START + 5 * HOUR) == 2
    assert other.slot_at(START - 50 * DAY) == 21


@pytest.mark.parametrize(
    ("window", "slots", "period"),
    [
        (HOUR, 24, DAY),
        (DAY, 1, DAY),
        (2 * DAY, 1, 2 * DAY),
        (4 * DAY, 1, 4 * DAY),
        (7 * HOUR, 3, DAY),
        (36 * HOUR, 1, 2 * DAY),
        (3000.0, 28, DAY),
    ],
)
def test_a_period_has_as_many_blocks_as_fit(window: float, slots: int, period: float) -> None:
    found = summary(a_week(days=21), window=window)
    assert (len(found.same), found.period) == (slots, period)
    assert found.size == window / EVERY
    assert sum(found.days) == pytest.approx(21 * DAY / period * slots, abs=slots)


@settings(max_examples=100, deadline=None)
@given(at=st.integers(-3_000_000, 3_000_000), hours=st.sampled_from([0.5, 1, 5, 6, 7, 9, 24, 36, 48]))
def test_a_block_s_time_of_day_is_the_nearest_one(at: int, hours: float) -> None:
    period = DAY * math.ceil(hours / 24)
    count = int(period // (hours * HOUR))
    found = replace(A_SUMMARY, window=hours * HOUR, same=(0.9,) * count)
    away = [abs((at - slot * found.window + period / 2) % period - period / 2) for slot in range(count)]
    assert away[found.slot_at(START + at)] == pytest.approx(min(away), abs=1e-3)


@settings(max_examples=100, deadline=None)
@given(at=st.integers(-3_000_000, 3_000_000), hours=st.sampled_from([0.5, 1, 6, 24, 48]))
def test_a_reading_belongs_to_the_last_block_that_began(at: int, hours: float) -> None:
    count = max(int(24 / hours), 1)
    found = replace(A_SUMMARY, window=hours * HOUR, same=(0.9,) * count)
    assert found.slots_at(np.array([START + at])).tolist() == [min(int(at % found.period / found.window), count - 1)]


def test_a_block_that_lacks_half_of_its_readings_does_not_count() -> None:
    points = a_week()
    kept = (points.at >= START - 6 * DAY) | (points.at % HOUR >= HOUR - 5 * EVERY)
    assert set(summary(TimeSeries(points.at[kept], points.value[kept])).days) == {6.0}


def test_hours_without_readings_have_no_mean() -> None:
    points = a_week()
    kept = points.at % DAY >= 2 * HOUR
    found = summary(TimeSeries(points.at[kept], points.value[kept]))
    assert [math.isnan(one) for one in found.same] == [True] * 2 + [False] * 22
    assert found.days[:3] == (0, 0, 7)
    assert found.noise > 0


@pytest.mark.parametrize("every", [10.0, 60.0, 300.0])
def test_the_interval_of_readings_barely_changes_the_baseline(every: float) -> None:
    found = summary(a_week(sd=0.01 * math.sqrt(300 / every) ** -1, every=every))
    assert found.size == HOUR / every
    assert found.covers == pytest.approx(7 * DAY)


def test_readings_every_six_hours_fill_four_hours_of_the_day() -> None:
    found = summary(a_week(every=6 * HOUR, days=21))
    assert [hour for hour, days in enumerate(found.days) if days] == [0, 6, 12, 18]
    assert (found.size, max(found.days)) == (1, 21)


@pytest.mark.parametrize("history", [420.0, 600.0, 3_600.0, 10_000.0, 14 * HOUR])
@pytest.mark.parametrize("start", [0.0, START])
def test_a_short_history_has_short_days_and_no_weekends(history: float, start: float) -> None:
    begin = START // history * history
    points = TimeSeries.from_columns(begin + history / 2016 * np.arange(2016), 0.9 + dice(2016, sd=0.01))
    found = summary(points, start, window=history / 168, history=history)
    assert found.day == pytest.approx(history / 7)
    assert sum(found.days) == pytest.approx(168, abs=2)
    assert (found.weekend, found.weekend_worth) == (0, math.inf)
    assert (found.on_weekend(points.at) == 0).all()


def test_a_reading_at_the_start_of_a_fractional_day_belongs_to_it() -> None:
    history = 10_000.0
    for at in START // history * history + history * np.arange(50):
        assert summary(series([0.9] * 2010, at, every=5.0), 0.0, window=history / 168, history=history).covers > history


def test_a_short_history_is_smoothed_within_the_hours_of_its_short_days() -> None:
    swing = 0.001 * np.sin(2 * np.pi * np.arange(2016) / 288)
    found = summary(series(0.9 + swing + dice(2016, sd=0.01), START, every=420 / 2016), START, 2.5, 420)
    assert max(found.worth) == pytest.approx(7 / (0.25**2 + 0.5**2 + 0.25**2))  # no more than all 168
    assert found.expected[0] == pytest.approx(0.25 * found.same[-1] + 0.5 * found.same[0] + 0.25 * found.same[1])


def test_a_longer_history_has_whole_days() -> None:
    assert baselines.day_length(14 * DAY) == DAY
    assert (baseline_summary.lookback(MIN_BASELINE_SECONDS), baseline_summary.lookback(28 * DAY)) == (
        21 * DAY,
        28 * DAY,
    )
    assert baseline_summary.lookback(420) == pytest.approx(1_260)


A_SUMMARY = Baseline(
    covers=7 * DAY,
    start=START,
    window=HOUR,
    day=DAY,
    size=12.0,
    low=0.8,
    high=1.0,
    weekend=0.0,
    weekend_worth=math.inf,
    same=(0.9,) * 24,
    days=(7.0,) * 24,
    expected=(0.9,) * 24,
    worth=(18.0,) * 24,
    noise=0.01,
    degrees=100.0,
)


anything = st.floats(allow_nan=True, allow_infinity=True)


by_hour = st.lists(anything, max_size=30).map(tuple)


@settings(max_examples=100, deadline=None)
@given(
    it=st.builds(
        Baseline,
        covers=anything,
        start=anything,
        window=anything,
        day=anything,
        size=anything,
        low=anything,
        high=anything,
        weekend=anything,
        weekend_worth=anything,
        same=by_hour,
        days=by_hour,
        expected=by_hour,
        worth=by_hour,
        noise=anything,
        degrees=anything,
    )
)
def test_a_summary_is_the_same_after_storage(it: Baseline) -> None:
    text = dump_baseline(it)
    assert repr(load_baseline(text)) == repr(it)  # NaN is not equal to itself
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_fields_from_a_later_version_are_ignored() -> None:
    said = json.loads(dump_baseline(A_SUMMARY)) | {"later": [1, "nan"]}
    assert load_baseline(json.dumps(said)) == A_SUMMARY


@pytest.mark.parametrize("count", [0, 1, 2, 13])
def test_too_few_readings_are_summarized_too(count: int) -> None:
    found = summary(series(np.full(count, 0.9), START - EVERY * count))
    assert found.covers == (EVERY * count if count > 1 else 0)
    assert repr(load_baseline(dump_baseline(found))) == repr(found)


# -- properties of all summaries ---------------------------------------------------------------------------------------


def close(one: Baseline, other: Baseline, *but: str) -> None:
    for name in set(Baseline.__dataclass_fields__) - set(but):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-6, abs=1e-9, nan_ok=True), name


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_readings_does_not_matter(seed: int) -> None:
    points = on_weekends(a_week(days=14, seed=seed), 0.02)
    order = np.random.default_rng(seed).permutation(len(points))
    assert summary(TimeSeries.from_columns(points.at[order], points.value[order])) == summary(points)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), junk=st.sampled_from([NAN, math.inf, -math.inf]))
def test_invalid_readings_do_not_count(seed: int, junk: float) -> None:
    points = a_week(seed=seed)
    more: Any = [*points.value, *[junk] * 50]
    assert summary(TimeSeries.from_columns([*points.at, *points.at[:50]], more)) == summary(points)


@settings(max_examples=20, deadline=None)
@given(values=values, by=st.sampled_from([-1024.0, -1.0, 2.0**-20, 2.0, 1e5]), more=st.sampled_from([0.0, 1.0, -64.0]))
def test_another_unit_gives_the_same_summary_in_that_unit(values: list[float], by: float, more: float) -> None:
    points = series(values, START - 7 * DAY, every=HOUR)
    one, other = summary(points), summary(scaled(points, by, more))
    moved = replace(
        one,
        same=tuple(by * each + more for each in one.same),
        expected=tuple(by * each + more for each in one.expected),
        weekend=by * one.weekend,
        noise=abs(by) * one.noise,
    )
    close(moved, other, "low", "high", "worth", "expected", "phi", "step", "spread", "steps")
    ends = sorted([by * one.low + more, by * one.high + more])
    assert [other.low, other.high] == pytest.approx(ends, rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), weeks=st.integers(-3000, 500))
def test_a_shift_by_whole_weeks_gives_the_same_baseline(seed: int, weeks: int) -> None:
    points = on_weekends(a_week(seed=seed, days=14), -0.02)
    later = summary(TimeSeries(points.at + weeks * 7 * DAY, points.value), START + weeks * 7 * DAY)
    assert replace(later, start=START) == summary(points)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), weeks=st.integers(-4, 60))
def test_a_summary_can_begin_in_any_week(seed: int, weeks: int) -> None:
    points = a_week(seed=seed)
    assert replace(summary(points, START + weeks * 7 * DAY), start=START) == summary(points)

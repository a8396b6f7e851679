"""What a scan detects within the hour, and what it doesn't count as a drop."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bot.domain.monitoring.rules import blocks, scan_statistics
from bot.domain.monitoring.rules.baselines import Baseline, dump_baseline, load_baseline
from bot.domain.monitoring.rules.time_series import DAY, HOUR, Floats, TimeSeries
from bot.domain.policy.effect_size import MinimumEffect
from tests.support.domain.scans import SEEDS, TWO_PERCENT, live, scan, usual
from tests.support.domain.time_series import EVERY, START, a_week, during, noise, on_weekends, scaled, series, summary

MINUTE = 60.0


def until(points: TimeSeries, at: float) -> TimeSeries:
    return points.between(0, START + at)


def seen(points: TimeSeries, baseline: Baseline, **changes: Any) -> Floats:
    """Return the times of the readings at which a mean of any length is worse, in seconds after START."""
    how: dict[str, Any] = {"higher_is_better": True, "effect": TWO_PERCENT, "sigma": 3.0}
    found = scan_statistics.scan_lengths(points, baseline, **how | changes)
    return points.at[np.any([one.is_worse for one in found], axis=0)] - START


# -- detected ----------------------------------------------------------------------------------------------------------


def delay(drop: float, seed: int, phi: float = 0.7) -> float:
    """Return how many minutes after a drop two checks in a row have detected it."""
    points = live(drop, phi, seed=500 + seed, hours=12)
    times = seen(points, usual(phi, seed))
    return float(times[1] - 8 * HOUR) / MINUTE if len(times) > 1 else math.inf


@pytest.mark.parametrize(("drop", "usually", "most"), [(0.05, 65, 130), (0.1, 30, 40), (0.3, 25, 30)])
def test_a_drop_is_detected_soon(drop: float, usually: float, most: float) -> None:
    delays = [delay(drop, seed) for seed in SEEDS]
    assert min(delays) > 0, "before it came"
    assert float(np.median(delays)) <= usually, delays
    assert max(delays) <= most, delays


def test_the_reason_has_the_length_and_the_gap() -> None:
    points = until(live(0.1), 8.5 * HOUR)
    found = scan(points, usual())
    assert found is not None
    assert str(found.why).startswith("Over the last 30m: 0.8")
    assert str(found.why).endswith("σ), over the margin of 2% and 5.5 σ.")
    assert found.gap == pytest.approx(found.expected - found.value)
    assert found.gap == pytest.approx(0.09, abs=0.02)
    assert found.sigmas == pytest.approx(found.gap / usual().spread[0], rel=0.2)
    assert found.value < found.bound < found.expected


def test_a_small_drop_is_detected_in_a_longer_mean() -> None:
    flags = [bool(len(seen(live(0.03, seed=600 + seed, hours=24), usual()))) for seed in SEEDS]
    assert sum(flags) >= 6
    points = live(0.03, seed=601, hours=24)
    found = scan(until(points, seen(points, usual())[0] + 1), usual())
    assert found is not None
    assert str(found.why).startswith("Over the last 4h: ")


def test_if_lower_is_better_only_a_rise_is_worse() -> None:
    risen = scaled(live(0.1), -1, 1.8)
    base = summary(scaled(a_week(phi=0.7, days=21), -1, 1.8))
    assert scan(risen, base, higher_is_better=False) is not None
    assert scan(live(0.1), usual(), higher_is_better=False) is None
    assert scan(risen, base) is None


@pytest.mark.parametrize("by", [1e-9, 1e-3, 37.0, 1e9])
def test_the_unit_of_a_metric_changes_nothing(by: float) -> None:
    base = a_week(phi=0.7, days=21)
    plain, other = (scan(scaled(live(0.06), one), summary(scaled(base, one))) for one in (1, by))
    assert plain is not None
    assert other is not None
    assert (other.sigmas, other.value, other.bound) == pytest.approx((plain.sigmas, plain.value * by, plain.bound * by))


def test_a_drop_is_detected_with_a_third_of_the_readings_missing() -> None:
    points = live(0.1, hours=10)
    there = np.random.default_rng(5).random(len(points)) > 1 / 3
    some = TimeSeries(points.at[there], points.value[there])
    assert 0 < seen(some, usual())[0] - 8 * HOUR <= 60 * MINUTE


def test_four_hourly_readings_are_enough() -> None:
    base = summary(a_week(sd=0.002, days=21, every=HOUR))
    points = during(series(0.9 + noise(24, sd=0.002), START, HOUR), START + 12 * HOUR, math.inf, -0.09)
    found = seen(points, base)
    assert found[0] == 15 * HOUR
    assert "Over the last 4h" in str(getattr(scan(until(points, found[0] + 1), base), "why", ""))


def test_an_old_incident_does_not_delay_detection() -> None:
    base = summary(during(a_week(phi=0.7, days=7), START - 3 * DAY, START - 3 * DAY + 4 * HOUR, -0.09))
    times = seen(live(0.1, hours=10), base)
    assert 0 < times[0] - 8 * HOUR <= 30 * MINUTE


def test_a_constant_metric_is_judged_by_the_effect() -> None:
    base = summary(series(np.full(7 * 288, 0.9), START - 7 * DAY))
    assert scan(series(np.full(12, 0.87)), base) is not None
    assert scan(series(np.full(12, 0.89)), base) is None


# -- not a drop --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_is_not_a_drop(seed: int) -> None:
    assert len(seen(live(0.0, 0.9, seed=700 + seed, hours=14 * 24), usual(0.9, seed))) == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_one_fading_shock_is_not_a_drop(seed: int) -> None:
    """A shock of ten standard deviations at φ = 0.9 moves the mean of an hour by four of its own."""
    points = live(0.0, 0.9, seed=800 + seed, hours=24)
    after = np.maximum(np.arange(len(points)) - 96, -1)
    shock = np.where(after >= 0, 0.1 * 0.9 ** np.maximum(after, 0), 0.0)
    assert len(seen(TimeSeries(points.at, points.value - shock), usual(0.9, seed))) == 0


@pytest.mark.parametrize("newest", [0.9, 0.895])
def test_a_recovered_metric_is_not_worse(newest: float) -> None:
    points = until(live(0.1), 8.5 * HOUR)
    assert scan(points, usual()) is not None
    recovered = TimeSeries.from_columns([*points.at, points.at[-1] + EVERY], [*points.value, newest])
    assert scan(recovered, usual()) is None


def test_a_drop_that_ended_half_an_hour_ago_is_not_worse() -> None:
    points = during(live(0.1, hours=24), START + 14 * HOUR, math.inf, 0.09)
    times = seen(points, usual())
    assert times[-1] < 14 * HOUR + 30 * MINUTE
    assert len(times[times > 14 * HOUR]) <= 3


def test_a_certain_drop_smaller_than_the_effect_is_not_worse() -> None:
    base, points = (summary(a_week(sd=0.0001, days=7)), live(0.0).slice(0, 96))
    small = TimeSeries(points.at, 0.9 * 0.981 + 0.01 * (points.value - 0.9))
    assert len(seen(small, base)) == 0
    assert len(seen(small, base, effect=MinimumEffect(0.018))) > 0


@pytest.mark.parametrize("lower", [0.01, 0.03])
def test_a_weekend_is_not_a_drop(lower: float) -> None:
    points = on_weekends(live(0.0, seed=900, hours=7 * 24), -lower)
    assert len(seen(points, usual(0.7, 1, 21, -lower))) == 0
    assert len(seen(points, usual())) > 0 or lower < 0.02  # checks the test: unleveled, three points are a drop


def nightly(points: TimeSeries, deep: float, minutes: float = 60, *, weekly: bool = False) -> TimeSeries:
    """Return readings that a batch job lowers for some minutes from 3:10 each night, or each Friday."""
    is_on = (points.at - 3 * HOUR - 10 * MINUTE) % DAY < minutes * MINUTE
    if weekly:
        is_on &= (points.at // DAY) % 7 == 1
    return TimeSeries(points.at, points.value - deep * is_on)


@pytest.mark.parametrize("minutes", [30, 40, 60, 90, 180])
@pytest.mark.parametrize("deep", [0.05, 0.3])
def test_a_nightly_batch_is_normal(minutes: float, deep: float) -> None:
    base = summary(nightly(a_week(sd=0.002, days=14), deep, minutes))
    points = TimeSeries(live(hours=72, phi=0.0).at, 0.9 + noise(12 * 72, sd=0.002, seed=4))
    assert len(seen(nightly(points, deep, minutes), base)) == 0
    unknown = seen(nightly(points, deep, minutes), replace(base, lows=(), rough=()))
    assert len(unknown) > 0 or deep == 0.05  # checks the test: a batch this deep is a drop


def test_a_weekly_batch_is_normal() -> None:
    base = summary(nightly(a_week(sd=0.002, days=21), 0.3, weekly=True))
    points = series(0.9 + noise(12 * 24 * 7, sd=0.002, seed=4), START)
    assert len(seen(nightly(points, 0.3, weekly=True), base)) == 0
    assert len(seen(nightly(points, 0.3, weekly=True), replace(base, lows=(), rough=()))) > 1


def test_if_lower_is_better_a_nightly_rise_is_normal() -> None:
    base = summary(nightly(a_week(sd=0.002, days=14), -0.3))
    points = nightly(series(0.9 + noise(12 * 72, sd=0.002, seed=4), START), -0.3)
    assert len(seen(points, base, higher_is_better=False)) == 0
    assert len(seen(points, replace(base, highs=(), rough=()), higher_is_better=False)) > 1


def test_a_drop_during_the_batch_is_still_detected() -> None:
    base = summary(nightly(a_week(sd=0.002, days=14), 0.05))
    points = nightly(series(0.9 + noise(12 * 8, sd=0.002, seed=4), START), 0.05)
    worse = during(points, START + 3 * HOUR, math.inf, -0.2)
    assert 3 * HOUR < seen(worse, base)[0] < 3 * HOUR + 40 * MINUTE


def test_an_incident_on_one_day_is_not_normal() -> None:
    found = summary(during(a_week(phi=0.7, days=14), START - 3 * DAY, START - 3 * DAY + 20 * HOUR, -0.2))
    assert (min(found.lows), max(found.highs)) == (0, 0)


def test_noise_does_not_recur() -> None:
    found = [usual(0.7, seed, days) for seed in SEEDS for days in (7.0, 21.0)]
    assert np.mean([np.count_nonzero(one.lows) for one in found]) < 5  # of 120


def at_night(points: TimeSeries, by: float) -> TimeSeries:
    """Return readings around 0.9 whose noise is `by` times as large from 22:00 to 6:00."""
    is_night = (points.at + 2 * HOUR) % DAY < 8 * HOUR
    return TimeSeries(points.at, 0.9 + (points.value - 0.9) * np.where(is_night, by, 1.0))


@pytest.mark.parametrize("seed", SEEDS)
def test_nights_three_times_as_noisy_are_not_a_drop(seed: int) -> None:
    base = summary(at_night(a_week(phi=0.7, seed=seed, days=7), 3))
    points = at_night(live(0.0, seed=300 + seed, hours=7 * 24), 3)
    assert len(seen(points, base)) == 0


def test_equally_noisy_hours_rarely_get_a_noise_factor() -> None:
    found = [usual(phi, seed, days).rough for phi in (0.0, 0.7, 0.9) for seed in SEEDS for days in (7.0, 21.0)]
    assert np.mean([one > 1 for rough in found for one in rough]) < 0.02


@pytest.mark.parametrize("by", [2.0, 3.0])
def test_the_noise_of_an_hour_is_relative_to_all_hours(by: float) -> None:
    found = summary(at_night(a_week(phi=0.7, days=21), by)).rough
    pooled = math.sqrt((8 * by**2 + 16) / 24)
    assert max(found[:4]) == pytest.approx(by / pooled, rel=0.12)
    assert found[9:20] == (1.0,) * 11


def test_readings_at_hours_that_few_days_cover_do_not_count() -> None:
    base = a_week(days=7)
    at_noon = (base.at % DAY >= 12 * HOUR) & (base.at % DAY < 13 * HOUR)
    few = summary(
        TimeSeries(base.at[~at_noon | (base.at > START - 3 * DAY)], base.value[~at_noon | (base.at > START - 3 * DAY)])
    )
    none = summary(TimeSeries(base.at[~at_noon], base.value[~at_noon]))
    points = during(series(0.9 + noise(288, seed=9), START), START + 12 * HOUR, START + 13 * HOUR, -0.5)
    for summarized in (few, none):
        assert len(seen_known(points, summarized)) == 0
        at_one = points.between(START + 12 * HOUR, START + 13 * HOUR)
        assert not scan_statistics.is_below_expected(
            at_one, summarized, higher_is_better=True, effect=TWO_PERCENT, effect_share=0.5
        )
    both = during(points, START + 13 * HOUR, START + 14 * HOUR, -0.2)
    half = both.between(START + 12.8 * HOUR, START + 13.4 * HOUR)
    assert scan_statistics.is_below_expected(half, none, higher_is_better=True, effect=TWO_PERCENT, effect_share=1.0)


def seen_known(points: TimeSeries, baseline: Baseline) -> list[int]:
    how: dict[str, Any] = {"higher_is_better": True, "effect": TWO_PERCENT, "sigma": 3.0}
    return [
        at
        for one in scan_statistics.scan_lengths(points, baseline, **how)
        for at in np.flatnonzero(one.is_worse).tolist()
    ]


@pytest.mark.parametrize("readings", [0, 1, 2, 3])
def test_too_few_readings_are_never_worse(readings: int) -> None:
    assert scan(series(np.full(readings, 0.1)), usual()) is None


def test_a_half_full_window_needs_at_least_four_readings() -> None:
    """Half a window has six readings, so three would fill half of it, but four is the minimum."""
    assert scan(series(np.full(4, 0.5)), usual()) is not None
    dense = usual(0.0, 1, 7, 0.0, 60.0)
    assert scan(series(np.full(14, 0.5), every=60), dense) is None
    assert scan(series(np.full(15, 0.5), every=60), dense) is not None


@pytest.mark.parametrize("value", [0.1 + 0.2, 1 / 3, 1e-7, 1e12])
def test_a_rounding_error_of_a_constant_metric_is_not_a_drop(value: float) -> None:
    rng = np.random.default_rng(2)
    base = summary(series(value * (1 + 1e-15 * rng.integers(-2, 3, 7 * 288)), START - 7 * DAY))
    points = series(value * (1 - 1e-15 * rng.integers(0, 4, 288)), START)
    assert len(seen(points, base, effect=MinimumEffect(0.0))) == 0


def test_a_baseline_from_before_scans_gives_no_scan() -> None:
    said = json.loads(dump_baseline(usual()))
    for name in ("spacing", "phi", "step", "spread", "sizes", "steps", "lows", "highs", "rough"):
        del said[name]
    old = load_baseline(json.dumps(said))
    assert (old.spread, scan(live(0.5), old)) == ((), None)
    block = live(0.5).between(START + 8 * HOUR, START + 9 * HOUR)
    how: dict[str, Any] = {"history": 7 * DAY, "higher_is_better": True, "effect": TWO_PERCENT, "sigma": 3.0}
    assert blocks.judge_block(block, START + 8 * HOUR, old, **how).is_worse

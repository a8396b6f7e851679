"""A scan matches the textbooks, and its shortcuts don't change its verdicts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.monitoring.rules import scan_statistics
from bot.domain.monitoring.rules.baseline_summary import NOISE_MARGIN, measure_variability
from bot.domain.monitoring.rules.baselines import SCAN_WINDOWS, dump_baseline, is_better, load_baseline
from bot.domain.monitoring.rules.blocks import confirmation_score
from bot.domain.monitoring.rules.time_series import (
    DAY,
    HOUR,
    INNOVATION_LIMIT,
    TimeSeries,
    standardized_innovations,
    window_starts,
    winsorize,
)
from bot.domain.policy.effect_size import EffectKind, MinimumEffect
from tests.support.domain.scans import SEEDS, TWO_PERCENT, live, scan, usual
from tests.support.domain.time_series import EVERY, START, a_week, noise, scaled, series, summary

# -- golden values -----------------------------------------------------------------------------------------------------


def textbook(n: int, phi: float) -> float:
    """Return the standard deviation of the mean of n values of AR(1) noise with a standard deviation of 1."""
    return math.sqrt((1 + 2 * sum((1 - k / n) * phi**k for k in range(1, n))) / n)


@pytest.mark.parametrize("phi", [0.0, 0.7, 0.9])
def test_the_spread_of_means_is_that_of_autoregressive_noise(phi: float) -> None:
    values = noise(288 * 1000, sd=1.0, phi=phi)
    at = EVERY * np.arange(len(values), dtype=np.float64)
    found = measure_variability(at, values, window=HOUR, days=1e9)
    for windows, spread, size in zip(SCAN_WINDOWS, found.spread, found.sizes, strict=True):
        sure = 1 + NOISE_MARGIN / math.sqrt(2 * len(values) / 12 / windows)
        assert size == 12 * windows
        assert spread / sure == pytest.approx(textbook(int(size), phi), rel=0.02)
    assert found.phi == pytest.approx(phi, abs=0.01)
    assert found.step == pytest.approx(math.sqrt(1 - phi**2), rel=0.01)
    assert found.steps == pytest.approx((1.0,) * 5, abs=0.03)


def test_innovations_of_other_noise_sum_to_more_than_independent_ones() -> None:
    values = noise(288 * 100, sd=1.0) + noise(288 * 100, sd=1.0, phi=0.99, seed=2)
    found = measure_variability(EVERY * np.arange(len(values), dtype=np.float64), values, window=HOUR, days=1e9)
    assert found.steps[0] < found.steps[2] < found.steps[4]
    assert found.steps[4] > 1.5


def test_the_spread_is_corrected_for_the_subtracted_mean() -> None:
    values = noise(288 * 8, sd=1.0)
    at = EVERY * np.arange(len(values), dtype=np.float64)
    few, many = (measure_variability(at, values, window=HOUR, days=days) for days in (8, 1e9))
    assert few.step / many.step == pytest.approx(math.sqrt(8 / 7))
    assert few.spread[0] / many.spread[0] == pytest.approx(math.sqrt(8 / 7))


def test_a_mean_of_four_of_eight_days_is_corrected_for_half_of_its_variance() -> None:
    values = noise(24 * 8, sd=1.0)
    at = HOUR * np.arange(len(values), dtype=np.float64)
    few, many = (measure_variability(at, values, window=DAY, days=days) for days in (8, 1e9))
    assert few.spread[3] / many.spread[3] == pytest.approx(math.sqrt(2))


@pytest.mark.parametrize(("days", "spread"), [(21, [True] * 5), (7, [True, True, True, False, False])])
def test_the_spread_is_infinite_if_fewer_than_two_means_fit(days: int, spread: list[bool]) -> None:
    found = summary(a_week(days=days, every=HOUR), window=DAY)
    assert np.isfinite(found.spread).tolist() == spread
    assert load_baseline(dump_baseline(found)) == found


def test_an_innovation_is_the_difference_from_the_prediction() -> None:
    residual = np.array([0.5, 1.0, -0.4, 0.3])
    found = standardized_innovations(residual, EVERY * np.arange(4.0), phi=0.6, step=0.8, spacing=EVERY)
    assert found == pytest.approx([0.5 / 1.0, (1 - 0.3) / 0.8, (-0.4 - 0.6) / 0.8, (0.3 + 0.24) / 0.8])


def test_after_a_gap_a_reading_depends_less_on_the_previous_one() -> None:
    """Three spacings apart, the correlation is φ³, and an innovation has the variance step²·(1+φ²+φ⁴)."""
    found = standardized_innovations(
        np.array([1.0, 1.0]), np.array([0.0, 3.04 * EVERY]), phi=0.6, step=0.8, spacing=EVERY
    )
    assert found[1] == pytest.approx((1 - 0.6**3) / (0.8 * math.sqrt(1 + 0.6**2 + 0.6**4)))


@pytest.mark.parametrize("apart", [0.5, 0.93, 1.09])
def test_jitter_is_not_a_gap(apart: float) -> None:
    found = standardized_innovations(
        np.array([1.0, 1.0]), np.array([0.0, apart * EVERY]), phi=0.6, step=0.8, spacing=EVERY
    )
    assert found[1] == pytest.approx(0.4 / 0.8)


def test_innovations_are_uncorrelated_with_unit_variance() -> None:
    rng = np.random.default_rng(3)
    values, at = noise(200_000, sd=2.0, phi=0.8), EVERY * np.arange(200_000.0)
    there = rng.random(200_000) > 0.3
    found = standardized_innovations(values[there], at[there], phi=0.8, step=1.2, spacing=EVERY)
    assert found.std() == pytest.approx(1, abs=0.02)
    assert np.mean(found[1:] * found[:-1]) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(("residual", "expected"), [(1e9, INNOVATION_LIMIT), (-1e9, -INNOVATION_LIMIT), (0.0, 0.0)])
@pytest.mark.parametrize("step", [0.0, 1e-300, 1.0])
def test_innovations_are_clipped_even_without_noise(residual: float, expected: float, step: float) -> None:
    found = standardized_innovations(np.array([residual]), np.array([0.0]), phi=0.5, step=step, spacing=0.0)
    assert found.tolist() == [expected]


def test_the_confirmation_ignores_the_largest_innovation() -> None:
    assert confirmation_score(np.array([3.0, 1.0, 0.5, -0.5, 1.0]), 1.0) == pytest.approx(2 / math.sqrt(4))
    assert confirmation_score(np.array([3.0, 1.0, 0.5, -0.5, 1.0]), 1.25) == pytest.approx(2 / math.sqrt(4) / 1.25)
    assert confirmation_score(np.array([3.0]), 1.0) == 0


def test_the_last_hour_begins_after_the_reading_an_hour_ago() -> None:
    at = np.array([0.0, 600, 3600, 3601, 4200])
    assert window_starts(at, HOUR).tolist() == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("values", [[], [0.0, 0, 0, 5], [1.0, -1, 2, -2]])
def test_values_within_the_limit_are_not_pulled_in(values: list[float]) -> None:
    assert winsorize(np.array(values)).tolist() == values


def test_outliers_are_pulled_in_to_three_robust_standard_deviations() -> None:
    assert winsorize(np.array([1.0, -1, 1, -1, 1, 99])).tolist() == pytest.approx([1, -1, 1, -1, 1, 3 * 1.4826022])


# -- properties --------------------------------------------------------------------------------------------------------


DROPS = st.floats(-0.1, 0.3)


PHIS = st.sampled_from([0.0, 0.7, 0.9])


def some_live(drop: float, phi: float, seed: int, *, gaps: bool, end: int) -> TimeSeries:
    points = live(drop, phi, seed=seed, hours=20)
    there = np.random.default_rng(seed).random(len(points)) > (0.3 if gaps else 0.0)
    return TimeSeries(points.at[there], points.value[there]).slice(0, end)


@settings(max_examples=60, deadline=None)
@given(drop=DROPS, phi=PHIS, seed=st.integers(0, 10_000), gaps=st.booleans(), end=st.integers(4, 240))
def test_a_worse_scan_is_down_now_and_over_half_a_window(
    drop: float, phi: float, seed: int, gaps: bool, end: int
) -> None:
    """A check reads few readings first, which doesn't miss anything."""
    points = some_live(drop, phi, seed, gaps=gaps, end=end)
    how: dict[str, Any] = {"higher_is_better": True, "effect": TWO_PERCENT}
    found = scan_statistics.scan_lengths(points, usual(phi), **how, sigma=3.0)
    is_worse = any(bool(one.is_worse[-1]) for one in found)
    newest, half = (
        points.slice(len(points) - 1, len(points)),
        points.slice(int(np.searchsorted(points.at, points.at[-1] - HOUR / 2, side="right")), len(points)),
    )
    is_down = [
        scan_statistics.is_below_expected(newest, usual(phi), **how, effect_share=scan_statistics.NEWEST_EFFECT_SHARE),
        scan_statistics.is_below_expected(half, usual(phi), **how, effect_share=1),
    ]
    assert all(is_down) or not is_worse
    if drop > 0.2 and end > 110 and not gaps:
        assert is_worse


@settings(max_examples=60, deadline=None)
@given(drop=DROPS, phi=PHIS, seed=st.integers(0, 10_000), gaps=st.booleans(), end=st.integers(4, 240))
def test_only_the_last_eight_windows_count(drop: float, phi: float, seed: int, gaps: bool, end: int) -> None:
    points = some_live(drop, phi, seed, gaps=gaps, end=end)
    last = points.slice(
        max(int(np.searchsorted(points.at, points.at[-1] - 8 * HOUR, side="right")) - 1, 0), len(points)
    )
    whole, few = scan(points, usual(phi)), scan(last, usual(phi))
    assert (whole is None) == (few is None)
    if whole is not None and few is not None:
        assert (few.value, few.bound, few.sigmas) == pytest.approx((whole.value, whole.bound, whole.sigmas))
        assert str(few.why)[:18] == str(whole.why)[:18]


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.floats(-1e6, 1e6), max_size=60),
    base=st.lists(st.floats(-1e6, 1e6), max_size=200),
    every=st.sampled_from([1.0, EVERY, 7 * HOUR]),
    effect=st.sampled_from([0.0, 0.02, 10.0]),
)
def test_no_values_raise_an_error(values: list[float], base: list[float], every: float, effect: float) -> None:
    """NumPy's warnings are errors here."""
    summarized = summary(series(base, START - every * len(base), every), history=7 * HOUR, window=HOUR / 4)
    for kind in EffectKind:
        how: dict[str, Any] = {"higher_is_better": True, "effect": MinimumEffect(effect, kind), "sigma": 3.0}
        found = scan_statistics.scan_lengths(series(values, START, every), summarized, **how)
        assert [one.length for one in found] == [HOUR / 4 * windows for windows in SCAN_WINDOWS]


# -- a better baseline -------------------------------------------------------------------------------------------------


def better(one: TimeSeries, other: TimeSeries, effect: MinimumEffect = TWO_PERCENT, *, higher: bool = True) -> bool:
    return is_better(summary(one), summary(other), higher, effect)


def test_days_three_percent_higher_are_better() -> None:
    old, new = a_week(phi=0.7, days=14), scaled(a_week(phi=0.7, days=14, seed=2), 1.03)
    assert better(new, old)
    assert not better(old, new)
    assert better(old, new, higher=False)


def test_days_better_by_less_than_half_the_effect_are_not_better() -> None:
    old, new = a_week(sd=0.001, days=14), scaled(a_week(sd=0.001, days=14, seed=2), 1.008)
    assert not better(new, old)
    assert better(new, old, MinimumEffect(0.015))


@pytest.mark.parametrize("seed", SEEDS)
def test_days_better_by_noise_are_not_better(seed: int) -> None:
    old, new = (a_week(sd=0.05, phi=0.9, days=14, seed=one) for one in (seed, 50 + seed))
    assert not better(new, old, MinimumEffect(0.0001))


@pytest.mark.parametrize("value", [1.0, 0.99])
def test_a_source_that_repeats_itself_is_not_better(value: float) -> None:
    assert not better(series(np.full(14 * 288, value), START - 14 * DAY), a_week(phi=0.7, days=14))


def test_a_constant_metric_can_get_better() -> None:
    old, new = (series(np.full(14 * 288, value), START - 14 * DAY) for value in (0.9, 0.95))
    assert better(new, old)


def test_days_that_lack_hours_are_not_better() -> None:
    """Otherwise, the monitor would have no verdict at these hours until the next promotion."""
    old, new = a_week(days=14), scaled(a_week(days=14, seed=2), 1.1)
    there = (new.at % DAY < 12 * HOUR) | (new.at > START - 4 * DAY)
    assert not better(TimeSeries(new.at[there], new.value[there]), old)
    by_day = old.at % DAY < 12 * HOUR
    assert better(new, TimeSeries(old.at[by_day], old.value[by_day]))

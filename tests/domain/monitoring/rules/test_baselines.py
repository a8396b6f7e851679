"""A baseline's summary matches the textbooks, and neither weekends nor old incidents distort it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.monitoring.rules import baseline_summary, time_series
from bot.domain.monitoring.rules.time_series import DAY, HOUR, TimeSeries
from tests.support.domain.baselines import NAN, a_calendar, dice
from tests.support.domain.time_series import (
    START,
    a_week,
    an_hour,
    series,
    summary,
)

# -- readings ----------------------------------------------------------------------------------------------------------


def test_readings_are_sorted_and_invalid_ones_dropped() -> None:
    points = TimeSeries.from_columns([30, 10, 20, 40, NAN, math.inf], [3, 1, NAN, math.inf, 5, 6])
    assert points.at.tolist() == [10, 30]
    assert points.value.tolist() == [1, 3]


def test_readings_keep_their_totals() -> None:
    points = TimeSeries.from_columns([30, 10, 20, 40], [0.3, 0.1, 0.2, NAN], [300, 100, None, 400])
    assert points.value.tolist() == [0.1, 0.2, 0.3]
    assert points.total == pytest.approx([100, NAN, 300], nan_ok=True)
    assert points.between(15, 35).total == pytest.approx([NAN, 300], nan_ok=True)


@pytest.mark.parametrize("totals", [None, [None, None], [NAN, None]])
def test_without_counts_there_are_no_totals(totals: list[float | None] | None) -> None:
    points = TimeSeries.from_columns([10, 20], [0.1, 0.2], totals)
    assert (points.total, points.between(10, 20).total, TimeSeries.from_columns([], [], []).total) == (None, None, None)


def test_a_time_without_a_value_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        TimeSeries.from_columns([1, 2], [1])
    with pytest.raises(ValueError, match="longer"):
        TimeSeries.from_columns([1], [1], [1, 2])


def test_a_range_includes_its_start_but_not_its_end() -> None:
    points = TimeSeries.from_columns([10, 20, 30], [1, 2, 3])
    assert points.between(10, 30).value.tolist() == [1, 2]
    assert len(points.between(31, 99)) == 0


def test_readings_cover_the_time_until_the_next_one_is_due() -> None:
    assert an_hour(1).span == HOUR
    assert an_hour(1, readings=1).span == 0
    assert TimeSeries.from_columns([], []).span == 0


# -- golden values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("degrees", "low"), [(4, 0.0068), (5, 0.0026), (6, 0.0011), (20, 4e-6), (144, 1e-9)])
@pytest.mark.parametrize("sigma", [2.0, 3.0])
def test_few_degrees_of_freedom_widen_sigma_by_student_s_t(sigma: float, degrees: int, low: float) -> None:
    exact = scipy.stats.t.isf(scipy.stats.norm.sf(sigma), degrees)
    assert (
        -low < time_series.student_quantile(sigma, degrees) / exact - 1 < 1e-9
    )  # if anything too low, and by at most that much


def test_the_quantile_s_error_is_as_documented() -> None:
    exact = scipy.stats.t.isf(scipy.stats.norm.sf(3), [4, 6])
    assert (time_series.student_quantile(3.0, [4, 6]) / exact - 1).tolist() == pytest.approx([-0.007, -0.001], abs=5e-4)


@pytest.mark.parametrize("degrees", [0.0, 0.5, 1.0])
def test_less_than_one_degree_of_freedom_counts_as_one(degrees: float) -> None:
    assert time_series.student_quantile(3.0, degrees) == time_series.student_quantile(3.0, 1.0)


def test_the_lag_1_correlation_is_recovered() -> None:
    values = a_week(phi=0.7, mean=0, days=60).value
    assert time_series.lag1_correlation(values) == pytest.approx(0.7, abs=0.02)
    assert time_series.long_run_deviation(np.array(1.0), np.array(0.7)) == pytest.approx(math.sqrt(1.7 / 0.3))


def test_the_correlation_of_short_series_is_not_underestimated() -> None:
    short = scipy.signal.lfilter([1.0], [1.0, -0.6], dice(4_000, 530, seed=3))[:, 500:]
    found = time_series.lag1_correlation(short - short.mean(axis=1, keepdims=True)).mean()
    plain = np.mean([np.corrcoef(one[1:], one[:-1])[0, 1] for one in short])
    assert abs(found - 0.6) < 0.03 < 0.6 - plain


def test_a_negative_correlation_does_not_reduce_the_noise() -> None:
    assert time_series.lag1_correlation(np.array([1.0, -1, 1, -1, 1, -1])) == 0


def test_the_noise_of_blocks_is_that_of_an_analysis_of_variance() -> None:
    grid = 2 * dice(7, 24)
    assert (baseline_summary.winsorize_blocks(grid) == grid).all()
    found = baseline_summary.estimate_baseline(grid)
    between = 7 * np.var(grid.mean(axis=0), ddof=1)
    within = between / scipy.stats.f_oneway(*grid.T).statistic
    rest = (grid - grid.mean(axis=0)).ravel()
    plain = np.mean(rest[1:] * rest[:-1]) / np.mean(rest**2)
    rho = max(plain + (1 + 3 * plain) / 168, 0)
    degrees = 144 * (1 - rho**2) / (1 + rho**2)
    standard_error = 1 / math.sqrt(2 * degrees)
    assert found.degrees == pytest.approx(degrees)
    assert found.noise == pytest.approx(math.sqrt(within * (1 + rho) / (1 - rho)) * (1 + 1.8 * standard_error))


@pytest.mark.parametrize("phi", [0.0, 0.7, 0.9])
def test_the_noise_of_a_block_is_that_of_many_blocks(phi: float) -> None:
    weeks = np.array([a_week(phi=phi, seed=seed).value for seed in range(40)])
    grid = weeks.reshape(40, 7, 24, 12).mean(axis=-1)
    found = baseline_summary.estimate_baseline(grid, points=weeks, cells=np.arange(2016) // 12, size=12)
    in_the_long_run = 0.01 * math.sqrt((1 + phi) / (1 - phi) / 12)
    assert 1.05 < found.noise.mean() / in_the_long_run < 1.3  # 1.8 standard errors more, and the larger of two


def test_noise_that_single_readings_hide_is_found_in_the_blocks() -> None:
    grid = dice(7, 24, seed=13)  # every hour has its own level, so the readings aren't an AR(1) series
    points = (grid[:, :, None] + dice(7, 24, 12, seed=14)).ravel()
    found = baseline_summary.estimate_baseline(grid, points=points, cells=np.arange(2016) // 12, size=12)
    assert found.noise == baseline_summary.estimate_baseline(grid).noise


def test_many_series_at_once_have_the_same_results_as_each_alone() -> None:
    grid, points, cells = dice(3, 14, 24), dice(3, 14 * 288, seed=6), np.arange(14 * 288) // 12
    many = baseline_summary.estimate_baseline(grid, reach=1, points=points, cells=cells, size=12)
    for one in range(3):
        alone = baseline_summary.estimate_baseline(grid[one], reach=1, points=points[one], cells=cells, size=12)
        for name in ("same", "days", "expected", "worth", "noise", "degrees"):
            assert getattr(many, name)[one] == pytest.approx(getattr(alone, name))


def test_weekends_of_many_series_at_once_are_the_same_as_each_alone() -> None:
    grid, rest = dice(3, 14, 24), a_calendar(14)
    many = baseline_summary.estimate_weekend_effect(grid, rest)
    for one in range(3):
        alone = baseline_summary.estimate_weekend_effect(grid[one], rest)
        assert (many.offset[one], many.worth[one]) == (pytest.approx(alone.offset), alone.worth)


def test_expected_values_are_smoothed_by_a_triangle() -> None:
    same, days, noise = np.array([1.0, 2, 3, 2]), np.full(4, 8.0), np.array(100.0)
    expected, worth = baseline_summary.smooth_over_slots(same, days, noise, 1)
    assert expected.tolist() == [1.5, 2, 2.5, 2]
    assert worth == pytest.approx(np.full(4, 8 / (0.25**2 + 0.5**2 + 0.25**2)))
    assert baseline_summary.smooth_over_slots(same, days, noise, 0)[0].tolist() == same.tolist()


def test_an_outlying_time_of_day_is_not_smoothed_away() -> None:
    same = np.zeros(24)
    same[3] = -1.0
    expected, worth = baseline_summary.smooth_over_slots(same, np.full(24, 7.0), np.array(0.1), 1)
    assert (expected[3], worth[3]) == (-1.0, 7.0)


@pytest.mark.parametrize(("apart", "keeps"), [(0.8, False), (1.2, True)])
def test_a_time_of_day_is_outlying_two_standard_errors_from_its_neighbors(apart: float, keeps: bool) -> None:
    same = np.zeros(24)
    same[3] = 2 * apart  # smoothing leaves half of it
    worth = baseline_summary.smooth_over_slots(same, np.full(24, 4.0), np.array(1.0), 1)[
        1
    ]  # the standard error of four days is a half
    assert bool(worth[3] == 4) is keeps


def test_missing_hours_do_not_affect_their_neighbors() -> None:
    same, days = np.array([1.0, NAN, 1, 1]), np.array([7.0, 0, 7, 7])
    expected, worth = baseline_summary.smooth_over_slots(same, days, np.array(1.0), 1)
    assert expected[[0, 2, 3]].tolist() == pytest.approx([1, 1, 1])
    assert math.isnan(expected[1])
    assert worth[0] == pytest.approx(0.75**2 / ((0.25**2 + 0.5**2) / 7))


gaps = st.lists(st.one_of(st.just(NAN), st.floats(-1e6, 1e6)), min_size=12, max_size=12)


@settings(max_examples=100, deadline=None)
@given(values=gaps, axis=st.sampled_from([0, 1, -1, -2]))
def test_the_median_equals_numpy_s(values: list[float], axis: int) -> None:
    grid = np.array(values).reshape(3, 4)
    all_missing = np.isnan(grid).all(axis=axis)
    plain = np.nanmedian(np.where(np.expand_dims(all_missing, axis), 0.0, grid), axis=axis)
    assert time_series.nan_median(grid, axis) == pytest.approx(np.where(all_missing, NAN, plain), nan_ok=True)


def test_the_median_of_nothing_is_nan() -> None:
    assert np.isnan(time_series.nan_median(np.full((2, 3), NAN), -1)).all()


@pytest.mark.parametrize("sd", [0.01, 1.0, 100.0])
def test_98_percent_of_readings_are_between_low_and_high(sd: float) -> None:
    points = a_week(sd=sd)
    found = summary(points)
    assert [found.low, found.high] == pytest.approx(np.quantile(points.value, [0.01, 0.99]).tolist())
    assert np.mean((points.value >= found.low) & (points.value <= found.high)) == pytest.approx(0.98, abs=1e-3)


def test_nearly_constant_readings_are_between_their_extremes() -> None:
    values = np.zeros(2016)
    values[[5, 700]] = [-1, 3]
    found = summary(series(values, START - 7 * DAY))
    assert (found.low, found.high) == (-1, 3)

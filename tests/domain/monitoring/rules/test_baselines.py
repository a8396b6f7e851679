"""A baseline's summary: its figures are those of the textbooks, and neither weekends nor old incidents spoil them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain import baselines
from bot.domain.baselines import (
    DAY,
    FAR,
    HOUR,
    MIN_BASELINE,
    Baseline,
    Floats,
    Points,
    dump_baseline,
    load_baseline,
    weekend_share,
)
from tests.support.services.time_series import (
    EVERY,
    START,
    a_week,
    an_hour,
    during,
    on_weekends,
    scaled,
    series,
    summary,
)

NAN = math.nan


def dice(*shape: int, seed: int = 5, sd: float = 1.0) -> Floats:
    """Return blocks that are nothing but noise."""
    found: Floats = np.random.default_rng(seed).normal(0, sd, shape)
    return found


# -- readings ----------------------------------------------------------------------------------------------------------


def test_readings_are_put_in_order_and_what_is_no_number_is_dropped() -> None:
    points = Points.of([30, 10, 20, 40, NAN, math.inf], [3, 1, NAN, math.inf, 5, 6])
    assert points.at.tolist() == [10, 30]
    assert points.value.tolist() == [1, 3]


def test_readings_keep_what_they_are_counted_out_of() -> None:
    points = Points.of([30, 10, 20, 40], [0.3, 0.1, 0.2, NAN], [300, 100, None, 400])
    assert points.value.tolist() == [0.1, 0.2, 0.3]
    assert points.total == pytest.approx([100, NAN, 300], nan_ok=True)
    assert points.between(15, 35).total == pytest.approx([NAN, 300], nan_ok=True)


@pytest.mark.parametrize("totals", [None, [None, None], [NAN, None]])
def test_where_nothing_is_a_count_there_are_no_totals(totals: list[float | None] | None) -> None:
    points = Points.of([10, 20], [0.1, 0.2], totals)
    assert (points.total, points.between(10, 20).total, Points.of([], [], []).total) == (None, None, None)


def test_a_time_without_a_value_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Points.of([1, 2], [1])
    with pytest.raises(ValueError, match="longer"):
        Points.of([1], [1], [1, 2])


def test_a_stretch_has_its_start_and_not_its_end() -> None:
    points = Points.of([10, 20, 30], [1, 2, 3])
    assert points.between(10, 30).value.tolist() == [1, 2]
    assert len(points.between(31, 99)) == 0


def test_readings_cover_the_time_until_the_next_one_would_come() -> None:
    assert an_hour(1).span == HOUR
    assert an_hour(1, readings=1).span == 0
    assert Points.of([], []).span == 0


# -- golden values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("degrees", "low"), [(4, 0.0068), (5, 0.0026), (6, 0.0011), (20, 4e-6), (144, 1e-9)])
@pytest.mark.parametrize("sigma", [2.0, 3.0])
def test_sigmas_widen_as_student_has_it(sigma: float, degrees: int, low: float) -> None:
    exact = scipy.stats.t.isf(scipy.stats.norm.sf(sigma), degrees)
    assert -low < baselines.student(sigma, degrees) / exact - 1 < 1e-9  # too low if at all, and by that much at most


def test_student_is_off_by_as_much_as_its_docstring_says() -> None:
    exact = scipy.stats.t.isf(scipy.stats.norm.sf(3), [4, 6])
    assert (baselines.student(3.0, [4, 6]) / exact - 1).tolist() == pytest.approx([-0.007, -0.001], abs=5e-4)


@pytest.mark.parametrize("degrees", [0.0, 0.5, 1.0])
def test_fewer_degrees_of_freedom_than_one_count_as_one(degrees: float) -> None:
    assert baselines.student(3.0, degrees) == baselines.student(3.0, 1.0)


def test_neighbors_resemble_each_other_as_much_as_they_were_made_to() -> None:
    values = a_week(phi=0.7, mean=0, days=60).value
    assert baselines.lag1(values) == pytest.approx(0.7, abs=0.02)
    assert baselines.long_run(np.array(1.0), np.array(0.7)) == pytest.approx(math.sqrt(1.7 / 0.3))


def test_the_correlation_of_short_series_is_not_too_small() -> None:
    short = scipy.signal.lfilter([1.0], [1.0, -0.6], dice(4_000, 530, seed=3))[:, 500:]
    found = baselines.lag1(short - short.mean(axis=1, keepdims=True)).mean()
    plain = np.mean([np.corrcoef(one[1:], one[:-1])[0, 1] for one in short])
    assert abs(found - 0.6) < 0.03 < 0.6 - plain


def test_correlation_below_zero_does_not_make_the_noise_smaller() -> None:
    assert baselines.lag1(np.array([1.0, -1, 1, -1, 1, -1])) == 0


def test_the_noise_of_blocks_is_that_of_an_analysis_of_variance() -> None:
    grid = 2 * dice(7, 24)
    assert (baselines.pulled_in(grid) == grid).all()
    found = baselines.usual(grid)
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
def test_the_noise_of_a_block_is_what_many_blocks_have(phi: float) -> None:
    weeks = np.array([a_week(phi=phi, seed=seed).value for seed in range(40)])
    grid = weeks.reshape(40, 7, 24, 12).mean(axis=-1)
    found = baselines.usual(grid, points=weeks, cells=np.arange(2016) // 12, size=12)
    in_the_long_run = 0.01 * math.sqrt((1 + phi) / (1 - phi) / 12)
    assert 1.05 < found.noise.mean() / in_the_long_run < 1.3  # 1.8 standard errors more, and the larger of two


def test_noise_that_single_readings_do_not_show_is_seen_in_the_blocks() -> None:
    grid = dice(7, 24, seed=13)  # every hour has a level of its own, so the readings are no AR(1) series
    points = (grid[:, :, None] + dice(7, 24, 12, seed=14)).ravel()
    found = baselines.usual(grid, points=points, cells=np.arange(2016) // 12, size=12)
    assert found.noise == baselines.usual(grid).noise


def test_many_series_at_once_are_each_what_they_are_alone() -> None:
    grid, points, cells = dice(3, 14, 24), dice(3, 14 * 288, seed=6), np.arange(14 * 288) // 12
    many = baselines.usual(grid, reach=1, points=points, cells=cells, size=12)
    for one in range(3):
        alone = baselines.usual(grid[one], reach=1, points=points[one], cells=cells, size=12)
        for name in ("same", "days", "expected", "worth", "noise", "degrees"):
            assert getattr(many, name)[one] == pytest.approx(getattr(alone, name))


def test_weekends_of_many_series_at_once_are_each_what_they_are_alone() -> None:
    grid, rest = dice(3, 14, 24), a_calendar(14)
    many = baselines.weekend_offset(grid, rest)
    for one in range(3):
        alone = baselines.weekend_offset(grid[one], rest)
        assert (many.offset[one], many.worth[one]) == (pytest.approx(alone.offset), alone.worth)


def test_what_is_expected_is_smoothed_by_a_triangle() -> None:
    same, days, noise = np.array([1.0, 2, 3, 2]), np.full(4, 8.0), np.array(100.0)
    expected, worth = baselines.smoothed(same, days, noise, 1)
    assert expected.tolist() == [1.5, 2, 2.5, 2]
    assert worth == pytest.approx(np.full(4, 8 / (0.25**2 + 0.5**2 + 0.25**2)))
    assert baselines.smoothed(same, days, noise, 0)[0].tolist() == same.tolist()


def test_a_time_of_day_that_stands_out_is_not_smoothed_away() -> None:
    same = np.zeros(24)
    same[3] = -1.0
    expected, worth = baselines.smoothed(same, np.full(24, 7.0), np.array(0.1), 1)
    assert (expected[3], worth[3]) == (-1.0, 7.0)


@pytest.mark.parametrize(("apart", "keeps"), [(0.8, False), (1.2, True)])
def test_to_stand_out_is_to_be_two_standard_errors_from_the_neighbors(apart: float, keeps: bool) -> None:
    same = np.zeros(24)
    same[3] = 2 * apart  # smoothed, half of it is left
    worth = baselines.smoothed(same, np.full(24, 4.0), np.array(1.0), 1)[1]  # of four days the standard error is a half
    assert bool(worth[3] == 4) is keeps


def test_hours_that_are_missing_leave_their_neighbors_alone() -> None:
    same, days = np.array([1.0, NAN, 1, 1]), np.array([7.0, 0, 7, 7])
    expected, worth = baselines.smoothed(same, days, np.array(1.0), 1)
    assert expected[[0, 2, 3]].tolist() == pytest.approx([1, 1, 1])
    assert math.isnan(expected[1])
    assert worth[0] == pytest.approx(0.75**2 / ((0.25**2 + 0.5**2) / 7))


gaps = st.lists(st.one_of(st.just(NAN), st.floats(-1e6, 1e6)), min_size=12, max_size=12)


@settings(max_examples=100, deadline=None)
@given(values=gaps, axis=st.sampled_from([0, 1, -1, -2]))
def test_a_median_is_numpy_s(values: list[float], axis: int) -> None:
    grid = np.array(values).reshape(3, 4)
    all_missing = np.isnan(grid).all(axis=axis)
    plain = np.nanmedian(np.where(np.expand_dims(all_missing, axis), 0.0, grid), axis=axis)
    assert baselines.median(grid, axis) == pytest.approx(np.where(all_missing, NAN, plain), nan_ok=True)


def test_the_median_of_nothing_is_missing() -> None:
    assert np.isnan(baselines.median(np.full((2, 3), NAN), -1)).all()


@pytest.mark.parametrize("sd", [0.01, 1.0, 100.0])
def test_all_but_one_reading_in_fifty_lie_between_low_and_high(sd: float) -> None:
    points = a_week(sd=sd)
    found = summary(points)
    assert [found.low, found.high] == pytest.approx(np.quantile(points.value, [0.01, 0.99]).tolist())
    assert np.mean((points.value >= found.low) & (points.value <= found.high)) == pytest.approx(0.98, abs=1e-3)


def test_readings_that_hardly_ever_differ_lie_between_their_extremes() -> None:
    values = np.zeros(2016)
    values[[5, 700]] = [-1, 3]
    found = summary(series(values, START - 7 * DAY))
    assert (found.low, found.high) == (-1, 3)


# -- weekends ----------------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(minute=st.integers(-30_000_000, 60_000_000), length=st.integers(1, 96))
def test_the_share_of_a_weekend_is_what_the_calendar_says(minute: int, length: int) -> None:
    begin = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)  # 1912 to 2084
    free = sum((begin + timedelta(minutes=15 * n)).weekday() >= 5 for n in range(4 * length)) / (4 * length)
    found = weekend_share(np.array([60.0 * minute]), length * HOUR)
    assert found.item() == pytest.approx(free, abs=0.25 / length)  # the calendar is asked every 15 minutes


@settings(max_examples=100, deadline=None)
@given(hour=st.integers(-500_000, 1_000_000), length=st.integers(1, 96))
def test_blocks_that_begin_at_a_whole_hour_have_whole_hours_of_weekend(hour: int, length: int) -> None:
    begin = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
    free = sum((begin + timedelta(hours=n)).weekday() >= 5 for n in range(length))
    assert weekend_share(np.array([HOUR * hour]), length * HOUR).item() == pytest.approx(free / length)


@settings(max_examples=50, deadline=None)
@given(minute=st.integers(-30_000_000, 60_000_000))
def test_a_moment_is_on_a_weekend_or_it_is_not(minute: int) -> None:
    begin = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    assert weekend_share(np.array([60.0 * minute]), 0).item() == (begin.weekday() >= 5)


@pytest.mark.parametrize("start", [0.0, 1 / 3, 0.123456, 59.999999])
def test_a_block_within_a_weekend_is_a_weekend_whatever_second_it_begins_at(start: float) -> None:
    share = weekend_share(np.arange(START, START + 7 * DAY, HOUR) + start, HOUR)
    assert (share == 1).sum() == (48 if start == 0 else 47)
    assert (share == 0).sum() == (120 if start == 0 else 119)


def a_calendar(days: int) -> Floats:
    """Return which hours of so many days, from a Monday on, are on a weekend."""
    return weekend_share(np.arange(START, START + days * DAY, HOUR).reshape(days, 24), HOUR)


@pytest.mark.parametrize("days", [7, 14, 21])
@pytest.mark.parametrize("offset", [-3.0, 0.0, 12.5])
def test_an_offset_of_weekends_is_found(days: int, offset: float) -> None:
    rest = a_calendar(days)
    swing = np.sin(2 * np.pi * np.arange(24) / 24)
    weekend = baselines.weekend_offset(swing + offset * rest + dice(days, 24, sd=0.1), rest)
    found, worth, free = weekend.offset, weekend.worth, int(rest.sum())
    assert worth == pytest.approx(1 / (1 / free + 1 / (days * 24 - free)))
    assert found == pytest.approx(offset, abs=4 * 0.1 / math.sqrt(worth) + 0.05)  # it stands on medians of few days
    assert abs(found - offset) < 0.08


def test_without_noise_an_offset_is_exact() -> None:
    rest = a_calendar(14)
    assert baselines.weekend_offset(5 - 2.0 * rest, rest).offset == -2.0


@pytest.mark.parametrize("days", [14, 21])
def test_an_incident_on_one_saturday_is_no_weekend(days: int) -> None:
    rest, grid = a_calendar(days), dice(days, 24, sd=0.1)
    quiet = baselines.weekend_offset(grid, rest).offset
    grid[5, 10:14] -= 9  # of 48 hours a weekend, so that the plain mean is off by a third
    assert baselines.weekend_offset(grid, rest).offset == pytest.approx(quiet, abs=0.06)


def test_nothing_is_leveled_where_there_is_no_weekend_or_nothing_else() -> None:
    grid = dice(5, 24)
    for rest in (np.zeros((5, 24)), np.ones((5, 24)), np.full((5, 24), 0.4)):
        weekend = baselines.weekend_offset(grid, rest)
        assert (weekend.offset.item(), weekend.worth.item()) == (0, math.inf)


@pytest.mark.parametrize("days", [7, 14, 21])
def test_weekends_at_another_level_make_no_noise(days: int) -> None:
    plain = a_week(phi=0.7, days=days)
    found, other = summary(on_weekends(plain, -0.03)), summary(plain)
    assert found.noise == pytest.approx(other.noise)
    assert found.same == pytest.approx(other.same)
    assert found.weekend == pytest.approx(other.weekend - 0.03)


@pytest.mark.parametrize(("window", "start"), [(HOUR, HOUR / 2), (DAY, DAY / 2), (2 * DAY, DAY / 4), (4 * DAY, 0)])
def test_blocks_that_are_partly_on_a_weekend_are_leveled_reading_by_reading(window: float, start: float) -> None:
    found = summary(on_weekends(a_week(sd=0, days=21), -0.03), START + start, window)
    assert found.weekend == pytest.approx(-0.03)
    assert found.same == pytest.approx(np.full(len(found.same), 0.9))
    assert found.noise == pytest.approx(0, abs=1e-9)


# -- old incidents -----------------------------------------------------------------------------------------------------


def winsorized(grid: Floats) -> Floats:
    """Return what `pulled_in` promises, in plain Python; for as many as seven days."""
    days, slots = grid.shape
    centers = [float(np.nanmedian(grid[:, slot])) for slot in range(slots)]
    apart = [grid[day, slot] - centers[slot] for day in range(days) for slot in range(slots)]
    there = [one for one in apart if not math.isnan(one)]
    mad = float(scipy.stats.median_abs_deviation(there, center=lambda _, axis: np.zeros(1).sum(axis), scale="normal"))
    far = FAR * mad * math.sqrt(days / (days - 1)) or math.inf  # with most of them equal, nothing is far
    pulled = [
        [min(max(grid[day, slot], centers[slot] - far), centers[slot] + far) for slot in range(slots)]
        for day in range(days)
    ]
    return np.where(np.isnan(grid), NAN, np.array(pulled))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), days=st.integers(2, 7), gaps=st.integers(0, 20), wild=st.integers(0, 8))
def test_blocks_are_pulled_in_as_a_winsorization_does(seed: int, days: int, gaps: int, wild: int) -> None:
    grid, random = dice(days, 24, seed=seed), np.random.default_rng(seed)
    grid.flat[random.integers(0, grid.size, wild)] += random.choice([-20, 20], wild)
    whole = random.permutation(np.arange(24, grid.size))[:gaps]  # the first day has all of its hours
    grid.flat[whole] = NAN
    assert baselines.pulled_in(grid) == pytest.approx(winsorized(grid), nan_ok=True)


def test_what_is_not_far_is_left_as_it_is() -> None:
    grid = dice(7, 24)
    assert (baselines.pulled_in(grid) == grid).all()
    assert (baselines.pulled_in(grid[:1]) == grid[:1]).all()


def test_what_comes_back_a_week_later_is_no_incident() -> None:
    grid = dice(21, 24, sd=0.1)
    grid[2::7, 5] -= 3
    assert (baselines.pulled_in(grid) == grid)[:, 5].all()


def test_what_came_once_in_three_weeks_is_an_incident() -> None:
    grid = dice(21, 24, sd=0.1)
    grid[9, 5] -= 3
    pulled = baselines.pulled_in(grid)
    assert -0.7 < pulled[9, 5] < -0.3
    assert (pulled != grid)[:, 5].sum() == 1


@pytest.mark.parametrize("back", [0.25, 0.4, 0.6, 2.0])
def test_what_came_back_a_little_is_no_return(back: float) -> None:
    grid = dice(21, 24, sd=0.1)
    grid[9, 5] = -3
    grid[16, 5] = -3 * back
    assert bool(baselines.pulled_in(grid)[9, 5] == -3) is (back > 0.5)


def test_what_came_back_the_other_way_is_an_incident() -> None:
    grid = dice(21, 24, sd=0.1)
    grid[2, 5] -= 3
    grid[9, 5] += 3
    assert (baselines.pulled_in(grid) != grid)[:, 5].sum() == 2


def test_where_most_blocks_are_equal_nothing_is_pulled_in() -> None:
    grid = np.zeros((7, 24))
    grid[::2, 3:14] = dice(4, 11)
    assert (grid == 0).mean() > 0.5
    assert (baselines.pulled_in(grid) == grid).all()


@pytest.mark.parametrize("days", [7, 14, 21])
def test_an_old_incident_hardly_adds_to_the_noise(days: int) -> None:
    plain = a_week(sd=0.0095, phi=0.7, days=days)
    found = summary(during(plain, START - 4 * DAY + 9 * HOUR, START - 4 * DAY + 13 * HOUR, -0.09))
    assert summary(plain).noise < found.noise < 1.5 * summary(plain).noise


# -- summaries ---------------------------------------------------------------------------------------------------------


def test_a_summary_has_the_means_of_its_hours() -> None:
    points = a_week(sd=0.001)
    found = summary(points)
    by_hour = points.value.reshape(7, 24, 12)
    free = np.zeros((7, 24))
    free[5:] = found.weekend
    assert found.same == pytest.approx((by_hour.mean(axis=2) - free).mean(axis=0), abs=1e-4)
    assert (found.days, found.size, found.covers) == ((7.0,) * 24, 12, 7 * DAY)


def test_a_summary_begins_at_the_time_of_day_that_is_asked_for() -> None:
    points = a_week(sd=0.001)
    one, other = summary(points), summary(points, START + 3 * HOUR)
    assert other.same == pytest.approx(np.roll(one.same, -3), abs=2e-4)
    assert other.slot(START + 5 * HOUR) == 2
    assert other.slot(START - 50 * DAY) == 21


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
    assert away[found.slot(START + at)] == pytest.approx(min(away), abs=1e-3)


@settings(max_examples=100, deadline=None)
@given(at=st.integers(-3_000_000, 3_000_000), hours=st.sampled_from([0.5, 1, 6, 24, 48]))
def test_a_reading_lies_in_the_block_that_began_last(at: int, hours: float) -> None:
    count = max(int(24 / hours), 1)
    found = replace(A_SUMMARY, window=hours * HOUR, same=(0.9,) * count)
    assert found.slots(np.array([START + at])).tolist() == [min(int(at % found.period / found.window), count - 1)]


def test_a_block_that_lacks_half_of_its_readings_does_not_count() -> None:
    points = a_week()
    kept = (points.at >= START - 6 * DAY) | (points.at % HOUR >= HOUR - 5 * EVERY)
    assert set(summary(Points(points.at[kept], points.value[kept])).days) == {6.0}


def test_hours_without_readings_have_no_mean() -> None:
    points = a_week()
    kept = points.at % DAY >= 2 * HOUR
    found = summary(Points(points.at[kept], points.value[kept]))
    assert [math.isnan(one) for one in found.same] == [True] * 2 + [False] * 22
    assert found.days[:3] == (0, 0, 7)
    assert found.noise > 0


@pytest.mark.parametrize("every", [10.0, 60.0, 300.0])
def test_how_often_it_is_read_hardly_changes_what_is_usual(every: float) -> None:
    found = summary(a_week(sd=0.01 * math.sqrt(300 / every) ** -1, every=every))
    assert found.size == HOUR / every
    assert found.covers == pytest.approx(7 * DAY)


def test_readings_that_come_every_six_hours_fill_four_hours_of_the_day() -> None:
    found = summary(a_week(every=6 * HOUR, days=21))
    assert [hour for hour, days in enumerate(found.days) if days] == [0, 6, 12, 18]
    assert (found.size, max(found.days)) == (1, 21)


@pytest.mark.parametrize("history", [420.0, 600.0, 3_600.0, 10_000.0, 14 * HOUR])
@pytest.mark.parametrize("start", [0.0, START])
def test_a_short_history_has_short_days_and_no_weekends(history: float, start: float) -> None:
    begin = START // history * history
    points = Points.of(begin + history / 2016 * np.arange(2016), 0.9 + dice(2016, sd=0.01))
    found = summary(points, start, window=history / 168, history=history)
    assert found.day == pytest.approx(history / 7)
    assert sum(found.days) == pytest.approx(168, abs=2)
    assert (found.weekend, found.weekend_worth) == (0, math.inf)
    assert (found.rest(points.at) == 0).all()


def test_a_reading_at_the_very_beginning_of_a_day_that_is_no_whole_number_lies_in_it() -> None:
    history = 10_000.0
    for at in START // history * history + history * np.arange(50):
        assert summary(series([0.9] * 2010, at, every=5.0), 0.0, window=history / 168, history=history).covers > history


def test_a_short_history_is_smoothed_within_the_hours_of_its_short_days() -> None:
    swing = 0.001 * np.sin(2 * np.pi * np.arange(2016) / 288)
    found = summary(series(0.9 + swing + dice(2016, sd=0.01), START, every=420 / 2016), START, 2.5, 420)
    assert max(found.worth) == pytest.approx(7 / (0.25**2 + 0.5**2 + 0.25**2))  # not more than the 168 that there are
    assert found.expected[0] == pytest.approx(0.25 * found.same[-1] + 0.5 * found.same[0] + 0.25 * found.same[1])


def test_a_longer_history_has_days_as_long_as_any() -> None:
    assert baselines.day_of(14 * DAY) == DAY
    assert (baselines.lookback(MIN_BASELINE), baselines.lookback(28 * DAY)) == (21 * DAY, 28 * DAY)
    assert baselines.lookback(420) == pytest.approx(1_260)


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
def test_a_summary_survives_the_ledger(it: Baseline) -> None:
    text = dump_baseline(it)
    assert repr(load_baseline(text)) == repr(it)  # NaN is not equal to itself
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_what_a_later_version_adds_to_a_summary_is_left_out() -> None:
    said = json.loads(dump_baseline(A_SUMMARY)) | {"later": [1, "nan"]}
    assert load_baseline(json.dumps(said)) == A_SUMMARY


@pytest.mark.parametrize("count", [0, 1, 2, 13])
def test_too_few_readings_are_summarized_too(count: int) -> None:
    found = summary(series(np.full(count, 0.9), START - EVERY * count))
    assert found.covers == (EVERY * count if count > 1 else 0)
    assert repr(load_baseline(dump_baseline(found))) == repr(found)


# -- what holds for all of them ----------------------------------------------------------------------------------------


def close(one: Baseline, other: Baseline, *but: str) -> None:
    for name in set(Baseline.__dataclass_fields__) - set(but):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-6, abs=1e-9, nan_ok=True), name


values = st.lists(st.floats(0.5, 1.5), min_size=168, max_size=168)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_readings_does_not_matter(seed: int) -> None:
    points = on_weekends(a_week(days=14, seed=seed), 0.02)
    order = np.random.default_rng(seed).permutation(len(points))
    assert summary(Points.of(points.at[order], points.value[order])) == summary(points)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), junk=st.sampled_from([NAN, math.inf, -math.inf]))
def test_what_is_no_number_does_not_count(seed: int, junk: float) -> None:
    points = a_week(seed=seed)
    more: Any = [*points.value, *[junk] * 50]
    assert summary(Points.of([*points.at, *points.at[:50]], more)) == summary(points)


@settings(max_examples=20, deadline=None)
@given(values=values, by=st.sampled_from([-1024.0, -1.0, 2.0**-20, 2.0, 1e5]), more=st.sampled_from([0.0, 1.0, -64.0]))
def test_another_unit_makes_the_same_summary_in_that_unit(values: list[float], by: float, more: float) -> None:
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
def test_whole_weeks_later_is_the_same_baseline(seed: int, weeks: int) -> None:
    points = on_weekends(a_week(seed=seed, days=14), -0.02)
    later = summary(Points(points.at + weeks * 7 * DAY, points.value), START + weeks * 7 * DAY)
    assert replace(later, start=START) == summary(points)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), weeks=st.integers(-4, 60))
def test_a_summary_may_begin_in_any_week(seed: int, weeks: int) -> None:
    points = a_week(seed=seed)
    assert replace(summary(points, START + weeks * 7 * DAY), start=START) == summary(points)

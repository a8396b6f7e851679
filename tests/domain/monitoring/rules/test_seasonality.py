"""Neither weekends nor old incidents distort a baseline."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.monitoring.rules import baseline_summary
from bot.domain.monitoring.rules.baselines import weekend_fraction
from bot.domain.monitoring.rules.time_series import DAY, HOUR, OUTLIER_LIMIT, Floats
from tests.support.domain.baselines import NAN, a_calendar, dice
from tests.support.domain.time_series import (
    START,
    a_week,
    during,
    on_weekends,
    summary,
)

# -- weekends ----------------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(minute=st.integers(-30_000_000, 60_000_000), length=st.integers(1, 96))
def test_the_weekend_share_matches_the_calendar(minute: int, length: int) -> None:
    begin = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)  # 1912 to 2084
    free = sum((begin + timedelta(minutes=15 * n)).weekday() >= 5 for n in range(4 * length)) / (4 * length)
    found = weekend_fraction(np.array([60.0 * minute]), length * HOUR)
    assert found.item() == pytest.approx(free, abs=0.25 / length)  # the calendar is sampled every 15 minutes


@settings(max_examples=100, deadline=None)
@given(hour=st.integers(-500_000, 1_000_000), length=st.integers(1, 96))
def test_blocks_from_a_whole_hour_have_whole_weekend_hours(hour: int, length: int) -> None:
    begin = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
    free = sum((begin + timedelta(hours=n)).weekday() >= 5 for n in range(length))
    assert weekend_fraction(np.array([HOUR * hour]), length * HOUR).item() == pytest.approx(free / length)


@settings(max_examples=50, deadline=None)
@given(minute=st.integers(-30_000_000, 60_000_000))
def test_an_instant_is_either_on_a_weekend_or_not(minute: int) -> None:
    begin = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    assert weekend_fraction(np.array([60.0 * minute]), 0).item() == (begin.weekday() >= 5)


@pytest.mark.parametrize("start", [0.0, 1 / 3, 0.123456, 59.999999])
def test_a_block_within_a_weekend_is_all_weekend(start: float) -> None:
    share = weekend_fraction(np.arange(START, START + 7 * DAY, HOUR) + start, HOUR)
    assert (share == 1).sum() == (48 if start == 0 else 47)
    assert (share == 0).sum() == (120 if start == 0 else 119)


@pytest.mark.parametrize("days", [7, 14, 21])
@pytest.mark.parametrize("offset", [-3.0, 0.0, 12.5])
def test_a_weekend_offset_is_estimated(days: int, offset: float) -> None:
    rest = a_calendar(days)
    swing = np.sin(2 * np.pi * np.arange(24) / 24)
    weekend = baseline_summary.estimate_weekend_effect(swing + offset * rest + dice(days, 24, sd=0.1), rest)
    found, worth, free = weekend.offset, weekend.worth, int(rest.sum())
    assert worth == pytest.approx(1 / (1 / free + 1 / (days * 24 - free)))
    assert found == pytest.approx(offset, abs=4 * 0.1 / math.sqrt(worth) + 0.05)  # it depends on medians of few days
    assert abs(found - offset) < 0.08


def test_without_noise_an_offset_is_exact() -> None:
    rest = a_calendar(14)
    assert baseline_summary.estimate_weekend_effect(5 - 2.0 * rest, rest).offset == -2.0


@pytest.mark.parametrize("days", [14, 21])
def test_an_incident_on_one_saturday_is_not_a_weekend_effect(days: int) -> None:
    rest, grid = a_calendar(days), dice(days, 24, sd=0.1)
    quiet = baseline_summary.estimate_weekend_effect(grid, rest).offset
    grid[5, 10:14] -= 9  # of a weekend's 48 hours, so the plain mean is off by a third
    assert baseline_summary.estimate_weekend_effect(grid, rest).offset == pytest.approx(quiet, abs=0.06)


def test_only_weekends_or_only_weekdays_are_not_leveled() -> None:
    grid = dice(5, 24)
    for rest in (np.zeros((5, 24)), np.ones((5, 24)), np.full((5, 24), 0.4)):
        weekend = baseline_summary.estimate_weekend_effect(grid, rest)
        assert (weekend.offset.item(), weekend.worth.item()) == (0, math.inf)


@pytest.mark.parametrize("days", [7, 14, 21])
def test_weekends_at_another_level_add_no_noise(days: int) -> None:
    plain = a_week(phi=0.7, days=days)
    found, other = summary(on_weekends(plain, -0.03)), summary(plain)
    assert found.noise == pytest.approx(other.noise)
    assert found.same == pytest.approx(other.same)
    assert found.weekend == pytest.approx(other.weekend - 0.03)


@pytest.mark.parametrize(("window", "start"), [(HOUR, HOUR / 2), (DAY, DAY / 2), (2 * DAY, DAY / 4), (4 * DAY, 0)])
def test_blocks_partly_on_a_weekend_are_leveled_by_reading(window: float, start: float) -> None:
    found = summary(on_weekends(a_week(sd=0, days=21), -0.03), START + start, window)
    assert found.weekend == pytest.approx(-0.03)
    assert found.same == pytest.approx(np.full(len(found.same), 0.9))
    assert found.noise == pytest.approx(0, abs=1e-9)


# -- old incidents -----------------------------------------------------------------------------------------------------


def winsorized(grid: Floats) -> Floats:
    """Return what `winsorize_blocks` should return, in plain Python, for up to seven days."""
    days, slots = grid.shape
    centers = [float(np.nanmedian(grid[:, slot])) for slot in range(slots)]
    apart = [grid[day, slot] - centers[slot] for day in range(days) for slot in range(slots)]
    there = [one for one in apart if not math.isnan(one)]
    mad = float(scipy.stats.median_abs_deviation(there, center=lambda _, axis: np.zeros(1).sum(axis), scale="normal"))
    far = OUTLIER_LIMIT * mad * math.sqrt(days / (days - 1)) or math.inf  # if most are equal, nothing is far
    pulled = [
        [min(max(grid[day, slot], centers[slot] - far), centers[slot] + far) for slot in range(slots)]
        for day in range(days)
    ]
    return np.where(np.isnan(grid), NAN, np.array(pulled))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), days=st.integers(2, 7), gaps=st.integers(0, 20), wild=st.integers(0, 8))
def test_blocks_are_winsorized(seed: int, days: int, gaps: int, wild: int) -> None:
    grid, random = dice(days, 24, seed=seed), np.random.default_rng(seed)
    grid.flat[random.integers(0, grid.size, wild)] += random.choice([-20, 20], wild)
    whole = random.permutation(np.arange(24, grid.size))[:gaps]  # the first day is complete
    grid.flat[whole] = NAN
    assert baseline_summary.winsorize_blocks(grid) == pytest.approx(winsorized(grid), nan_ok=True)


def test_blocks_within_the_limit_are_unchanged() -> None:
    grid = dice(7, 24)
    assert (baseline_summary.winsorize_blocks(grid) == grid).all()
    assert (baseline_summary.winsorize_blocks(grid[:1]) == grid[:1]).all()


def test_a_deviation_that_recurs_a_week_later_is_not_an_incident() -> None:
    grid = dice(21, 24, sd=0.1)
    grid[2::7, 5] -= 3
    assert (baseline_summary.winsorize_blocks(grid) == grid)[:, 5].all()


def test_a_deviation_once_in_three_weeks_is_an_incident() -> None:
    grid = dice(21, 24, sd=0.1)
    grid[9, 5] -= 3
    pulled = baseline_summary.winsorize_blocks(grid)
    assert -0.7 < pulled[9, 5] < -0.3
    assert (pulled != grid)[:, 5].sum() == 1


@pytest.mark.parametrize("back", [0.25, 0.4, 0.6, 2.0])
def test_a_small_recurrence_does_not_count(back: float) -> None:
    grid = dice(21, 24, sd=0.1)
    grid[9, 5] = -3
    grid[16, 5] = -3 * back
    assert bool(baseline_summary.winsorize_blocks(grid)[9, 5] == -3) is (back > 0.5)


def test_a_recurrence_in_the_other_direction_does_not_count() -> None:
    grid = dice(21, 24, sd=0.1)
    grid[2, 5] -= 3
    grid[9, 5] += 3
    assert (baseline_summary.winsorize_blocks(grid) != grid)[:, 5].sum() == 2


def test_nothing_is_pulled_in_if_most_blocks_are_equal() -> None:
    grid = np.zeros((7, 24))
    grid[::2, 3:14] = dice(4, 11)
    assert (grid == 0).mean() > 0.5
    assert (baseline_summary.winsorize_blocks(grid) == grid).all()


@pytest.mark.parametrize("days", [7, 14, 21])
def test_an_old_incident_barely_adds_to_the_noise(days: int) -> None:
    plain = a_week(sd=0.0095, phi=0.7, days=days)
    found = summary(during(plain, START - 4 * DAY + 9 * HOUR, START - 4 * DAY + 13 * HOUR, -0.09))
    assert summary(plain).noise < found.noise < 1.5 * summary(plain).noise

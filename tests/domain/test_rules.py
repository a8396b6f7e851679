"""The monitor's rules: what each calls worse, what it cannot tell, and that its figures are those of the textbooks."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import scipy  # opens its parts when they are used: a process that runs other files needs none
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain import rules
from bot.domain.rules import DAY, HOUR, Judged, Points, aggregate, check_aggregate, threshold
from bot.domain.text import pack, unpack

EVERY = 300.0  # seconds between readings
START = 1_780_272_000.0  # midnight UTC; the baseline is the week before it
NAN = math.nan


def series(values: Any, start: float = START) -> Points:
    """Return readings at every five minutes from `start` on."""
    return Points.of(start + EVERY * np.arange(len(values)), values)


def a_week(noise: float = 0.01, phi: float = 0.0, mean: float = 0.9, seed: int = 1, days: float = 7) -> Points:
    """Return a baseline that ends at START: AR(1) noise around a mean."""
    shocks = np.random.default_rng(seed).normal(0, noise * math.sqrt(1 - phi**2), int(days * DAY / EVERY) + 500)
    values = mean + scipy.signal.lfilter([1.0], [1.0, -phi], shocks)[500:]
    return series(values, START - EVERY * len(values))


def an_hour(value: float, at: float = START, readings: int = 12) -> Points:
    return series(np.full(readings, value), at)


def judged(block: Points, baseline: Points | None = None, **changes: Any) -> Judged:
    """Judge by the defaults of a monitor."""
    how: dict[str, Any] = {"window": HOUR, "higher_is_better": True, "min_effect": 0.02, "sigma": 3.0}
    return rules.blocks(block, a_week() if baseline is None else baseline, **how | changes)


def since(recent: Points, baseline: Points | None = None, **changes: Any) -> Judged:
    how: dict[str, Any] = {"alpha": 0.01, "min_effect": 0.02, "higher_is_better": True}
    return rules.sequential(recent, a_week() if baseline is None else baseline, **how | changes)


def scaled(points: Points, by: float, more: float = 0.0) -> Points:
    return Points(points.at, points.value * by + more)


# -- readings ----------------------------------------------------------------------------------------------------------


def test_readings_are_put_in_order_and_what_is_no_number_is_dropped() -> None:
    points = Points.of([30, 10, 20, 40, NAN], [3, 1, NAN, math.inf, 5])
    assert points.at.tolist() == [10, 30]
    assert points.value.tolist() == [1, 3]


def test_a_time_without_a_value_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Points.of([1, 2], [1])


def test_a_stretch_has_its_start_and_not_its_end() -> None:
    points = Points.of([10, 20, 30], [1, 2, 3])
    assert points.between(10, 30).value.tolist() == [1, 2]
    assert len(points.between(31, 99)) == 0


def test_readings_cover_the_time_until_the_next_one_would_come() -> None:
    assert an_hour(1).span == HOUR
    assert an_hour(1, readings=1).span == 0
    assert Points.of([], []).span == 0


# -- a fixed bound -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "is_worse"), [(0.86, False), (0.85, True), (0.84, True)])
def test_a_value_must_be_greater(value: float, is_worse: bool) -> None:
    assert threshold(value, greater_than=0.85).is_worse is is_worse


@pytest.mark.parametrize(("value", "is_worse", "bound"), [(1, True, 1), (2, False, 1), (8, False, 9), (9, True, 9)])
def test_a_value_must_lie_between_two_bounds(value: float, is_worse: bool, bound: float) -> None:
    found = threshold(value, greater_than=1, less_than=9)
    assert (found.is_worse, found.bound) == (is_worse, bound)


def test_a_threshold_says_what_it_saw() -> None:
    assert str(threshold(0.85, greater_than=0.85).why) == "0.85 is not greater than 0.85."
    assert str(threshold(120, less_than=200).why) == "120 is less than 200."
    assert math.isnan(threshold(1, less_than=2).expected)


@pytest.mark.parametrize("value", [NAN, math.inf, -math.inf])
def test_of_what_is_no_number_a_threshold_cannot_tell(value: float) -> None:
    assert threshold(value, greater_than=0).is_worse is None


@pytest.mark.parametrize(
    "bounds", [{}, {"greater_than": 2, "less_than": 1}, {"greater_than": 1, "less_than": 1}, {"less_than": NAN}]
)
def test_a_threshold_needs_a_bound_that_something_can_hold(bounds: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="greater_than"):
        threshold(1, **bounds)


# -- golden values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("degrees", "within"), [(4, 0.03), (6, 0.01), (20, 1e-4), (144, 1e-6)])
@pytest.mark.parametrize("sigma", [2.0, 3.0])
def test_sigmas_widen_as_student_has_it(sigma: float, degrees: int, within: float) -> None:
    assert rules.student(sigma, degrees) == pytest.approx(
        scipy.stats.t.isf(scipy.stats.norm.sf(sigma), degrees), rel=within
    )


def test_neighbours_resemble_each_other_as_much_as_they_were_made_to() -> None:
    noise = a_week(phi=0.7, mean=0, days=60).value
    assert rules.lag1(noise) == pytest.approx(0.7, abs=0.02)
    assert rules.long_run(np.array(1.0), np.array(0.7)) == pytest.approx(math.sqrt(1.7 / 0.3))


def test_the_correlation_of_short_series_is_not_too_small() -> None:
    shocks = np.random.default_rng(3).standard_normal((4_000, 530))
    short = scipy.signal.lfilter([1.0], [1.0, -0.6], shocks)[:, 500:]
    found = rules.lag1(short - short.mean(axis=1, keepdims=True)).mean()
    plain = np.mean([np.corrcoef(one[1:], one[:-1])[0, 1] for one in short])
    assert abs(found - 0.6) < 0.03 < 0.6 - plain


def test_correlation_below_zero_does_not_make_the_noise_smaller() -> None:
    assert rules.lag1(np.array([1.0, -1, 1, -1, 1, -1])) == 0


def test_the_noise_of_blocks_is_that_of_an_analysis_of_variance() -> None:
    grid = np.random.default_rng(5).normal(0, 2, (7, 24))
    found = rules.usual(grid)
    between = 7 * np.var(grid.mean(axis=0), ddof=1)
    within = between / scipy.stats.f_oneway(*grid.T).statistic
    rest = (grid - grid.mean(axis=0)).ravel()
    plain = np.mean(rest[1:] * rest[:-1]) / np.mean(rest**2)
    rho = max(plain + (1 + 3 * plain) / 168, 0)
    degrees = 144 * (1 - rho**2) / (1 + rho**2)
    assert found.degrees == pytest.approx(degrees)
    assert found.noise == pytest.approx(math.sqrt(within * (1 + rho) / (1 - rho)) * (1 + 1 / math.sqrt(2 * degrees)))


@pytest.mark.parametrize("phi", [0.0, 0.7, 0.9])
def test_the_noise_of_a_block_is_what_many_blocks_have(phi: float) -> None:
    weeks = [a_week(phi=phi, seed=seed).value.reshape(7, 24, 12) for seed in range(40)]
    grid = np.array(weeks).mean(axis=-1)
    found = rules.usual(grid, points=np.array(weeks).reshape(40, -1), slots=np.arange(2016) % 288 // 12, size=12)
    in_the_long_run = 0.01 * math.sqrt((1 + phi) / (1 - phi) / 12)
    assert 1.04 < found.noise.mean() / in_the_long_run < 1.25  # a standard error more, and the larger of two


def test_noise_that_single_readings_do_not_show_is_seen_in_the_blocks() -> None:
    dice = np.random.default_rng(13)
    grid = dice.normal(0, 1, (7, 24))  # every hour has a level of its own, so the readings are no AR(1) series
    points = (grid[:, :, None] + dice.normal(0, 1, (7, 24, 12))).ravel()
    slots = np.arange(2016) % 288 // 12
    assert rules.usual(grid, points=points, slots=slots, size=12).noise == rules.usual(grid).noise


def test_what_is_expected_is_smoothed_by_a_triangle() -> None:
    same, days, noise = np.array([1.0, 2, 3, 2]), np.full(4, 8.0), np.array(100.0)
    expected, worth = rules.smoothed(same, days, noise, 1)
    assert expected.tolist() == [1.5, 2, 2.5, 2]
    assert worth == pytest.approx(np.full(4, 8 / (0.25**2 + 0.5**2 + 0.25**2)))
    assert rules.smoothed(same, days, noise, 0)[0].tolist() == same.tolist()


def test_a_time_of_day_that_stands_out_is_not_smoothed_away() -> None:
    same = np.zeros(24)
    same[3] = -1.0
    expected, worth = rules.smoothed(same, np.full(24, 7.0), np.array(0.1), 1)
    assert (expected[3], worth[3]) == (-1.0, 7.0)


@pytest.mark.parametrize(("apart", "keeps"), [(0.8, False), (1.2, True)])
def test_to_stand_out_is_to_be_two_standard_errors_from_the_neighbours(apart: float, keeps: bool) -> None:
    same = np.zeros(24)
    same[3] = 2 * apart  # smoothed, half of it is left
    worth = rules.smoothed(same, np.full(24, 4.0), np.array(1.0), 1)[1]  # of four days the standard error is a half
    assert bool(worth[3] == 4) is keeps


def test_hours_that_are_missing_leave_their_neighbours_alone() -> None:
    same, days = np.array([1.0, NAN, 1, 1]), np.array([7.0, 0, 7, 7])
    expected, worth = rules.smoothed(same, days, np.array(1.0), 1)
    assert expected[[0, 2, 3]].tolist() == pytest.approx([1, 1, 1])
    assert math.isnan(expected[1])
    assert worth[0] == pytest.approx(0.75**2 / ((0.25**2 + 0.5**2) / 7))


def test_a_day_s_block_is_judged_by_a_prediction_interval_of_the_textbooks() -> None:
    baseline = a_week()
    found = judged(series(np.full(288, 0.89)), baseline, window=DAY, min_effect=0)
    daily = baseline.value.reshape(7, 288).mean(axis=1)
    rest = daily - daily.mean()
    plain = np.mean(rest[1:] * rest[:-1]) / np.mean(rest**2)
    rho = max(plain + (1 + 3 * plain) / 7, 0)
    phi_noise = rules.usual(daily[:, None], points=baseline.value, slots=np.zeros(2016, np.int64), size=288).noise
    degrees = 6 * (1 - rho**2) / (1 + rho**2)
    t = scipy.stats.t.isf(scipy.stats.norm.sf(3), degrees)
    assert found.expected == pytest.approx(daily.mean())
    assert found.expected - found.bound == pytest.approx(t * phi_noise * math.sqrt(1 + 1 / 7), rel=0.02)


def test_the_radius_is_where_the_mixture_reaches_one_over_alpha() -> None:
    n, alpha = np.array([1, 12, 300]), 0.01
    spent = -2 * math.log(alpha)
    rho = (spent + math.log(spent) + 1) / 24
    sums = n * rules.radius(n, alpha=alpha, tuned_for=24)
    mixture = np.exp(rho * sums**2 / (2 * (n * rho + 1))) / np.sqrt(n * rho + 1)  # ∫ exp(λs − λ²n/2) N(λ; 0, ρ²) dλ
    assert mixture == pytest.approx(np.full(3, 1 / alpha))


def test_a_confidence_sequence_is_left_as_seldom_as_it_says() -> None:
    walks = np.random.default_rng(7).standard_normal((2_000, 2_000)).cumsum(axis=1)
    n = np.arange(1, 2_001)
    left = (np.abs(walks / n) > rules.radius(n, alpha=0.05, tuned_for=24)).any(axis=1).mean()
    assert 0.005 < left < 0.05


# -- blocks ------------------------------------------------------------------------------------------------------------


def test_a_block_that_is_worse_by_both_is_worse() -> None:
    found = judged(an_hour(0.87))
    assert found.is_worse is True
    assert found.effect == pytest.approx(1 - 0.87 / found.expected)
    assert found.noise > 3
    assert found.bound == pytest.approx(0.98 * found.expected)
    assert found.value == pytest.approx(0.87)


def test_an_effect_without_noise_behind_it_is_not_enough() -> None:
    assert judged(an_hour(0.87), a_week(noise=0.05)).is_worse is False


def test_noise_without_an_effect_is_not_enough() -> None:
    found = judged(an_hour(0.89), a_week(noise=0.001))
    assert found.is_worse is False
    assert found.noise > 3


def test_what_resembles_its_neighbours_is_noisier() -> None:
    quick, slow = judged(an_hour(0.87)), judged(an_hour(0.87), a_week(phi=0.9))
    assert slow.noise < quick.noise / 2.5


def test_a_better_block_is_not_worse() -> None:
    found = judged(an_hour(0.99))
    assert found.is_worse is False
    assert found.effect < -0.09
    assert "better" in str(found.why)


def test_of_a_loss_less_is_better() -> None:
    assert judged(an_hour(0.95), higher_is_better=False).is_worse is True
    assert judged(an_hour(0.85), higher_is_better=False).is_worse is False


def test_a_metric_below_zero_is_judged_by_its_size() -> None:
    found = judged(an_hour(-0.95), a_week(mean=-0.9))
    assert found.is_worse is True
    assert found.effect == pytest.approx(0.95 / 0.9 - 1, abs=0.002)
    assert found.bound == pytest.approx(1.02 * found.expected)


def test_a_block_is_compared_with_the_same_hours() -> None:
    clock = np.arange(2016) % 288
    baseline = a_week(noise=0.001)
    swinging = Points(baseline.at, baseline.value + 0.05 * np.sin(2 * np.pi * clock / 288))
    assert judged(an_hour(0.852, START + 18 * HOUR - DAY / 288), swinging).is_worse is False  # the trough of the day
    assert judged(an_hour(0.852, START), swinging).is_worse is True


@pytest.mark.parametrize("hour", [0, 3, 4, 23])
def test_a_nightly_batch_is_expected_at_its_hour_and_at_no_other(hour: int) -> None:
    baseline = a_week(noise=0.002)
    night = (baseline.at % DAY >= 3 * HOUR) & (baseline.at % DAY < 4 * HOUR)
    dipping = Points(baseline.at, baseline.value - 0.2 * night)
    assert judged(an_hour(0.7, START + hour * HOUR), dipping).is_worse is (hour != 3)


def test_one_wild_reading_is_no_worse_block() -> None:
    values = np.full(12, 0.9)
    values[5] = 0.3
    found = judged(series(values))
    assert found.value < found.bound
    assert found.is_worse is False
    assert str(found.why).endswith(": more than 2 % and 3 σ, but most of its readings are not.")


def test_what_recovers_is_no_worse_block() -> None:
    found = judged(series([0.86] * 6 + [0.87] + [0.895] * 5))
    assert found.value < found.bound
    assert found.is_worse is False
    assert str(found.why).endswith(": more than 2 % and 3 σ, but it is recovering.")
    assert judged(series([0.895] * 5 + [0.87] + [0.86] * 6)).is_worse is True


def test_a_last_half_that_is_a_little_better_is_no_recovery() -> None:
    baseline = a_week(noise=0.001)
    assert judged(series([0.878] * 6 + [0.8835] * 6), baseline).is_worse is True  # it takes 0.882
    assert judged(series([0.876] * 6 + [0.8855] * 6), baseline).is_worse is False


def test_jitter_moves_no_reading_out_of_its_block() -> None:
    plain = a_week()
    dice = np.random.default_rng(9)
    jittery = Points(plain.at + dice.uniform(-30, 30, len(plain)), plain.value)
    late = Points(START + EVERY * np.arange(12) + dice.uniform(-30, 30, 12), np.full(12, 0.87))
    assert judged(late, jittery).noise == pytest.approx(judged(an_hour(0.87), plain).noise, rel=0.02)


def test_readings_that_are_not_before_the_block_do_not_count() -> None:
    baseline = a_week()
    with_more = Points.of([*baseline.at, *an_hour(0.1).at], [*baseline.value, *an_hour(0.1).value])
    assert judged(an_hour(0.87), with_more).why == judged(an_hour(0.87), baseline).why


def test_a_frozen_baseline_may_be_weeks_old() -> None:
    assert judged(an_hour(0.87, START + 25 * DAY)).is_worse is True


@pytest.mark.parametrize(("level", "is_worse"), [(0.9, False), (0.89, False), (0.88, True), (0.95, False)])
def test_without_any_noise_the_effect_alone_decides(level: float, is_worse: bool) -> None:
    found = judged(an_hour(level), a_week(noise=0))
    assert found.is_worse is is_worse
    assert found.noise == {0.9: 0.0, 0.95: -math.inf}.get(level, math.inf)


def test_rounding_is_no_effect() -> None:
    baseline = series(np.full(2016, 0.1 + 0.2), START - 7 * DAY)
    found = judged(an_hour(0.3), baseline, min_effect=0)
    assert (found.is_worse, found.effect, found.noise) == (False, 0.0, 0.0)


def test_where_zero_is_expected_the_noise_alone_decides() -> None:
    baseline = a_week(mean=0)
    level = scaled(baseline, 1, -baseline.value.mean())
    assert judged(an_hour(-0.05), level).is_worse is True
    assert judged(an_hour(-0.001), level).is_worse is False
    constant = judged(an_hour(-0.001), a_week(noise=0, mean=0))
    assert (constant.is_worse, constant.effect) == (True, math.inf)


@pytest.mark.parametrize(("how", "value"), [("p95", 0.87), ("last", 0.85), ("rate", 0.87 / 300)])
def test_a_block_may_be_summarized_otherwise(how: str, value: float) -> None:
    assert judged(an_hour(value * (300 if how == "rate" else 1)), how=how).value == pytest.approx(value)
    assert judged(an_hour(0.6), how=how).is_worse is True
    assert judged(an_hour(0.98), how=how).is_worse is False


@pytest.mark.parametrize("window", [7 * HOUR, 50 * 60, 1.5 * DAY])
def test_a_window_need_not_divide_the_day(window: float) -> None:
    block = series(np.full(int(window / EVERY), 0.8))
    assert judged(block, a_week(days=21), window=window).is_worse is True


# -- what blocks cannot tell -------------------------------------------------------------------------------------------


def test_nothing_cannot_be_told() -> None:
    found = judged(Points.of([], []))
    assert found.is_worse is None
    assert all(math.isnan(one) for one in (found.value, found.bound, found.expected, found.effect, found.noise))


@pytest.mark.parametrize(("days", "covers"), [(6.5, "6d 12h"), (6.94, ""), (7, ""), (0, "0s")])
def test_a_baseline_needs_seven_days(days: float, covers: str) -> None:
    found = judged(an_hour(0.87), a_week(days=days))
    assert (found.is_worse is None) is bool(covers)
    if covers:
        assert str(found.why) == f"The baseline covers {covers}, and 7d are needed."


def test_a_shorter_history_makes_shorter_days() -> None:
    times = [START - 7 * DAY + 60.0 * n for n in range(7 * 1440)]
    week = Points.of(times, [0.9 + 0.001 * (n % 7) for n in range(7 * 1440)])
    hour = Points(week.at[-10:] + 0.0, week.value[-10:] * 0.9)
    before = week.between(START - 1.2 * 7 * 3600, float(hour.at[0]))
    found = rules.blocks(hour, before, window=600, higher_is_better=True, min_effect=0.02, sigma=3, history=7 * 3600)
    assert found.is_worse is True


def test_one_point_a_week_ago_is_no_baseline() -> None:
    assert judged(an_hour(0.87), Points.of([START - 7 * DAY], [0.9])).is_worse is None


@pytest.mark.parametrize(("readings", "told"), [(1, False), (5, False), (6, True)])
def test_an_incomplete_block_cannot_be_told(readings: int, told: bool) -> None:
    assert (judged(an_hour(0.5, readings=readings)).is_worse is not None) is told


def test_a_block_with_fewer_readings_is_noisier() -> None:
    assert judged(an_hour(0.87, readings=6)).noise == pytest.approx(judged(an_hour(0.87)).noise / math.sqrt(2), rel=0.1)


def test_a_block_with_more_readings_is_not_less_noisy() -> None:
    twice = Points.of(START + EVERY / 2 * np.arange(24), np.full(24, 0.87))
    assert judged(twice).noise == pytest.approx(judged(an_hour(0.87)).noise, rel=0.1)


def test_days_that_have_a_few_readings_of_an_hour_do_not_have_it() -> None:
    baseline = a_week()
    kept = (baseline.at % HOUR >= HOUR - 5 * EVERY) | (baseline.at >= START - 4 * DAY) | (baseline.at % DAY >= HOUR)
    found = judged(an_hour(0.87), Points(baseline.at[kept], baseline.value[kept]))
    assert str(found.why) == "Only 4 past days have readings at these hours, and 5 are needed."


def test_hours_that_few_days_have_cannot_be_told() -> None:
    baseline = a_week()
    kept = (baseline.at % DAY >= HOUR) | (baseline.at >= START - 4 * DAY)
    found = judged(an_hour(0.87), Points(baseline.at[kept], baseline.value[kept]))
    assert found.is_worse is None
    assert str(found.why) == "Only 4 past days have readings at these hours, and 5 are needed."


def test_a_window_of_days_needs_a_longer_baseline() -> None:
    block = series(np.full(576, 0.87))
    assert judged(block, window=2 * DAY).is_worse is None
    assert judged(block, a_week(days=14), window=2 * DAY).is_worse is True


@pytest.mark.parametrize("wrong", [{"window": 0}, {"sigma": 0}, {"min_effect": -1}, {"how": "mode"}])
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must|no aggregate"):
        judged(an_hour(0.9), **wrong)


# -- the mean since the promotion --------------------------------------------------------------------------------------


def test_a_mean_that_is_worse_for_long_enough_is_worse() -> None:
    assert since(series(np.full(12, 0.87))).is_worse is True
    assert since(series(np.full(12, 0.87)), a_week(phi=0.9)).is_worse is False
    assert since(series(np.full(120, 0.87)), a_week(phi=0.9)).is_worse is True


def test_a_certain_drop_of_less_than_the_effect_is_not_worse() -> None:
    found = since(series(np.full(2000, 0.89)))
    assert found.is_worse is False
    assert found.bound == pytest.approx(0.98 * found.expected)


def test_of_a_loss_a_mean_that_fell_is_not_worse() -> None:
    assert since(series(np.full(50, 0.85)), higher_is_better=False).is_worse is False
    assert since(series(np.full(50, 0.95)), higher_is_better=False).is_worse is True


def test_the_margin_is_the_sequence_s_and_the_baseline_s() -> None:
    baseline = a_week()
    found = since(series(np.full(12, 0.87)), baseline, min_effect=0)
    week = rules.usual(
        baseline.value.reshape(7, 24, 12).mean(axis=2),
        points=baseline.value, slots=np.arange(2016) % 288 // 12, size=12,
    )  # fmt: skip
    z = scipy.stats.norm.isf(0.005)
    t = scipy.stats.t.isf(0.005, week.degrees)
    own = math.sqrt(12) * rules.radius(12, alpha=0.01, tuned_for=24)
    assert found.expected == pytest.approx(baseline.value.reshape(7, 288)[:, :12].mean())
    assert found.expected - found.bound == pytest.approx(week.noise * t / z * (own + z * math.sqrt(1 / 7)), rel=1e-4)


def test_readings_are_expected_to_be_what_their_hours_are() -> None:
    clock = np.arange(2016) % 288
    baseline = a_week(noise=0.001)
    swinging = Points(baseline.at, baseline.value + 0.05 * np.sin(2 * np.pi * clock / 288))
    night = swinging.between(START - DAY + 12 * HOUR, START)  # the half of the day that is below the mean
    assert since(Points(night.at + DAY, night.value), swinging).is_worse is False
    assert since(Points(night.at + DAY / 2, night.value), swinging).is_worse is True


def test_without_noise_the_effect_alone_decides_here_too() -> None:
    assert since(series(np.full(6, 0.88)), a_week(noise=0)).is_worse is True
    assert since(series(np.full(6, 0.885)), a_week(noise=0)).is_worse is False


def test_readings_that_come_seldom_are_judged_by_the_day() -> None:
    every_two_hours = Points(*(part[::24] for part in (a_week().at, a_week().value)))
    recent = Points.of(START + HOUR + 2 * HOUR * np.arange(36), np.full(36, 0.85))
    assert since(recent, every_two_hours).is_worse is True


@pytest.mark.parametrize("readings", [0, 1, 5])
def test_a_few_readings_cannot_be_told(readings: int) -> None:
    found = since(series(np.full(readings, 0.5)))
    assert found.is_worse is None
    assert str(found.why) == f"There are {readings} readings, and 6 are needed."


def test_a_short_baseline_cannot_be_told_from() -> None:
    assert since(series(np.full(50, 0.5)), a_week(days=3)).is_worse is None


def test_hours_that_the_baseline_lacks_do_not_count() -> None:
    baseline = a_week()
    kept = baseline.at % DAY >= HOUR
    lacking = Points(baseline.at[kept], baseline.value[kept])
    assert since(series(np.full(12, 0.5)), lacking).is_worse is None
    kept |= baseline.at >= START - 4 * DAY
    seldom = Points(baseline.at[kept], baseline.value[kept])
    assert since(series(np.full(12, 0.5)), seldom).is_worse is None
    mixed = since(series([0.5] * 12 + [0.9] * 12), lacking)
    assert mixed.is_worse is False
    assert mixed.value == pytest.approx(0.9)


@pytest.mark.parametrize("wrong", [{"alpha": 0}, {"alpha": 0.5}, {"min_effect": -0.1}])
def test_an_alpha_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="alpha"):
        since(series(np.full(12, 0.9)), **wrong)


# -- what holds for all of them ----------------------------------------------------------------------------------------

Rule = Callable[..., Judged]
BOTH = pytest.mark.parametrize("rule", [judged, since])


@cache
def a_baseline() -> Points:
    """Return the baseline of the tests below. Not a constant: loading SciPy's signals costs every process seconds."""
    return a_week(phi=0.5, days=7)


levels = st.lists(st.floats(0.8, 1.0), min_size=12, max_size=12)


@BOTH
@settings(max_examples=25, deadline=None)
@given(values=levels)
def test_turning_values_and_direction_around_changes_nothing(rule: Rule, values: list[float]) -> None:
    one = rule(series(values), a_baseline())
    other = rule(scaled(series(values), -1), scaled(a_baseline(), -1), higher_is_better=False)
    assert (one.is_worse, one.effect, one.noise) == (other.is_worse, other.effect, other.noise)
    assert one.bound == -other.bound


@BOTH
@settings(max_examples=25, deadline=None)
@given(values=levels, power=st.integers(-30, 30))
def test_the_unit_changes_nothing(rule: Rule, values: list[float], power: int) -> None:
    one, by = rule(series(values), a_baseline()), 2.0**power  # a power of two is exact
    other = rule(scaled(series(values), by), scaled(a_baseline(), by))
    assert (one.is_worse, one.effect, one.noise) == (other.is_worse, other.effect, other.noise)


@BOTH
@settings(max_examples=25, deadline=None)
@given(values=levels, less=st.floats(0, 0.5))
def test_what_is_worse_stays_so_when_it_gets_worse(rule: Rule, values: list[float], less: float) -> None:
    lower = rule(scaled(series(values), 1, -less), a_baseline())
    assert lower.is_worse or not rule(series(values), a_baseline()).is_worse


@BOTH
@settings(max_examples=25, deadline=None)
@given(values=levels, days=st.integers(0, 400))
def test_whole_days_later_is_the_same(rule: Rule, values: list[float], days: int) -> None:
    later = Points(a_baseline().at + days * DAY, a_baseline().value)
    assert rule(series(values, START + days * DAY), later) == rule(series(values), a_baseline())


@BOTH
@settings(max_examples=25, deadline=None)
@given(values=levels)
def test_a_reason_is_one_sentence_that_survives_the_outbox(rule: Rule, values: list[float]) -> None:
    why = rule(series(values), a_baseline()).why
    assert unpack(pack(why)) == why
    assert str(why).endswith(".")
    assert "nan" not in str(why)


def test_a_reason_has_its_numbers() -> None:
    baseline = series(np.tile([0.89, 0.91], 1008), START - 7 * DAY)
    found = judged(an_hour(0.85), baseline)
    assert str(found.why).startswith("0.85, where 0.9 is usual, is 5.56 % worse (")
    assert str(found.why).endswith(" σ): more than 2 % and 3 σ.")


# -- one number of many ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "value"), [("mean", 4), ("last", 10), ("p50", 2), ("p99", 9.84), ("p75", 6.0), ("rate", 0.2)]
)
def test_readings_become_one_number(how: str, value: float) -> None:
    assert aggregate([0, 2, 10], how, seconds=60) == pytest.approx(value)
    assert math.isnan(aggregate([], how, seconds=60))


@pytest.mark.parametrize("name", ["max", "p49", "p100", "p9", "P50", "p50 ", ""])
def test_an_unknown_aggregate_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(ValueError, match=r"mean, last, rate, p50, …, p99"):
        check_aggregate(name)


def test_a_rate_needs_its_time() -> None:
    with pytest.raises(ValueError, match="window"):
        aggregate([1, 2], "rate")


# -- the benchmark plays these rules and no others ---------------------------------------------------------------------


@pytest.mark.parametrize(("phi", "tails", "delay"), [(0.0, 0, 0), (0.7, 3, 30), (0.9, 4, 0)])
def test_the_simulation_has_the_verdicts_of_the_rules(phi: float, tails: float, delay: float) -> None:
    from benchmarks import rules as bench

    world = bench.World(phi, season=0.008, tails=tails, delay=delay)
    months = bench.play(world, np.random.default_rng(11), 2, 2 * bench.DAY)
    months.live[:, bench.DAY :] -= 0.03
    worse, acts = bench.worse_blocks(months), bench.sequential_rule(months)
    for month in range(2):
        baseline = series(months.baseline[month], START - 7 * DAY)
        live = series(months.live[month])
        found = [judged(live.between(at, at + HOUR), baseline).is_worse for at in START + HOUR * np.arange(48)]
        assert [bool(one) for one in found] == worse[month].tolist()
        for at in range(0, 2 * bench.DAY, 17):
            recent = live.between(START, START + EVERY * (at + 1))
            assert bool(since(recent, baseline).is_worse) is bool(acts[month, at])
    assert worse.any()
    assert not worse.all()


def test_the_simulation_counts_in_a_row() -> None:
    from benchmarks.rules import in_a_row

    worse = np.isin(np.arange(8), [0, 2, 3, 4, 6])[None, :]
    assert in_a_row(worse, 2)[0].nonzero()[0].tolist() == [3, 4]

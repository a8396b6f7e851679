"""The monitor's rules: what each calls worse, what it cannot tell, and that its figures are those of the textbooks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import scipy  # opens its parts when they are used: a process that runs other files needs none
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bot.domain import baselines, rules
from bot.domain.baselines import DAY, HOUR, MIN_BASELINE, Baseline, Points, weekend_share
from bot.domain.effects import Effect, EffectKind
from bot.domain.rules import Judged, Tally, threshold
from bot.domain.text import pack, unpack
from tests.support.services.time_series import (
    EVERY,
    START,
    a_week,
    an_hour,
    during,
    noise,
    on_weekends,
    scaled,
    series,
    summary,
)

NAN = math.nan
TWO_PERCENT = Effect(0.02)
TEN_PERCENT_OF_ERROR = Effect(0.1, EffectKind.OF_ERROR)


def absolute(amount: float) -> Effect:
    return Effect(amount, EffectKind.ABSOLUTE)


def judged(
    block: Points,
    baseline: Points | Baseline | None = None,
    start: float | None = None,
    window: float = HOUR,
    **changes: Any,
) -> Judged:
    """Judge by the defaults of a monitor a block that began with its first reading."""
    how: dict[str, Any] = {"history": MIN_BASELINE, "higher_is_better": True, "effect": TWO_PERCENT, "sigma": 3.0}
    how |= changes
    it = (
        baseline
        if isinstance(baseline, Baseline)
        else summary(a_week() if baseline is None else baseline, START, window, how["history"])
    )
    begin = start if start is not None else float(block.at[0]) if len(block) else START
    return rules.blocks(block, begin, it, **how)


def since(recent: Points, baseline: Points | Baseline | None = None, window: float = HOUR, **changes: Any) -> Judged:
    """Judge by the defaults of a monitor what was read since a promotion."""
    how: dict[str, Any] = {"history": MIN_BASELINE, "alpha": 0.01, "effect": TWO_PERCENT, "higher_is_better": True}
    how |= changes
    it = (
        baseline
        if isinstance(baseline, Baseline)
        else summary(a_week() if baseline is None else baseline, 0.0, window, how["history"])
    )
    tally = Tally.of(recent, it, higher_is_better=how.pop("higher_is_better"))
    return rules.sequential(tally, **how)


Rule = Callable[..., Judged]
RULES = pytest.mark.parametrize("rule", [judged, since])


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


def some_usual(**changes: Any) -> baselines.Usual:
    plain: dict[str, Any] = {
        "same": np.full(24, 0.9),
        "days": np.full(24, 21.0),
        "expected": np.full(24, 0.9),
        "worth": np.full(24, 56.0),
        "noise": np.array(0.01),
        "degrees": np.array(100.0),
        "weekend": baselines.Weekend(np.array(-0.03), np.array(102.0)),
    }
    return baselines.Usual(**plain | changes)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("worth", [7.0, 56.0])
def test_a_limit_is_the_noise_of_a_difference(share: float, worth: float) -> None:
    found = rules.limits(
        some_usual(worth=np.full(24, worth)),
        np.array([3]),
        points=12,
        size=12,
        effect=absolute(0.001),
        sigma=3,
        rest=np.array([share]),
    )
    t = scipy.stats.t.isf(scipy.stats.norm.sf(3), 100)
    assert found.expected == pytest.approx(0.9 - 0.03 * share)
    assert 3 * found.noise == pytest.approx(0.01 * t * math.sqrt(1 + 1 / worth + share**2 / 102), rel=1e-6)
    assert found.mean == 3 * found.noise
    assert found.last == rules.STILL * found.mean
    assert found.most == 0.001


@pytest.mark.parametrize(("points", "times"), [(3, 2), (6, math.sqrt(2)), (12, 1), (24, 1)])
def test_a_block_that_lacks_readings_is_noisier_and_one_with_more_is_not_less_noisy(points: int, times: float) -> None:
    whole, other = (
        rules.limits(some_usual(), np.array([3]), points=n, size=12, effect=TWO_PERCENT, sigma=3) for n in (12, points)
    )
    assert other.noise == pytest.approx(times * whole.noise)


def test_an_effect_is_measured_from_what_is_expected_on_a_weekend() -> None:
    weekend: dict[str, Any] = {"rest": np.array([1.0]), "points": 12, "size": 12, "sigma": 1e-6}
    found = [
        rules.limits(some_usual(), np.array([3]), effect=effect, **weekend).most.item()
        for effect in (TWO_PERCENT, absolute(0.01), TEN_PERCENT_OF_ERROR)
    ]
    assert found == pytest.approx([0.02 * 0.87, 0.01, 0.1 * 0.13])


def test_a_day_s_block_is_judged_by_a_closed_form() -> None:
    baseline = a_week(days=14)
    found = judged(series(np.full(288, 0.89)), baseline, window=DAY, effect=absolute(0))
    rest = weekend_share(baseline.at, 0)
    hours = baseline.value.reshape(14, 24, 12).mean(axis=2)
    weekend = baselines.weekend_offset(hours, rest.reshape(14, 24, 12)[:, :, 0])
    level = baseline.value - weekend.offset * rest
    daily = level.reshape(14, 288).mean(axis=1)
    noise_of_a_day = baselines.usual(daily[:, None], points=level, cells=np.arange(14 * 288) // 288, size=288)
    assert found.expected == pytest.approx(daily.mean())  # the block is on a Monday
    t = scipy.stats.t.isf(scipy.stats.norm.sf(3), noise_of_a_day.degrees)
    assert found.expected - found.bound == pytest.approx(t * noise_of_a_day.noise * math.sqrt(1 + 1 / 14), rel=0.01)


def test_the_radius_is_where_the_mixture_reaches_one_over_alpha() -> None:
    n, alpha = np.array([1, 12, 300]), 0.01
    spent = -2 * math.log(alpha)
    rho = (spent + math.log(spent + 1)) / 24
    sums = n * rules.radius(n, alpha=alpha, tuned_for=24)
    mixture = np.exp(rho * sums**2 / (2 * (n * rho + 1))) / np.sqrt(n * rho + 1)  # ∫ exp(λs − λ²n/2) N(λ; 0, ρ²) dλ
    assert mixture == pytest.approx(np.full(3, 1 / alpha))


def test_the_mixture_is_the_integral_that_it_is_said_to_be() -> None:
    n, alpha = 12, 0.01
    spent = -2 * math.log(alpha)
    rho = math.sqrt((spent + math.log(spent + 1)) / 24)
    total = n * rules.radius(n, alpha=alpha, tuned_for=24).item()
    found = scipy.integrate.quad(
        lambda at: math.exp(at * total - at**2 * n / 2) * scipy.stats.norm.pdf(at, 0, rho), -10, 10
    )
    assert found[0] == pytest.approx(1 / alpha)


@pytest.mark.parametrize(("alpha", "tuned_for"), [(0.05, 24), (0.01, 24), (0.001, 1000)])
def test_the_radius_is_that_of_the_paper(alpha: float, tuned_for: float) -> None:
    # Waudby-Smith et al. (2024) with σ = 1: √((tρ²+1)/(t²ρ²) · log((tρ²+1)/α²))
    rho = math.sqrt((-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / tuned_for)
    t = np.arange(1, 2000)
    paper = np.sqrt((t * rho**2 + 1) / (t**2 * rho**2) * np.log((t * rho**2 + 1) / alpha**2))
    assert rules.radius(t, alpha=alpha, tuned_for=tuned_for) == pytest.approx(paper)


@pytest.mark.parametrize("tuned_for", [24, 200])
def test_the_radius_is_nearly_as_narrow_as_can_be_where_it_is_tuned_for(tuned_for: int) -> None:
    there = rules.radius(tuned_for, alpha=0.01, tuned_for=tuned_for)
    best = min(rules.radius(tuned_for, alpha=0.01, tuned_for=tuned_for * times) for times in np.geomspace(0.2, 5, 200))
    assert best <= there < 1.001 * best


def test_a_confidence_sequence_is_left_as_seldom_as_it_says() -> None:
    walks = np.random.default_rng(7).standard_normal((2_000, 2_000)).cumsum(axis=1)
    n = np.arange(1, 2_001)
    left = (np.abs(walks / n) > rules.radius(n, alpha=0.05, tuned_for=24)).any(axis=1).mean()
    assert 0.005 < left < 0.05


@pytest.mark.parametrize("rest", [0.0, 0.3, 1.0])
def test_a_margin_is_the_sequence_s_and_the_baseline_s(rest: float) -> None:
    shares = np.zeros((1, 24))
    shares[0, [3, 4, 9]] = [0.5, 0.25, 0.25]
    found = rules.margin(some_usual(), np.array([30]), shares, size=12, alpha=0.01, rest=np.array([rest]))
    t = scipy.stats.t.isf(0.005, 100)
    own = math.sqrt(12) * rules.radius(30, alpha=0.01, tuned_for=24) * t / scipy.stats.norm.isf(0.005)
    base = t * math.sqrt((0.5**2 + 2 * 0.25**2) / 21 + rest**2 / 102)
    assert found == pytest.approx(0.01 * (own + base), rel=1e-6)


# -- blocks ------------------------------------------------------------------------------------------------------------


def test_a_block_that_is_worse_by_both_is_worse() -> None:
    found = judged(an_hour(0.87))
    assert found.is_worse is True
    assert found.gap == pytest.approx(found.expected - 0.87)
    assert found.noise > 3
    assert found.bound == pytest.approx(0.98 * found.expected)
    assert found.value == pytest.approx(0.87)


def test_an_effect_without_noise_behind_it_is_not_enough() -> None:
    assert judged(an_hour(0.87), a_week(sd=0.05)).is_worse is False


def test_noise_without_an_effect_is_not_enough() -> None:
    found = judged(an_hour(0.89), a_week(sd=0.001))
    assert found.is_worse is False
    assert found.noise > 3


def test_what_resembles_its_neighbors_is_noisier() -> None:
    quick, slow = judged(an_hour(0.87)), judged(an_hour(0.87), a_week(phi=0.9))
    assert slow.noise < quick.noise / 2.5


def test_a_better_block_is_not_worse() -> None:
    found = judged(an_hour(0.99))
    assert found.is_worse is False
    assert found.gap < -0.08
    assert "better" in str(found.why)


def test_of_a_loss_less_is_better() -> None:
    assert judged(an_hour(0.95), higher_is_better=False).is_worse is True
    assert judged(an_hour(0.85), higher_is_better=False).is_worse is False


def test_a_metric_below_zero_is_judged_by_its_size() -> None:
    found = judged(an_hour(-0.95), a_week(mean=-0.9))
    assert found.is_worse is True
    assert found.gap == pytest.approx(0.05, abs=0.002)
    assert found.bound == pytest.approx(1.02 * found.expected)


def test_a_block_is_compared_with_the_same_hours() -> None:
    clock = np.arange(2016) % 288
    baseline = a_week(sd=0.001)
    swinging = Points(baseline.at, baseline.value + 0.05 * np.sin(2 * np.pi * clock / 288))
    assert judged(an_hour(0.852, START + 18 * HOUR), swinging).is_worse is False  # the trough of the day
    assert judged(an_hour(0.852, START), swinging).is_worse is True


@pytest.mark.parametrize("hour", [0, 3, 4, 23])
def test_a_nightly_batch_is_expected_at_its_hour_and_at_no_other(hour: int) -> None:
    baseline = a_week(sd=0.002)
    night = (baseline.at % DAY >= 3 * HOUR) & (baseline.at % DAY < 4 * HOUR)
    dipping = Points(baseline.at, baseline.value - 0.2 * night)
    assert judged(an_hour(0.7, START + hour * HOUR), dipping).is_worse is (hour != 3)


def test_one_wild_reading_is_no_worse_block() -> None:
    values = np.full(12, 0.9)
    values[5] = 0.3
    found = judged(series(values))
    assert found.value < found.bound
    assert found.is_worse is False
    assert str(found.why).endswith(": more than 2% and 3 σ, but most of its readings are not.")


def test_what_recovers_is_no_worse_block() -> None:
    found = judged(series([0.86] * 6 + [0.87] + [0.895] * 5))
    assert found.value < found.bound
    assert found.is_worse is False
    assert str(found.why).endswith(": more than 2% and 3 σ, but it is recovering.")
    assert judged(series([0.895] * 5 + [0.87] + [0.86] * 6)).is_worse is True


def test_a_last_half_that_is_a_little_better_is_no_recovery() -> None:
    baseline = a_week(sd=0.001)
    assert judged(series([0.878] * 6 + [0.8835] * 6), baseline).is_worse is True  # it takes 0.8838: nine tenths
    assert judged(series([0.878] * 6 + [0.8845] * 6), baseline).is_worse is False


def test_jitter_moves_no_reading_out_of_its_block() -> None:
    plain = a_week()
    dice = np.random.default_rng(9)
    jittery = Points(plain.at + dice.uniform(0, 30, len(plain)), plain.value)
    late = Points(START + EVERY * np.arange(12) + dice.uniform(0, 30, 12), np.full(12, 0.87))
    assert judged(late, jittery, START).noise == pytest.approx(judged(an_hour(0.87), plain).noise, rel=0.02)


def test_a_frozen_baseline_may_be_weeks_old() -> None:
    assert judged(an_hour(0.87, START + 28 * DAY), summary(a_week())).is_worse is True


@pytest.mark.parametrize(("level", "is_worse"), [(0.9, False), (0.89, False), (0.88, True), (0.95, False)])
def test_without_any_noise_the_effect_alone_decides(level: float, is_worse: bool) -> None:
    found = judged(an_hour(level), a_week(sd=0))
    assert found.is_worse is is_worse
    assert found.noise == {0.9: 0.0, 0.95: -math.inf}.get(level, math.inf)


@pytest.mark.parametrize("kind", EffectKind)
def test_rounding_is_no_effect(kind: EffectKind) -> None:
    baseline = series(np.full(2016, 0.1 + 0.2), START - 7 * DAY)
    found = judged(an_hour(0.3), baseline, effect=Effect(0, kind))
    assert (found.is_worse, found.gap, found.noise) == (False, 0.0, 0.0)


@pytest.mark.parametrize("window", [5 * HOUR, 7 * HOUR, 50 * 60, 1.5 * DAY])
def test_a_window_need_not_divide_the_day(window: float) -> None:
    baseline, readings = a_week(days=21), int(window / EVERY)
    assert judged(series(np.full(readings, 0.8)), baseline, window=window).is_worse is True
    assert judged(series(np.full(readings, 0.9)), baseline, window=window).is_worse is False
    assert judged(series(np.full(readings, 0.8), START + window), baseline, window=window).is_worse is True


@pytest.mark.parametrize("days", [1, 2, 3, 4])
def test_a_window_may_be_days_long(days: int) -> None:
    baseline = a_week(days=21, phi=0.7)
    found = [judged(series(np.full(288 * days, level)), baseline, window=days * DAY).is_worse for level in (0.9, 0.85)]
    assert found == [False, True]


def test_a_time_of_day_that_is_noisier_than_usual_needs_a_deeper_drop_where_single_readings_are_looked_at() -> None:
    calm = summary(a_week())
    rough = replace(calm, rough=(2.0,) + (1.0,) * (len(calm.same) - 1))
    block = series(0.87 + noise(12, sd=0.005), START)
    assert judged(block, rough, sure=2.0).noise == pytest.approx(judged(block, calm, sure=2.0).noise / 2)
    assert judged(block, rough).noise == judged(block, calm).noise
    later = Points(block.at + HOUR, block.value)
    assert judged(later, rough, sure=2.0).noise == judged(later, calm, sure=2.0).noise


def test_what_a_single_shock_explains_is_not_worse_where_single_readings_are_looked_at() -> None:
    baseline = summary(a_week(phi=0.9, sd=0.005))
    fading = series(0.9 - 0.1 * 0.9 ** np.arange(12), START)
    assert judged(fading, baseline).is_worse
    found = judged(fading, baseline, sure=2.0)
    assert not found.is_worse
    assert "but a single shock explains it" in str(found.why)


# -- weekends ----------------------------------------------------------------------------------------------------------

WEEKS = pytest.mark.parametrize("days", [7, 14, 21])
SD, PHI = 0.0095, 0.7  # of an accuracy that is measured every five minutes


def the_next_week(seed: int = 2) -> Points:
    """Return a week after START like those before it."""
    return series(0.9 + noise(2016, SD, PHI, seed))


def hours(live: Points, baseline: Points | Baseline, at: range, **changes: Any) -> list[bool | None]:
    """Return what is said of these hours of a week that begins at START."""
    it = baseline if isinstance(baseline, Baseline) else summary(baseline)
    begins = [START + hour * HOUR for hour in at]
    return [judged(live.between(begin, begin + HOUR), it, begin, **changes).is_worse for begin in begins]


@WEEKS
def test_a_weekend_that_is_as_weekends_are_is_not_worse(days: int) -> None:
    baseline = on_weekends(a_week(SD, PHI, days=days), -0.03)
    assert not any(hours(on_weekends(the_next_week(), -0.03), baseline, range(120, 168)))


@WEEKS
@pytest.mark.parametrize("begin", [10, 130])
def test_a_drop_is_seen_on_a_weekday_and_on_a_weekend(days: int, begin: int) -> None:
    baseline = on_weekends(a_week(SD, PHI, days=days), -0.03)
    dropped = scaled(on_weekends(the_next_week(), -0.03), 0.95)
    assert all(hours(dropped, baseline, range(begin, begin + 4)))


@WEEKS
def test_an_ordinary_monday_is_not_worse(days: int) -> None:
    assert not any(hours(the_next_week(), on_weekends(a_week(SD, PHI, days=days), -0.03), range(24)))


@WEEKS
@pytest.mark.parametrize("seed", range(5))
def test_a_weekend_that_begins_at_another_hour_makes_nobody_act(days: int, seed: int) -> None:
    american, live = a_week(SD, PHI, days=days, seed=seed), the_next_week(seed + 100)
    baseline = on_weekends(american, -0.03, behind=8 * HOUR)
    assert not any(hours(on_weekends(live, -0.03, behind=8 * HOUR), baseline, range(8)))  # Sunday evening over there


@WEEKS
def test_a_mean_over_a_weekend_is_expected_to_be_a_weekend_s(days: int) -> None:
    baseline = on_weekends(a_week(SD, PHI, days=days), -0.03)
    live = on_weekends(the_next_week(), -0.03)
    it = summary(baseline, 0.0)
    weekend = live.between(START + 5 * DAY, START + 7 * DAY)
    assert since(weekend, it).is_worse is False
    assert since(weekend, it).expected == pytest.approx(0.87, abs=0.002)
    assert since(live, it).expected == pytest.approx(0.9 - 0.03 * 2 / 7, abs=0.002)
    assert since(scaled(weekend, 0.95), it).is_worse is True
    assert since(on_weekends(weekend, 0.03), it).gap < -0.028


# -- old incidents -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "margin"), [(7, 1.1), (14, 1.4), (21, 1.4)])
@pytest.mark.parametrize("drop", [0.05, 0.1])
@pytest.mark.parametrize("day", [1, 3, 6])
def test_one_old_incident_does_not_blind(days: int, margin: float, drop: float, day: int) -> None:
    begin = START - day * DAY + 9 * HOUR
    baseline = during(a_week(SD, PHI, days=days), begin, begin + 4 * HOUR, -0.09)
    for hour in (2, 10):  # at the hours of the incident, too
        found = judged(an_hour(0.9 * (1 - drop), START + hour * HOUR), baseline)
        assert found.is_worse is True
        assert found.gap > margin * drop / 0.05 * (found.expected - found.bound)


def test_what_comes_back_every_week_stays_usual() -> None:
    baseline = a_week(SD, PHI, days=21)
    for week in range(3):
        begin = START - 21 * DAY + week * 7 * DAY + 9 * HOUR  # Mondays at nine
        baseline = during(baseline, begin, begin + 4 * HOUR, -0.09)
    live = during(the_next_week(), START + 9 * HOUR, START + 13 * HOUR, -0.09)
    assert not any(hours(live, baseline, range(9, 13)))


@pytest.mark.parametrize("rate", [0.0005, 0.003, 0.02])
def test_a_typical_block_of_sparse_counts_is_not_worse(rate: float) -> None:
    dice = np.random.default_rng(3)
    baseline = summary(series(dice.poisson(rate, 2016), START - 7 * DAY))
    live = series(dice.poisson(rate, 2016))
    for effect in (TWO_PERCENT, absolute(0.001)):
        assert not any(hours(live, baseline, range(168), higher_is_better=False, effect=effect))


# -- what blocks cannot tell -------------------------------------------------------------------------------------------


def test_nothing_cannot_be_told() -> None:
    found = judged(Points.of([], []))
    assert found.is_worse is None
    assert all(math.isnan(one) for one in (found.value, found.bound, found.expected, found.gap, found.noise))


@pytest.mark.parametrize(("days", "covers"), [(6.5, "6d 12h"), (6.94, ""), (7, ""), (0, "0s")])
def test_a_baseline_needs_seven_days(days: float, covers: str) -> None:
    found = judged(an_hour(0.87), a_week(days=days))
    assert (found.is_worse is None) is bool(covers)
    if covers:
        assert str(found.why) == f"The baseline covers {covers}, and 7d are needed."


@pytest.mark.parametrize("history", [420.0, 3_600.0, 7 * HOUR])
def test_a_shorter_history_makes_shorter_days(history: float) -> None:
    every = history / 2016
    week = Points.of(START + every * np.arange(-2016, 0), 0.9 + noise(2016))
    it = summary(week, START, history / 168, history)
    for level, is_worse in ((0.9, False), (0.8, True)):
        hour = series([level] * 12, START, every)
        assert judged(hour, it, history=history).is_worse is is_worse
        assert (
            since(
                series([level] * 60, START, every), summary(week, 0.0, history / 168, history), history=history
            ).is_worse
            is is_worse
        )


def test_one_point_a_week_ago_is_no_baseline() -> None:
    assert judged(an_hour(0.87), Points.of([START - 7 * DAY], [0.9])).is_worse is None


@pytest.mark.parametrize(("readings", "told"), [(1, False), (5, False), (6, True)])
def test_an_incomplete_block_cannot_be_told(readings: int, told: bool) -> None:
    assert (judged(an_hour(0.5, readings=readings)).is_worse is not None) is told


def test_days_that_have_a_few_readings_of_an_hour_do_not_have_it() -> None:
    baseline = a_week()
    kept = (baseline.at % HOUR >= HOUR - 5 * EVERY) | (baseline.at >= START - 4 * DAY) | (baseline.at % DAY >= HOUR)
    found = judged(an_hour(0.87), Points(baseline.at[kept], baseline.value[kept]))
    assert str(found.why) == "Only 4 past windows at this time of day are complete, and 5 are needed."


def test_hours_that_few_days_have_cannot_be_told() -> None:
    baseline = a_week()
    kept = (baseline.at % DAY >= HOUR) | (baseline.at >= START - 4 * DAY)
    found = judged(an_hour(0.87), Points(baseline.at[kept], baseline.value[kept]))
    assert found.is_worse is None
    assert str(found.why) == "Only 4 past windows at this time of day are complete, and 5 are needed."


def test_hours_that_are_missing_in_the_baseline_leave_the_others_to_be_judged() -> None:
    baseline = a_week(days=8)
    kept = baseline.at % DAY >= 8 * HOUR
    lacking = Points(baseline.at[kept], baseline.value[kept])
    assert judged(an_hour(0.87, START + 4 * HOUR), lacking).is_worse is None
    assert judged(an_hour(0.87, START + 8 * HOUR), lacking).is_worse is True
    assert judged(an_hour(0.9, START + 8 * HOUR), lacking).is_worse is False


def test_an_outage_of_a_day_does_not_end_the_comparison() -> None:
    baseline = a_week()
    kept = (baseline.at < START - 3 * DAY) | (baseline.at >= START - 2 * DAY)
    assert judged(an_hour(0.87), Points(baseline.at[kept], baseline.value[kept])).is_worse is True


def test_a_window_of_days_needs_a_longer_baseline() -> None:
    block = series(np.full(576, 0.87))
    assert judged(block, window=2 * DAY).is_worse is None
    assert judged(block, a_week(days=14), window=2 * DAY).is_worse is True


@pytest.mark.parametrize("sigma", [0.0, -1.0, NAN])
def test_a_sigma_that_makes_no_sense_is_refused(sigma: float) -> None:
    with pytest.raises(ValueError, match="sigma must be above 0"):
        judged(an_hour(0.9), sigma=sigma)


@pytest.mark.parametrize(("every", "readings"), [(10.0, 360), (60.0, 60), (1_800.0, 2)])
def test_readings_may_come_often_or_seldom(every: float, readings: int) -> None:
    it = summary(a_week(every=every))
    assert judged(series(np.full(readings, 0.9), every=every), it).is_worse is False
    assert judged(series(np.full(readings, 0.85), every=every), it).is_worse is True


def test_readings_that_come_every_six_hours_are_judged_by_the_day() -> None:
    it = summary(a_week(every=6 * HOUR, days=21), window=DAY)
    assert judged(series(np.full(4, 0.9), every=6 * HOUR), it).is_worse is False
    assert judged(series(np.full(4, 0.8), every=6 * HOUR), it).is_worse is True


# -- effects -----------------------------------------------------------------------------------------------------------


@RULES
def test_eighteen_times_the_errors_are_worse_by_the_error_and_not_by_two_percent(rule: Rule) -> None:
    baseline, recent = a_week(sd=0.0003, mean=0.999), series(np.full(12, 0.9815))
    found = rule(recent, baseline, effect=TEN_PERCENT_OF_ERROR)
    assert found.is_worse is True
    assert "% of the error worse (" in str(found.why)
    assert rule(recent, baseline).is_worse is False
    assert rule(recent, baseline, effect=absolute(0.01)).is_worse is True


@RULES
def test_of_readings_on_both_sides_of_zero_a_percentage_says_nothing(rule: Rule) -> None:
    baseline = a_week(mean=0)
    found = rule(series(np.full(12, -0.5)), baseline)
    assert found.is_worse is None
    assert "both sides of 0" in str(found.why)
    assert "0.01 abs" in str(found.why)
    assert rule(series(np.full(12, -0.05)), baseline, effect=absolute(0.01)).is_worse is True
    assert rule(series(np.full(12, -0.001)), baseline, effect=absolute(0.01)).is_worse is False


@RULES
def test_a_single_reading_beyond_zero_does_not_end_the_comparison(rule: Rule) -> None:
    baseline = a_week()
    baseline.value[700] = -0.2
    assert rule(series(np.full(12, 0.85)), baseline).is_worse is True


@RULES
@pytest.mark.parametrize("effect", [TWO_PERCENT, TEN_PERCENT_OF_ERROR])
def test_what_is_measured_in_nothing_cannot_be_told(rule: Rule, effect: Effect) -> None:
    level = 1.0 if effect.kind is EffectKind.OF_ERROR else 0.0
    found = rule(series(np.full(12, level - 0.5)), a_week(sd=0, mean=level), effect=effect)
    assert found.is_worse is None
    assert f"are all {level:g}" in str(found.why)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # they overflow, and that's what this is about
@RULES
def test_readings_whose_noise_is_beyond_all_numbers_cannot_be_told(rule: Rule) -> None:
    found = rule(series(np.full(12, 1e200)), a_week(mean=1e300, sd=1e298))
    assert found.is_worse is None
    assert str(found.why) == "The baseline's readings are too large to be judged."


@RULES
def test_what_cannot_fall_so_far_cannot_be_told(rule: Rule) -> None:
    found = rule(series(np.zeros(12)), a_week(), effect=Effect(2.0))
    why = "It can't fall by more than 100%, so an effect of 200% never counts. Set a smaller one, such as "
    assert (found.is_worse, str(found.why)) == (None, why + "--min-effect 2%.")
    assert rule(series(np.full(12, -3.6)), Points.of(a_week().at, -a_week().value), effect=Effect(2.0)).is_worse is True
    assert rule(series(np.full(12, 3.6)), a_week(), effect=Effect(2.0), higher_is_better=False).is_worse is True


@RULES
def test_a_metric_beyond_one_has_no_error(rule: Rule) -> None:
    found = rule(series(np.full(12, 50.0)), a_week(mean=120), effect=TEN_PERCENT_OF_ERROR)
    assert found.is_worse is None
    assert "isn't between 0 and 1" in str(found.why)


def test_a_reason_measures_as_the_effect_does() -> None:
    baseline = series(np.tile([0.89, 0.91], 1008), START - 7 * DAY)
    said = [
        str(judged(an_hour(0.85), baseline, effect=effect).why)
        for effect in (TWO_PERCENT, absolute(0.01), TEN_PERCENT_OF_ERROR)
    ]
    for text, gap, least in zip(
        said, ("5.56%", "0.05", "50% of the error"), ("2%", "0.01", "10% of the error"), strict=True
    ):
        assert text.startswith(f"0.85, where 0.9 is usual, is {gap} worse (")
        assert text.endswith(f" σ): more than {least} and 3 σ.")


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


def test_a_mean_is_judged_by_the_margin() -> None:
    it = summary(a_week(), 0.0)
    found = since(series(np.full(18, 0.87)), it, effect=absolute(0))
    shares = np.zeros((1, 24))
    shares[0, :2] = [12 / 18, 6 / 18]
    off = rules.margin(it.usual, np.array([18]), shares, size=12, alpha=0.01)
    assert found.expected == pytest.approx((2 * it.same[0] + it.same[1]) / 3)
    assert found.expected - found.bound == pytest.approx(off)


def test_readings_are_expected_to_be_what_their_hours_are() -> None:
    clock = np.arange(2016) % 288
    baseline = a_week(sd=0.001)
    swinging = Points(baseline.at, baseline.value + 0.05 * np.sin(2 * np.pi * clock / 288))
    night = swinging.between(START - DAY + 12 * HOUR, START)  # the half of the day that is below the mean
    assert since(Points(night.at + DAY, night.value), swinging).is_worse is False
    assert since(Points(night.at + DAY / 2, night.value), swinging).is_worse is True


def test_without_noise_the_effect_alone_decides_here_too() -> None:
    assert since(series(np.full(6, 0.88)), a_week(sd=0)).is_worse is True
    assert since(series(np.full(6, 0.885)), a_week(sd=0)).is_worse is False


def test_readings_that_come_seldom_are_judged_by_the_day() -> None:
    every_six_hours = a_week(every=6 * HOUR, days=21)
    assert since(series(np.full(12, 0.85), every=6 * HOUR), every_six_hours, window=DAY).is_worse is True
    assert since(series(np.full(12, 0.9), every=6 * HOUR), every_six_hours, window=DAY).is_worse is False


def test_one_wild_reading_is_no_bad_version() -> None:
    found = since(series([0.9] * 4 + [0.1]))
    assert found.is_worse is False
    assert str(found.why).endswith(", but not without its worst reading.")
    assert since(series([0.9] * 4 + [0.1] * 2)).is_worse is True


def test_rare_errors_are_seen_by_their_mean() -> None:
    """Most readings are 0 with a bad version, too: what counts is that there are several errors."""
    errors = series(np.random.default_rng(4).binomial(1, 0.01, 14 * 288), START - 14 * DAY)
    rare: dict[str, Any] = {"effect": absolute(0.01), "higher_is_better": False}
    assert since(series([0.0] * 30 + [1.0]), errors, **rare).is_worse is False
    assert since(series([0.0, 0, 0, 0, 1] * 12), errors, **rare).is_worse is True


@pytest.mark.parametrize("readings", [0, 1, 3])
def test_a_few_readings_cannot_be_told(readings: int) -> None:
    found = since(series(np.full(readings, 0.5)))
    assert found.is_worse is None
    assert str(found.why) == f"There are {readings} readings, and 4 are needed."
    assert since(series(np.full(4, 0.5))).is_worse is True


def test_a_short_baseline_cannot_be_told_from() -> None:
    assert since(series(np.full(50, 0.5)), a_week(days=3)).is_worse is None


def test_hours_that_the_baseline_lacks_do_not_count() -> None:
    baseline = a_week()
    kept = baseline.at % DAY >= HOUR
    lacking = Points(baseline.at[kept], baseline.value[kept])
    assert since(series(np.full(12, 0.5)), lacking).is_worse is None
    kept |= baseline.at >= START - 4 * DAY
    seldom = Points(baseline.at[kept], baseline.value[kept])
    assert str(since(series(np.full(12, 0.5)), seldom).why) == "The past days have too few readings at these hours."
    mixed = since(series([0.5] * 12 + [0.9] * 12), lacking)
    assert mixed.is_worse is False
    assert mixed.value == pytest.approx(0.9)


@pytest.mark.parametrize("alpha", [0, 0.5, -0.1, NAN])
def test_an_alpha_that_makes_no_sense_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        since(series(np.full(12, 0.9)), alpha=alpha)


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(0, 60), max_size=12), seed=st.integers(0, 10**6))
def test_a_tally_that_grows_is_the_tally_of_all(sizes: list[int], seed: int) -> None:
    live, it = series(0.9 + noise(sum(sizes), seed=seed), START + 4.9 * DAY), a_summary(0.0)
    grown, ends = Tally.of(live.between(0, 0), it, higher_is_better=True), np.cumsum([0, *sizes])
    for begin, end in pairwise(ends.tolist()):
        grown.add(Points(live.at[begin:end], live.value[begin:end]))
    whole = Tally.of(live, it, higher_is_better=True)
    assert (grown.counts == whole.counts).all()
    assert (grown.worst, grown.passed) == (whole.worst, whole.passed)
    assert (grown.total, grown.rest) == pytest.approx((whole.total, whole.rest))


# -- what holds for all of them ----------------------------------------------------------------------------------------


@cache
def a_baseline() -> Points:
    """Return the baseline of the tests below. Not a constant: loading SciPy's signals costs every process seconds."""
    return a_week(phi=0.5, days=14)


@cache
def a_summary(start: float = START) -> Baseline:
    return summary(a_baseline(), start)


def alike(one: Judged, other: Judged, by: float = 1.0, more: float = 0.0) -> None:
    """Fail unless two say the same of values in two units, but for what rounding makes of a close call."""
    numbers = [by * one.value + more, by * one.bound + more, by * one.expected + more, abs(by) * one.gap, one.noise]
    found = [other.value, other.bound, other.expected, other.gap, other.noise]
    assert found == pytest.approx(numbers, rel=1e-6, abs=1e-9 * abs(by))
    assert one.is_worse is other.is_worse


levels = st.lists(st.floats(0.8, 1.0), min_size=12, max_size=12)
kinds = st.sampled_from(list(EffectKind))
examples = settings(max_examples=25, deadline=None)


@RULES
@examples
@given(values=levels, kind=st.sampled_from([EffectKind.RELATIVE, EffectKind.ABSOLUTE]))
def test_turning_values_and_direction_around_changes_nothing(rule: Rule, values: list[float], kind: EffectKind) -> None:
    one = rule(series(values), a_baseline(), effect=Effect(0.02, kind))
    other = rule(
        scaled(series(values), -1), scaled(a_baseline(), -1), higher_is_better=False, effect=Effect(0.02, kind)
    )
    assert (one.is_worse, one.gap, one.noise) == (other.is_worse, other.gap, other.noise)
    assert one.bound == -other.bound


@RULES
@examples
@given(values=levels, power=st.integers(-30, 30))
def test_of_a_relative_effect_the_unit_changes_nothing(rule: Rule, values: list[float], power: int) -> None:
    one, by = rule(series(values), a_baseline()), 2.0**power  # a power of two is exact
    other = rule(scaled(series(values), by), scaled(a_baseline(), by))
    assert (one.is_worse, by * one.gap, one.noise) == (other.is_worse, other.gap, other.noise)


@RULES
@examples
@given(values=levels, more=st.sampled_from([-1000.0, -1.0, -0.9, 0.25, 64.0]))
def test_of_an_absolute_effect_the_zero_changes_nothing(rule: Rule, values: list[float], more: float) -> None:
    one = rule(series(values), a_baseline(), effect=absolute(0.018))
    assume(abs(one.value - one.bound) > 1e-9)
    assume(one.is_worse or one.value > one.bound)  # of its readings, none is at the brink
    other = rule(scaled(series(values), 1, more), scaled(a_baseline(), 1, more), effect=absolute(0.018))
    alike(one, other, 1, more)


@RULES
@examples
@given(values=levels)
def test_a_part_of_the_error_is_a_percentage_of_an_error_rate(rule: Rule, values: list[float]) -> None:
    one = rule(series(values), a_baseline(), effect=Effect(0.1, EffectKind.OF_ERROR))
    assume(abs(one.value - one.bound) > 1e-9)
    assume(one.is_worse or one.value > one.bound)
    errors, past = scaled(series(values), -1, 1), scaled(a_baseline(), -1, 1)
    alike(one, rule(errors, past, effect=Effect(0.1), higher_is_better=False), -1, 1)


@RULES
@examples
@given(values=levels, less=st.lists(st.floats(0, 0.5), min_size=12, max_size=12))
def test_what_is_worse_stays_so_when_it_gets_worse(rule: Rule, values: list[float], less: list[float]) -> None:
    lower = rule(series(np.array(values) - less), a_baseline())
    assert lower.is_worse or not rule(series(values), a_baseline()).is_worse


@RULES
@examples
@given(values=levels, kind=kinds, amounts=st.tuples(st.floats(0, 0.3), st.floats(0, 0.3)))
def test_a_larger_effect_makes_nothing_worse(
    rule: Rule, values: list[float], kind: EffectKind, amounts: tuple[float, float]
) -> None:
    small, large = (rule(series(values), a_baseline(), effect=Effect(one, kind)) for one in sorted(amounts))
    assert small.is_worse or not large.is_worse


@examples
@given(values=levels, sigmas=st.tuples(st.floats(0.5, 8), st.floats(0.5, 8)))
def test_more_sigmas_make_nothing_worse(values: list[float], sigmas: tuple[float, float]) -> None:
    few, many = (judged(series(values), a_summary(), sigma=one) for one in sorted(sigmas))
    assert few.is_worse or not many.is_worse


@examples
@given(values=levels, alphas=st.tuples(st.floats(1e-6, 0.4), st.floats(1e-6, 0.4)))
def test_a_smaller_alpha_makes_nothing_worse(values: list[float], alphas: tuple[float, float]) -> None:
    small, large = (since(series(values), a_summary(0.0), alpha=one) for one in sorted(alphas))
    assert large.is_worse or not small.is_worse


@RULES
@examples
@given(values=levels, weeks=st.integers(-500, 500))
def test_whole_weeks_later_is_the_same(rule: Rule, values: list[float], weeks: int) -> None:
    later = Points(a_baseline().at + weeks * 7 * DAY, a_baseline().value)
    assert rule(series(values, START + weeks * 7 * DAY), later) == rule(series(values), a_baseline())


@RULES
@examples
@given(values=levels, seed=st.integers(0, 10**6))
def test_unordered_readings_have_the_verdict_of_ordered_ones(rule: Rule, values: list[float], seed: int) -> None:
    past, block, dice = a_baseline(), series(values), np.random.default_rng(seed)
    first, second = dice.permutation(len(past)), dice.permutation(len(block))
    other = rule(Points.of(block.at[second], block.value[second]), Points.of(past.at[first], past.value[first]))
    assert other == rule(block, past)


@RULES
@examples
@given(values=levels, junk=st.lists(st.sampled_from([NAN, math.inf, -math.inf]), min_size=1, max_size=40))
def test_what_is_no_number_changes_no_verdict(rule: Rule, values: list[float], junk: list[float]) -> None:
    block = Points.of([*series(values).at, *[START + 1] * len(junk)], [*values, *junk])
    past = Points.of([*a_baseline().at, *a_baseline().at[: len(junk)]], [*a_baseline().value, *junk])
    assert rule(block, past) == rule(series(values), a_baseline())


@RULES
@pytest.mark.parametrize("junk", [[], [NAN] * 12, [math.inf] * 12, [-math.inf] * 12])
def test_nothing_follows_from_nothing(rule: Rule, junk: list[float]) -> None:
    nothing = series(junk)
    for block, past in ((nothing, a_baseline()), (series([0.1] * 12), nothing), (nothing, nothing)):
        assert rule(block, past).is_worse is None


@RULES
@examples
@given(
    level=st.floats(-1e6, 1e6),
    kind=kinds,
    amount=st.floats(0, 0.5),
    higher=st.booleans(),
    readings=st.integers(1, 60),
)
def test_what_never_changes_is_never_worse(
    rule: Rule, level: float, kind: EffectKind, amount: float, higher: bool, readings: int
) -> None:
    constant = series(np.full(2016, level), START - 7 * DAY)
    found = rule(series([level] * readings), constant, effect=Effect(amount, kind), higher_is_better=higher)
    assert not found.is_worse


@RULES
@examples
@given(values=levels)
def test_a_summary_that_was_stored_has_the_same_verdicts(rule: Rule, values: list[float]) -> None:
    it = a_summary(START if rule is judged else 0.0)
    stored = baselines.load_baseline(baselines.dump_baseline(it))
    assert rule(series(values), stored) == rule(series(values), it)


@RULES
@examples
@given(values=levels, kind=kinds)
def test_a_reason_is_one_sentence_that_survives_the_outbox(rule: Rule, values: list[float], kind: EffectKind) -> None:
    why = rule(series(values), a_baseline(), effect=Effect(0.02, kind)).why
    assert unpack(pack(why)) == why
    assert str(why).endswith(".")
    assert "nan" not in str(why)


# -- the benchmark plays these rules and no others ---------------------------------------------------------------------


@pytest.mark.parametrize(("phi", "tails", "delay"), [(0.0, 0, 0), (0.7, 3, 30), (0.9, 4, 0)])
def test_the_simulation_has_the_verdicts_of_the_rules(phi: float, tails: float, delay: float) -> None:
    from benchmarks import rules as bench

    world = bench.World(phi, season=0.008, tails=tails, delay=delay)
    months = bench.play(world, np.random.default_rng(11), 2, 2 * bench.DAY)
    months.live[:, bench.DAY :] -= 0.03
    worse, acts = bench.worse_blocks(months), bench.sequential_rule(months)
    for month in range(2):
        begin = START + month * DAY  # the first month begins on a Monday, the next one on a Tuesday
        baseline, live = series(months.baseline[month], begin - 7 * DAY), series(months.live[month], begin)
        it, whole = summary(baseline, begin), summary(baseline, 0.0)
        found = [judged(live.between(at, at + HOUR), it, at).is_worse for at in begin + HOUR * np.arange(48)]
        assert [bool(one) for one in found] == worse[month].tolist()
        for at in range(1, 2 * bench.DAY, 17):
            two = [since(live.between(begin, begin + EVERY * (at + more)), whole).is_worse for more in (0, 1)]
            assert all(two) is bool(acts[month, at])
    assert worse.any()
    assert not worse.all()


def test_the_simulation_counts_in_a_row() -> None:
    from benchmarks.rules import in_a_row

    worse = np.isin(np.arange(8), [0, 2, 3, 4, 6])[None, :]
    assert in_a_row(worse, 2)[0].nonzero()[0].tolist() == [3, 4]

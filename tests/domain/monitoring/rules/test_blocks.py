"""Blocks of readings: which are worse than the baseline, and which give no verdict."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bot.domain.monitoring.rules.time_series import DAY, HOUR, TimeSeries
from bot.domain.policy.effect_size import EffectKind, MinimumEffect
from tests.support.domain.rules import NAN, TWO_PERCENT, absolute, hours, judge_block, judge_since
from tests.support.domain.time_series import (
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

# -- blocks ------------------------------------------------------------------------------------------------------------


def test_a_block_is_worse_by_the_effect_and_the_noise() -> None:
    found = judge_block(an_hour(0.87))
    assert found.is_worse is True
    assert found.gap == pytest.approx(found.expected - 0.87)
    assert found.sigmas > 3
    assert found.bound == pytest.approx(0.98 * found.expected)
    assert found.value == pytest.approx(0.87)


def test_an_effect_within_the_noise_is_not_enough() -> None:
    assert judge_block(an_hour(0.87), a_week(sd=0.05)).is_worse is False


def test_a_significant_drop_below_the_effect_is_not_enough() -> None:
    found = judge_block(an_hour(0.89), a_week(sd=0.001))
    assert found.is_worse is False
    assert found.sigmas > 3


def test_correlated_readings_are_noisier() -> None:
    quick, slow = judge_block(an_hour(0.87)), judge_block(an_hour(0.87), a_week(phi=0.9))
    assert slow.sigmas < quick.sigmas / 2.5


def test_a_better_block_is_not_worse() -> None:
    found = judge_block(an_hour(0.99))
    assert found.is_worse is False
    assert found.gap < -0.08
    assert "better" in str(found.why)


def test_a_lower_loss_is_better() -> None:
    assert judge_block(an_hour(0.95), higher_is_better=False).is_worse is True
    assert judge_block(an_hour(0.85), higher_is_better=False).is_worse is False


def test_a_negative_metric_is_judged_by_its_magnitude() -> None:
    found = judge_block(an_hour(-0.95), a_week(mean=-0.9))
    assert found.is_worse is True
    assert found.gap == pytest.approx(0.05, abs=0.002)
    assert found.bound == pytest.approx(1.02 * found.expected)


def test_a_block_is_compared_with_the_same_hours() -> None:
    clock = np.arange(2016) % 288
    baseline = a_week(sd=0.001)
    swinging = TimeSeries(baseline.at, baseline.value + 0.05 * np.sin(2 * np.pi * clock / 288))
    assert judge_block(an_hour(0.852, START + 18 * HOUR), swinging).is_worse is False  # the trough of the day
    assert judge_block(an_hour(0.852, START), swinging).is_worse is True


@pytest.mark.parametrize("hour", [0, 3, 4, 23])
def test_a_nightly_batch_is_expected_at_its_hour_and_at_no_other(hour: int) -> None:
    baseline = a_week(sd=0.002)
    night = (baseline.at % DAY >= 3 * HOUR) & (baseline.at % DAY < 4 * HOUR)
    dipping = TimeSeries(baseline.at, baseline.value - 0.2 * night)
    assert judge_block(an_hour(0.7, START + hour * HOUR), dipping).is_worse is (hour != 3)


def test_one_outlier_does_not_make_a_block_worse() -> None:
    values = np.full(12, 0.9)
    values[5] = 0.3
    found = judge_block(series(values))
    assert found.value < found.bound
    assert found.is_worse is False
    assert str(found.why).endswith(", over the margin of 2% and 3 σ, but most of its readings aren't.")


def test_a_recovering_block_is_not_worse() -> None:
    found = judge_block(series([0.86] * 6 + [0.87] + [0.895] * 5))
    assert found.value < found.bound
    assert found.is_worse is False
    assert str(found.why).endswith(", over the margin of 2% and 3 σ, but it's recovering.")
    assert judge_block(series([0.895] * 5 + [0.87] + [0.86] * 6)).is_worse is True


def test_a_slightly_better_last_half_is_not_a_recovery() -> None:
    baseline = a_week(sd=0.001)
    assert (
        judge_block(series([0.878] * 6 + [0.8835] * 6), baseline).is_worse is True
    )  # the limit is 0.8838: nine tenths
    assert judge_block(series([0.878] * 6 + [0.8845] * 6), baseline).is_worse is False


def test_jitter_does_not_move_readings_to_another_block() -> None:
    plain = a_week()
    dice = np.random.default_rng(9)
    jittery = TimeSeries(plain.at + dice.uniform(0, 30, len(plain)), plain.value)
    late = TimeSeries(START + EVERY * np.arange(12) + dice.uniform(0, 30, 12), np.full(12, 0.87))
    assert judge_block(late, jittery, START).sigmas == pytest.approx(judge_block(an_hour(0.87), plain).sigmas, rel=0.02)


def test_a_frozen_baseline_can_be_weeks_old() -> None:
    assert judge_block(an_hour(0.87, START + 28 * DAY), summary(a_week())).is_worse is True


@pytest.mark.parametrize(("level", "is_worse"), [(0.9, False), (0.89, False), (0.88, True), (0.95, False)])
def test_without_any_noise_the_effect_alone_decides(level: float, is_worse: bool) -> None:
    found = judge_block(an_hour(level), a_week(sd=0))
    assert found.is_worse is is_worse
    assert found.sigmas == {0.9: 0.0, 0.95: -math.inf}.get(level, math.inf)


@pytest.mark.parametrize("kind", EffectKind)
def test_a_rounding_error_is_not_an_effect(kind: EffectKind) -> None:
    baseline = series(np.full(2016, 0.1 + 0.2), START - 7 * DAY)
    found = judge_block(an_hour(0.3), baseline, effect=MinimumEffect(0, kind))
    assert (found.is_worse, found.gap, found.sigmas) == (False, 0.0, 0.0)


@pytest.mark.parametrize("window", [5 * HOUR, 7 * HOUR, 50 * 60, 1.5 * DAY])
def test_a_window_does_not_have_to_divide_the_day(window: float) -> None:
    baseline, readings = a_week(days=21), int(window / EVERY)
    assert judge_block(series(np.full(readings, 0.8)), baseline, window=window).is_worse is True
    assert judge_block(series(np.full(readings, 0.9)), baseline, window=window).is_worse is False
    assert judge_block(series(np.full(readings, 0.8), START + window), baseline, window=window).is_worse is True


@pytest.mark.parametrize("days", [1, 2, 3, 4])
def test_a_window_can_be_days_long(days: int) -> None:
    baseline = a_week(days=21, phi=0.7)
    found = [
        judge_block(series(np.full(288 * days, level)), baseline, window=days * DAY).is_worse for level in (0.9, 0.85)
    ]
    assert found == [False, True]


def test_with_confirmation_a_noisier_time_of_day_needs_a_deeper_drop() -> None:
    calm = summary(a_week())
    rough = replace(calm, rough=(2.0,) + (1.0,) * (len(calm.same) - 1))
    block = series(0.87 + noise(12, sd=0.005), START)
    assert judge_block(block, rough, confirmation=2.0).sigmas == pytest.approx(
        judge_block(block, calm, confirmation=2.0).sigmas / 2
    )
    assert judge_block(block, rough).sigmas == judge_block(block, calm).sigmas
    later = TimeSeries(block.at + HOUR, block.value)
    assert judge_block(later, rough, confirmation=2.0).sigmas == judge_block(later, calm, confirmation=2.0).sigmas


def test_with_confirmation_a_single_shock_is_not_worse() -> None:
    baseline = summary(a_week(phi=0.9, sd=0.005))
    fading = series(0.9 - 0.1 * 0.9 ** np.arange(12), START)
    assert judge_block(fading, baseline).is_worse
    found = judge_block(fading, baseline, confirmation=2.0)
    assert not found.is_worse
    assert "but one shock explains it" in str(found.why)


# -- weekends ----------------------------------------------------------------------------------------------------------


WEEKS = pytest.mark.parametrize("days", [7, 14, 21])


SD, PHI = 0.0095, 0.7  # of an accuracy that is measured every five minutes


def the_next_week(seed: int = 2) -> TimeSeries:
    """Return a week after START that's like the ones before it."""
    return series(0.9 + noise(2016, SD, PHI, seed))


@WEEKS
def test_a_normal_weekend_is_not_worse(days: int) -> None:
    baseline = on_weekends(a_week(SD, PHI, days=days), -0.03)
    assert not any(hours(on_weekends(the_next_week(), -0.03), baseline, range(120, 168)))


@WEEKS
@pytest.mark.parametrize("begin", [10, 130])
def test_a_drop_is_detected_on_weekdays_and_weekends(days: int, begin: int) -> None:
    baseline = on_weekends(a_week(SD, PHI, days=days), -0.03)
    dropped = scaled(on_weekends(the_next_week(), -0.03), 0.95)
    assert all(hours(dropped, baseline, range(begin, begin + 4)))


@WEEKS
def test_a_normal_monday_is_not_worse(days: int) -> None:
    assert not any(hours(the_next_week(), on_weekends(a_week(SD, PHI, days=days), -0.03), range(24)))


@WEEKS
@pytest.mark.parametrize("seed", range(5))
def test_a_weekend_in_another_time_zone_causes_no_rollback(days: int, seed: int) -> None:
    american, live = a_week(SD, PHI, days=days, seed=seed), the_next_week(seed + 100)
    baseline = on_weekends(american, -0.03, behind=8 * HOUR)
    assert not any(hours(on_weekends(live, -0.03, behind=8 * HOUR), baseline, range(8)))  # Sunday evening over there


@WEEKS
def test_a_mean_over_a_weekend_is_compared_with_weekends(days: int) -> None:
    baseline = on_weekends(a_week(SD, PHI, days=days), -0.03)
    live = on_weekends(the_next_week(), -0.03)
    it = summary(baseline, 0.0)
    weekend = live.between(START + 5 * DAY, START + 7 * DAY)
    assert judge_since(weekend, it).is_worse is False
    assert judge_since(weekend, it).expected == pytest.approx(0.87, abs=0.002)
    assert judge_since(live, it).expected == pytest.approx(0.9 - 0.03 * 2 / 7, abs=0.002)
    assert judge_since(scaled(weekend, 0.95), it).is_worse is True
    assert judge_since(on_weekends(weekend, 0.03), it).gap < -0.028


# -- old incidents -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "margin"), [(7, 1.1), (14, 1.4), (21, 1.4)])
@pytest.mark.parametrize("drop", [0.05, 0.1])
@pytest.mark.parametrize("day", [1, 3, 6])
def test_one_old_incident_does_not_hide_a_drop(days: int, margin: float, drop: float, day: int) -> None:
    begin = START - day * DAY + 9 * HOUR
    baseline = during(a_week(SD, PHI, days=days), begin, begin + 4 * HOUR, -0.09)
    for hour in (2, 10):  # including the incident's hours
        found = judge_block(an_hour(0.9 * (1 - drop), START + hour * HOUR), baseline)
        assert found.is_worse is True
        assert found.gap > margin * drop / 0.05 * (found.expected - found.bound)


def test_a_weekly_dip_stays_in_the_baseline() -> None:
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


# -- no verdict --------------------------------------------------------------------------------------------------------


def test_an_empty_block_gives_no_verdict() -> None:
    found = judge_block(TimeSeries.from_columns([], []))
    assert found.is_worse is None
    assert all(math.isnan(one) for one in (found.value, found.bound, found.expected, found.gap, found.sigmas))


@pytest.mark.parametrize(("days", "covers"), [(6.5, "6d 12h"), (6.94, ""), (7, ""), (0, "0s")])
def test_a_baseline_needs_seven_days(days: float, covers: str) -> None:
    found = judge_block(an_hour(0.87), a_week(days=days))
    assert (found.is_worse is None) is bool(covers)
    if covers:
        assert str(found.why) == f"The baseline covers only {covers} of the 7d needed."


@pytest.mark.parametrize("history", [420.0, 3_600.0, 7 * HOUR])
def test_a_shorter_history_makes_shorter_days(history: float) -> None:
    every = history / 2016
    week = TimeSeries.from_columns(START + every * np.arange(-2016, 0), 0.9 + noise(2016))
    it = summary(week, START, history / 168, history)
    for level, is_worse in ((0.9, False), (0.8, True)):
        hour = series([level] * 12, START, every)
        assert judge_block(hour, it, history=history).is_worse is is_worse
        assert (
            judge_since(
                series([level] * 60, START, every), summary(week, 0.0, history / 168, history), history=history
            ).is_worse
            is is_worse
        )


def test_one_point_from_a_week_ago_is_not_a_baseline() -> None:
    assert judge_block(an_hour(0.87), TimeSeries.from_columns([START - 7 * DAY], [0.9])).is_worse is None


@pytest.mark.parametrize(("readings", "told"), [(1, False), (5, False), (6, True)])
def test_an_incomplete_block_gives_no_verdict(readings: int, told: bool) -> None:
    assert (judge_block(an_hour(0.5, readings=readings)).is_worse is not None) is told


def test_a_day_with_few_readings_in_an_hour_does_not_count_for_it() -> None:
    baseline = a_week()
    kept = (baseline.at % HOUR >= HOUR - 5 * EVERY) | (baseline.at >= START - 4 * DAY) | (baseline.at % DAY >= HOUR)
    found = judge_block(an_hour(0.87), TimeSeries(baseline.at[kept], baseline.value[kept]))
    assert str(found.why) == "Only 4 past windows at this time of day are complete (5 needed)."


def test_hours_that_few_days_cover_give_no_verdict() -> None:
    baseline = a_week()
    kept = (baseline.at % DAY >= HOUR) | (baseline.at >= START - 4 * DAY)
    found = judge_block(an_hour(0.87), TimeSeries(baseline.at[kept], baseline.value[kept]))
    assert found.is_worse is None
    assert str(found.why) == "Only 4 past windows at this time of day are complete (5 needed)."


def test_hours_missing_in_the_baseline_do_not_affect_the_others() -> None:
    baseline = a_week(days=8)
    kept = baseline.at % DAY >= 8 * HOUR
    lacking = TimeSeries(baseline.at[kept], baseline.value[kept])
    assert judge_block(an_hour(0.87, START + 4 * HOUR), lacking).is_worse is None
    assert judge_block(an_hour(0.87, START + 8 * HOUR), lacking).is_worse is True
    assert judge_block(an_hour(0.9, START + 8 * HOUR), lacking).is_worse is False


def test_an_outage_of_a_day_does_not_end_the_comparison() -> None:
    baseline = a_week()
    kept = (baseline.at < START - 3 * DAY) | (baseline.at >= START - 2 * DAY)
    assert judge_block(an_hour(0.87), TimeSeries(baseline.at[kept], baseline.value[kept])).is_worse is True


def test_a_window_of_days_needs_a_longer_baseline() -> None:
    block = series(np.full(576, 0.87))
    assert judge_block(block, window=2 * DAY).is_worse is None
    assert judge_block(block, a_week(days=14), window=2 * DAY).is_worse is True


@pytest.mark.parametrize("sigma", [0.0, -1.0, NAN])
def test_an_invalid_sigma_is_refused(sigma: float) -> None:
    with pytest.raises(ValueError, match="sigma must be above 0"):
        judge_block(an_hour(0.9), sigma=sigma)


@pytest.mark.parametrize(("every", "readings"), [(10.0, 360), (60.0, 60), (1_800.0, 2)])
def test_readings_can_be_frequent_or_rare(every: float, readings: int) -> None:
    it = summary(a_week(every=every))
    assert judge_block(series(np.full(readings, 0.9), every=every), it).is_worse is False
    assert judge_block(series(np.full(readings, 0.85), every=every), it).is_worse is True


def test_readings_every_six_hours_are_judged_by_day() -> None:
    it = summary(a_week(every=6 * HOUR, days=21), window=DAY)
    assert judge_block(series(np.full(4, 0.9), every=6 * HOUR), it).is_worse is False
    assert judge_block(series(np.full(4, 0.8), every=6 * HOUR), it).is_worse is True

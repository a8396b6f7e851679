"""The mean since the promotion, judged at every reading."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.monitoring.rules import sequential
from bot.domain.monitoring.rules.baselines import Tally
from bot.domain.monitoring.rules.time_series import DAY, HOUR, TimeSeries
from tests.support.domain.rules import NAN, a_summary, absolute, judge_since
from tests.support.domain.time_series import (
    START,
    a_week,
    noise,
    series,
    summary,
)


def test_a_mean_worse_for_long_enough_is_worse() -> None:
    assert judge_since(series(np.full(12, 0.87))).is_worse is True
    assert judge_since(series(np.full(12, 0.87)), a_week(phi=0.9)).is_worse is False
    assert judge_since(series(np.full(120, 0.87)), a_week(phi=0.9)).is_worse is True


def test_a_certain_drop_of_less_than_the_effect_is_not_worse() -> None:
    found = judge_since(series(np.full(2000, 0.89)))
    assert found.is_worse is False
    assert found.bound == pytest.approx(0.98 * found.expected)


def test_a_lower_loss_is_not_worse() -> None:
    assert judge_since(series(np.full(50, 0.85)), higher_is_better=False).is_worse is False
    assert judge_since(series(np.full(50, 0.95)), higher_is_better=False).is_worse is True


def test_a_mean_is_judged_by_the_margin() -> None:
    it = summary(a_week(), 0.0)
    found = judge_since(series(np.full(18, 0.87)), it, effect=absolute(0))
    shares = np.zeros((1, 24))
    shares[0, :2] = [12 / 18, 6 / 18]
    off = sequential.confidence_margin(it.arrays, np.array([18]), shares, size=12, alpha=0.01)
    assert found.expected == pytest.approx((2 * it.same[0] + it.same[1]) / 3)
    assert found.expected - found.bound == pytest.approx(off)


def test_readings_are_compared_with_their_hours() -> None:
    clock = np.arange(2016) % 288
    baseline = a_week(sd=0.001)
    swinging = TimeSeries(baseline.at, baseline.value + 0.05 * np.sin(2 * np.pi * clock / 288))
    night = swinging.between(START - DAY + 12 * HOUR, START)  # the half of the day below the mean
    assert judge_since(TimeSeries(night.at + DAY, night.value), swinging).is_worse is False
    assert judge_since(TimeSeries(night.at + DAY / 2, night.value), swinging).is_worse is True


def test_without_noise_only_the_effect_decides() -> None:
    assert judge_since(series(np.full(6, 0.88)), a_week(sd=0)).is_worse is True
    assert judge_since(series(np.full(6, 0.885)), a_week(sd=0)).is_worse is False


def test_rare_readings_are_judged_by_day() -> None:
    every_six_hours = a_week(every=6 * HOUR, days=21)
    assert judge_since(series(np.full(12, 0.85), every=6 * HOUR), every_six_hours, window=DAY).is_worse is True
    assert judge_since(series(np.full(12, 0.9), every=6 * HOUR), every_six_hours, window=DAY).is_worse is False


def test_one_outlier_does_not_make_a_version_bad() -> None:
    found = judge_since(series([0.9] * 4 + [0.1]))
    assert found.is_worse is False
    assert str(found.why).endswith(", but not without its worst reading.")
    assert judge_since(series([0.9] * 4 + [0.1] * 2)).is_worse is True


def test_rare_errors_are_detected_by_their_mean() -> None:
    """Most readings of a bad version are 0, too; what matters is that there are several errors."""
    errors = series(np.random.default_rng(4).binomial(1, 0.01, 14 * 288), START - 14 * DAY)
    rare: dict[str, Any] = {"effect": absolute(0.01), "higher_is_better": False}
    assert judge_since(series([0.0] * 30 + [1.0]), errors, **rare).is_worse is False
    assert judge_since(series([0.0, 0, 0, 0, 1] * 12), errors, **rare).is_worse is True


@pytest.mark.parametrize("readings", [0, 1, 3])
def test_too_few_readings_give_no_verdict(readings: int) -> None:
    found = judge_since(series(np.full(readings, 0.5)))
    assert found.is_worse is None
    assert str(found.why) == f"Only {readings} of the 4 readings needed so far."
    assert judge_since(series(np.full(4, 0.5))).is_worse is True


def test_a_short_baseline_gives_no_verdict() -> None:
    assert judge_since(series(np.full(50, 0.5)), a_week(days=3)).is_worse is None


def test_hours_missing_in_the_baseline_do_not_count() -> None:
    baseline = a_week()
    kept = baseline.at % DAY >= HOUR
    lacking = TimeSeries(baseline.at[kept], baseline.value[kept])
    assert judge_since(series(np.full(12, 0.5)), lacking).is_worse is None
    kept |= baseline.at >= START - 4 * DAY
    seldom = TimeSeries(baseline.at[kept], baseline.value[kept])
    assert str(judge_since(series(np.full(12, 0.5)), seldom).why) == "Past days have too few readings at these hours."
    mixed = judge_since(series([0.5] * 12 + [0.9] * 12), lacking)
    assert mixed.is_worse is False
    assert mixed.value == pytest.approx(0.9)


@pytest.mark.parametrize("alpha", [0, 0.5, -0.1, NAN])
def test_an_invalid_alpha_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        judge_since(series(np.full(12, 0.9)), alpha=alpha)


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(0, 60), max_size=12), seed=st.integers(0, 10**6))
def test_a_growing_tally_equals_the_tally_of_all_readings(sizes: list[int], seed: int) -> None:
    live, it = series(0.9 + noise(sum(sizes), seed=seed), START + 4.9 * DAY), a_summary(0.0)
    grown, ends = Tally.from_series(live.between(0, 0), it, higher_is_better=True), np.cumsum([0, *sizes])
    for begin, end in pairwise(ends.tolist()):
        grown.add(TimeSeries(live.at[begin:end], live.value[begin:end]))
    whole = Tally.from_series(live, it, higher_is_better=True)
    assert (grown.slot_counts == whole.slot_counts).all()
    assert (grown.worst_gap, grown.reading_count) == (whole.worst_gap, whole.reading_count)
    assert (grown.value_sum, grown.weekend_count) == pytest.approx((whole.value_sum, whole.weekend_count))

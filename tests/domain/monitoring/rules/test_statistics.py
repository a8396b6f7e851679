"""Golden values: the rules' statistics match the textbooks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy  # loads its modules lazily, so other test files don't pay for it

from bot.domain.monitoring.rules import baseline_summary, baselines, blocks, sequential
from bot.domain.monitoring.rules.baselines import weekend_fraction
from bot.domain.monitoring.rules.time_series import DAY
from tests.support.domain.rules import TEN_PERCENT_OF_ERROR, TWO_PERCENT, absolute, judge_block
from tests.support.domain.time_series import (
    a_week,
    series,
)

# -- golden values -----------------------------------------------------------------------------------------------------


def some_usual(**changes: Any) -> baselines.BaselineArrays:
    plain: dict[str, Any] = {
        "same": np.full(24, 0.9),
        "days": np.full(24, 21.0),
        "expected": np.full(24, 0.9),
        "worth": np.full(24, 56.0),
        "noise": np.array(0.01),
        "degrees": np.array(100.0),
        "weekend": baselines.WeekendEffect(np.array(-0.03), np.array(102.0)),
    }
    return baselines.BaselineArrays(**plain | changes)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("worth", [7.0, 56.0])
def test_a_limit_is_the_noise_of_a_difference(share: float, worth: float) -> None:
    found = blocks.block_limits(
        some_usual(worth=np.full(24, worth)),
        np.array([3]),
        points=12,
        size=12,
        effect=absolute(0.001),
        sigma=3,
        on_weekend=np.array([share]),
    )
    t = scipy.stats.t.isf(scipy.stats.norm.sf(3), 100)
    assert found.expected == pytest.approx(0.9 - 0.03 * share)
    assert 3 * found.noise == pytest.approx(0.01 * t * math.sqrt(1 + 1 / worth + share**2 / 102), rel=1e-6)
    assert found.mean == 3 * found.noise
    assert found.last_half == blocks.LAST_HALF_SHARE * found.mean
    assert found.median == 0.001


@pytest.mark.parametrize(("points", "times"), [(3, 2), (6, math.sqrt(2)), (12, 1), (24, 1)])
def test_a_block_with_missing_readings_is_noisier(points: int, times: float) -> None:
    whole, other = (
        blocks.block_limits(some_usual(), np.array([3]), points=n, size=12, effect=TWO_PERCENT, sigma=3)
        for n in (12, points)
    )
    assert other.noise == pytest.approx(times * whole.noise)


def test_a_weekend_s_effect_is_relative_to_its_expected_value() -> None:
    weekend: dict[str, Any] = {"on_weekend": np.array([1.0]), "points": 12, "size": 12, "sigma": 1e-6}
    found = [
        blocks.block_limits(some_usual(), np.array([3]), effect=effect, **weekend).median.item()
        for effect in (TWO_PERCENT, absolute(0.01), TEN_PERCENT_OF_ERROR)
    ]
    assert found == pytest.approx([0.02 * 0.87, 0.01, 0.1 * 0.13])


def test_a_day_s_block_matches_a_closed_form() -> None:
    baseline = a_week(days=14)
    found = judge_block(series(np.full(288, 0.89)), baseline, window=DAY, effect=absolute(0))
    rest = weekend_fraction(baseline.at, 0)
    hours = baseline.value.reshape(14, 24, 12).mean(axis=2)
    weekend = baseline_summary.estimate_weekend_effect(hours, rest.reshape(14, 24, 12)[:, :, 0])
    level = baseline.value - weekend.offset * rest
    daily = level.reshape(14, 288).mean(axis=1)
    noise_of_a_day = baseline_summary.estimate_baseline(
        daily[:, None], points=level, cells=np.arange(14 * 288) // 288, size=288
    )
    assert found.expected == pytest.approx(daily.mean())  # the block is on a Monday
    t = scipy.stats.t.isf(scipy.stats.norm.sf(3), noise_of_a_day.degrees)
    assert found.expected - found.bound == pytest.approx(t * noise_of_a_day.noise * math.sqrt(1 + 1 / 14), rel=0.01)


def test_the_radius_is_where_the_mixture_reaches_one_over_alpha() -> None:
    n, alpha = np.array([1, 12, 300]), 0.01
    spent = -2 * math.log(alpha)
    rho = (spent + math.log(spent + 1)) / 24
    sums = n * sequential.confidence_radius(n, alpha=alpha, tuned_for=24)
    mixture = np.exp(rho * sums**2 / (2 * (n * rho + 1))) / np.sqrt(n * rho + 1)  # ∫ exp(λs − λ²n/2) N(λ; 0, ρ²) dλ
    assert mixture == pytest.approx(np.full(3, 1 / alpha))


def test_the_mixture_equals_its_integral() -> None:
    n, alpha = 12, 0.01
    spent = -2 * math.log(alpha)
    rho = math.sqrt((spent + math.log(spent + 1)) / 24)
    total = n * sequential.confidence_radius(n, alpha=alpha, tuned_for=24).item()
    found = scipy.integrate.quad(
        lambda at: math.exp(at * total - at**2 * n / 2) * scipy.stats.norm.pdf(at, 0, rho), -10, 10
    )
    assert found[0] == pytest.approx(1 / alpha)


@pytest.mark.parametrize(("alpha", "tuned_for"), [(0.05, 24), (0.01, 24), (0.001, 1000)])
def test_the_radius_matches_the_paper(alpha: float, tuned_for: float) -> None:
    # Waudby-Smith et al. (2024) with σ = 1: √((tρ²+1)/(t²ρ²) · log((tρ²+1)/α²))
    rho = math.sqrt((-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / tuned_for)
    t = np.arange(1, 2000)
    paper = np.sqrt((t * rho**2 + 1) / (t**2 * rho**2) * np.log((t * rho**2 + 1) / alpha**2))
    assert sequential.confidence_radius(t, alpha=alpha, tuned_for=tuned_for) == pytest.approx(paper)


@pytest.mark.parametrize("tuned_for", [24, 200])
def test_the_radius_is_nearly_optimal_where_it_is_tuned(tuned_for: int) -> None:
    there = sequential.confidence_radius(tuned_for, alpha=0.01, tuned_for=tuned_for)
    best = min(
        sequential.confidence_radius(tuned_for, alpha=0.01, tuned_for=tuned_for * times)
        for times in np.geomspace(0.2, 5, 200)
    )
    assert best <= there < 1.001 * best


def test_a_confidence_sequence_is_left_as_rarely_as_stated() -> None:
    walks = np.random.default_rng(7).standard_normal((2_000, 2_000)).cumsum(axis=1)
    n = np.arange(1, 2_001)
    left = (np.abs(walks / n) > sequential.confidence_radius(n, alpha=0.05, tuned_for=24)).any(axis=1).mean()
    assert 0.005 < left < 0.05


@pytest.mark.parametrize("rest", [0.0, 0.3, 1.0])
def test_a_margin_combines_the_sequence_and_the_baseline(rest: float) -> None:
    shares = np.zeros((1, 24))
    shares[0, [3, 4, 9]] = [0.5, 0.25, 0.25]
    found = sequential.confidence_margin(
        some_usual(), np.array([30]), shares, size=12, alpha=0.01, on_weekend=np.array([rest])
    )
    t = scipy.stats.t.isf(0.005, 100)
    own = math.sqrt(12) * sequential.confidence_radius(30, alpha=0.01, tuned_for=24) * t / scipy.stats.norm.isf(0.005)
    base = t * math.sqrt((0.5**2 + 2 * 0.25**2) / 21 + rest**2 / 102)
    assert found == pytest.approx(0.01 * (own + base), rel=1e-6)

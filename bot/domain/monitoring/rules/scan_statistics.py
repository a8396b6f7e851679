"""At every check, compares means over several time spans with the spread of such means in the baseline. Pure.

Comparing whole windows (`blocks.judge_block`) detects small drops, but only after two windows. At every reading, a scan
evaluates the last half window, the last window, and longer spans of up to eight windows, so it detects a large drop
sooner. Checking that often requires wide bounds. A single shock that fades slowly shifts many of these means, so the
individual readings must confirm a drop, too. docs/decisions/0037-scans.md lists what was tried, and
docs/reference/rule-benchmarks.md has the results.

`scan_lengths` evaluates every reading of a series at once, so `make bench-rules` can run months through the same code.
A check uses only the results at the last reading.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from bot.domain.core.durations import format_duration
from bot.domain.core.sentence import say
from bot.domain.monitoring.rules.baselines import MIN_BLOCK_FILL, MIN_DAYS, SCAN_WINDOWS, Baseline
from bot.domain.monitoring.rules.blocks import confirmation_score
from bot.domain.monitoring.rules.evaluation import Deviation, compare_with_baseline, describe_margin
from bot.domain.monitoring.rules.time_series import (
    ROUNDING,
    Floats,
    TimeSeries,
    ratio,
    standardized_innovations,
    window_starts,
)
from bot.domain.policy.effect_size import MinimumEffect

Bools = np.typing.NDArray[np.bool_]

SIGMA_FACTOR = 11 / 6  # multiplies the `sigma` of blocks: 3 becomes 5.5
CONFIRMATION_LIMIT = (
    5.0  # standard errors that the readings' innovations must sum to; fewer than four readings can't reach it
)
NEWEST_EFFECT_SHARE = 0.5  # share of the effect by which the newest reading must be worse


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanResult:
    """A scan's results at each reading of a series, for means over one length of time. All arrays have shape (n)."""

    length: float  # seconds
    gap: Floats  # by how much the mean is worse than expected, in the unit of the metric
    expected: Floats
    noise: Floats  # one standard deviation of such a mean
    limit: Floats  # what `gap` must exceed to be worse
    is_worse: Bools


def scan_lengths(
    points: TimeSeries, baseline: Baseline, *, higher_is_better: bool, effect: MinimumEffect, sigma: float
) -> list[ScanResult]:
    """Return the scan results at each reading for each length of means, shortest length first.

    A mean is worse if it's worse than expected by more than `effect` and by more than `SIGMA_FACTOR` × `sigma` times
    the noise (the standard deviation of means of its length in the baseline), and if the individual readings confirm
    it. For that, take each reading less φ times the one before it (φ is the baseline's lag-1 correlation), clip it, and
    leave out the largest; the sum must be more than `CONFIRMATION_LIMIT` standard errors above 0. The newest reading
    must still be worse by more than half the effect, and the mean of the shortest length by more than the whole effect,
    because a recovering metric doesn't call for action.

    At times of day when readings are noisier than usual, the noise is scaled up to match. If means of this length are
    regularly worse at that time of day, the mean must be worse than that by `sigma` times the noise, too.

    Readings don't count at times of day that fewer than `MIN_DAYS` days of the baseline cover. A baseline from before
    scans existed has no spread, so there are no results.
    """
    if not baseline.spread:
        return []
    slots = baseline.slots_at(points.at)
    has_enough_days = baseline.arrays.days[slots] >= MIN_DAYS
    at, slots, value = points.at[has_enough_days], slots[has_enough_days], points.value[has_enough_days]
    expected = baseline.expected_at(at)
    gaps = (expected - value) * (1 if higher_is_better else -1)
    rough = np.array(baseline.rough)[slots] if baseline.rough else np.ones_like(gaps)
    steps = standardized_innovations(gaps / rough, at, phi=baseline.phi, step=baseline.step, spacing=baseline.spacing)
    unsure = ratio(1, baseline.arrays.worth[slots]) + baseline.on_weekend(at) / baseline.weekend_worth
    sums = {
        name: np.concatenate([[0.0], np.cumsum(values)])
        for name, values in {"gap": gaps, "expected": expected, "unsure": unsure, "rough": rough**2}.items()
    }
    scans: list[ScanResult] = []
    recurs = _recurring_gaps(baseline, higher_is_better)
    for windows, spread, size, spread_of_steps, recurring in zip(
        SCAN_WINDOWS, baseline.spread, baseline.sizes, baseline.steps, recurs, strict=True
    ):
        length = windows * baseline.window
        first = window_starts(at, length)
        count = np.arange(1, len(at) + 1) - first
        gap, usual, uncertainty, roughness = ((sums[part][1:] - sums[part][first]) / count for part in sums)
        small_sample_factor = np.sqrt(np.maximum(size / count, 1.0))
        noise = np.sqrt(spread**2 * roughness + baseline.noise**2 * uncertainty) * small_sample_factor
        limit = np.maximum(
            np.maximum(effect.absolute_distance(usual), ROUNDING * np.abs(usual)), SIGMA_FACTOR * sigma * noise
        )
        limit = np.where(recurring[slots] > 0, np.maximum(limit, recurring[slots] + sigma * noise), limit)
        worse = (count >= MIN_BLOCK_FILL * size) & (gap > limit)
        if not scans:
            now = (gaps > NEWEST_EFFECT_SHARE * effect.absolute_distance(expected)) & (
                gap > effect.absolute_distance(usual)
            )
        for index in np.flatnonzero(worse & now):
            worse[index] = confirmation_score(steps[first[index] : index + 1], spread_of_steps) > CONFIRMATION_LIMIT
        worse &= now
        scans.append(ScanResult(length=length, gap=gap, expected=usual, noise=noise, limit=limit, is_worse=worse))
    return scans


def _recurring_gaps(baseline: Baseline, higher_is_better: bool) -> Floats:
    """Return how much worse than expected the means of each length regularly are, by time of day: (lengths, slots)."""
    extremes = np.array(baseline.lows if higher_is_better else baseline.highs).reshape(-1, len(baseline.same))
    return np.abs(extremes) if len(extremes) else np.zeros((len(baseline.spread), len(baseline.same)))


def is_below_expected(
    points: TimeSeries, baseline: Baseline, *, higher_is_better: bool, effect: MinimumEffect, effect_share: float
) -> bool:
    """Return whether the mean of some readings is worse than expected by more than `effect_share` of the effect.

    If `scan_lengths` finds something worse, the newest reading is worse by more than `NEWEST_EFFECT_SHARE` of the
    effect, and the shortest mean by more than the whole effect. Checking these few readings first avoids reading the
    others in nearly all checks.
    """
    has_enough_days = baseline.arrays.days[baseline.slots_at(points.at)] >= MIN_DAYS
    if not has_enough_days.any():
        return False
    expected = baseline.expected_at(points.at[has_enough_days])
    gaps = (expected - points.value[has_enough_days]) * (1 if higher_is_better else -1)
    return bool(gaps.mean() > effect_share * effect.absolute_distance(expected.mean()))


def judge_scan(
    points: TimeSeries, baseline: Baseline, *, higher_is_better: bool, effect: MinimumEffect, sigma: float
) -> Deviation | None:
    """Return the clearest drop among means that end at the newest reading, or None if `scan_lengths` finds none."""
    exceeding = [
        scan
        for scan in scan_lengths(points, baseline, higher_is_better=higher_is_better, effect=effect, sigma=sigma)
        if len(scan.is_worse) and scan.is_worse[-1]
    ]
    if not exceeding:
        return None
    best = max(exceeding, key=lambda scan: float(scan.gap[-1] / scan.limit[-1]))
    gap, expected, noise, limit = (float(array[-1]) for array in (best.gap, best.expected, best.noise, best.limit))
    judged = compare_with_baseline(
        expected - gap if higher_is_better else expected + gap,
        expected,
        limit,
        noise,
        higher_is_better,
        effect,
        margin=describe_margin(effect, SIGMA_FACTOR * sigma),
    )
    length = format_duration(timedelta(seconds=best.length))
    return replace(judged, why=say("Over the last {length}: {what}", length=length, what=judged.why))

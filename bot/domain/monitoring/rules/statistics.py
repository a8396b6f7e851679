"""The monitor's rules: numbers and times in, a verdict with its reason out. Pure; nothing here reads a clock.

`threshold` compares with a fixed bound; `judge_block` and `judge_sequence` compare with a baseline (baselines.py).
Their parts (`block_limits`, `confidence_radius`, `confidence_margin`) take any number of series at once, along the
first axes, so that `make bench-rules` plays thousands of months through these very rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, nan
from statistics import NormalDist
from typing import Self

import numpy as np
import numpy.typing as npt

from bot.domain.core.numbers import format_number
from bot.domain.core.sentence import say
from bot.domain.monitoring.rules.baselines import MIN_BLOCK_FILL, MIN_DAYS, ONE_WINDOW_INDEX, Baseline, BaselineArrays
from bot.domain.monitoring.rules.deviation import (
    Deviation,
    compare_with_baseline,
    describe_effect,
    describe_margin,
    undecided,
    unusable_baseline_reason,
)
from bot.domain.monitoring.rules.time_series import (
    ROUNDING,
    Floats,
    Ints,
    TimeSeries,
    ratio,
    standardized_innovations,
    student_quantile,
)
from bot.domain.policy.effect_size import MinimumEffect

LAST_HALF_SHARE = 0.9  # of what makes a block worse: what its last half must be worse by
MIN_READINGS = 4  # readings of a confidence sequence, and of what confirms a block
CONFIRMING_READINGS = 3  # readings that confirm a block that has hardly any itself
TUNED_FOR_HOURS = 2  # hours after which the confidence sequence is narrowest: bad versions are bad at once


# -- a fixed bound -----------------------------------------------------------------------------------------------------


def judge_threshold(value: float, *, greater_than: float | None = None, less_than: float | None = None) -> Deviation:
    """Judge a value by bounds that must hold; a value that equals one of them fails.

    A value that is no finite number cannot be told. Raises ValueError unless there is a bound, and a number between
    both where there are two.
    """
    low, high = -inf if greater_than is None else greater_than, inf if less_than is None else less_than
    if not low < high or (low, high) == (-inf, inf):
        raise ValueError("a threshold needs greater_than, less_than, or both with room between them")
    bound = high if low == -inf or (high != inf and abs(value - high) < abs(value - low)) else low
    if not isfinite(value):
        return Deviation(is_worse=None, value=value, bound=bound, why=say("There is no value."))
    way = "greater" if bound == low else "less"
    is_worse = not low < value < high
    template = f"{{value}} is not {way} than {{bound}}." if is_worse else f"{{value}} is {way} than {{bound}}."
    return Deviation(
        is_worse=is_worse,
        value=value,
        bound=bound,
        why=say(template, value=format_number(value), bound=format_number(bound)),
    )


# -- one block against the same hours of past days ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockLimits:
    """What a block must exceed to be worse, as distances from what is expected: all of the first three."""

    expected: Floats  # what is usual at that time
    mean: Floats  # by its mean: both the effect and the noise
    median: Floats  # by the middle one of its readings, hence by most of them: the effect alone
    last_half: Floats  # by the mean of the last half of its readings
    noise: Floats  # one sigma


def block_limits(
    arrays: BaselineArrays,
    slots: Ints,
    *,
    points: npt.ArrayLike,
    size: float,
    effect: MinimumEffect,
    sigma: float,
    on_weekend: npt.ArrayLike = 0.0,
    noise_factor: float = 1.0,
) -> BlockLimits:
    """Return what blocks must exceed to be called worse.

    `slots` (m) has the blocks' times of day, `rest` (…, m) which part of each is a weekend, and `points` (…, m) their
    number of readings, where `size` is usual. The noise is that of the difference of a block and of a mean that is
    worth D others, s·√(1+1/D), with Student's t in place of the normal distribution since s is estimated. It's no
    prediction interval: `sigma` stands for no probability, since blocks resemble their neighbors and have heavier tails
    than a normal distribution. Blocks that lack readings are noisier: √(size/points), as if one stretch of them were
    missing, which errs on the safe side. `rough` says how many times noisier than usual each time of day is.

    A single shock moves the means of two blocks where it comes between them and dies away slowly. Therefore most
    readings of a block must show the effect, too, which costs a real drop nothing, and its last half must still be
    about as bad: what recovers by itself is no reason to act.
    """
    share = np.asarray(on_weekend, dtype=np.float64)
    expected = arrays.expected[..., slots] + share * arrays.weekend.offset[..., None]
    small_sample_factor = np.sqrt(np.maximum(size / np.maximum(points, 1), 1.0))
    wide = student_quantile(sigma, arrays.degrees) / sigma
    unsure = ratio(1, arrays.worth[..., slots]) + share**2 / arrays.weekend.worth[..., None]
    noise = (arrays.noise * wide)[..., None] * np.sqrt(1 + unsure) * small_sample_factor * noise_factor
    least_distance = np.maximum(effect.absolute_distance(expected), ROUNDING * np.abs(expected))
    mean = np.maximum(least_distance, sigma * noise)
    return BlockLimits(
        expected=expected, mean=mean, median=least_distance, last_half=LAST_HALF_SHARE * mean, noise=noise
    )


def judge_block(  # noqa: PLR0913 - a rule has that many parts
    block: TimeSeries,
    start: float,
    baseline: Baseline,
    *,
    history: float,
    higher_is_better: bool,
    effect: MinimumEffect,
    sigma: float,
    confirmation: float | None = None,
    recent: TimeSeries | None = None,
) -> Deviation:
    """Judge one complete block, which began at `start`, against the blocks at the same hours of a baseline.

    It is worse where its mean is worse than expected by more than `effect` and by more than `sigma` times the noise;
    most readings must be worse by `effect`, too, and the last half must not be recovering (`limits`). How many blocks
    in a row it takes is not decided here. With `confirmation`, what its single readings add must confirm it by that
    many standard errors (`confirmation_score`), or if it has fewer than `MIN_READINGS`, the last three of the readings
    `recent`, its own included; and times of day that are noisier than usual have that much more noise. Times of day are
    UTC: where clocks change, the hours differ by one for as long as the baseline is older.

    It cannot be told where the baseline covers less than `history` seconds, where fewer than `MIN_DAYS` days have
    readings at these hours, where the block has less than `MIN_BLOCK_FILL` of the usual number of readings, or where
    the effect says nothing about such a metric. Raises ValueError for a sigma that is not above 0.
    """
    if not sigma > 0:
        raise ValueError("sigma must be above 0")
    if not len(block):
        return undecided(nan, say("The window has no readings."))
    value = float(block.value.mean())
    if (why := unusable_baseline_reason(baseline, history, effect, higher_is_better)) is not None:
        return undecided(value, why)
    if len(block) < MIN_BLOCK_FILL * baseline.size:
        return undecided(
            value,
            say(
                "The window is incomplete: it has {n} readings, and {usual} are usual.",
                n=len(block),
                usual=format_number(baseline.size),
            ),
        )
    slot = baseline.slot_at(start)
    if baseline.days[slot] < MIN_DAYS:
        reason = say(
            "Only {n} past windows at this time of day are complete, and {least} are needed.",
            n=int(baseline.days[slot]),
            least=MIN_DAYS,
        )
        return undecided(value, reason)
    rough = baseline.rough[slot] if confirmation is not None and baseline.rough else 1.0
    limit = block_limits(
        baseline.arrays,
        np.array([slot]),
        points=len(block),
        size=baseline.size,
        effect=effect,
        sigma=sigma,
        on_weekend=baseline.on_weekend(block.at).mean(keepdims=True),
        noise_factor=rough,
    )
    expected, sign = limit.expected.item(), 1 if higher_is_better else -1
    gaps = (expected - block.value) * sign
    but = _not_worse_reason(gaps, limit)
    if not but and confirmation is not None:
        if len(block) < MIN_READINGS and recent is not None:
            block = recent.slice(max(len(recent) - CONFIRMING_READINGS, 0), len(recent))
            gaps = np.nan_to_num(baseline.expected_at(block.at) - block.value) * sign
        steps = standardized_innovations(
            gaps / rough, block.at, phi=baseline.phi, step=baseline.step, spacing=baseline.spacing
        )
        is_sure = (
            len(block) >= CONFIRMING_READINGS
            and confirmation_score(steps, baseline.steps[ONE_WINDOW_INDEX]) > confirmation
        )
        but = "" if is_sure else "but a single shock explains it"
    return compare_with_baseline(
        value,
        expected,
        limit.mean.item(),
        limit.noise.item(),
        higher_is_better,
        effect,
        caveat=but,
        margin=describe_margin(effect, sigma),
    )


def _not_worse_reason(gaps: Floats, limits: BlockLimits) -> str:
    """Return why a block isn't worse although its mean is; empty if there's no reason."""
    if not np.median(gaps) > limits.median.item():
        return "but most of its readings are not"
    return "" if gaps[len(gaps) // 2 :].mean() > limits.last_half.item() else "but it is recovering"


# -- the mean since the promotion --------------------------------------------------------------------------------------


def confidence_radius(points: npt.ArrayLike, *, alpha: float, tuned_for: float) -> Floats:
    """Return how far the mean of so many readings may be off, in standard deviations, at all times together.

    This is the normal mixture of Robbins (1970), in the form of Howard, Ramdas, McAuliffe and Sekhon (2021) and of
    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024):

        √(2(nρ²+1)/(n²ρ²) · log(√(nρ²+1)/α)),  ρ² = (−2·log α + log(−2·log α + 1))/tuned_for

    With probability 1−α the mean never leaves it, however often one looks; it leaves on the bad side with about α/2.
    It is narrowest after `tuned_for` readings.
    """
    n = np.asarray(points, dtype=np.float64)
    spent = -2 * np.log(alpha)
    rho = (spent + np.log(spent + 1)) / tuned_for
    radius: Floats = np.sqrt(2 * (n * rho + 1) / (n**2 * rho) * np.log(np.sqrt(n * rho + 1) / alpha))
    return radius


def confidence_margin(
    arrays: BaselineArrays,
    points: npt.ArrayLike,
    shares: Floats,
    *,
    size: float,
    alpha: float,
    on_weekend: npt.ArrayLike = 0.0,
) -> Floats:
    """Return how far the mean of readings may be from what is expected of them without a cause: (…, t).

    `points` (t) says how many readings there are, `shares` (t, slots) how they spread over the times of day, and `rest`
    (t) which part of them is from weekends. One reading has, in the long run, √size times the noise of a block. Half of
    α is spent on the sequence (`radius` is two-sided, and one side counts), half on the baseline, whose mean at these
    times of day has the variance noise²·Σ share²/days: a plain bound, since the baseline is looked at once.
    """
    z = NormalDist().inv_cdf(1 - alpha / 2)
    wide = (arrays.noise * student_quantile(z, arrays.degrees) / z)[..., None]
    days = np.maximum(arrays.days, 1)
    weekends = np.asarray(on_weekend, dtype=np.float64) ** 2 / arrays.weekend.worth[..., None]
    base = np.sqrt((shares**2 @ (1 / days)[..., None])[..., 0] + weekends)
    tuned = confidence_radius(points, alpha=alpha, tuned_for=max(TUNED_FOR_HOURS * size, 1.0))
    margin: Floats = wide * (np.sqrt(size) * tuned + z * base)
    return margin


@dataclass(slots=True)
class Tally:
    """The readings since a promotion, as `judge_sequence` needs them: how many at which time of day, and their sum.

    Readings at hours that fewer than `MIN_DAYS` days of the baseline have don't count.
    """

    baseline: Baseline
    higher_is_better: bool
    slot_counts: Ints  # (slots)
    value_sum: float = 0.0
    worst_gap: float = -inf  # by how much the worst of them is worse than expected
    weekend_count: float = 0.0  # how many of them are from weekends
    reading_count: int = 0  # readings, those that don't count included

    @classmethod
    def from_series(cls, points: TimeSeries, baseline: Baseline, *, higher_is_better: bool) -> Self:
        """Return the tally of all these readings."""
        tally = cls(baseline, higher_is_better, np.zeros(len(baseline.same), dtype=np.int64))
        tally.add(points)
        return tally

    def add(self, points: TimeSeries) -> None:
        """Count more readings."""
        self.reading_count += len(points)
        slots = self.baseline.slots_at(points.at)
        has_enough_days = self.baseline.arrays.days[slots] >= MIN_DAYS
        slots, values, rest = (
            slots[has_enough_days],
            points.value[has_enough_days],
            self.baseline.on_weekend(points.at[has_enough_days]),
        )
        expected = self.baseline.arrays.same[slots] + rest * self.baseline.weekend
        gaps = (expected - values) * (1 if self.higher_is_better else -1)
        self.slot_counts += np.bincount(slots, minlength=len(self.slot_counts))
        self.value_sum += float(values.sum())
        self.weekend_count += float(rest.sum())
        self.worst_gap = max(self.worst_gap, float(np.max(gaps, initial=-inf)))


def judge_sequence(tally: Tally, *, alpha: float, effect: MinimumEffect, history: float) -> Deviation:
    """Judge the mean of all readings since the promotion by a confidence sequence.

    It is worse where it is worse than expected by more than `effect`, and where the sequence excludes that it is not
    worse at all, also without its worst reading: a single wild one is no bad version, and the mean of a few isn't
    normal. One may look as often as one likes: that it ever calls worse what is not has about the probability `alpha`
    for each promotion. A drop that comes long after the promotion is diluted by the good time before it: then
    `judge_block` is quicker.

    What is expected is the baseline's mean at the same hours (UTC), each reading having its own hour. It cannot be told
    where the baseline covers less than `history` seconds, where fewer than `MIN_READINGS` readings count, or where the
    effect says nothing about such a metric. Raises ValueError for an alpha outside of 0 … 0.5.
    """
    if not 0 < alpha < 0.5:
        raise ValueError("alpha must lie between 0 and 0.5")
    baseline, count = tally.baseline, int(tally.slot_counts.sum())
    value = tally.value_sum / count if count else nan
    if (why := unusable_baseline_reason(baseline, history, effect, tally.higher_is_better)) is not None:
        return undecided(value, why)
    if tally.reading_count < MIN_READINGS:
        reason = say("There are {n} readings, and {least} are needed.", n=tally.reading_count, least=MIN_READINGS)
        return undecided(value, reason)
    if count < MIN_READINGS:
        return undecided(value, say("The past days have too few readings at these hours."))
    arrays, shares, rest = baseline.arrays, tally.slot_counts / count, tally.weekend_count / count
    off = confidence_margin(
        arrays, np.array([count]), shares[None, :], size=baseline.size, alpha=alpha, on_weekend=rest
    ).item()
    expected = float(np.nansum(shares * np.nan_to_num(arrays.same))) + rest * baseline.weekend
    deviation = baseline.noise * (baseline.size / count) ** 0.5
    limit = max(off, effect.absolute_distance(expected).item(), ROUNDING * abs(expected))
    gap = (expected - value) * (1 if tally.higher_is_better else -1)
    but = "" if count * gap - tally.worst_gap > (count - 1) * limit else "but not without its worst reading"
    return compare_with_baseline(
        value,
        expected,
        limit,
        deviation,
        tally.higher_is_better,
        effect,
        caveat=but,
        margin=say("{effect} and {off}, which noise explains", effect=describe_effect(effect), off=format_number(off)),
    )


# -- telling -----------------------------------------------------------------------------------------------------------


def confirmation_score(innovations: Floats, spread: float) -> float:
    """Return by how many standard errors `standardized_innovations` are above 0 on average, without the largest.

    A shock that dies away slowly moves the mean of many readings, but adds to only one of them. `spread` is how many
    times wider such sums are spread than if what readings add were independent.
    """
    return float((innovations.sum() - np.max(innovations)) / max(len(innovations) - 1, 1) ** 0.5 / spread)

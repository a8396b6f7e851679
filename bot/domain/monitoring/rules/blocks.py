"""The rule `blocks`: whole windows against the windows at the same hours of past days. Pure.

`block_limits` takes any number of series at once, along the first axes, so that `make bench-rules` plays thousands of
months through it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import nan

import numpy as np
import numpy.typing as npt

from bot.domain.core.numbers import format_number
from bot.domain.core.sentence import say
from bot.domain.monitoring.assessment import RuleResult
from bot.domain.monitoring.reasons import Reason
from bot.domain.monitoring.rules.baseline_choice import (
    BaselineLookup,
    baseline_for_block,
    by_prediction_time,
    has_enough_history,
    last_block,
)
from bot.domain.monitoring.rules.baselines import MIN_BLOCK_FILL, MIN_DAYS, ONE_WINDOW_INDEX, Baseline, BaselineArrays
from bot.domain.monitoring.rules.evaluation import (
    Deviation,
    RuleInput,
    compare_with_baseline,
    describe_margin,
    no_verdict,
    to_rule_result,
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
MIN_READINGS = 4  # readings of what confirms a block
CONFIRMING_READINGS = 3  # readings that confirm a block that has hardly any itself


def evaluate(inputs: RuleInput) -> RuleResult:
    """Judge the last complete block."""
    return evaluate_block(inputs, lambda start: baseline_for_block(inputs, start))


def judged_since(inputs: RuleInput) -> datetime:
    """Return from when on readings are judged: the window that ends with the warm-up is the first of several."""
    rule = inputs.rule
    return inputs.term.since + rule.warmup_duration - (rule.window if rule.fail_after > 1 else timedelta())


def evaluate_block(inputs: RuleInput, baseline_for: BaselineLookup, *, confirmation: float | None = None) -> RuleResult:
    """Judge the last complete block, once, against the baseline that `baseline_for` has for it.

    The window that ends with the warm-up counts as the first of several, but is never enough by itself.
    """
    rule, judged_to, history = inputs.rule, inputs.monitor_state.judged_to, inputs.history
    block = last_block(rule, inputs.term.since, inputs.now)
    first = judged_since(inputs)
    if block is None or block[0] < first or (judged_to is not None and block[1] <= judged_to):
        return RuleResult(is_worse=None)
    start, end = block
    readings = history.readings(start, end)
    if not len(readings):
        return no_verdict(say("The last window has no readings.").with_code(Reason.WINDOW_EMPTY), end)
    baseline, remark = baseline_for(start)
    if not has_enough_history(rule, baseline):
        return no_verdict(remark, end)
    recent = None
    if confirmation is not None and len(readings) < MIN_READINGS:
        recent = history.readings(max(first, end - 2 * CONFIRMING_READINGS * rule.every), end)
    judged = judge_block(
        by_prediction_time(rule, readings),
        (start - rule.label_delay).timestamp(),
        baseline,
        history=rule.history.total_seconds(),
        higher_is_better=rule.higher_is_better,
        effect=rule.min_effect,
        sigma=rule.sigma,
        confirmation=confirmation,
        recent=None if recent is None else by_prediction_time(rule, recent),
    )
    return to_rule_result(rule, judged, remark, end)


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
        return undecided(nan, say("The window has no readings."), Reason.WINDOW_EMPTY)
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
            Reason.WINDOW_INCOMPLETE,
        )
    slot = baseline.slot_at(start)
    if baseline.days[slot] < MIN_DAYS:
        reason = say(
            "Only {n} past windows at this time of day are complete, and {least} are needed.",
            n=int(baseline.days[slot]),
            least=MIN_DAYS,
        )
        return undecided(value, reason, Reason.TOO_FEW_DAYS)
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


def confirmation_score(innovations: Floats, spread: float) -> float:
    """Return by how many standard errors `standardized_innovations` are above 0 on average, without the largest.

    A shock that dies away slowly moves the mean of many readings, but adds to only one of them. `spread` is how many
    times wider such sums are spread than if what readings add were independent.
    """
    return float((innovations.sum() - np.max(innovations)) / max(len(innovations) - 1, 1) ** 0.5 / spread)

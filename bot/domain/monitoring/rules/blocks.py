"""The rule `blocks`: compares whole windows with those at the same hours of past days. Pure.

`block_limits` works for any number of series at once, along the first axes, so `make bench-rules` can run thousands of
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
from bot.domain.monitoring.consecutive_checks import RuleResult
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

LAST_HALF_SHARE = 0.9  # share of a block's limit that its last half must exceed
MIN_READINGS = 4  # readings that a block needs to be confirmed by its own
CONFIRMING_READINGS = 3  # readings that confirm a block with fewer than that


def evaluate(inputs: RuleInput) -> RuleResult:
    """Evaluate the last complete block."""
    return evaluate_block(inputs, lambda start: baseline_for_block(inputs, start))


def judged_since(inputs: RuleInput) -> datetime:
    """Return the time from which readings count.

    If several windows must fail, the window that ends with the warm-up can be the first of them.
    """
    rule = inputs.rule
    return inputs.term.since + rule.warmup_duration - (rule.window if rule.fail_after > 1 else timedelta())


def evaluate_block(inputs: RuleInput, baseline_for: BaselineLookup, *, confirmation: float | None = None) -> RuleResult:
    """Evaluate the last complete block, only once, against the baseline that `baseline_for` returns for it.

    The window that ends with the warm-up can count as the first of several, but is never enough on its own.
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
    """The distances from `expected` that a block must exceed to be worse: all of `mean`, `median`, and `last_half`."""

    expected: Floats  # what is usual at that time
    mean: Floats  # for its mean: the effect and the noise
    median: Floats  # for the median of its readings, so that most of them are worse: the effect alone
    last_half: Floats  # for the mean of the last half of its readings
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
    """Return the limits that blocks must exceed to be worse.

    `slots` (m) has the blocks' times of day, `on_weekend` (…, m) the share of each block that's on a weekend, and
    `points` (…, m) their numbers of readings; `size` is the usual number. The noise is that of the difference between a
    block and a mean worth D other blocks, s·√(1+1/D), with Student's t instead of the normal distribution since s is
    estimated. It isn't a prediction interval: `sigma` doesn't stand for a probability, since blocks resemble their
    neighbors and have heavier tails than a normal distribution. Blocks that lack readings are noisier by
    √(size/points), as if the missing readings were consecutive, which errs on the safe side. `noise_factor` is how many
    times noisier than usual a time of day is.

    A single shock that fades slowly can move the means of two neighboring blocks. Therefore, most of a block's readings
    must show the effect, too, as they do after a real drop, and its last half must still be about as bad, since a
    metric that recovers on its own is no reason to act.
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
    """Compare one complete block, which began at `start`, with a baseline's blocks at the same hours.

    It's worse if its mean is worse than expected by more than `effect` and by more than `sigma` times the noise. Most
    readings must be worse by `effect`, too, and the last half must not be recovering (`block_limits`). How many
    consecutive blocks must be worse isn't decided here.

    With `confirmation`, the block's single readings must confirm that it's worse by that many standard errors
    (`confirmation_score`). If it has fewer than `MIN_READINGS`, the last three readings in `recent`, which includes the
    block's own, must confirm it instead. With `confirmation`, the noise is also larger at times of day that are noisier
    than usual. Times of day are in UTC, so after the clocks change, the hours are off by one until the baseline is
    newer.

    There's no verdict if the baseline covers less than `history` seconds, if fewer than `MIN_DAYS` days have readings
    at these hours, if the block has less than `MIN_BLOCK_FILL` of the usual number of readings, or if the effect is
    meaningless for such a metric. Raise ValueError if `sigma` isn't above 0.
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
                "The window is incomplete: {n} readings instead of the usual {usual}.",
                n=len(block),
                usual=format_number(baseline.size),
            ),
            Reason.WINDOW_INCOMPLETE,
        )
    slot = baseline.slot_at(start)
    if baseline.days[slot] < MIN_DAYS:
        reason = say(
            "Only {n} past windows at this time of day are complete ({least} needed).",
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
        but = "" if is_sure else "but one shock explains it"
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
    """Return why a block whose mean is worse doesn't count as worse; empty if it does."""
    if not np.median(gaps) > limits.median.item():
        return "but most of its readings aren't"
    return "" if gaps[len(gaps) // 2 :].mean() > limits.last_half.item() else "but it's recovering"


def confirmation_score(innovations: Floats, spread: float) -> float:
    """Return how many standard errors the mean of `standardized_innovations`, without the largest, is above 0.

    A shock that fades slowly moves the mean of many readings, but is an innovation in only one of them. `spread` is the
    spread of such sums as a multiple of that of sums of independent innovations.
    """
    return float((innovations.sum() - np.max(innovations)) / max(len(innovations) - 1, 1) ** 0.5 / spread)

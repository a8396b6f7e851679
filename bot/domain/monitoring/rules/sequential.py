"""The rule `sequential`: evaluates the mean of all readings since the promotion with a confidence sequence. Pure.

`confidence_radius` and `confidence_margin` work for any number of series at once, along the first axes, so `make
bench-rules` can run thousands of months through them.
"""

from __future__ import annotations

from math import nan
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from bot.domain.core.durations import format_duration
from bot.domain.core.numbers import format_number
from bot.domain.core.sentence import Code, say
from bot.domain.monitoring.consecutive_checks import RuleResult
from bot.domain.monitoring.reasons import Reason
from bot.domain.monitoring.rules.baseline_choice import earlier_data_remark, has_enough_history
from bot.domain.monitoring.rules.baselines import BaselineArrays, Tally
from bot.domain.monitoring.rules.evaluation import (
    Deviation,
    RuleInput,
    compare_with_baseline,
    no_verdict,
    to_rule_result,
    undecided,
    unusable_baseline_reason,
)
from bot.domain.monitoring.rules.time_series import ROUNDING, Floats, student_quantile
from bot.domain.policy.effect_size import MinimumEffect
from bot.domain.policy.monitor_config import RULE_FOR_OWN_BASELINE

MIN_READINGS = 4  # readings that a confidence sequence needs
TUNED_FOR_HOURS = 2  # hours after which the confidence sequence is narrowest: bad versions are bad immediately


def evaluate(inputs: RuleInput) -> RuleResult:
    """Evaluate all readings since the warm-up; earlier ones don't count."""
    rule, history = inputs.rule, inputs.history
    if rule.baseline == "live":
        why = say(
            "A sequence since the promotion can't be its own baseline. Use the rule {blocks} or the "
            "baseline {previous}.",
            blocks=Code(RULE_FOR_OWN_BASELINE),
            previous=Code("previous"),
        )
        return no_verdict(why.with_code(Reason.OWN_BASELINE))
    frozen = history.frozen_baseline()
    if not has_enough_history(rule, frozen):
        why = say(
            "{before} ({needed} needed).",
            before=earlier_data_remark(inputs, frozen),
            needed=format_duration(rule.history),
        )
        return no_verdict(why.with_code(Reason.BASELINE_TOO_SHORT))
    judged = judge_sequence(
        history.tally(frozen, inputs.term.since + rule.warmup_duration),
        alpha=rule.alpha,
        effect=rule.min_effect,
        history=rule.history.total_seconds(),
    )
    return to_rule_result(rule, judged)


def confidence_radius(points: npt.ArrayLike, *, alpha: float, tuned_for: float) -> Floats:
    """Return how far the mean of `points` readings can be off at any time, in standard deviations.

    This is the normal mixture of Robbins (1970), in the form of Howard, Ramdas, McAuliffe, and Sekhon (2021) and of
    Waudby-Smith, Arbour, Sinha, Kennedy, and Ramdas (2024):

        √(2(nρ²+1)/(n²ρ²) · log(√(nρ²+1)/α)),  ρ² = (−2·log α + log(−2·log α + 1))/tuned_for

    With probability 1−α, the mean never leaves this radius, no matter how often it's checked. The probability that it
    leaves on the bad side is about α/2. The radius is tightest after `tuned_for` readings.
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
    """Return how far noise alone can move the mean of readings from the expected value: (…, t).

    `points` (t) is the number of readings, `shares` (t, slots) is how they're distributed over the times of day, and
    `on_weekend` (t) is the share of readings from weekends. In the long run, one reading has √size times the noise of a
    block. Half of α is spent on the sequence (`confidence_radius` is two-sided, and only one side counts), and half on
    the baseline, whose mean at these times of day has the variance noise²·Σ share²/days. For the baseline, an ordinary
    bound is enough, because it's used only once.
    """
    z = NormalDist().inv_cdf(1 - alpha / 2)
    wide = (arrays.noise * student_quantile(z, arrays.degrees) / z)[..., None]
    days = np.maximum(arrays.days, 1)
    weekends = np.asarray(on_weekend, dtype=np.float64) ** 2 / arrays.weekend.worth[..., None]
    base = np.sqrt((shares**2 @ (1 / days)[..., None])[..., 0] + weekends)
    tuned = confidence_radius(points, alpha=alpha, tuned_for=max(TUNED_FOR_HOURS * size, 1.0))
    margin: Floats = wide * (np.sqrt(size) * tuned + z * base)
    return margin


def judge_sequence(tally: Tally, *, alpha: float, effect: MinimumEffect, history: float) -> Deviation:
    """Evaluate the mean of all readings since the promotion with a confidence sequence.

    The mean is worse if it's worse than expected by more than `effect`, and if the sequence rules out that it isn't
    worse at all. Both must also be true without its worst reading, because one wild reading doesn't make a version bad,
    and the mean of a few readings isn't normally distributed. It can be checked any number of times: the probability of
    ever calling a good version worse is about `alpha` per promotion. A drop long after the promotion is diluted by the
    good readings before it, so `judge_block` detects it sooner.

    The expected value is the baseline's mean at the same hours (UTC), with each reading compared at its own hour.
    There's no verdict if the baseline covers less than `history` seconds, if fewer than `MIN_READINGS` readings count,
    or if the effect is meaningless for the metric. Raise ValueError if alpha isn't between 0 and 0.5.
    """
    if not 0 < alpha < 0.5:
        raise ValueError("alpha must be between 0 and 0.5")
    baseline, count = tally.baseline, int(tally.slot_counts.sum())
    value = tally.value_sum / count if count else nan
    if (why := unusable_baseline_reason(baseline, history, effect, tally.higher_is_better)) is not None:
        return undecided(value, why)
    if tally.reading_count < MIN_READINGS:
        reason = say("Only {n} of the {least} readings needed so far.", n=tally.reading_count, least=MIN_READINGS)
        return undecided(value, reason, Reason.TOO_FEW_READINGS)
    if count < MIN_READINGS:
        return undecided(value, say("Past days have too few readings at these hours."), Reason.TOO_FEW_DAYS)
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
        margin=say("{effect} and the {off} that noise explains", effect=effect.in_words, off=format_number(off)),
    )

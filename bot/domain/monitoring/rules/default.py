"""The rule `default`: evaluates counts and means of several lengths at every check, and whole windows once. Pure.

It fails if any of these comparisons fails.
"""

from __future__ import annotations

from dataclasses import replace

from bot.domain.core.sentence import say
from bot.domain.monitoring.consecutive_checks import RuleResult
from bot.domain.monitoring.reasons import Reason
from bot.domain.monitoring.rules import proportions, scan_statistics
from bot.domain.monitoring.rules.baseline_choice import (
    BaselineLookup,
    by_prediction_time,
    current_baseline,
    has_enough_history,
    has_slot,
)
from bot.domain.monitoring.rules.baselines import SCAN_WINDOWS, Baseline
from bot.domain.monitoring.rules.blocks import evaluate_block, judged_since
from bot.domain.monitoring.rules.evaluation import Deviation, RuleInput, no_verdict, to_rule_result
from bot.domain.monitoring.rules.time_series import TimeSeries

BLOCK_CONFIRMATION = 2.0  # standard errors by which single readings must confirm a block, if a scan runs too


def evaluate(inputs: RuleInput) -> RuleResult:
    """Evaluate the last complete block once. At every check, evaluate the counts and the means over several lengths.

    Sparse counts are evaluated only as counts, because their ratios carry too little information.
    """
    baseline, baseline_for = current_baseline(inputs)
    by_count = None
    if has_enough_history(inputs.rule, baseline):
        by_count = _evaluate_count(inputs, baseline, baseline_for)
        if by_count is not None and (by_count.is_worse or baseline.is_sparse):
            return by_count
    by_rest = _evaluate_means(inputs, baseline, baseline_for)
    if by_count is None:
        return by_rest
    is_recovered = by_rest.is_recovered and by_count.is_recovered
    return replace(by_rest, is_recovered=is_recovered, evidence=by_count.evidence)


def _evaluate_count(inputs: RuleInput, baseline: Baseline, baseline_for: BaselineLookup) -> RuleResult | None:
    """Evaluate this check's count together with all earlier ones.

    If there's no count, return None, or a result without a verdict if the baseline's counts are sparse.
    """
    rule, now = inputs.rule, inputs.now
    weighed = proportions.judge_count(
        inputs.reading.value,
        inputs.reading.total,
        now.timestamp(),
        inputs.monitor_state.evidence,
        baseline,
        higher_is_better=rule.higher_is_better,
        effect=rule.min_effect,
        fail_after=rule.fail_after,
    )
    if weighed is None:
        why = say("The reading has no total, but the baseline's readings do.").with_code(Reason.NO_TOTAL)
        return no_verdict(why) if baseline.is_sparse else None
    remark = baseline_for(now)[1] if has_slot(rule, baseline, now) else None
    rule_result = to_rule_result(rule, weighed.deviation, remark)
    return replace(rule_result, is_confirmed=True, is_recovered=weighed.is_recovered, evidence=weighed.evidence)


def _evaluate_means(inputs: RuleInput, baseline: Baseline, baseline_for: BaselineLookup) -> RuleResult:
    by_block = evaluate_block(inputs, baseline_for, confirmation=BLOCK_CONFIRMATION)
    if by_block.is_worse or not has_enough_history(inputs.rule, baseline):
        return by_block
    by_scan = _evaluate_scan(inputs, baseline)
    if by_scan is None:
        return by_block
    remark = baseline_for(inputs.now)[1]
    return replace(to_rule_result(inputs.rule, by_scan, remark), judged_to=by_block.judged_to)


def _evaluate_scan(inputs: RuleInput, baseline: Baseline) -> Deviation | None:
    """Return the clearest drop among the means up to this check; None if there's no drop.

    Older readings are fetched only if the newest ones are worse than expected.
    """
    rule, now, history = inputs.rule, inputs.now, inputs.history
    is_higher, effect = rule.higher_is_better, rule.min_effect
    if effect.meaningless_reason(baseline.low, baseline.high) is not None or not baseline.spread:
        return None
    newest = by_prediction_time(rule, TimeSeries.from_columns([now.timestamp()], [inputs.reading.value]))
    if not scan_statistics.is_below_expected(
        newest, baseline, higher_is_better=is_higher, effect=effect, effect_share=scan_statistics.NEWEST_EFFECT_SHARE
    ):
        return None
    first = judged_since(inputs)
    shortest, *_, longest = (now - windows * rule.window for windows in SCAN_WINDOWS)
    half = by_prediction_time(rule, history.recent(max(first, shortest)))
    if not scan_statistics.is_below_expected(
        half, baseline, higher_is_better=is_higher, effect=effect, effect_share=1.0
    ):
        return None
    recent = by_prediction_time(rule, history.recent(max(first, longest - 2 * rule.every)))
    return scan_statistics.judge_scan(recent, baseline, higher_is_better=is_higher, effect=effect, sigma=rule.sigma)

"""Applies a monitor's rule to a check: the evaluation behind both live checks and backtests. Pure.

What a rule looks back at comes through `MonitorHistory`: from the ledger in bot/services/monitoring/evaluation.py, from
memory in bot/services/monitoring/backtests.py. Nothing else differs between the two.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from math import isnan, nan

from bot.domain.core.durations import format_duration
from bot.domain.core.numbers import format_proportion
from bot.domain.core.sentence import Code, Sentence, join_sentences, say
from bot.domain.monitoring.assessment import RuleResult
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import CheckOutcome, Reading
from bot.domain.monitoring.rules import counts, scans, statistics
from bot.domain.monitoring.rules.baseline_choice import (
    BaselineLookup,
    baseline_for_block,
    by_prediction_time,
    current_baseline,
    earlier_data_remark,
    has_enough_history,
    has_slot,
)
from bot.domain.monitoring.rules.baselines import SCAN_WINDOWS, Baseline
from bot.domain.monitoring.rules.block_times import last_block
from bot.domain.monitoring.rules.deviation import Deviation
from bot.domain.monitoring.rules.history import MonitorHistory
from bot.domain.monitoring.rules.time_series import TimeSeries
from bot.domain.monitoring.state import MonitorState, ProductionTerm
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.registry.metric_direction import Direction

BLOCK_CONFIRMATION = 2.0  # standard errors by which single readings must confirm a block, if a scan runs beside it


# -- the baseline ------------------------------------------------------------------------------------------------------


# -- the evaluation ----------------------------------------------------------------------------------------------------


def evaluate_rule(
    monitor: Monitor,
    monitor_state: MonitorState,
    term: ProductionTerm,
    reading: Reading,
    now: datetime,
    history: MonitorHistory,
) -> RuleResult | None:
    """Return the rule's result for a check; None without a value, or too soon after the promotion.

    `monitor_state` is that of `start`, before the check. Before the first labels can have come, it says that instead.
    """
    rule = monitor.rule
    if reading.outcome is CheckOutcome.NO_DATA and term.since <= now < term.since + rule.label_delay:
        return _no_verdict(
            say(
                "Labels come {delay} late, so {v} can't be measured before {at}.",
                delay=format_duration(rule.label_delay),
                v=Code(f"v{term.version}"),
                at=term.since + rule.label_delay,
            )
        )
    if reading.outcome is not CheckOutcome.OK or now < term.since + rule.warmup_duration:
        return None
    seen = monitor_state.points + reading.fresh
    if seen < rule.required_points:
        return _no_verdict(
            say("It needs {n} readings since the promotion, and has {seen}.", n=rule.required_points, seen=seen)
        )
    if rule.is_threshold:
        judged = statistics.judge_threshold(reading.value, greater_than=rule.greater_than, less_than=rule.less_than)
        why = say(judged.why.template, **{**judged.why.args, "value": format_proportion(reading.value, reading.total)})
        return RuleResult(is_worse=judged.is_worse, bound=judged.bound, why=why)
    if rule.rule == "sequential":
        return _evaluate_sequence(rule, term, history)
    if rule.rule == "default":
        return _evaluate_default(rule, monitor_state, term, reading, now, history)
    return _evaluate_block(
        rule, monitor_state, term, now, history, lambda start: baseline_for_block(rule, term, start, history)
    )


def _evaluate_default(
    rule: MonitorConfig,
    monitor_state: MonitorState,
    term: ProductionTerm,
    reading: Reading,
    now: datetime,
    history: MonitorHistory,
) -> RuleResult:
    """Judge the last complete block, once, and at every check the means of several lengths and the counts.

    Any of them is enough. Sparse counts are judged only as counts: their shares say too little.
    """
    baseline, compared = current_baseline(rule, monitor_state, term, now, history)
    by_count = (
        _evaluate_count(rule, monitor_state, reading, now, baseline, compared)
        if has_enough_history(rule, baseline)
        else None
    )
    if by_count is not None and (by_count.is_worse or baseline.is_sparse):
        return by_count
    by_rest = _evaluate_means(rule, monitor_state, term, reading, now, history, baseline, compared)
    if by_count is None:
        return by_rest
    is_recovered = by_rest.is_recovered and by_count.is_recovered
    return replace(by_rest, is_recovered=is_recovered, evidence=by_count.evidence)


def _evaluate_count(
    rule: MonitorConfig,
    monitor_state: MonitorState,
    reading: Reading,
    now: datetime,
    baseline: Baseline,
    baseline_for: BaselineLookup,
) -> RuleResult | None:
    """Judge the count of this check together with all before it; None if there's no count."""
    weighed = counts.judge_count(
        reading.value,
        reading.total,
        now.timestamp(),
        monitor_state.evidence,
        baseline,
        higher_is_better=rule.better_direction is Direction.HIGHER,
        effect=rule.min_effect,
        fail_after=rule.fail_after,
    )
    if weighed is None and baseline.is_sparse:
        return _no_verdict(say("The reading has no total, but the readings in the baseline do."))
    if weighed is None:
        return None
    remark = baseline_for(now)[1] if has_slot(rule, baseline, now) else say("")
    rule_result = _to_rule_result(rule, weighed.deviation, remark, None)
    return replace(rule_result, is_confirmed=True, is_recovered=weighed.is_recovered, evidence=weighed.evidence)


def _evaluate_means(
    rule: MonitorConfig,
    monitor_state: MonitorState,
    term: ProductionTerm,
    reading: Reading,
    now: datetime,
    history: MonitorHistory,
    baseline: Baseline,
    baseline_for: BaselineLookup,
) -> RuleResult:
    by_block = _evaluate_block(rule, monitor_state, term, now, history, baseline_for, confirmation=BLOCK_CONFIRMATION)
    if by_block.is_worse or not has_enough_history(rule, baseline):
        return by_block
    by_scan = _evaluate_scan(rule, term, reading.value, now, baseline, history)
    if by_scan is None:
        return by_block
    return replace(_to_rule_result(rule, by_scan, baseline_for(now)[1], None), judged_to=by_block.judged_to)


def _evaluate_scan(
    rule: MonitorConfig, term: ProductionTerm, value: float, now: datetime, baseline: Baseline, history: MonitorHistory
) -> Deviation | None:
    """Return which mean up to this check is worse; None if none is. Reads more only if what it has read is down."""
    is_higher, effect = rule.better_direction is Direction.HIGHER, rule.min_effect
    low, high = baseline.low, baseline.high
    if effect.meaningless_reason(low, high) is not None or not baseline.spread:
        return None
    newest = by_prediction_time(rule, TimeSeries.from_columns([now.timestamp()], [value]))
    if not scans.is_below_expected(
        newest, baseline, higher_is_better=is_higher, effect=effect, effect_share=scans.NEWEST_EFFECT_SHARE
    ):
        return None
    first = _judged_since(rule, term)
    shortest, *_, longest = (now - windows * rule.window for windows in SCAN_WINDOWS)
    half = by_prediction_time(rule, history.recent(max(first, shortest)))
    if not scans.is_below_expected(half, baseline, higher_is_better=is_higher, effect=effect, effect_share=1.0):
        return None
    recent = by_prediction_time(rule, history.recent(max(first, longest - 2 * rule.every)))
    return scans.judge_scan(recent, baseline, higher_is_better=is_higher, effect=effect, sigma=rule.sigma)


def _judged_since(rule: MonitorConfig, term: ProductionTerm) -> datetime:
    """Return from when on readings are judged: the window that ends with the warm-up is the first of several."""
    return term.since + rule.warmup_duration - (rule.window if rule.fail_after > 1 else timedelta())


def _evaluate_block(
    rule: MonitorConfig,
    monitor_state: MonitorState,
    term: ProductionTerm,
    now: datetime,
    history: MonitorHistory,
    baseline_for: BaselineLookup,
    *,
    confirmation: float | None = None,
) -> RuleResult:
    """Judge the last complete block, once, against what it's `compared` with.

    The window that ends with the warm-up counts as the first of several, but is never enough by itself.
    """
    block = last_block(rule, term.since, now)
    if (
        block is None
        or block[0] < _judged_since(rule, term)
        or (monitor_state.judged_to is not None and block[1] <= monitor_state.judged_to)
    ):
        return RuleResult(is_worse=None)
    start, end = block
    readings = history.readings(start, end)
    if not len(readings):
        return RuleResult(is_worse=None, why=say("The last window has no readings."), judged_to=end)
    baseline, remark = baseline_for(start)
    if not has_enough_history(rule, baseline):
        return _no_verdict(remark, end)
    judged = statistics.judge_block(
        by_prediction_time(rule, readings),
        (start - rule.label_delay).timestamp(),
        baseline,
        history=rule.history.total_seconds(),
        higher_is_better=rule.better_direction is Direction.HIGHER,
        effect=rule.min_effect,
        sigma=rule.sigma,
        confirmation=confirmation,
        recent=_confirming_readings(rule, term, end, history)
        if confirmation is not None and len(readings) < statistics.MIN_READINGS
        else None,
    )
    return _to_rule_result(rule, judged, remark, end)


def _confirming_readings(
    rule: MonitorConfig, term: ProductionTerm, end: datetime, history: MonitorHistory
) -> TimeSeries:
    """Return the last few readings before a block's end, which confirm a block with hardly any readings."""
    return by_prediction_time(
        rule,
        history.readings(max(_judged_since(rule, term), end - 2 * statistics.CONFIRMING_READINGS * rule.every), end),
    )


# -- what a default monitor compares with ------------------------------------------------------------------------------


def _evaluate_sequence(rule: MonitorConfig, term: ProductionTerm, history: MonitorHistory) -> RuleResult:
    """Judge all readings since the warm-up; earlier ones don't count."""
    if rule.baseline == "live":
        return _no_verdict(
            say(
                "A sequence since the promotion can't be its own baseline. Use the rule {blocks}, or the "
                "baseline {previous}.",
                blocks=Code("blocks"),
                previous=Code("previous"),
            )
        )
    frozen = history.frozen_baseline()
    if not has_enough_history(rule, frozen):
        return _no_verdict(
            say(
                "{before}, and {needed} are needed.",
                before=earlier_data_remark(rule, term, frozen),
                needed=format_duration(rule.history),
            )
        )
    judged = statistics.judge_sequence(
        history.tally(frozen, term.since + rule.warmup_duration),
        alpha=rule.alpha,
        effect=rule.min_effect,
        history=rule.history.total_seconds(),
    )
    return _to_rule_result(rule, judged, say(""), None)


def _to_rule_result(
    rule: MonitorConfig, deviation: Deviation, remark: Sentence, judged_to: datetime | None
) -> RuleResult:
    """Return the result of a rule against a baseline, and whether it has recovered (with hysteresis)."""
    enough = rule.hysteresis * rule.min_effect.absolute_distance(deviation.expected).item()
    why = join_sentences([deviation.why, remark], " ") if str(remark) else deviation.why
    if deviation.is_worse is None:
        return _no_verdict(why, judged_to)
    return RuleResult(
        is_worse=deviation.is_worse,
        is_recovered=isnan(deviation.gap) or deviation.gap < enough,
        bound=deviation.bound,
        baseline_value=deviation.expected,
        why=why,
        judged_to=judged_to,
    )


def _no_verdict(why: Sentence, judged_to: datetime | None = None) -> RuleResult:
    return RuleResult(is_worse=None, bound=nan, baseline_value=nan, why=why, judged_to=judged_to)

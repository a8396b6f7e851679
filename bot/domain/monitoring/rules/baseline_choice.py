"""Chooses what a version is compared with: the frozen baseline, or the version's own days."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from bot.domain.core.durations import format_duration
from bot.domain.core.sentence import Code, Sentence, say
from bot.domain.monitoring.rules import counts, deviation
from bot.domain.monitoring.rules.baseline_summary import lookback, summarize
from bot.domain.monitoring.rules.baselines import MIN_COVERAGE, MIN_DAYS, Baseline, day_length, is_better
from bot.domain.monitoring.rules.block_times import block_bounds, count_complete_blocks
from bot.domain.monitoring.rules.history import MonitorHistory
from bot.domain.monitoring.rules.time_series import TimeSeries
from bot.domain.monitoring.state import MonitorState, ProductionTerm
from bot.domain.monitoring.stored_baselines import OwnBaselineKind
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.registry.metric_direction import Direction

SLOTS_PER_DAY = 24  # of a day, that `sequential` compares by
RATCHET_DAYS = 14  # days without a failure after which a baseline may get better
BaselineLookup = Callable[
    [datetime], tuple[Baseline, Sentence]
]  # what a block that begins then is compared with, and a remark


def baseline_key(rule: MonitorConfig, measured_from: int) -> str:
    """Return the settings that a frozen baseline depends on besides its term; if they change, it's made again."""
    window = f" {rule.window.total_seconds():g}" if rule.uses_blocks else ""
    delay = f" -{rule.label_delay.total_seconds():g}" if rule.label_delay else ""
    return f"{measured_from} {rule.rule} {rule.history.total_seconds():g}{window}{delay}"


def baseline_span(rule: MonitorConfig, term: ProductionTerm) -> tuple[datetime, datetime]:
    """Return the start and end of the readings that a term's frozen baseline is made of."""
    return term.since - timedelta(seconds=lookback(rule.history.total_seconds())), term.since


def summarize_for_rule(rule: MonitorConfig, term: ProductionTerm, points: TimeSeries) -> Baseline:
    """Return the baseline of these readings for the rule.

    For `blocks`, it's cut like the blocks of the term. For `sequential`, it's cut into hours of the day (UTC), or into
    days where readings come less often.
    """
    history, points = rule.history.total_seconds(), by_prediction_time(rule, points)
    if rule.uses_blocks:
        start = (term.since - rule.label_delay).timestamp()
        baseline = summarize(points, start=start, window=rule.window.total_seconds(), history=history)
        return counts.with_counts(baseline, points) if rule.rule == "default" else baseline
    day = day_length(history)
    window = day if points.spacing > day / SLOTS_PER_DAY else day / SLOTS_PER_DAY
    return summarize(points, start=0.0, window=window, history=history)


def by_prediction_time(rule: MonitorConfig, points: TimeSeries) -> TimeSeries:
    """Return the readings at the times of the predictions, whose labels came later; weekends depend on these times."""
    return TimeSeries(points.at - rule.label_delay.total_seconds(), points.value, points.total)


def has_enough_history(rule: MonitorConfig, baseline: Baseline) -> bool:
    """Tell whether a baseline covers as much as the rule needs."""
    return baseline.covers >= MIN_COVERAGE * rule.history.total_seconds()


def current_baseline(
    rule: MonitorConfig, monitor_state: MonitorState, term: ProductionTerm, now: datetime, history: MonitorHistory
) -> tuple[Baseline, BaselineLookup]:
    """Return the baseline of a check, and a function from a block's start to that block's baseline and a remark.

    The baseline is what was measured before the term, or, once the version has been better than that for `RATCHET_DAYS`
    days without a failure, its own best days: a baseline can only get better. If too little was measured before, it's
    the version's own days so far, summarized again each day.
    """
    before = history.frozen_baseline() if rule.baseline == "previous" else None
    today = term.since + (now - term.since) // rule.baseline_day * rule.baseline_day
    if before is not None and has_enough_history(rule, before):
        best = history.own_baseline(OwnBaselineKind.BEST)
        baseline = best[1] if best else before
        since = max(term.since, best[0] if best else term.since, monitor_state.failed_at or term.since)
        if (monitor_state.at is None or monitor_state.at < today) and today - since >= RATCHET_DAYS * rule.baseline_day:
            since = max(since, _own_days_since(rule, term, today))
            own = summarize_for_rule(rule, term, history.readings(since, today))
            if _can_replace(rule, own, baseline):
                history.save_own_baseline(OwnBaselineKind.BEST, since, today, own)
                baseline = own
        return baseline, lambda start: _baseline_at_slot(rule, term, baseline, start, history)
    live = history.own_baseline(OwnBaselineKind.LIVE)
    if live is None or live[0] < today:
        live = today, _summarize_own_days(rule, term, today, history)
        history.save_own_baseline(OwnBaselineKind.LIVE, _own_days_since(rule, term, today), *live)
    summary = live[1]
    return summary, lambda start: (summary, _own_days_remark(rule, term, before, summary, start, history))


def _summarize_own_days(
    rule: MonitorConfig, term: ProductionTerm, until: datetime, history: MonitorHistory
) -> Baseline:
    return summarize_for_rule(rule, term, history.readings(_own_days_since(rule, term, until), until))


def _own_days_since(rule: MonitorConfig, term: ProductionTerm, until: datetime) -> datetime:
    """Return when the version's own days begin to count."""
    return max(term.since, until - timedelta(seconds=lookback(rule.history.total_seconds())))


def _can_replace(rule: MonitorConfig, candidate: Baseline, current: Baseline) -> bool:
    """Tell whether a version's own days are better than its baseline, and good enough to judge by."""
    is_higher, history = rule.better_direction is Direction.HIGHER, rule.history.total_seconds()
    return deviation.unusable_baseline_reason(candidate, history, rule.min_effect, is_higher) is None and is_better(
        candidate, current, is_higher, rule.min_effect
    )


def _baseline_at_slot(
    rule: MonitorConfig, term: ProductionTerm, preferred: Baseline, start: datetime, history: MonitorHistory
) -> tuple[Baseline, Sentence]:
    """Return the baseline for the block that begins at `start`, and a remark about it.

    Where too little was measured before the term, at all or at these hours, it's the version's own past days; where
    those are too few as well, what there is to say is why, and from when on it judges.
    """
    if has_enough_history(rule, preferred) and has_slot(rule, preferred, start):
        return preferred, say("")
    live = _summarize_own_days(rule, term, start, history)
    return live, _own_days_remark(rule, term, preferred, live, start, history)


def has_slot(rule: MonitorConfig, baseline: Baseline, start: datetime) -> bool:
    return baseline.days[baseline.slot_at((start - rule.label_delay).timestamp())] >= MIN_DAYS


def baseline_for_block(
    rule: MonitorConfig, term: ProductionTerm, start: datetime, history: MonitorHistory
) -> tuple[Baseline, Sentence]:
    """Return the baseline for the block that begins at `start`, and a remark about it."""
    if rule.baseline == "previous":
        return _baseline_at_slot(rule, term, history.frozen_baseline(), start, history)
    live = _summarize_own_days(rule, term, start, history)
    return live, _own_days_remark(rule, term, None, live, start, history)


def _own_days_remark(
    rule: MonitorConfig,
    term: ProductionTerm,
    earlier: Baseline | None,
    own_baseline: Baseline,
    start: datetime,
    history: MonitorHistory,
) -> Sentence:
    """Return the remark for a version that's compared with its own days."""
    before = say("") if earlier is None else earlier_data_remark(rule, term, earlier)
    if has_enough_history(rule, own_baseline):
        return say("{before}, so this compares with its own past days.", before=before) if str(before) else before
    whose = say("{before}, and its own", before=before) if str(before) else say("{v}'s", v=_version_code(term))
    own = history.readings(_own_days_since(rule, term, start), start)
    is_daily = rule.rule == "default" and (earlier is None or not has_enough_history(rule, earlier))
    return say(
        "{whose} past days cover {covers} of the {needed} needed. It judges from {at}.",
        whose=whose,
        covers=_show_seconds(own_baseline.covers),
        needed=format_duration(rule.history),
        at=_judging_starts_at(rule, term, own, start, is_daily=is_daily),
    )


def earlier_data_remark(rule: MonitorConfig, term: ProductionTerm, earlier: Baseline) -> Sentence:
    """Return how little data there is from before a term; readings of blocked versions or other queries don't count."""
    if has_enough_history(rule, earlier):
        return say("Before {v}, too few windows at this time of day were complete", v=_version_code(term))
    if not earlier.covers:
        return say("There's no usable data from before {v}", v=_version_code(term))
    return say(
        "There's only {covers} of usable data from before {v}",
        covers=_show_seconds(earlier.covers),
        v=_version_code(term),
    )


def _version_code(term: ProductionTerm) -> Code | str:
    return Code(f"v{term.version}") if term.version else "this version"


def _show_seconds(seconds: float) -> str:
    return format_duration(timedelta(seconds=seconds))


def _judging_starts_at(
    rule: MonitorConfig, term: ProductionTerm, own_readings: TimeSeries, start: datetime, *, is_daily: bool
) -> datetime:
    """Return when the first block ends that has enough of the version's own history before it.

    `is_daily`: its own days are summarized after each full day, not at every block.
    """
    first = datetime.fromtimestamp(float(own_readings.at[0]), UTC) if len(own_readings) else start
    enough = first + MIN_COVERAGE * rule.history
    if is_daily:
        enough = term.since - (term.since - enough) // rule.baseline_day * rule.baseline_day
    later = start + rule.window  # this block can't, however old its past is
    number = count_complete_blocks(rule, term.since, max(enough, later))
    while block_bounds(rule, term.since, number)[0] < max(enough, later):
        number += 1
    before = block_bounds(rule, term.since, number - 1) if number else None
    if is_daily and before is not None and before[0] >= later and before[1] >= enough:
        return before[1]  # it ends together with the day
    return block_bounds(rule, term.since, number)[1]

"""Chooses the baseline for a version: the frozen one, or one built from the version's own readings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from bot.domain.core.durations import format_duration
from bot.domain.core.sentence import Code, Sentence, say
from bot.domain.monitoring.monitor import OwnBaselineKind, ProductionTerm
from bot.domain.monitoring.reasons import Reason
from bot.domain.monitoring.rules import proportions
from bot.domain.monitoring.rules.baseline_summary import lookback, summarize
from bot.domain.monitoring.rules.baselines import MIN_COVERAGE, MIN_DAYS, Baseline, day_length, is_better
from bot.domain.monitoring.rules.evaluation import RuleInput, unusable_baseline_reason
from bot.domain.monitoring.rules.time_series import TimeSeries
from bot.domain.policy.monitor_config import MonitorConfig

SLOTS_PER_DAY = 24  # if windows aren't compared
RATCHET_DAYS = 14  # days without a failure after which a baseline can improve
BaselineLookup = Callable[
    [datetime], tuple[Baseline, Sentence | None]
]  # from a block's start to the block's baseline and a remark


def baseline_key(rule: MonitorConfig, measured_from: int) -> str:
    """Return a key for the settings that a frozen baseline depends on besides its term; a new key rebuilds it."""
    window = f" {rule.window.total_seconds():g}" if rule.kind.compares_windows else ""
    delay = f" -{rule.label_delay.total_seconds():g}" if rule.label_delay else ""
    return f"{measured_from} {rule.rule} {rule.history.total_seconds():g}{window}{delay}"


def baseline_span(rule: MonitorConfig, term: ProductionTerm) -> tuple[datetime, datetime]:
    """Return the start and end of the period whose readings make up a term's frozen baseline."""
    return term.since - timedelta(seconds=lookback(rule.history.total_seconds())), term.since


def summarize_for_rule(rule: MonitorConfig, term: ProductionTerm, points: TimeSeries) -> Baseline:
    """Return the rule's baseline, made from these readings.

    If the rule compares windows, the baseline is cut into blocks, as the term is; otherwise, it's cut into hours of the
    day (UTC), or into days if readings are less frequent than that.
    """
    history, points = rule.history.total_seconds(), by_prediction_time(rule, points)
    if rule.kind.compares_windows:
        start = (term.since - rule.label_delay).timestamp()
        baseline = summarize(points, start=start, window=rule.window.total_seconds(), history=history)
        return proportions.with_counts(baseline, points) if rule.kind.summarizes_daily else baseline
    day = day_length(history)
    window = day if points.spacing > day / SLOTS_PER_DAY else day / SLOTS_PER_DAY
    return summarize(points, start=0.0, window=window, history=history)


def by_prediction_time(rule: MonitorConfig, points: TimeSeries) -> TimeSeries:
    """Return the readings at the times of their predictions.

    Labels arrive later, and whether a reading is from a weekend depends on the time of its prediction.
    """
    return TimeSeries(points.at - rule.label_delay.total_seconds(), points.value, points.total)


def has_enough_history(rule: MonitorConfig, baseline: Baseline) -> bool:
    """Return whether a baseline covers as much time as the rule needs."""
    return baseline.covers >= MIN_COVERAGE * rule.history.total_seconds()


def current_baseline(inputs: RuleInput) -> tuple[Baseline, BaselineLookup]:
    """Return a check's baseline, and a function that maps a block's start to that block's baseline and a remark.

    The baseline is what was measured before the term. Once the version has been better than that for `RATCHET_DAYS`
    days without a failure, its own best days replace it, so a baseline can only get better. If too little was measured
    before the term, the baseline is the version's own days so far, summarized again each day.
    """
    rule, term, history, monitor_state = inputs.rule, inputs.term, inputs.history, inputs.monitor_state
    before = history.frozen_baseline() if rule.baseline == "previous" else None
    today = term.since + (inputs.now - term.since) // rule.baseline_day * rule.baseline_day
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
        return baseline, lambda start: _baseline_at_slot(inputs, baseline, start)
    live = history.own_baseline(OwnBaselineKind.LIVE)
    if live is None or live[0] < today:
        live = today, _summarize_own_days(inputs, today)
        history.save_own_baseline(OwnBaselineKind.LIVE, _own_days_since(rule, term, today), *live)
    summary = live[1]
    return summary, lambda start: (summary, _own_days_remark(inputs, before, summary, start))


def _summarize_own_days(inputs: RuleInput, until: datetime) -> Baseline:
    since = _own_days_since(inputs.rule, inputs.term, until)
    return summarize_for_rule(inputs.rule, inputs.term, inputs.history.readings(since, until))


def _own_days_since(rule: MonitorConfig, term: ProductionTerm, until: datetime) -> datetime:
    """Return the time from which the version's own days count."""
    return max(term.since, until - timedelta(seconds=lookback(rule.history.total_seconds())))


def _can_replace(rule: MonitorConfig, candidate: Baseline, current: Baseline) -> bool:
    """Return whether a version's own days are better than its baseline and usable as one."""
    is_higher, history = rule.higher_is_better, rule.history.total_seconds()
    return unusable_baseline_reason(candidate, history, rule.min_effect, is_higher) is None and is_better(
        candidate, current, is_higher, rule.min_effect
    )


def has_slot(rule: MonitorConfig, baseline: Baseline, start: datetime) -> bool:
    """Return whether enough of the baseline's days have readings at the hours of a block."""
    return baseline.days[baseline.slot_at((start - rule.label_delay).timestamp())] >= MIN_DAYS


def baseline_for_block(inputs: RuleInput, start: datetime) -> tuple[Baseline, Sentence | None]:
    """Return the baseline for the block that begins at `start`, and a remark about it."""
    earlier = inputs.history.frozen_baseline() if inputs.rule.baseline == "previous" else None
    return _baseline_at_slot(inputs, earlier, start)


def _baseline_at_slot(
    inputs: RuleInput, preferred: Baseline | None, start: datetime
) -> tuple[Baseline, Sentence | None]:
    """Return the baseline for the block that begins at `start`, and a remark about it.

    If too little was measured before the term, in total or at these hours, the baseline comes from the version's own
    past days. If there are too few of those as well, the remark says why, and when evaluation starts.
    """
    rule = inputs.rule
    if preferred is not None and has_enough_history(rule, preferred) and has_slot(rule, preferred, start):
        return preferred, None
    live = _summarize_own_days(inputs, start)
    return live, _own_days_remark(inputs, preferred, live, start)


def _own_days_remark(
    inputs: RuleInput, earlier: Baseline | None, own_baseline: Baseline, start: datetime
) -> Sentence | None:
    """Return the remark for a version that's compared with its own days."""
    rule, term = inputs.rule, inputs.term
    before = None if earlier is None else earlier_data_remark(inputs, earlier)
    if has_enough_history(rule, own_baseline):
        return before and say("{before}, so it's compared with its own past days.", before=before)
    own = inputs.history.readings(_own_days_since(rule, term, start), start)
    is_daily = rule.kind.summarizes_daily and (earlier is None or not has_enough_history(rule, earlier))
    return say(
        "{whose} past days cover {covers} of the {needed} needed. Evaluation starts at {at}.",
        whose=say("{before}, and its own", before=before) if before else say("{v}'s", v=_version_code(term)),
        covers=_show_seconds(own_baseline.covers),
        needed=format_duration(rule.history),
        at=_judging_starts_at(rule, term, own, start, is_daily=is_daily),
    ).with_code(Reason.BASELINE_TOO_SHORT)


def earlier_data_remark(inputs: RuleInput, earlier: Baseline) -> Sentence:
    """Return a remark on how little data there is from before a term, excluding blocked versions and other queries."""
    v = _version_code(inputs.term)
    if has_enough_history(inputs.rule, earlier):
        return say("Before {v}, too few windows at this time of day were complete", v=v)
    if not earlier.covers:
        return say("There's no usable data from before {v}", v=v)
    return say("There's only {covers} of usable data from before {v}", covers=_show_seconds(earlier.covers), v=v)


def _version_code(term: ProductionTerm) -> Code | str:
    return Code(f"v{term.version}") if term.version else "this version"


def _show_seconds(seconds: float) -> str:
    return format_duration(timedelta(seconds=seconds))


def _judging_starts_at(
    rule: MonitorConfig, term: ProductionTerm, own_readings: TimeSeries, start: datetime, *, is_daily: bool
) -> datetime:
    """Return the end of the first block that has enough of the version's own history before it.

    If `is_daily`, the version's own days are summarized after each full day, not at every block.
    """
    first = datetime.fromtimestamp(float(own_readings.at[0]), UTC) if len(own_readings) else start
    enough = first + MIN_COVERAGE * rule.history
    if is_daily:
        enough = term.since - (term.since - enough) // rule.baseline_day * rule.baseline_day
    later = start + rule.window  # this block can't have enough, no matter how long its history is
    number = count_complete_blocks(rule, term.since, max(enough, later))
    while block_bounds(rule, term.since, number)[0] < max(enough, later):
        number += 1
    before = block_bounds(rule, term.since, number - 1) if number else None
    if is_daily and before is not None and before[0] >= later and before[1] >= enough:
        return before[1]  # it ends with the day
    return block_bounds(rule, term.since, number)[1]


# -- the blocks of a term ----------------------------------------------------------------------------------------------


def last_block(rule: MonitorConfig, since: datetime, now: datetime) -> tuple[datetime, datetime] | None:
    """Return the start and end of the last complete block of a term that began at `since`; None if there's none yet.

    Blocks begin at the start of the term and of each later period, which is a day, or as many whole days as a block
    needs. If a period isn't a whole number of blocks, the remainder belongs to no block.
    """
    count = count_complete_blocks(rule, since, now)
    return block_bounds(rule, since, count - 1) if count else None


def count_complete_blocks(rule: MonitorConfig, since: datetime, now: datetime) -> int:
    """Return how many blocks of a term have ended by `now`."""
    period, per_period = _block_period(rule.window, rule.baseline_day)
    complete, rest = divmod(max(now - since, timedelta()), period)
    return complete * per_period + min(rest // rule.window, per_period)


def block_bounds(rule: MonitorConfig, since: datetime, number: int) -> tuple[datetime, datetime]:
    """Return the start and end of a term's block; `number` counts from 0."""
    period, per_period = _block_period(rule.window, rule.baseline_day)
    begin = since + number // per_period * period + number % per_period * rule.window
    return begin, begin + rule.window


@lru_cache(maxsize=4096)
def _block_period(window: timedelta, day: timedelta) -> tuple[timedelta, int]:
    """Return the period after which blocks repeat, and how many whole blocks it has."""
    period = -(-window // day) * day
    return period, period // window

"""TODO bot.domain.monitoring.rules.baseline_choice"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from bot.domain.core.durations import show_duration
from bot.domain.core.sentence import Code, Say, say
from bot.domain.monitoring.rules import counts, deviation
from bot.domain.monitoring.rules.baseline_summary import lookback, summarize
from bot.domain.monitoring.rules.baselines import MIN_DAYS, MOSTLY, Baseline, day_of, is_better
from bot.domain.monitoring.rules.block_times import _block, _complete
from bot.domain.monitoring.rules.history import Past
from bot.domain.monitoring.rules.time_series import Points
from bot.domain.monitoring.state import Standing, Term
from bot.domain.monitoring.stored_baselines import Own
from bot.domain.policy.monitor_config import MonitorRule
from bot.domain.registry.metric_direction import Direction

SLOTS = 24  # of a day, that `sequential` compares by


QUIET = 14  # days without a failure after which a baseline may get better


Compared = Callable[[datetime], tuple[Baseline, Say]]  # what a block that begins then is compared with, and a remark


def key_of(rule: MonitorRule, measured_from: int) -> str:
    """Return what a frozen baseline depends on besides its term; of another key, it's made again."""
    window = f" {rule.window.total_seconds():g}" if rule.has_blocks else ""
    delay = f" -{rule.label_delay.total_seconds():g}" if rule.label_delay else ""
    return f"{measured_from} {rule.rule} {rule.history.total_seconds():g}{window}{delay}"


def span_of_baseline(rule: MonitorRule, term: Term) -> tuple[datetime, datetime]:
    """Return from when and until when the readings are that a term's frozen baseline is made of."""
    return term.since - timedelta(seconds=lookback(rule.history.total_seconds())), term.since


def summary_of(rule: MonitorRule, term: Term, points: Points) -> Baseline:
    """Return what is usual of these readings, as the rule compares with it.

    For `blocks`, it's cut like the blocks of the term. For `sequential`, it's cut into hours of the day (UTC), or into
    days where readings come less often.
    """
    history, points = rule.history.total_seconds(), predicted(rule, points)
    if rule.has_blocks:
        start = (term.since - rule.label_delay).timestamp()
        found = summarize(points, start=start, window=rule.window.total_seconds(), history=history)
        return counts.with_counts(found, points) if rule.rule == "default" else found
    day = day_of(history)
    window = day if points.spacing > day / SLOTS else day / SLOTS
    return summarize(points, start=0.0, window=window, history=history)


def predicted(rule: MonitorRule, points: Points) -> Points:
    """Return what was measured by the times of the predictions, whose labels came later: weekends are theirs."""
    return Points(points.at - rule.label_delay.total_seconds(), points.value, points.total)


def is_enough(rule: MonitorRule, baseline: Baseline) -> bool:
    """Tell whether a baseline covers as much as the rule needs."""
    return baseline.covers >= MOSTLY * rule.history.total_seconds()


def _present(rule: MonitorRule, standing: Standing, term: Term, now: datetime, past: Past) -> tuple[Baseline, Compared]:
    """Return the baseline of a check, and a function from a block's start to that block's baseline and a remark.

    The baseline is what was measured before the term, or, once the version has been better than that for `QUIET` days
    without a failure, its own best days: a baseline can only get better. If too little was measured before, it's the
    version's own days so far, summarized again each day.
    """
    before = past.frozen() if rule.baseline == "previous" else None
    today = term.since + (now - term.since) // rule.day * rule.day
    if before is not None and is_enough(rule, before):
        best = past.own(Own.BEST)
        baseline = best[1] if best else before
        since = max(term.since, best[0] if best else term.since, standing.failed_at or term.since)
        if (standing.at is None or standing.at < today) and today - since >= QUIET * rule.day:
            since = max(since, _back(rule, term, today))
            mine = summary_of(rule, term, past.readings(since, today))
            if _can_replace(rule, mine, baseline):
                past.keep(Own.BEST, since, today, mine)
                baseline = mine
        return baseline, lambda start: _at_hours(rule, term, baseline, start, past)
    live = past.own(Own.LIVE)
    if live is None or live[0] < today:
        live = today, _own_days(rule, term, today, past)
        past.keep(Own.LIVE, _back(rule, term, today), *live)
    summary = live[1]
    return summary, lambda start: (summary, _of_own(rule, term, before, summary, start, past))


def _own_days(rule: MonitorRule, term: Term, until: datetime, past: Past) -> Baseline:
    return summary_of(rule, term, past.readings(_back(rule, term, until), until))


def _back(rule: MonitorRule, term: Term, until: datetime) -> datetime:
    """Return when the version's own days begin to count."""
    return max(term.since, until - timedelta(seconds=lookback(rule.history.total_seconds())))


def _can_replace(rule: MonitorRule, mine: Baseline, baseline: Baseline) -> bool:
    """Tell whether a version's own days are better than its baseline, and good enough to judge by."""
    is_higher, history = rule.better is Direction.HIGHER, rule.history.total_seconds()
    return deviation.why_not(mine, history, rule.min_effect, is_higher) is None and is_better(
        mine, baseline, is_higher, rule.min_effect
    )


def _at_hours(rule: MonitorRule, term: Term, frozen: Baseline, start: datetime, past: Past) -> tuple[Baseline, Say]:
    """Return what the block that begins at `start` is compared with, and a remark about it.

    Where too little was measured before the term, at all or at these hours, it's the version's own past days; where
    those are too few as well, what there is to say is why, and from when on it judges.
    """
    if is_enough(rule, frozen) and _has_hours(rule, frozen, start):
        return frozen, say("")
    live = _own_days(rule, term, start, past)
    return live, _of_own(rule, term, frozen, live, start, past)


def _has_hours(rule: MonitorRule, baseline: Baseline, start: datetime) -> bool:
    return baseline.days[baseline.slot((start - rule.label_delay).timestamp())] >= MIN_DAYS


def _compared(rule: MonitorRule, term: Term, start: datetime, past: Past) -> tuple[Baseline, Say]:
    """Return the baseline for the block that begins at `start`, and a remark about it."""
    if rule.baseline == "previous":
        return _at_hours(rule, term, past.frozen(), start, past)
    live = _own_days(rule, term, start, past)
    return live, _of_own(rule, term, None, live, start, past)


def _of_own(rule: MonitorRule, term: Term, frozen: Baseline | None, live: Baseline, start: datetime, past: Past) -> Say:
    """Return the remark for a version that's compared with its own days, which `live` summarizes."""
    before = say("") if frozen is None else _measured_before(rule, term, frozen)
    if is_enough(rule, live):
        return say("{before}, so this compares with its own past days.", before=before) if str(before) else before
    whose = say("{before}, and its own", before=before) if str(before) else say("{v}'s", v=_v(term))
    own = past.readings(_back(rule, term, start), start)
    is_daily = rule.rule == "default" and (frozen is None or not is_enough(rule, frozen))
    return say(
        "{whose} past days cover {covers} of the {needed} needed. It judges from {at}.",
        whose=whose,
        covers=_span(live.covers),
        needed=show_duration(rule.history),
        at=_judges_from(rule, term, own, start, is_daily=is_daily),
    )


def _measured_before(rule: MonitorRule, term: Term, frozen: Baseline) -> Say:
    """Return how little there is from before a term. What bad versions measured, or other queries, isn't usable."""
    if is_enough(rule, frozen):
        return say("Before {v}, too few windows at this time of day were complete", v=_v(term))
    if not frozen.covers:
        return say("There's no usable data from before {v}", v=_v(term))
    return say("There's only {covers} of usable data from before {v}", covers=_span(frozen.covers), v=_v(term))


def _v(term: Term) -> Code | str:
    return Code(f"v{term.version}") if term.version else "this version"


def _span(seconds: float) -> str:
    return show_duration(timedelta(seconds=seconds))


def _judges_from(rule: MonitorRule, term: Term, own: Points, start: datetime, *, is_daily: bool) -> datetime:
    """Return when the first block ends that has enough of the version's own past before it.

    `is_daily`: its own days are summarized after each full day, not at every block.
    """
    first = datetime.fromtimestamp(float(own.at[0]), UTC) if len(own) else start
    enough = first + MOSTLY * rule.history
    if is_daily:
        enough = term.since - (term.since - enough) // rule.day * rule.day
    later = start + rule.window  # this block can't, however old its past is
    number = _complete(rule, term.since, max(enough, later))
    while _block(rule, term.since, number)[0] < max(enough, later):
        number += 1
    before = _block(rule, term.since, number - 1) if number else None
    if is_daily and before is not None and before[0] >= later and before[1] >= enough:
        return before[1]  # it ends together with the day
    return _block(rule, term.since, number)[1]

"""What a monitor's rule makes of a check: the one evaluation behind live checks and backtests. Pure.

What a rule looks back at comes through `Past`: from the ledger in bot/services/monitoring/evaluation.py, from memory in
bot/services/monitoring/backtests.py. Nothing else differs between the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import isnan, nan
from typing import Protocol

from bot.domain.core.durations import show_duration
from bot.domain.core.numbers import share
from bot.domain.core.sentence import Code, Say, joined, say
from bot.domain.monitoring.monitor import Judgement, Monitor, Outcome, Own, Reading, Standing, Term
from bot.domain.monitoring.rules import counts, scans, statistics
from bot.domain.monitoring.rules.baselines import (
    MIN_DAYS,
    MOSTLY,
    SCANNED,
    Baseline,
    Points,
    day_of,
    is_better,
    lookback,
    summarize,
)
from bot.domain.monitoring.rules.statistics import Judged, Tally
from bot.domain.policy.monitor_config import MonitorRule
from bot.domain.registry.metric_direction import Direction

SLOTS = 24  # of a day, that `sequential` compares by
SURE = 2.0  # standard errors by which single readings must confirm a block, if a scan runs beside it
QUIET = 14  # days without a failure after which a baseline may get better


Compared = Callable[[datetime], tuple[Baseline, Say]]  # what a block that begins then is compared with, and a remark


class Past(Protocol):
    """What a rule looks back at, for one monitor in one term."""

    def readings(self, since: datetime, until: datetime) -> Points:
        """Return the term's readings from `since` on and before `until`."""
        ...

    def recent(self, since: datetime) -> Points:
        """Return the term's readings after `since`, the one that is judged included."""
        ...

    def frozen(self) -> Baseline:
        """Return what was usual before the term began."""
        ...

    def own(self, kind: Own) -> tuple[datetime, Baseline] | None:
        """Return up to when the version's own days were kept as a baseline, and that baseline; None if none was."""
        ...

    def keep(self, kind: Own, since: datetime, until: datetime, summary: Baseline) -> None:
        """Keep a baseline of the version's own days; it replaces an earlier one."""
        ...

    def tally(self, baseline: Baseline, since: datetime) -> Tally:
        """Return the tally of the term's readings from `since` on, the one that is judged included."""
        ...


# -- the baseline ------------------------------------------------------------------------------------------------------


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


# -- the evaluation ----------------------------------------------------------------------------------------------------


def judge(
    monitor: Monitor, standing: Standing, term: Term, found: Reading, now: datetime, past: Past
) -> Judgement | None:
    """Return what the rule makes of a check; None where it isn't asked: no value, or too soon after the promotion.

    `standing` is that of `begin`, before the check. Before the first labels can have come, it says that instead.
    """
    rule = monitor.rule
    if found.outcome is Outcome.NO_DATA and term.since <= now < term.since + rule.label_delay:
        return _cannot(
            say(
                "Labels come {delay} late, so {v} can't be measured before {at}.",
                delay=show_duration(rule.label_delay),
                v=Code(f"v{term.version}"),
                at=term.since + rule.label_delay,
            )
        )
    if found.outcome is not Outcome.OK or now < term.since + rule.warms_up:
        return None
    seen = standing.points + found.fresh
    if seen < rule.points_needed:
        return _cannot(
            say("It needs {n} readings since the promotion, and has {seen}.", n=rule.points_needed, seen=seen)
        )
    if rule.is_threshold:
        judged = statistics.threshold(found.value, greater_than=rule.greater_than, less_than=rule.less_than)
        why = say(judged.why.template, **{**judged.why.args, "value": share(found.value, found.total)})
        return Judgement(is_worse=judged.is_worse, bound=judged.bound, why=why)
    if rule.rule == "sequential":
        return _sequential(rule, term, past)
    if rule.rule == "default":
        return _default(rule, standing, term, found, now, past)
    return _blocks(rule, standing, term, now, past, lambda start: _compared(rule, term, start, past))


def last_block(rule: MonitorRule, since: datetime, now: datetime) -> tuple[datetime, datetime] | None:
    """Return the begin and the end of the last complete block of a term that began at `since`; None before the first.

    Blocks begin with the term and again with each period: a day, or as many whole days as a block needs. What is left
    of a period that is no whole number of blocks belongs to none.
    """
    count = _complete(rule, since, now)
    return _block(rule, since, count - 1) if count else None


def _complete(rule: MonitorRule, since: datetime, now: datetime) -> int:
    """Return how many blocks of a term have ended by `now`."""
    period, per_period = _period(rule)
    whole, rest = divmod(max(now - since, timedelta()), period)
    return whole * per_period + min(rest // rule.window, per_period)


def _block(rule: MonitorRule, since: datetime, number: int) -> tuple[datetime, datetime]:
    """Return the begin and the end of a term's block, counted from 0."""
    period, per_period = _period(rule)
    begin = since + number // per_period * period + number % per_period * rule.window
    return begin, begin + rule.window


def _period(rule: MonitorRule) -> tuple[timedelta, int]:
    """Return after how long the same block comes again, and how many whole blocks there are in that time."""
    return _period_of(rule.window, rule.day)


@lru_cache(maxsize=4096)
def _period_of(window: timedelta, day: timedelta) -> tuple[timedelta, int]:
    period = -(-window // day) * day
    return period, period // window


def _default(rule: MonitorRule, standing: Standing, term: Term, found: Reading, now: datetime, past: Past) -> Judgement:
    """Judge the last complete block, once, and at every check the means of several lengths and the counts.

    Any of them is enough. Sparse counts are judged only as counts: their shares say too little.
    """
    baseline, compared = _present(rule, standing, term, now, past)
    by_count = _counted(rule, standing, found, now, baseline, compared) if is_enough(rule, baseline) else None
    if by_count is not None and (by_count.is_worse or baseline.is_sparse):
        return by_count
    by_rest = _by_means(rule, standing, term, found, now, past, baseline, compared)
    if by_count is None:
        return by_rest
    is_recovered = by_rest.is_recovered and by_count.is_recovered
    return replace(by_rest, is_recovered=is_recovered, evidence=by_count.evidence)


def _counted(
    rule: MonitorRule,
    standing: Standing,
    found: Reading,
    now: datetime,
    baseline: Baseline,
    compared: Compared,
) -> Judgement | None:
    """Judge the count of this check together with all before it; None if there's no count."""
    weighed = counts.weigh(
        found.value,
        found.total,
        now.timestamp(),
        standing.evidence,
        baseline,
        higher_is_better=rule.better is Direction.HIGHER,
        effect=rule.min_effect,
        fail_after=rule.fail_after,
    )
    if weighed is None and baseline.is_sparse:
        return _cannot(say("The reading has no total, but the readings in the baseline do."))
    if weighed is None:
        return None
    remark = compared(now)[1] if _has_hours(rule, baseline, now) else say("")
    judgement = _judgement(rule, weighed.judged, remark, None)
    return replace(judgement, is_sure=True, is_recovered=weighed.is_recovered, evidence=weighed.evidence)


def _by_means(
    rule: MonitorRule,
    standing: Standing,
    term: Term,
    found: Reading,
    now: datetime,
    past: Past,
    baseline: Baseline,
    compared: Compared,
) -> Judgement:
    by_block = _blocks(rule, standing, term, now, past, compared, sure=SURE)
    if by_block.is_worse or not is_enough(rule, baseline):
        return by_block
    by_scan = _scan(rule, term, found.value, now, baseline, past)
    if by_scan is None:
        return by_block
    return replace(_judgement(rule, by_scan, compared(now)[1], None), judged_to=by_block.judged_to)


def _scan(rule: MonitorRule, term: Term, value: float, now: datetime, baseline: Baseline, past: Past) -> Judged | None:
    """Return which mean up to this check is worse; None if none is. Reads more only if what it has read is down."""
    is_higher, effect = rule.better is Direction.HIGHER, rule.min_effect
    low, high = baseline.low, baseline.high
    if effect.senseless(low, high) is not None or not baseline.spread:
        return None
    newest = predicted(rule, Points.of([now.timestamp()], [value]))
    if not scans.is_down(newest, baseline, higher_is_better=is_higher, effect=effect, part=scans.NOW):
        return None
    first = _judged_since(rule, term)
    shortest, *_, longest = (now - windows * rule.window for windows in SCANNED)
    half = predicted(rule, past.recent(max(first, shortest)))
    if not scans.is_down(half, baseline, higher_is_better=is_higher, effect=effect, part=1.0):
        return None
    recent = predicted(rule, past.recent(max(first, longest - 2 * rule.every)))
    return scans.scan(recent, baseline, higher_is_better=is_higher, effect=effect, sigma=rule.sigma)


def _judged_since(rule: MonitorRule, term: Term) -> datetime:
    """Return from when on readings are judged: the window that ends with the warm-up is the first of several."""
    return term.since + rule.warms_up - (rule.window if rule.fail_after > 1 else timedelta())


def _blocks(
    rule: MonitorRule,
    standing: Standing,
    term: Term,
    now: datetime,
    past: Past,
    compared: Compared,
    *,
    sure: float | None = None,
) -> Judgement:
    """Judge the last complete block, once, against what it's `compared` with.

    The window that ends with the warm-up counts as the first of several, but is never enough by itself.
    """
    block = last_block(rule, term.since, now)
    if (
        block is None
        or block[0] < _judged_since(rule, term)
        or (standing.judged_to is not None and block[1] <= standing.judged_to)
    ):
        return Judgement(is_worse=None)
    start, end = block
    mine = past.readings(start, end)
    if not len(mine):
        return Judgement(is_worse=None, why=say("The last window has no readings."), judged_to=end)
    baseline, remark = compared(start)
    if not is_enough(rule, baseline):
        return _cannot(remark, end)
    judged = statistics.blocks(
        predicted(rule, mine),
        (start - rule.label_delay).timestamp(),
        baseline,
        history=rule.history.total_seconds(),
        higher_is_better=rule.better is Direction.HIGHER,
        effect=rule.min_effect,
        sigma=rule.sigma,
        sure=sure,
        lately=_lately(rule, term, end, past) if sure is not None and len(mine) < statistics.FEWEST else None,
    )
    return _judgement(rule, judged, remark, end)


def _lately(rule: MonitorRule, term: Term, end: datetime, past: Past) -> Points:
    """Return the last few readings before a block's end, which confirm it where it has hardly any itself."""
    return predicted(rule, past.readings(max(_judged_since(rule, term), end - 2 * statistics.LATELY * rule.every), end))


# -- what a default monitor compares with ------------------------------------------------------------------------------


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
    return statistics.why_not(mine, history, rule.min_effect, is_higher) is None and is_better(
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


def _sequential(rule: MonitorRule, term: Term, past: Past) -> Judgement:
    """Judge all readings since the warm-up; what was read before it is nothing to go by."""
    if rule.baseline == "live":
        return _cannot(
            say(
                "A sequence since the promotion can't be its own baseline. Use the rule {blocks}, or the "
                "baseline {previous}.",
                blocks=Code("blocks"),
                previous=Code("previous"),
            )
        )
    frozen = past.frozen()
    if not is_enough(rule, frozen):
        return _cannot(
            say(
                "{before}, and {needed} are needed.",
                before=_measured_before(rule, term, frozen),
                needed=show_duration(rule.history),
            )
        )
    judged = statistics.sequential(
        past.tally(frozen, term.since + rule.warms_up),
        alpha=rule.alpha,
        effect=rule.min_effect,
        history=rule.history.total_seconds(),
    )
    return _judgement(rule, judged, say(""), None)


def _judgement(rule: MonitorRule, judged: Judged, remark: Say, judged_to: datetime | None) -> Judgement:
    """Return what a rule against a baseline has judged, with whether it is well again: the hysteresis is ours."""
    enough = rule.hysteresis * rule.min_effect.distance(judged.expected).item()
    why = joined([judged.why, remark], " ") if str(remark) else judged.why
    if judged.is_worse is None:
        return _cannot(why, judged_to)
    return Judgement(
        is_worse=judged.is_worse,
        is_recovered=isnan(judged.gap) or judged.gap < enough,
        bound=judged.bound,
        usual=judged.expected,
        why=why,
        judged_to=judged_to,
    )


def _cannot(why: Say, judged_to: datetime | None = None) -> Judgement:
    return Judgement(is_worse=None, bound=nan, usual=nan, why=why, judged_to=judged_to)

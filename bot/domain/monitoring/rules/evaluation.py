"""What a monitor's rule makes of a check: the one evaluation behind live checks and backtests. Pure.

What a rule looks back at comes through `Past`: from the ledger in bot/services/monitoring/evaluation.py, from memory in
bot/services/monitoring/backtests.py. Nothing else differs between the two.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from math import isnan, nan

from bot.domain.core.durations import show_duration
from bot.domain.core.numbers import share
from bot.domain.core.sentence import Code, Say, joined, say
from bot.domain.monitoring.assessment import Judgement
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import Outcome, Reading
from bot.domain.monitoring.rules import counts, scans, statistics
from bot.domain.monitoring.rules.baseline_choice import (
    Compared,
    _compared,
    _has_hours,
    _measured_before,
    _present,
    is_enough,
    predicted,
)
from bot.domain.monitoring.rules.baselines import SCANNED, Baseline
from bot.domain.monitoring.rules.block_times import last_block
from bot.domain.monitoring.rules.deviation import Judged
from bot.domain.monitoring.rules.history import Past
from bot.domain.monitoring.rules.time_series import Points
from bot.domain.monitoring.state import Standing, Term
from bot.domain.policy.monitor_config import MonitorRule
from bot.domain.registry.metric_direction import Direction

SURE = 2.0  # standard errors by which single readings must confirm a block, if a scan runs beside it


# -- the baseline ------------------------------------------------------------------------------------------------------


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

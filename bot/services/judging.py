"""What a monitor's rule says of a check: the pure rules, put in front of what the ledger remembers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.domain import rules
from bot.domain.directions import Direction
from bot.domain.monitor_rule import MonitorRule
from bot.domain.monitors import Judgement, Monitor, Point, Reading, Standing, Term
from bot.domain.rules import Judged, Points
from bot.domain.text import say
from bot.ports import Reading as Ledger

BASELINES = 3  # how many times the needed baseline is looked back, for the previous Production's days may have gaps


def span(monitor: Monitor, standing: Standing, term: Term, now: datetime) -> tuple[datetime, datetime]:
    """Return from when and until when the source is asked: never before the version's term began.

    A threshold looks at its newest reading, or at its window where it has an aggregate; a rule against a baseline at
    what came since the check before.
    """
    rule = monitor.rule
    until = now - rule.label_delay
    if rule.is_threshold:
        back = rule.window if rule.aggregate not in {None, "last"} else 2 * rule.oldest
        return max(term.since, until - back), until
    last = standing.at - rule.label_delay if standing.at and standing.move == term.move else until - rule.every
    return max(term.since, min(last, until)), until


def judge(
    reading: Ledger, monitor: Monitor, standing: Standing, term: Term, found: Reading, now: datetime
) -> Judgement | None:
    """Return what the rule makes of a check's value; `reading` is the ledger, for rules that look back."""
    rule = monitor.rule
    seen = standing.points + found.fresh
    if seen < rule.points_needed:
        why = say("It needs {n} readings since the promotion, and has {seen}.", n=rule.points_needed, seen=seen)
        return Judgement(is_worse=None, why=why)
    if rule.is_threshold:
        judged = rules.threshold(found.value, greater_than=rule.greater_than, less_than=rule.less_than)
        return Judgement(is_worse=judged.is_worse, bound=judged.bound, why=judged.why)
    if rule.rule == "blocks":
        return _blocks(reading, monitor, standing, term, Past(now, found.value))
    return _sequential(reading, monitor, term, Past(now, found.value))


@dataclass(frozen=True, slots=True)
class Past:
    """The check that is being judged, which the ledger does not hold yet."""

    at: datetime
    value: float


def _blocks(reading: Ledger, monitor: Monitor, standing: Standing, term: Term, now: Past) -> Judgement:
    """Judge the last complete block, once."""
    rule = monitor.rule
    start, end = last_block(term.since, rule.window, now.at)
    was = standing.judged_to if standing.move == term.move else None
    if end <= start or start < term.since + rule.warms_up or (was is not None and end <= was):
        return Judgement(is_worse=None)
    mine = reading.series(monitor, since=start, until=end, move=term.move)
    if not mine:
        return Judgement(is_worse=None, why=say("The last window has no readings."), judged_to=end)
    judged = blocks_judged(rule, mine, _baseline(reading, monitor, term, start))
    return replace(judgement_of(rule, judged), judged_to=end)


def _sequential(reading: Ledger, monitor: Monitor, term: Term, now: Past) -> Judgement:
    begin = term.since + monitor.rule.warms_up  # what was read before is nothing to go by
    mine = [*reading.series(monitor, since=begin, until=now.at, move=term.move), (now.at, now.value)]
    return judgement_of(
        monitor.rule, sequential_judged(monitor.rule, mine, _baseline(reading, monitor, term, term.since))
    )


def blocks_judged(rule: MonitorRule, block: Sequence[Point], baseline: Sequence[Point]) -> Judged:
    """Return what `blocks` says of the mean of these points: each is what a check made of its readings already."""
    return rules.blocks(
        points(block), points(baseline), window=rule.window.total_seconds(), min_effect=rule.min_effect,
        higher_is_better=rule.better is Direction.HIGHER, sigma=rule.sigma, history=rule.history.total_seconds(),
    )  # fmt: skip


def sequential_judged(rule: MonitorRule, recent: Sequence[Point], baseline: Sequence[Point]) -> Judged:
    """Return what `sequential` says of these points."""
    return rules.sequential(
        points(recent), points(baseline), alpha=rule.alpha, min_effect=rule.min_effect,
        higher_is_better=rule.better is Direction.HIGHER, history=rule.history.total_seconds(),
    )  # fmt: skip


def last_block(since: datetime, window: timedelta, now: datetime) -> tuple[datetime, datetime]:
    """Return the begin and the end of the last complete block since the promotion; equal where there is none yet."""
    count = max(0, math.floor((now - since) / window))
    end = since + count * window
    return (end - window, end) if count else (since, since)


def _baseline(reading: Ledger, monitor: Monitor, term: Term, before: datetime) -> list[Point]:
    """Return what the monitor measured of the versions before, frozen at the promotion; or of this one's past days.

    A version that was rolled back as bad is nobody's baseline.
    """
    rule = monitor.rule
    if rule.baseline == "live":
        return reading.series(monitor, since=max(term.since, before - BASELINES * rule.history), until=before,
                              move=term.move)  # fmt: skip
    bad = [bar.version for bar in reading.bars(monitor.model)]
    return reading.series(monitor, since=term.since - BASELINES * rule.history, until=term.since, but=term.move,
                          without=bad)  # fmt: skip


def judgement_of(rule: MonitorRule, judged: Judged) -> Judgement:
    """Return what a rule against a baseline has judged, with whether it is well again: the hysteresis is ours."""
    least = rule.min_effect.distance(judged.expected).item() / abs(judged.expected or math.inf)
    is_back = math.isnan(judged.effect) or judged.effect < rule.hysteresis * least
    return Judgement(is_worse=judged.is_worse, is_recovered=is_back, bound=judged.bound, usual=judged.expected,
                     why=judged.why)  # fmt: skip


def points(pairs: Sequence[Point]) -> Points:
    """Return points as the rules take them."""
    return Points.of((at.timestamp() for at, _ in pairs), (value for _, value in pairs))

"""Replaying what was measured, or what a source still knows, through a monitor's rule: when would it have fired?"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.domain import rules
from bot.domain.backtests import Backtest
from bot.domain.errors import RegistrarError
from bot.domain.monitor_rule import MonitorRule
from bot.domain.monitor_views import moved_since
from bot.domain.monitors import (
    Firing,
    Judgement,
    Monitor,
    Outcome,
    Point,
    Reading,
    Standing,
    State,
    assess,
)
from bot.domain.readings import aggregate
from bot.domain.registry import Stage
from bot.domain.text import Say, say
from bot.ports import Query
from bot.services.context import Context
from bot.services.judging import blocks_judged, judgement_of, sequential_judged
from bot.services.monitoring import SourceBook, present_term

POINTS_MOST = 20_000  # that are replayed


@dataclass(slots=True)
class _Replay:
    """A replay under way: where the monitor stands, and the points so far."""

    monitor: Monitor
    standing: Standing
    seen: list[Point]
    began: datetime


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a replay: the firings, where the monitor stood then, and why nothing could be told, if so."""

    firings: list[Firing]
    standing: Standing
    why: Say | None


class Backtesting:
    """Replays history through rules. It changes nothing."""

    def __init__(self, context: Context, sources: SourceBook) -> None:
        self._it = context
        self._sources = sources

    def backtest(self, monitor: Monitor, span: timedelta) -> Backtest:
        """Return when the monitor would have fired within the last `span`.

        What the monitor measured itself is replayed; where that is less than the source still knows, the source's.
        """
        until = self._it.clock.now()
        since = until - span
        with self._it.ledger.read() as reading:
            mine = reading.series(monitor, since=since - monitor.rule.history, until=until)
            term = present_term(reading, monitor.model)
            moves = reading.moves(monitor.model, stage=Stage.PRODUCTION)
        raw, why = self._of_source(monitor, term.version if term else 0, since - monitor.rule.history, until)
        theirs = as_measured(monitor.rule, raw)
        points = theirs if _covers(theirs, since) > _covers(mine, since) else mine
        points = points[-POINTS_MOST:]
        if not points:
            nothing = why or say("Neither the monitor nor its source has any readings of that time.")
            return Backtest(monitor=monitor, since=since, until=until, points=(), firings=(), bound=None, why=nothing)
        found = replay(monitor, points, since)
        shown = [point for point in points if point[0] > since]
        bound = None if found.standing.bound == monitor.rule.hard_limit else found.standing.bound
        return Backtest(monitor=monitor, since=max(since, points[0][0]), until=until, points=shown,
                        firings=found.firings, bound=bound, usual=found.standing.usual, why=found.why,
                        moves=moved_since(moves, shown[0][0]) if shown else ())  # fmt: skip

    def _of_source(
        self, monitor: Monitor, version: int, since: datetime, until: datetime
    ) -> tuple[list[Point], Say | None]:
        query = Query(monitor=monitor.id, source=monitor.rule.source, model=monitor.model, version=version,
                      query=monitor.rule.query, since=since, until=until, timeout=monitor.rule.timeout)  # fmt: skip
        try:
            answer = self._sources.history(monitor.rule.source, query, monitor.rule.every)
        except RegistrarError as error:
            return [], error.sentence
        if answer.outcome is not Outcome.OK:
            return [], answer.why
        return sorted((at, float(value)) for at, value in answer.points if math.isfinite(value)), None


def as_measured(rule: MonitorRule, readings: list[Point]) -> list[Point]:
    """Return what checks would have made of a source's readings (oldest first): one value at the time of each.

    As in a check, a threshold with an aggregate looks at its window, and a rule against a baseline at what came since
    the check before. What the monitor measured itself has been through that already.
    """
    is_windowed = rule.is_threshold and rule.aggregate not in {None, "last"}
    if not is_windowed and rule.reckons != "rate":
        return readings  # a source tells of one reading for each check
    back = rule.window if is_windowed else 2 * rule.every
    found, first = [], 0
    for last, (at, _) in enumerate(readings):
        while readings[first][0] <= at - back:
            first += 1
        some = readings[first : last + 1]
        is_whole = not is_windowed or at - readings[0][0] >= back - rule.every  # what is not is warm-up in a check
        if not is_whole or (rule.reckons == "rate" and len(some) < 2):
            continue
        value = aggregate(some, rule.reckons)
        if math.isfinite(value):
            found.append((at, value))
    return found


def replay(monitor: Monitor, points: list[Point], since: datetime) -> Replayed:
    """Return the firings after `since` of a monitor that had these readings.

    A monitor that has fired goes on as it would have: it fires anew once it was well again.
    """
    it = _Replay(monitor, Standing(monitor=monitor.id, state=State.OK), [], points[0][0])
    firings, judged, cannot = [], 0, None
    for at, value in points:
        it.seen.append((at, value))
        judgement = _judge(it, at, value)
        if judgement.is_worse is not None:
            judged += 1
        elif judgement.why is not None:
            cannot = judgement.why
        found = Reading(value=value, points=1, newest=at)
        verdict = assess(monitor, it.standing, found, judgement, now=at, warm=True)
        it.standing = replace(verdict.standing, state=State.OK if verdict.standing.state is State.WARMUP
                              else verdict.standing.state)  # fmt: skip
        if verdict.has_failed and at > since:
            firings.append(Firing(at, value, verdict.why))
    return Replayed(firings, it.standing, None if judged else cannot)


def _judge(it: _Replay, at: datetime, value: float) -> Judgement:
    rule = it.monitor.rule
    if rule.is_threshold:
        one = rules.threshold(value, greater_than=rule.greater_than, less_than=rule.less_than)
        return Judgement(is_worse=one.is_worse, bound=one.bound, why=one.why)
    if rule.rule == "blocks":
        return _judge_block(it, at)
    recent = [point for point in it.seen if point[0] > at - rule.history]
    one = sequential_judged(rule, recent[-200:], [point for point in it.seen if point[0] <= at - timedelta(days=1)])
    return judgement_of(rule, one)


def _judge_block(it: _Replay, at: datetime) -> Judgement:
    rule = it.monitor.rule
    count = int((at - it.began) / rule.window)
    end = it.began + count * rule.window
    if count < 1 or (it.standing.judged_to is not None and end <= it.standing.judged_to):
        return Judgement(is_worse=None)
    start = end - rule.window
    block = [point for point in it.seen if start < point[0] <= end]
    before = [point for point in it.seen if start - 3 * rule.history < point[0] <= start]
    one = blocks_judged(rule, block, before)
    return replace(judgement_of(rule, one), judged_to=end)


def _covers(points: list[Point], since: datetime) -> timedelta:
    """Return how much time after `since` the points cover."""
    mine = [at for at, _ in points if at > since]
    return mine[-1] - mine[0] if mine else timedelta()

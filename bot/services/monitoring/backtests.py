"""Replaying what was measured, or what a source still knows, through a monitor's rule: when would it have fired?

The same `judge` asks the rule, and the same `assess` counts its answers, as in a live check. Only what the rule looks
back at comes from memory.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bot.domain.core.errors import RegistrarError
from bot.domain.core.sentence import Say, say
from bot.domain.monitoring.assessment import assess, due_from, is_warm
from bot.domain.monitoring.backtest import Backtest, Judged
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import Check, Counts, Firing, Measured, Outcome, Point, Reading
from bot.domain.monitoring.rules.aggregation import aggregate, usable
from bot.domain.monitoring.rules.baseline_choice import key_of, predicted, span_of_baseline, summary_of
from bot.domain.monitoring.rules.baselines import MOSTLY, Baseline
from bot.domain.monitoring.rules.evaluation import judge
from bot.domain.monitoring.rules.statistics import Tally
from bot.domain.monitoring.rules.time_series import Points
from bot.domain.monitoring.state import Standing, State, Term, begin
from bot.domain.monitoring.stored_baselines import FrozenBaseline, Own
from bot.domain.monitoring.views import moved_since
from bot.domain.policy.monitor_config import MonitorRule
from bot.domain.policy.monitor_validation import KEPT
from bot.domain.registry.metric_direction import Direction
from bot.domain.registry.model import Stage
from bot.domain.registry.rollback_block import Bar
from bot.domain.rollbacks.rollback import Served, stretches
from bot.ports import Query
from bot.services.core.context import Context
from bot.services.monitoring.checks import SourceBook

UNKNOWN = "unknown"  # the move that began the term of a version that the ledger knows nothing of


class Backtesting:
    """Replays history through rules. It changes nothing."""

    def __init__(self, context: Context, sources: SourceBook) -> None:
        self._it = context
        self._sources = sources

    def backtest(self, monitor: Monitor, span: timedelta) -> Backtest:
        """Return when the monitor would have fired within the last `span`.

        Each stretch of Production that reaches into that time is replayed from its beginning, as its live checks were
        judged. What the monitor measured itself is replayed; where more of the time can be judged by what the source
        still knows, as for a new monitor, the source's readings.
        """
        until = self._it.clock.now()
        since = until - span
        with self._it.ledger.read() as reading:
            moves = reading.moves(monitor.model, stage=Stage.PRODUCTION)
            ever = stretches(moves)[::-1]
            served = [one for one in ever if one.until is None or one.until > since]
            stored, bars = reading.baselines([monitor.id]).get(monitor.id), reading.bars(monitor.model)
            earliest = min([since, *(_looked_back(monitor, _term(one), stored) for one in served)])
            checks = reading.checks(monitor, since=earliest, until=until)
        terms, why = [_term(one) for one in served], None
        found = replay(monitor, terms, checks, since=since, until=until, stored=stored, bars=bars)
        mine = _covers((one.at for one in checks if one.value is not None), since)
        if found.judged.why is not None or mine < MOSTLY * span:
            back = max(min([since, *(one.since for one in terms)]), since - KEPT)
            first = _looked_back(monitor, Term(move="", version=0, since=back), None)
            version = terms[-1].version if served and served[-1].until is None else 0
            raw, why = self._of_source(monitor, version, first, until)
            if theirs := as_measured(monitor.rule, raw):
                before = [one for one in ever if one.until is None or one.until > theirs[0][0]]
                terms, readings = _as_checks(before, theirs)
                terms = terms[-max(len(served), 1) :]  # those before them are baselines only
                other = replay(monitor, terms, readings, since=since, until=until, bars=bars)
                is_longer = MOSTLY * _covers((at for at, _, _ in theirs), since) > mine
                judges_more = MOSTLY * other.judged.time > found.judged.time
                if judges_more or (is_longer and not found.judged.time):
                    found, checks = other, readings
        points = [(one.at, one.value) for one in checks if one.value is not None and one.at > since]
        if not points:
            nothing = why or say("Neither the monitor nor its source has any readings of that time.")
            return Backtest(monitor=monitor, since=since, until=until, why=nothing)
        bound = None if found.bound == monitor.rule.hard_limit else found.bound
        return Backtest(
            monitor=monitor,
            since=since,
            until=until,
            points=points,
            firings=found.firings,
            failed=found.failed,
            bound=bound,
            usual=found.usual,
            judged=found.judged.time,
            why=found.judged.why,
            moves=moved_since(moves, points[0][0]),
        )

    def _of_source(
        self, monitor: Monitor, version: int, since: datetime, until: datetime
    ) -> tuple[list[Point | Counts], Say | None]:
        rule = monitor.rule
        query = Query(
            monitor=monitor.id,
            source=rule.source,
            model=monitor.model,
            version=version,
            query=rule.query,
            of=rule.of,
            since=since,
            until=until,
            timeout=rule.timeout,
        )
        try:
            answer = self._sources.history(rule.source, query, rule.every)
        except RegistrarError as error:
            return [], error.sentence
        if answer.outcome is not Outcome.OK:
            return [], answer.why
        return usable(answer.points, rule, lambda at: None)[0], None


# -- what is replayed --------------------------------------------------------------------------------------------------


def as_measured(rule: MonitorRule, readings: Sequence[Point | Counts]) -> list[Measured]:
    """Return what checks would have made of a source's readings (oldest first): one value at the time of each.

    As in a check, a threshold with an aggregate looks at its window, and a rule against a baseline at what came since
    the check before. What the monitor measured itself has been through that already.
    """
    reckoned = [(some[-1][0], *aggregate(some, rule.reckons)) for some in _looked_at(rule, readings)]
    return [one for one in reckoned if math.isfinite(one[1])]


def _looked_at(rule: MonitorRule, readings: Sequence[Point | Counts]) -> Iterator[Sequence[Point | Counts]]:
    is_windowed = rule.is_threshold and rule.aggregate not in {None, "last"}
    if not is_windowed and rule.reckons != "rate":
        yield from ([one] for one in readings)  # a source tells of one reading for each check
        return
    back = rule.window if is_windowed else 2 * rule.every
    first = 0
    for last, (at, *_) in enumerate(readings):
        while readings[first][0] <= at - back:
            first += 1
        some = readings[first : last + 1]
        is_whole = not is_windowed or at - readings[0][0] >= back - rule.every  # what is not is warm-up in a check
        if is_whole and (rule.reckons != "rate" or len(some) > 1):
            yield some


def _as_checks(served: Sequence[Served], points: Sequence[Measured]) -> tuple[list[Term], list[Check]]:
    """Return a source's readings as checks of the versions that served then, with the terms of these.

    What was in Production before the ledger knew of it has been there since the first reading.
    """
    first = points[0][0]
    terms = [_term(one) for one in served] or [Term(move=UNKNOWN, version=0, since=first)]
    ends = [one.until for one in served] or [None]
    if served and served[0].is_older_than_us:
        terms[0] = replace(terms[0], since=min(first, terms[0].since))
    begins = [one.since for one in terms]
    checks = []
    for at, value, total in points:
        number = bisect_right(begins, at) - 1
        end = ends[number] if number >= 0 else None
        term = terms[number] if number >= 0 and (end is None or at <= end) else None
        move, version = (term.move, term.version) if term else (None, None)
        checks.append(Check(at, move, version, Outcome.OK, value, 1, total))
    return terms, checks


def _term(one: Served) -> Term:
    return Term(move=one.began.id, version=one.version, since=one.since)


def _looked_back(monitor: Monitor, term: Term, stored: FrozenBaseline | None) -> datetime:
    """Return since when checks are needed to replay a term: those of its baseline included, unless that is stored."""
    rule = monitor.rule
    if not rule.has_frozen_baseline or _is_of(stored, monitor, term):
        return term.since
    return span_of_baseline(rule, term)[0]


def _is_of(stored: FrozenBaseline | None, monitor: Monitor, term: Term) -> bool:
    key = key_of(monitor.rule, monitor.measured_from)
    return stored is not None and (stored.move, stored.key) == (term.move, key)


# -- the replay --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Replayed:
    """What came of a replay: how much was judged, where the monitor stands, and when it would have fired."""

    judged: Judged
    standing: Standing
    firings: list[Firing] = field(default_factory=list)
    failed: Firing | None = None  # before what's replayed for, if it stood as failed then
    bound: float | None = None
    usual: float | None = None


def replay(
    monitor: Monitor,
    terms: Sequence[Term],
    checks: Sequence[Check],
    *,
    since: datetime,
    until: datetime,
    stored: FrozenBaseline | None = None,
    bars: Collection[Bar] = (),
) -> Replayed:
    """Return what a monitor that had these checks (oldest first) in these terms would have found after `since`.

    `stored` is its frozen baseline, if there is one; those of other terms are made as they were made then.
    """
    found = Replayed(Judged(since, until), Standing(monitor=monitor.id))
    for term in terms:
        mine = [one for one in checks if one.move == term.move]
        bad = {one.version for one in bars if one.at <= term.since or one.move == term.move}  # as it was known then
        past = _Memory(monitor.rule, term, mine, checks, bad, stored if _is_of(stored, monitor, term) else None)
        _replay_term(monitor, term, mine, past, found)
    return found


def _replay_term(monitor: Monitor, term: Term, checks: Sequence[Check], past: _Memory, into: Replayed) -> None:
    rule, judged = monitor.rule, into.judged
    standing = begin(into.standing, monitor, term)
    for at, _, _, outcome, value, points, total in checks:
        past.now = at
        found = _reading(rule, at, outcome, value, points, total)
        judgement = judge(monitor, standing, term, found, at, past)
        warm = is_warm(monitor, term, at)
        verdict = assess(monitor, standing, found, judgement, now=at, warm=warm, due=due_from(monitor, term, at))
        if at > judged.since:
            judged.add(rule, at, judgement, verdict.why if judgement is None else None)
            if verdict.has_failed and value is not None:
                into.firings.append(Firing(at, value, verdict.why))
        elif verdict.has_failed and value is not None:
            into.failed = Firing(at, value, verdict.why)
        elif verdict.standing.state is not State.FAILED:
            into.failed = None
        judged.before = at
        standing = verdict.standing
    into.standing = standing
    into.bound = into.bound if standing.bound is None else standing.bound
    into.usual = into.usual if standing.usual is None else standing.usual


def _reading(
    rule: MonitorRule, at: datetime, outcome: Outcome, value: float | None, points: int, total: float | None
) -> Reading:
    """Return what the source told, as far as a check in the ledger says it."""
    if value is None:
        is_error = outcome is Outcome.ERROR
        return Reading(outcome=Outcome.ERROR if is_error else Outcome.NO_DATA, why=_ERROR if is_error else _EMPTY)
    fresh = min(points, 1) if rule.is_threshold else points  # a threshold looks at some readings more than once
    return Reading(value=value, total=total, points=points, fresh=fresh, newest=at)


_ERROR, _EMPTY = say("The source gave an error."), say("The source had no data.")


class _Memory:
    """`bot.domain.monitoring.rules.evaluation.Past` from memory, for one term. `now` is the time of the check that is judged."""

    def __init__(
        self,
        rule: MonitorRule,
        term: Term,
        mine: Sequence[Check],
        everything: Sequence[Check],
        bad: Collection[int],
        stored: FrozenBaseline | None,
    ) -> None:
        self.now = term.since
        self._rule, self._term, self._everything, self._bad = rule, term, everything, bad
        self._mine = _points(mine)
        self._frozen = stored.summary if stored else None
        self._own: dict[Own, tuple[datetime, Baseline]] = {}
        self._tally: Tally | None = None
        self._counted = 0  # of the readings: those before are in the tally, or before its beginning

    def readings(self, since: datetime, until: datetime) -> Points:
        """Return the term's readings from `since` on and before `until`."""
        return self._mine.between(since.timestamp(), until.timestamp())

    def recent(self, since: datetime) -> Points:
        """Return the term's readings after `since`, up to the one that is judged."""
        first, after = (int(self._mine.at.searchsorted(at.timestamp(), side="right")) for at in (since, self.now))
        return self._mine.part(first, after)

    def own(self, kind: Own) -> tuple[datetime, Baseline] | None:
        """Return what was kept of the version's own days."""
        return self._own.get(kind)

    def keep(self, kind: Own, since: datetime, until: datetime, summary: Baseline) -> None:
        """Keep it for the rest of the replay."""
        self._own[kind] = until, summary

    def frozen(self) -> Baseline:
        """Return the baseline that is stored, or one made of what was measured before the term."""
        if self._frozen is None:
            since, until = span_of_baseline(self._rule, self._term)
            before = [
                one
                for one in self._everything
                if since < one.at <= until and one.move != self._term.move and one.version not in self._bad
            ]
            self._frozen = summary_of(self._rule, self._term, _points(before))
        return self._frozen

    def tally(self, baseline: Baseline, since: datetime) -> Tally:
        """Return the tally of the term's readings from `since` on, up to the one that is judged."""
        if self._tally is None:
            is_higher = self._rule.better is Direction.HIGHER
            self._tally = Tally.of(Points.of([], []), baseline, higher_is_better=is_higher)
            self._counted = int(self._mine.at.searchsorted(since.timestamp()))
        until = int(self._mine.at.searchsorted(self.now.timestamp(), side="right"))
        if until > self._counted:
            self._tally.add(predicted(self._rule, self._mine.part(self._counted, until)))
            self._counted = until
        return self._tally


def _points(checks: Sequence[Check]) -> Points:
    some = [one for one in checks if one.value is not None and one.move is not None]
    return Points.of(
        (one.at.timestamp() for one in some),
        (one.value for one in some if one.value is not None),
        (one.total for one in some),
    )


def _covers(times: Iterable[datetime], since: datetime) -> timedelta:
    """Return how much time after `since` these times cover."""
    some = [at for at in times if at > since]
    return some[-1] - some[0] if some else timedelta()

"""Monitors: what one check found, what is made of it, and the states between. No I/O, no clock.

A monitor's own state says what its readings mean: DISABLED, WARMUP, OK ⇄ PENDING → FAILED, beside them NO_DATA and
ERROR. What was done about a failure is the state of the incident that it opens (bot/domain/incidents.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from hashlib import sha256
from math import isnan, nan
from typing import NamedTuple

from bot.domain.directions import Direction
from bot.domain.monitor_rule import HARD_LIMIT_AFTER, MonitorRule
from bot.domain.numbers import number
from bot.domain.people import Actor
from bot.domain.text import Say, say

JITTER = 0.1  # of the interval, to either side: monitors of one interval do not all come at once


class Outcome(Enum):
    """What a check came to. Only FAILED may ever move Production."""

    OK = "ok"
    FAILED = "failed"
    NO_DATA = "no data"  # nothing, too little, too old, or nonsense
    ERROR = "error"  # the source did not answer, or the monitor is set up wrongly


class State(Enum):
    """Where a monitor stands."""

    DISABLED = "disabled"  # paused, or nothing is in Production
    WARMUP = "warmup"  # right after a promotion: only the hard limit is looked at
    OK = "ok"
    PENDING = "pending"  # it failed, not yet often enough in a row
    FAILED = "failed"
    NO_DATA = "no data"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """A monitor of one model. One from the policy file is changed there and nowhere else."""

    id: str
    model: str
    rule: MonitorRule
    created_at: datetime
    created_by: Actor | None = None  # None: the policy file
    revision: int = 1  # counted up with every edit; a verdict belongs to one
    measured_from: int = 1  # the revision since which it measures the same; no earlier figure counts
    is_paused: bool = False
    armed_at: datetime | None = None
    armed_by: Actor | None = None
    removed_at: datetime | None = None
    silenced_until: datetime | None = None
    silenced_by: Actor | None = None  # None: a person has lifted it, at that time; no clock brings it back
    silence_reason: str = ""

    @property
    def name(self) -> str:
        """What people call it; unique for its model."""
        return self.rule.name

    @property
    def is_from_file(self) -> bool:
        """Tell whether the policy file says it."""
        return self.created_by is None

    @property
    def is_armed(self) -> bool:
        """Tell whether it may roll back by itself: its action says so, and the file or a second person armed it."""
        return self.rule.action == "auto" and (self.is_from_file or self.armed_at is not None)

    @property
    def acts(self) -> str:
        """Return its action as it holds now: `auto` that nobody armed asks."""
        return "ask" if self.rule.action == "auto" and not self.is_armed else self.rule.action

    def changed(self, rule: MonitorRule) -> Monitor:
        """Return its next revision, by another rule."""
        revision = self.revision + 1
        same = rule.measures == self.rule.measures
        return replace(self, rule=rule, revision=revision, measured_from=self.measured_from if same else revision)

    def silence_ended(self, since: datetime, now: datetime) -> bool:
        """Tell whether a silence has ended since a time, until `now`."""
        return self.silenced_until is not None and since <= self.silenced_until <= now

    def is_silenced(self, now: datetime) -> bool:
        """Tell whether its posts and acts are held back at `now`."""
        return self.silenced_by is not None and self.silenced_until is not None and now < self.silenced_until

    def first_check(self, now: datetime) -> datetime:
        """Return when it is checked first: soon, each monitor at a moment of its own."""
        return now + self.rule.every * JITTER * _share(self.id)

    def next_check(self, now: datetime, slot: int) -> datetime:
        """Return when it is checked after `slot`: an interval later, up to a tenth sooner or later."""
        return now + self.rule.every * (1 + JITTER * (2 * _share(f"{self.id}:{slot}") - 1))

    def latest_check(self, now: datetime) -> datetime:
        """Return the latest moment that a next check can have which is planned at `now`."""
        return now + self.rule.every * (1 + JITTER)


def _share(word: str) -> float:
    """Return a number from 0 to 1 that is the same for the same word in every process."""
    return int.from_bytes(sha256(word.encode()).digest()[:4], "big") / 2**32


Point = tuple[datetime, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """One reading that somebody pushed. Version 0: they did not say which."""

    source: str
    model: str
    version: int
    metric: str
    at: datetime
    value: float
    received_at: datetime
    client: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a source said to one query: points in any order, nonsense among them, or why there are none.

    `outcome` is OK also for no points at all; ERROR, with `why`, where the source failed or the query is wrong.
    `is_timeless`: the points do not age, as a training run's.
    """

    points: Sequence[Point] = ()
    outcome: Outcome = Outcome.OK
    why: Say | None = None
    is_timeless: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a source told about one monitor: a value and how many points it is made of, or why there is none."""

    value: float = nan
    points: int = 0
    fresh: int = 0  # points that no check before has seen
    newest: datetime | None = None  # of the points; None where the source does not say
    outcome: Outcome = Outcome.OK  # OK: there is a value, to be judged; NO_DATA or ERROR, with `why`
    why: Say | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One check as the ledger keeps it. `slot` counts a monitor's checks; `move` began the term that it is about."""

    monitor: str
    slot: int
    at: datetime
    revision: int
    version: int | None
    move: str | None
    outcome: Outcome
    value: float | None = None
    points: int = 0
    why: Say | None = None


class Check(NamedTuple):
    """As much of a finished check as a replay needs; a replay has hundreds of thousands of them."""

    at: datetime
    move: str | None  # that began the term that it is about
    version: int | None
    outcome: Outcome
    value: float | None
    points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """Who is in Production, since when, by which move. A verdict belongs to one."""

    move: str
    version: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a monitor stands: what its next check goes on from."""

    monitor: str
    slot: int = 0  # of the last check
    next_at: datetime | None = None
    state: State = State.DISABLED
    revision: int = 0
    version: int | None = None
    move: str | None = None  # that began the term
    bad: int = 0  # failed windows in a row
    good: int = 0  # windows in a row that are well again
    empty: int = 0  # checks in a row without data
    broken: int = 0  # checks in a row with an error
    beyond: int = 0  # checks in a row beyond the hard limit
    points: int = 0  # readings since the promotion, each counted once
    newest: datetime | None = None  # of those readings
    judged_to: datetime | None = None  # the end of the last block that was judged
    since: datetime | None = None  # when the present run of failures began
    at: datetime | None = None  # of the last check
    value: float | None = None  # of the last check that had one
    bound: float | None = None
    usual: float | None = None  # what the baseline had, when it was compared with last
    why: Say | None = None  # what the last check came to

    @property
    def is_blind(self) -> bool:
        """Tell whether the last check had no figure, however soon people are told of that."""
        return self.state in {State.NO_DATA, State.ERROR} or self.empty > 0 or self.broken > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a rule made of a value. `is_worse` None: it cannot be told, or there is nothing new to judge."""

    is_worse: bool | None
    is_recovered: bool = True  # far enough back within the bound
    bound: float = nan
    usual: float = nan  # what the baseline has
    why: Say | None = None
    judged_to: datetime | None = None
    is_waiting: bool = False  # it cannot be told yet, and that is nothing to alarm anybody with


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a check came to, and where the monitor stands after it. `is_news`: its state has changed."""

    outcome: Outcome
    standing: Standing
    before: State
    why: Say

    @property
    def is_news(self) -> bool:
        """Tell whether the state is another one than before."""
        return self.standing.state is not self.before

    @property
    def has_failed(self) -> bool:
        """Tell whether the monitor has failed with this very check."""
        return self.is_news and self.standing.state is State.FAILED


def latest(one: datetime | None, other: datetime | None) -> datetime | None:
    """Return the later of two times, each of which there may not be."""
    return max(filter(None, (one, other)), default=None)


def beyond_limit(rule: MonitorRule, value: float) -> bool:
    """Tell whether the value lies beyond the hard limit; on it is not beyond."""
    if rule.hard_limit is None or isnan(value):
        return False
    return value < rule.hard_limit if rule.better is Direction.HIGHER else value > rule.hard_limit


def begin(standing: Standing, monitor: Monitor, term: Term | None) -> Standing:
    """Return the standing to go on from: of another term or revision everything is counted anew."""
    move, version = (term.move, term.version) if term else (None, None)
    if (standing.move, standing.revision) == (move, monitor.revision):
        return standing
    return Standing(
        monitor=standing.monitor, slot=standing.slot, next_at=standing.next_at, revision=monitor.revision,
        version=version, move=move, state=State.OK if term else State.DISABLED,
    )  # fmt: skip


def is_warm(monitor: Monitor, term: Term, now: datetime) -> bool:
    """Tell whether the time after the promotion is over in which only the hard limit counts."""
    return now >= term.since + monitor.rule.warms_up


def assess(
    monitor: Monitor, standing: Standing, reading: Reading, judgement: Judgement | None, *, now: datetime, warm: bool
) -> Verdict:
    """Return what a check comes to.

    `standing` is that of `begin`; `judgement` is the rule's, or None where the rule was not asked: while it is not
    `warm`, or where there is no value. Pure: the same arguments give the same verdict.
    """
    rule = monitor.rule
    seen = replace(standing, slot=standing.slot + 1, at=now, points=standing.points + reading.fresh,
                   newest=latest(standing.newest, reading.newest))  # fmt: skip
    if reading.outcome is Outcome.ERROR:
        return _broken(rule, standing, seen, reading.why or say("The source gave an error."))
    if reading.outcome is Outcome.NO_DATA:
        return _empty(rule, standing, seen, reading.why or say("The source had no data."))
    seen = replace(seen, value=reading.value, broken=0)
    if beyond_limit(rule, reading.value):
        return _beyond(rule, standing, seen, now)
    seen = replace(seen, beyond=0)
    if not warm or judgement is None:
        state = State.FAILED if standing.state is State.FAILED else State.WARMUP if not warm else standing.state
        state = State.OK if state in {State.ERROR, State.NO_DATA, State.DISABLED} else state
        why = say("Too soon after the promotion to judge." if not warm else "There is nothing new to judge.")
        return _verdict(Outcome.OK, standing, replace(seen, empty=0), state, why)
    seen = replace(seen, bound=_known(judgement.bound, seen.bound), usual=_known(judgement.usual, seen.usual),
                   judged_to=judgement.judged_to or seen.judged_to)  # fmt: skip
    if judgement.is_worse is None:
        if judgement.judged_to is None and judgement.why is None:  # the same window still
            state = State.OK if standing.state in {State.ERROR, State.NO_DATA} else standing.state
            why = standing.why or say("The first window is not complete yet.")
            return _verdict(Outcome.OK, standing, replace(seen, empty=0), state, why)
        why = judgement.why or say("It cannot be told yet.")
        if judgement.is_waiting:
            state = State.FAILED if standing.state is State.FAILED else State.WARMUP
            return _verdict(Outcome.NO_DATA, standing, replace(seen, empty=0), state, why)
        return _empty(rule, standing, seen, why)
    return _judged(rule, standing, replace(seen, empty=0), judgement, now)


def _known(value: float, before: float | None) -> float | None:
    """Return a figure, or the one before where there is none: within a window nothing new is known."""
    return before if isnan(value) else value


def _judged(rule: MonitorRule, before: Standing, seen: Standing, judgement: Judgement, now: datetime) -> Verdict:
    why = judgement.why or say("{value}", value=number(seen.value if seen.value is not None else nan))
    if judgement.is_worse:
        seen = replace(seen, bad=seen.bad + 1, good=0, since=seen.since or now)
        if before.state is State.FAILED or seen.bad >= rule.fail_after:
            return _verdict(Outcome.FAILED, before, seen, State.FAILED, why)
        return _verdict(Outcome.FAILED, before, seen, State.PENDING, why)
    if before.state is State.FAILED:
        seen = replace(seen, good=seen.good + 1 if judgement.is_recovered else 0)
        if seen.good < rule.recover_after:
            return _verdict(Outcome.OK, before, seen, State.FAILED, why)
    return _verdict(Outcome.OK, before, replace(seen, bad=0, good=0, since=None), State.OK, why)


def _beyond(rule: MonitorRule, before: Standing, seen: Standing, now: datetime) -> Verdict:
    seen = replace(seen, beyond=seen.beyond + 1, empty=0, bound=rule.hard_limit, good=0, since=seen.since or now)
    why = say("{value} lies beyond the hard limit of {limit}, {n} times in a row.",
              value=number(seen.value if seen.value is not None else nan), limit=number(rule.hard_limit or 0.0),
              n=seen.beyond)  # fmt: skip
    failed = before.state is State.FAILED or seen.beyond >= HARD_LIMIT_AFTER
    return _verdict(Outcome.FAILED, before, seen, State.FAILED if failed else State.PENDING, why)


def _empty(rule: MonitorRule, before: Standing, seen: Standing, why: Say) -> Verdict:
    """A gap proves nothing: what failed before stays failed, and what was counted so far is kept."""
    seen = replace(seen, empty=seen.empty + 1, broken=0, beyond=0)
    silent = before.state is not State.FAILED and seen.empty >= rule.no_data
    return _verdict(Outcome.NO_DATA, before, seen, State.NO_DATA if silent else before.state, why)


def _broken(rule: MonitorRule, before: Standing, seen: Standing, why: Say) -> Verdict:
    seen = replace(seen, broken=seen.broken + 1, beyond=0)
    silent = before.state is not State.FAILED and seen.broken >= rule.error
    return _verdict(Outcome.ERROR, before, seen, State.ERROR if silent else before.state, why)


def _verdict(outcome: Outcome, before: Standing, seen: Standing, state: State, why: Say) -> Verdict:
    return Verdict(outcome=outcome, standing=replace(seen, state=state, why=why), before=before.state, why=why)


@dataclass(frozen=True, slots=True)
class Firing:
    """One time at which a replayed rule would have failed, and why."""

    at: datetime
    value: float
    why: Say


def longest_silence() -> timedelta:
    """Return the longest time for which a monitor can be silenced."""
    return timedelta(hours=72)

"""Monitors: what one check found, what is made of it, and the states between. No I/O, no clock.

A monitor's own state says what its readings mean: DISABLED, WARMUP, OK ⇄ PENDING → FAILED, beside them NO_DATA,
ERROR, and CANT_JUDGE. What was done about a failure is the state of the incident that it opens
(bot/domain/monitoring/incident.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from hashlib import sha256
from math import isnan, nan
from typing import TYPE_CHECKING, NamedTuple

from bot.domain.core.actors import Actor
from bot.domain.core.numbers import number, share
from bot.domain.core.sentence import Say, say
from bot.domain.policy.monitor_config import HARD_LIMIT_AFTER, MonitorRule
from bot.domain.registry.metric_direction import Direction

if TYPE_CHECKING:  # numpy is slow to import, and the terminal knows this module
    from bot.domain.monitoring.rules.baselines import Baseline

JITTER = 0.1  # of the interval, to either side: monitors of one interval do not all come at once
UNJUDGED_MOST = 3  # checks in a row without a verdict that was due, until the monitor can't judge
FIRST_FEW = 6  # checks that bring `sequential` the readings for its first verdict, with two to spare


class Outcome(Enum):
    """What a check came to. Only FAILED may ever move Production."""

    OK = "ok"
    FAILED = "failed"
    NO_DATA = "no data"  # nothing, too little, too old, or nonsense
    ERROR = "error"  # the source did not answer, or the monitor is set up wrongly
    UNJUDGED = "can't judge"  # there was a figure, and a verdict was due, but the rule gave none


class State(Enum):
    """Where a monitor stands."""

    DISABLED = "disabled"  # paused, or nothing is in Production
    WARMUP = "warmup"  # right after a promotion: only the hard limit is looked at
    OK = "ok"
    PENDING = "pending"  # it failed, not yet often enough in a row
    FAILED = "failed"
    NO_DATA = "no data"
    ERROR = "error"
    CANT_JUDGE = "can't judge"  # there are figures, but its rule has given no verdict when one was due


# Nothing is known of the version. Such a state ends with a verdict, not with a mere figure.
BLIND = frozenset({State.NO_DATA, State.ERROR, State.CANT_JUDGE})


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
Counts = tuple[datetime, float, float]  # count and total: k of n
Measured = tuple[datetime, float, float | None]  # a check's value and total; None if it isn't a count


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """One reading that somebody pushed. Version 0: they did not say which.

    With a `total`, `value` is a count out of it, as it was pushed, and no proportion yet.
    """

    source: str
    model: str
    version: int
    metric: str
    at: datetime
    value: float
    total: float | None = None
    received_at: datetime
    client: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a source said to one query: points in any order, nonsense among them, or why there are none.

    A point is a time and a value or, for a count, a time, the count, and the total: 93 of 100 is 0.93.
    `outcome` is OK also for no points at all; ERROR, with `why`, where the source failed or the query is wrong.
    `is_timeless`: the points do not age, as a training run's.
    """

    points: Sequence[Point | Counts] = ()
    outcome: Outcome = Outcome.OK
    why: Say | None = None
    is_timeless: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a source told about one monitor: a value and how many points it is made of, or why there is none.

    For counts, the value is a proportion, k/n, and `total` is n.
    """

    value: float = nan
    total: float | None = None
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
    total: float | None = None  # what `value` is out of; None if the metric isn't a count
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
    total: float | None = None  # what `value` is out of; None if the metric isn't a count


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """Who is in Production, since when, by which move. A verdict belongs to one."""

    move: str
    version: int
    since: datetime


class Own(Enum):
    """Why a version is compared with its own days."""

    LIVE = "live"  # there are no others: summarized again every day
    BEST = "best"  # they're better than its baseline: a ratchet


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenBaseline:
    """A monitor's baseline of one term: what was measured before the term began, summarized once and never again.

    The readings are those from `since` to `until`. `key` says what else the summary depends on.
    """

    monitor: str
    move: str  # that began the term
    key: str
    since: datetime
    until: datetime
    made_at: datetime
    summary: Baseline


@dataclass(frozen=True, slots=True)
class Kept:
    """A new baseline of a version's own days, and the one it replaces if people should hear about that."""

    kind: Own
    baseline: FrozenBaseline
    before: Baseline | None


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
    unjudged: int = 0  # checks in a row since a verdict was due and could not be given
    judged_at: datetime | None = None  # the last verdict, also one about an earlier version
    missed_at: datetime | None = None  # the last check without a figure
    points: int = 0  # readings since the promotion, each counted once
    newest: datetime | None = None  # of those readings
    judged_to: datetime | None = None  # the end of the last block that was judged
    failed_at: datetime | None = None  # the last failed verdict of the term
    since: datetime | None = None  # when the present run of failures began
    at: datetime | None = None  # of the last check
    value: float | None = None  # of the last check that had one
    total: float | None = None  # what that is out of; None if the metric isn't a count
    bound: float | None = None
    usual: float | None = None  # what the baseline had, when it was compared with last
    evidence: tuple[float, ...] | None = (
        None  # what's gathered in this term: `bot.domain.monitoring.rules.counts.Gathered`
    )
    why: Say | None = None  # what the last check came to

    @property
    def is_blind(self) -> bool:
        """Tell whether the version isn't measured or isn't judged now, however soon people hear of that."""
        return self.state in BLIND or self.has_no_figure or self.unjudged > 0

    @property
    def has_no_figure(self) -> bool:
        """Tell whether the last check had no figure."""
        return self.empty > 0 or self.broken > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a rule made of a value.

    `is_worse` None with a `why` or a `judged_to`: a verdict is due, and the rule can't give one. None with neither:
    there is nothing new to judge.
    """

    is_worse: bool | None
    is_sure: bool = False  # it already rests on `fail_after` readings, so no other check has to confirm it
    is_recovered: bool = True  # far enough back within the bound
    bound: float = nan
    usual: float = nan  # what the baseline has
    why: Say | None = None
    judged_to: datetime | None = None
    evidence: tuple[float, ...] | None = None  # what's gathered by now; None where nothing was


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
    """Return the standing to go on from: for another term or revision, counts and evidence start over.

    Another revision keeps when the version failed last. Evidence is about one direction and one effect, so it's gone.
    """
    move, version = (term.move, term.version) if term else (None, None)
    if (standing.move, standing.revision) == (move, monitor.revision):
        return standing
    return Standing(
        monitor=standing.monitor,
        slot=standing.slot,
        next_at=standing.next_at,
        revision=monitor.revision,
        version=version,
        move=move,
        state=State.OK if term else State.DISABLED,
        judged_at=standing.judged_at,
        failed_at=standing.failed_at if standing.move == move else None,
    )


def resumed(standing: Standing, monitor: Monitor, now: datetime) -> Standing:
    """Return the standing from which a monitor that was paused goes on.

    Windows with a pause in them are incomplete for a good reason, so they count as judged.
    """
    anew = replace(
        standing,
        next_at=monitor.first_check(now),
        empty=0,
        broken=0,
        unjudged=0,
        judged_at=standing.judged_at and now,
        judged_to=now + monitor.rule.window if monitor.rule.has_blocks else None,
    )
    return replace(anew, state=State.OK, value=None, total=None) if anew.state in BLIND else anew


def is_warm(monitor: Monitor, term: Term, now: datetime) -> bool:
    """Tell whether the time after the promotion is over in which only the hard limit counts."""
    return now >= term.since + monitor.rule.warms_up


def due_from(monitor: Monitor, term: Term, now: datetime) -> datetime:
    """Return since when verdicts are due: the end of the warm-up, or the monitor's last change if that was later.

    A change that is yet to come, since the clock was set back, doesn't count.
    """
    warm = term.since + monitor.rule.warms_up
    return max(warm, monitor.created_at) if monitor.created_at <= now else warm


def assess(
    monitor: Monitor,
    standing: Standing,
    reading: Reading,
    judgement: Judgement | None,
    *,
    now: datetime,
    warm: bool,
    due: datetime | None = None,
) -> Verdict:
    """Return what a check comes to.

    `standing` is that of `begin`; `judgement` is the rule's, or None where the rule was not asked: while it is not
    `warm`, or where there is no value; with no data, it says that there can be none yet. `due` is that of `due_from`;
    without it, a monitor that only ever has nothing new to judge is not noticed. Pure: the same arguments give the
    same verdict.
    """
    rule = monitor.rule
    seen = replace(
        standing,
        slot=standing.slot + 1,
        at=now,
        points=standing.points + reading.fresh,
        newest=latest(standing.newest, reading.newest),
    )
    if reading.outcome is Outcome.ERROR:
        return _broken(rule, standing, seen, reading.why or say("The source gave an error."))
    if reading.outcome is Outcome.NO_DATA and judgement is not None and not warm:
        state = State.FAILED if standing.state is State.FAILED else State.WARMUP
        return _verdict(Outcome.NO_DATA, standing, seen, state, judgement.why or say("There's no verdict yet."))
    if reading.outcome is Outcome.NO_DATA:
        return _empty(rule, standing, seen, reading.why or say("The source had no data."))
    seen = replace(seen, value=reading.value, total=reading.total, broken=0, empty=0)
    if beyond_limit(rule, reading.value):
        return _beyond(rule, standing, seen, now)
    seen = replace(seen, beyond=0)
    if not warm:
        state = State.FAILED if standing.state is State.FAILED else State.WARMUP
        return _verdict(Outcome.OK, standing, seen, state, say("Too soon after the promotion to judge."))
    judgement = judgement or Judgement(is_worse=None)
    seen = replace(
        seen,
        bound=_known(judgement.bound, seen.bound),
        usual=_known(judgement.usual, seen.usual),
        judged_to=judgement.judged_to or seen.judged_to,
        evidence=judgement.evidence or seen.evidence,
    )
    if judgement.is_worse is not None:
        return _judged(rule, standing, replace(seen, unjudged=0, judged_at=now), judgement, now)
    if judgement.why is None and judgement.judged_to is None:
        return _nothing_new(rule, standing, seen, due)
    why = judgement.why or say("There's no verdict yet.")
    if _waits(rule, seen, judgement, due):
        state = standing.state if standing.state in {State.FAILED, *BLIND} else State.WARMUP
        return _verdict(Outcome.OK, standing, seen, state, why)
    return _unjudged(standing, seen, why)


def _nothing_new(rule: MonitorRule, before: Standing, seen: Standing, due: datetime | None) -> Verdict:
    """The last window has had its verdict, or has none: then each check until the next window counts as well."""
    if before.state in {State.NO_DATA, State.ERROR}:
        return _verdict(Outcome.OK, before, seen, before.state, say("Measured again, but not judged yet."))
    if before.unjudged:
        return _unjudged(before, seen, before.why or say("There's no verdict yet."))
    if (why := _late(rule, seen, due)) is not None:
        return _unjudged(before, seen, why)
    return _verdict(Outcome.OK, before, seen, before.state, before.why or say("The first window isn't complete yet."))


def _late(rule: MonitorRule, seen: Standing, due: datetime | None) -> Say | None:
    """Return since when there is no verdict, if that is longer ago than it can be, whatever the reason; else None."""
    if due is None or seen.at is None:
        return None
    window = rule.window if rule.has_blocks else timedelta()
    checks = UNJUDGED_MOST * (1 + JITTER) * rule.every
    last = max(due, seen.judged_at or due)
    if seen.judged_to is not None and seen.judged_to - seen.at > window + checks:
        return say("It has judged up to {to}, which is in the future: the clock was set back.", to=seen.judged_to)
    if seen.at - last > 2 * window + checks:
        return say("There's been no verdict since {since}.", since=last)
    return None


def _waits(rule: MonitorRule, seen: Standing, judgement: Judgement, due: datetime | None) -> bool:
    """Tell whether it merely lacks readings for its first verdict, and could not plausibly have them yet."""
    if due is None or seen.at is None:
        return seen.points < rule.points_needed
    if judgement.judged_to is not None and judgement.judged_to - rule.window < due:
        return True  # the monitor, or its last change, is younger than this window
    is_first = rule.rule == "sequential" and (seen.judged_at is None or seen.judged_at <= due)
    needed = rule.points_needed if seen.points < rule.points_needed else FIRST_FEW if is_first else 0
    return needed > 0 and seen.at <= due + 2 * needed * rule.every


def _unjudged(before: Standing, seen: Standing, why: Say) -> Verdict:
    """A verdict was due, and there is none. That proves nothing either: what failed before stays failed."""
    seen = replace(seen, unjudged=before.unjudged + 1)
    return _verdict(Outcome.UNJUDGED, before, seen, _unjudged_state(before, seen), why)


def _unjudged_state(before: Standing, seen: Standing) -> State:
    if before.state is State.FAILED or seen.unjudged < UNJUDGED_MOST:
        return before.state
    return State.CANT_JUDGE


def _known(value: float, before: float | None) -> float | None:
    """Return a figure, or the one before where there is none: within a window nothing new is known."""
    return before if isnan(value) else value


def _judged(rule: MonitorRule, before: Standing, seen: Standing, judgement: Judgement, now: datetime) -> Verdict:
    why = judgement.why or say("{value}", value=number(seen.value if seen.value is not None else nan))
    if judgement.is_worse:
        seen = replace(seen, bad=seen.bad + 1, good=0, since=seen.since or now, failed_at=now)
        if before.state is State.FAILED or judgement.is_sure or seen.bad >= rule.fail_after:
            return _verdict(Outcome.FAILED, before, seen, State.FAILED, why)
        return _verdict(Outcome.FAILED, before, seen, State.PENDING, why)
    if before.state is State.FAILED:
        seen = replace(seen, good=seen.good + 1 if judgement.is_recovered else 0)
        if seen.good < rule.recover_after:
            return _verdict(Outcome.OK, before, seen, State.FAILED, why)
    return _verdict(Outcome.OK, before, replace(seen, bad=0, good=0, since=None), State.OK, why)


def _beyond(rule: MonitorRule, before: Standing, seen: Standing, now: datetime) -> Verdict:
    seen = replace(seen, beyond=seen.beyond + 1, bound=rule.hard_limit, good=0, since=seen.since or now)
    why = say(
        "{value} lies beyond the hard limit of {limit}, {n} times in a row.",
        value=share(seen.value if seen.value is not None else nan, seen.total),
        limit=number(rule.hard_limit or 0.0),
        n=seen.beyond,
    )
    if before.state is State.FAILED or seen.beyond >= HARD_LIMIT_AFTER:
        return _verdict(Outcome.FAILED, before, replace(seen, unjudged=0, failed_at=now), State.FAILED, why)
    # One such reading is no verdict yet, so a monitor that knows nothing goes on knowing nothing.
    return _verdict(Outcome.FAILED, before, seen, before.state if before.state in BLIND else State.PENDING, why)


def _empty(rule: MonitorRule, before: Standing, seen: Standing, why: Say) -> Verdict:
    """A gap proves nothing: what failed before stays failed, and what was counted so far is kept."""
    seen = replace(seen, empty=seen.empty + 1, broken=0, beyond=0, missed_at=seen.at)
    return _missed(Outcome.NO_DATA, before, seen, State.NO_DATA if seen.empty >= rule.no_data else None, why)


def _broken(rule: MonitorRule, before: Standing, seen: Standing, why: Say) -> Verdict:
    seen = replace(seen, broken=seen.broken + 1, beyond=0, missed_at=seen.at)
    return _missed(Outcome.ERROR, before, seen, State.ERROR if seen.broken >= rule.error else None, why)


def _missed(outcome: Outcome, before: Standing, seen: Standing, silent: State | None, why: Say) -> Verdict:
    """A check without a figure. If a verdict is due, this one brings none either, and the reason remains."""
    if before.state is not State.FAILED and silent is not None:
        return _verdict(outcome, before, seen, silent, why)
    if not before.unjudged or before.state in {State.NO_DATA, State.ERROR}:
        return _verdict(outcome, before, seen, before.state, why)
    seen = replace(seen, unjudged=before.unjudged + 1, why=before.why or why)
    return Verdict(
        outcome=outcome, standing=replace(seen, state=_unjudged_state(before, seen)), before=before.state, why=why
    )


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

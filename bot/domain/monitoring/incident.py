"""Incidents: what a failed monitor opens, and what is done about it. One alert, one thread. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum

from bot.domain.core.actors import Actor
from bot.domain.core.sentence import Code, Name, Say, say
from bot.domain.monitoring.monitor import Monitor
from bot.domain.policy.freezes import Frozen

ONE_DAY = timedelta(hours=24)
UPDATED_EVERY = timedelta(minutes=5)  # the first message, where only its figures have changed
REPEATED_EVERY = timedelta(hours=4)  # the thread of an incident that nobody looks after
COMMON_COUNT, COMMON_SHARE = 3, 0.3  # so many monitors of one source, and such a part of them: the source's own fault


OF_ALL = "As many automatic rollbacks of all models as the policy allows within 24 hours: {n}."


class IncidentKind(Enum):
    """What went wrong."""

    FAILED = "failed"  # a monitor's rule says that the version is bad
    # A monitor has no data, its source gives errors, or it can't judge: nothing is known, and nothing is moved. One of
    # many monitors of a source is the source's, as SOURCE is.
    BLIND = "blind"
    SOURCE = "source"  # many monitors of one source fail together: it is not the models


class Doing(Enum):
    """What was done about it, as its message tells."""

    LOGGED = "logged"  # action dry_run: written down, and nobody is disturbed
    NOTIFIED = "notified"
    AWAITING_HUMAN = "awaiting human"  # the question with its button is out
    INTENT = "intent"  # the rollback is written down
    ROLLED_BACK = "rolled back"  # read back from the registry
    NOT_FOLLOWED = "not followed"  # rolled back, and the serving side has not confirmed it within its time limit
    SILENCED = "silenced"
    FROZEN = "frozen"
    COOLDOWN = "cooldown"
    TRIPPED = "tripped"  # the breaker: only a person goes on
    SUPERSEDED = "superseded"  # Production had moved before anything was done
    HELD = "held"  # nothing to go back to, a request is open, or the source itself is in doubt
    FAILED = "failed"  # the rollback was tried and refused


class Ending(Enum):
    """How an incident ended. Only the first one is good news."""

    RECOVERED = "recovered"  # its monitors are healthy again, with this version or with the one restored
    RESTORED = "restored"  # rolled back, read back, and confirmed where the endpoint is asked; not measured since
    NOT_CONFIRMED = "not confirmed"  # rolled back, and the endpoint hasn't confirmed it in time
    ROLLED_BACK = "rolled back"  # a person rolled Production back, not by this incident's button
    OVERTAKEN = "overtaken"  # Production moved in another way
    PAUSED = "paused"  # someone paused the last monitor that watched
    EDITED = "edited"  # someone changed it, so it starts over
    REMOVED = "removed"  # someone removed it
    UNWATCHED = "unwatched"  # one of these three; an older Registrar didn't keep which, or who


UNWATCHED = frozenset({Ending.PAUSED, Ending.EDITED, Ending.REMOVED, Ending.UNWATCHED})


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How an incident ended, the sentence that says so, who ended it, and where Slack tells of it.

    `told_in` is the lane of that message; empty where there is none, or where it's the incident's own.
    """

    ending: Ending
    how: Say
    by: Actor | None = None
    told_in: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One alert. `monitors` are the names of those that failed, the first one first; `source` for one of a source."""

    id: str
    kind: IncidentKind
    model: str  # empty for a source's
    source: str
    version: int | None
    move: str | None  # that began the term which is judged
    monitors: tuple[str, ...]
    opened_at: datetime
    since: datetime  # when the run of failures began
    lines: tuple[Say, ...]  # what failed: value against bound
    doing: Doing
    why: Say | None = None  # why this and not more
    target: int | None = None  # the version to go back to
    rollback: str | None = None  # the move's id
    acknowledged_by: Actor | None = None
    acknowledged_at: datetime | None = None
    told_at: datetime | None = None
    repeated_at: datetime | None = None
    resolved_at: datetime | None = None
    resolution: Say | None = None
    ending: Ending | None = None
    ended_by: Actor | None = None
    ended_in: str = ""  # the lane of the message in Slack that tells what ended it

    def telling(self, monitor: str, line: Say, most: int) -> Incident:
        """Return it with this line for a monitor, which joins it if it isn't part of it; at most so many are kept."""
        if monitor not in self.monitors:
            return replace(self, monitors=(*self.monitors, monitor), lines=(*self.lines, line)[:most])
        at = self.monitors.index(monitor)
        lines = tuple(line if n == at else old for n, old in enumerate(self.lines))
        return replace(self, lines=lines)

    def ended(self, end: End, at: datetime) -> Incident:
        """Return it as it is once it has ended so."""
        return replace(
            self, resolved_at=at, resolution=end.how, ending=end.ending, ended_by=end.by, ended_in=end.told_in
        )

    @property
    def chart(self) -> str:
        """The key of the note that puts its picture into its thread, and under which it is kept where that stands."""
        return f"chart:{self.id}:opened"

    @property
    def is_of_source(self) -> bool:
        """Tell whether it is about a source and many monitors of it, not about one model."""
        return not self.model

    @property
    def is_open(self) -> bool:
        """Tell whether it is not over."""
        return self.resolved_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tripped:
    """The breaker of one model, or with an empty `model` of all: automatic rollbacks stop until a person resets it."""

    model: str
    at: datetime
    why: Say


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What decides about an act, read in the transaction that writes it down."""

    monitor: Monitor
    model: str
    version: int
    move: str  # the term that the verdict is about
    now_serving: str | None  # the move that began the present term
    rolled_back_at: datetime | None  # when Production was rolled back last, by whomever; a promotion has its warm-up
    auto_of_model: int  # automatic rollbacks of this model in the last 24 hours
    auto_of_all: int
    auto_most: int  # of all models
    tripped: Tripped | None
    frozen: Frozen | None
    open_request: str | None  # a person has asked for Production of this model
    target: int | None
    passed_over: int | None  # a nearer one, that has served for too short a time
    is_common: bool  # many monitors of the source fail together
    now: datetime
    held: Say | None = None  # why no automation acts at all


@dataclass(frozen=True, slots=True)
class Decided:
    """What to do, and why not more. `trips`: the breaker is tripped with it."""

    doing: Doing
    why: Say | None = None
    trips: Say | None = None


def decide(it: Situation) -> Decided:
    """Return what to do about a monitor that has just failed.

    In this order: what makes the verdict void, what holds every act back, then the monitor's own action.
    """
    rule, acts = it.monitor.rule, it.monitor.acts
    if it.now_serving != it.move:
        return Decided(Doing.SUPERSEDED, say("Production has moved since; this was about v{v}.", v=it.version))
    if it.is_common:
        return Decided(
            Doing.HELD,
            say(
                "Many monitors of the source {source} fail together, so the source is in doubt and nothing is done.",
                source=Code(rule.source),
            ),
        )
    if acts == "dry_run":
        return Decided(Doing.LOGGED, say("This monitor only tries itself out: nobody is alerted, nothing is moved."))
    if it.monitor.is_silenced(it.now):
        return Decided(Doing.SILENCED, say("It is silenced until {until}.", until=it.monitor.silenced_until))
    if acts == "notify":
        return Decided(Doing.NOTIFIED, say("This monitor tells and moves nothing."))
    if it.held:
        return Decided(Doing.HELD, it.held)
    if it.frozen:
        return Decided(Doing.FROZEN, it.frozen.why)
    if it.target is None:
        return Decided(Doing.HELD, _no_target(it))
    if acts == "ask":
        why = (
            None
            if rule.action == "ask"
            else say(
                "It may not act by itself: nobody has armed it. {how}",
                how=Code(f"/model monitor arm {it.model} {it.monitor.name}"),
            )
        )
        return Decided(Doing.AWAITING_HUMAN, why)
    return _automatically(it)


def _automatically(it: Situation) -> Decided:
    if it.open_request:
        return Decided(
            Doing.AWAITING_HUMAN,
            say(
                "Request {id} is open, so a person decides; once it is closed, the monitor does.",
                id=Code(it.open_request),
            ),
        )
    if it.tripped:
        return Decided(Doing.TRIPPED, it.tripped.why)
    rule = it.monitor.rule
    if it.auto_of_model >= rule.max_auto:
        return _trip(
            say(
                "As many automatic rollbacks of {model} as the policy allows within 24 hours: {n}.",
                n=it.auto_of_model,
                model=Name(it.model),
            )
        )
    if it.auto_of_all >= it.auto_most:
        return _trip(say(OF_ALL, n=it.auto_of_all))
    if it.rolled_back_at and it.now < it.rolled_back_at + rule.cooldown:
        return Decided(
            Doing.COOLDOWN,
            say(
                "Production was rolled back on {at}; until {until} a person decides.",
                at=it.rolled_back_at,
                until=it.rolled_back_at + rule.cooldown,
            ),
        )
    return Decided(Doing.INTENT)


def _trip(why: Say) -> Decided:
    return Decided(Doing.TRIPPED, why, trips=why)


def _no_target(it: Situation) -> Say:
    return say(
        "There is no version to go back to that has served for long enough and was not rolled back as bad. Choose one: "
        "{how}",
        how=Code(f'/model rollback {it.model} VERSION --reason "…"'),
    )


def is_common_cause(failing: int, watching: int) -> bool:
    """Tell whether so many of a source's monitors fail that the source itself is in doubt."""
    return failing >= COMMON_COUNT and failing >= COMMON_SHARE * watching


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What the picture of a monitor shows: its readings, what must hold, and when it failed."""

    title: str
    times: Sequence[datetime]
    values: Sequence[float]
    failed: Sequence[bool]
    bounds: Mapping[str, float] = field(default_factory=dict)  # by name: at least, at most, hard limit, baseline
    moves: Sequence[tuple[datetime, str]] = ()  # when Production moved, and to what

"""Incidents: opened when a monitor fails, and the decision what to do. One alert, one thread. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum

from bot.domain.core.actors import Actor
from bot.domain.core.sentence import Sentence

ONE_DAY = timedelta(hours=24)
UPDATE_INTERVAL = timedelta(minutes=5)  # between updates of the message if only its values changed
REMINDER_INTERVAL = timedelta(hours=4)  # between reminders in the thread of an unacknowledged incident
COMMON_CAUSE_COUNT, COMMON_CAUSE_SHARE = (
    3,
    0.3,
)  # so many monitors of a source, and such a share of them, must fail together


class IncidentKind(Enum):
    """What went wrong."""

    FAILED = "failed"  # a monitor's rule says that the version is bad
    # A monitor has no data, its source gives errors, or it can't judge: no verdict, and no rollback. If it affects many
    # monitors of a source, the incident is about the source.
    BLIND = "blind"
    SOURCE = "source"  # many monitors of a source fail together: probably not the models' fault


class IncidentStatus(Enum):
    """What was done about an incident."""

    LOGGED = "logged"  # action dry_run: recorded without an alert
    NOTIFIED = "notified"
    AWAITING_HUMAN = "awaiting human"  # a person has to decide, by the button or a command
    INTENT = "intent"  # the rollback is recorded, and about to run
    ROLLED_BACK = "rolled back"  # done and verified in the registry
    NOT_FOLLOWED = "not followed"  # rolled back, but the endpoint didn't confirm it in time
    SILENCED = "silenced"
    FROZEN = "frozen"
    COOLDOWN = "cooldown"
    TRIPPED = "tripped"  # the circuit breaker stopped automatic rollbacks until a person resets it
    SUPERSEDED = "superseded"  # Production changed before anything was done
    HELD = "held"  # no target to roll back to, an open request, or a suspect source
    FAILED = "failed"  # the rollback was tried and failed


class IncidentEnding(Enum):
    """How an incident ended. Only the first one is good news."""

    RECOVERED = "recovered"  # its monitors are healthy again, with this version or with the one restored
    RESTORED = "restored"  # rolled back, verified, and confirmed by the endpoint if there's a probe; not measured yet
    NOT_CONFIRMED = "not confirmed"  # rolled back, and the endpoint hasn't confirmed it in time
    ROLLED_BACK = "rolled back"  # a person rolled Production back, not by this incident's button
    OVERTAKEN = "overtaken"  # Production changed in another way
    PAUSED = "paused"  # someone paused the last monitor that watched
    EDITED = "edited"  # someone changed it, so it starts over
    REMOVED = "removed"  # someone removed it
    UNWATCHED = "unwatched"  # one of the three above; an earlier version of Registrar didn't record which, or who


UNWATCHED_ENDINGS = frozenset(
    {IncidentEnding.PAUSED, IncidentEnding.EDITED, IncidentEnding.REMOVED, IncidentEnding.UNWATCHED}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentResolution:
    """How an incident ended, the sentence that says so, who ended it, and where it was announced.

    `announced_in` is the ordering key of that message in Slack; empty if there's none besides the incident's thread.
    """

    ending: IncidentEnding
    sentence: Sentence
    by: Actor | None = None
    announced_in: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One alert. `monitors` are the names of the affected monitors; `source` is set if it's about a source."""

    id: str
    kind: IncidentKind
    model: str  # empty if it's about a source
    source: str
    version: int | None
    move: str | None  # the transition that began the judged term
    monitors: tuple[str, ...]
    opened_at: datetime
    since: datetime  # when the run of failures began
    lines: tuple[Sentence, ...]  # one for each monitor: its value and bound
    doing: IncidentStatus
    why: Sentence | None = None  # why no more was done
    target: int | None = None  # the version to roll back to
    rollback: str | None = None  # the transition's id
    acknowledged_by: Actor | None = None
    acknowledged_at: datetime | None = None
    told_at: datetime | None = None
    repeated_at: datetime | None = None
    resolved_at: datetime | None = None
    resolution: Sentence | None = None
    ending: IncidentEnding | None = None
    ended_by: Actor | None = None
    ended_in: str = ""  # the ordering key of the message that announces what ended it

    def with_line(self, monitor: str, line: Sentence, max_lines: int) -> Incident:
        """Return the incident with this line for a monitor, which joins it if necessary, with at most `max_lines`."""
        if monitor not in self.monitors:
            return replace(self, monitors=(*self.monitors, monitor), lines=(*self.lines, line)[:max_lines])
        at = self.monitors.index(monitor)
        lines = tuple(line if n == at else old for n, old in enumerate(self.lines))
        return replace(self, lines=lines)

    def with_resolution(self, resolution: IncidentResolution, at: datetime) -> Incident:
        """Return the incident as resolved at this time."""
        return replace(
            self,
            resolved_at=at,
            resolution=resolution.sentence,
            ending=resolution.ending,
            ended_by=resolution.by,
            ended_in=resolution.announced_in,
        )

    @property
    def chart_key(self) -> str:
        """The key of the outbox message with its chart, under which the ledger also keeps where that was posted."""
        return f"chart:{self.id}:opened"

    @property
    def is_of_source(self) -> bool:
        """Tell whether it's about a source with many monitors, rather than one model."""
        return not self.model

    @property
    def is_open(self) -> bool:
        """Tell whether it isn't resolved."""
        return self.resolved_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrippedBreaker:
    """A tripped circuit breaker of one model, or of all if `model` is empty: no automatic rollbacks until a reset."""

    model: str
    at: datetime
    why: Sentence


def is_common_cause(failing: int, watching: int) -> bool:
    """Tell whether so many of a source's monitors are affected that the source itself is suspect."""
    return failing >= COMMON_CAUSE_COUNT and failing >= COMMON_CAUSE_SHARE * watching


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorChart:
    """A monitor's chart: its readings, the bounds, and when it failed."""

    title: str
    times: Sequence[datetime]
    values: Sequence[float]
    failed: Sequence[bool]
    bounds: Mapping[str, float] = field(default_factory=dict)  # by name: at least, at most, hard limit, baseline
    transitions: Sequence[tuple[datetime, str]] = ()  # when Production changed, and to what

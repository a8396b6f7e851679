"""Incidents, one for each alert, and the decision about what to do when a monitor fails. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum

from bot.domain.core.actors import Actor
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.reasons import Reason, reason_of
from bot.domain.policy.freezes import ActiveFreeze

ONE_DAY = timedelta(hours=24)
UPDATE_INTERVAL = timedelta(minutes=5)  # between updates of the message if only its values changed
REMINDER_INTERVAL = timedelta(hours=4)  # between reminders in the thread of an unacknowledged incident
COMMON_CAUSE_COUNT, COMMON_CAUSE_SHARE = (
    3,
    0.3,
)  # how many of a source's monitors, and what share of them, must fail together


class IncidentKind(Enum):
    """What went wrong."""

    FAILED = "failed"  # a monitor's rule says that the version is bad
    # A monitor has no data, its source returns errors, or its rule reaches no verdict: no rollback. If many monitors
    # of a source are affected, the incident is about the source.
    BLIND = "blind"
    SOURCE = "source"  # many monitors of a source fail together: probably not the models' fault
    FILES = "files"  # the files of the version in Production changed after they were recorded: no monitors, no rollback


class IncidentStatus(Enum):
    """What was done about an incident."""

    LOGGED = "logged"  # action dry_run: recorded without an alert
    NOTIFIED = "notified"
    AWAITING_HUMAN = "awaiting human"  # a person has to decide, with the button or a command
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
    """How an incident ended. Only RECOVERED is good news."""

    RECOVERED = "recovered"  # its monitors are healthy again, with this version or with the one restored
    RESTORED = "restored"  # rolled back, verified, and confirmed by the endpoint if there's a probe; not measured yet
    NOT_CONFIRMED = "not confirmed"  # rolled back, but the endpoint didn't confirm it in time
    ROLLED_BACK = "rolled back"  # a person rolled Production back, not by this incident's button
    OVERTAKEN = "overtaken"  # Production changed in another way
    PAUSED = "paused"  # someone paused its last active monitor
    EDITED = "edited"  # someone changed its last active monitor, so the monitor starts over
    REMOVED = "removed"  # someone removed its last active monitor
    UNWATCHED = "unwatched"  # one of the three above; an earlier version of Registrar didn't record which, or who


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentResolution:
    """How an incident ended, the sentence that says so, who ended it, and where that was announced.

    `announced_in` is the ordering key of the announcement in Slack; empty if it's only in the incident's thread.
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
    move: str | None  # the transition that began the evaluated term
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
        """Return the incident with this line for `monitor`, which is added if new; keep at most `max_lines` lines."""
        if monitor not in self.monitors:
            return replace(self, monitors=(*self.monitors, monitor), lines=(*self.lines, line)[:max_lines])
        at = self.monitors.index(monitor)
        lines = tuple(line if n == at else old for n, old in enumerate(self.lines))
        return replace(self, lines=lines)

    def with_resolution(self, resolution: IncidentResolution, at: datetime) -> Incident:
        """Return the incident, resolved at this time."""
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
        """The key of the outbox message with its chart. The ledger uses the same key to record where it was posted."""
        return f"chart:{self.id}:opened"

    @property
    def is_of_source(self) -> bool:
        """Whether it's about a source with many monitors, rather than one model."""
        return not self.model

    @property
    def is_open(self) -> bool:
        """Whether it's unresolved."""
        return self.resolved_at is None


def monitors_of_incident(incident: Incident, monitors: Iterable[Monitor]) -> list[Monitor]:
    """Return an incident's monitors, in its order. An incident about a source also lists their models' names."""
    if incident.is_of_source:
        by_name = {f"{one.model} {one.name}": one for one in monitors if one.rule.source == incident.source}
    else:
        by_name = {one.name: one for one in monitors if one.model == incident.model}
    return [by_name[name] for name in incident.monitors if name in by_name]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrippedBreaker:
    """A tripped circuit breaker: no automatic rollbacks of `model` (if empty, of any model) until it's reset."""

    model: str
    at: datetime
    why: Sentence


def is_common_cause(failing: int, watching: int) -> bool:
    """Return whether enough of a source's monitors are affected to make the source itself suspect."""
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
    value_label: str = ""  # what the values are, with their unit


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionInput:
    """The input to `decide`, read in the transaction that records the decision."""

    monitor: Monitor
    model: str
    version: int
    transition_id: str  # began the term that the verdict is about
    serving_transition_id: str | None  # began the current term
    last_rollback_at: datetime | None  # by anyone; after a promotion, there's the warm-up
    auto_rollbacks_of_model: int  # automatic rollbacks of this model in the last 24 hours
    auto_rollbacks_of_all: int
    max_auto_rollbacks: int  # of all models
    breaker: TrippedBreaker | None
    freeze: ActiveFreeze | None
    open_request: str | None  # a pending request about this model
    target: int | None
    skipped_target: int | None  # a more recent version that served too briefly
    has_common_cause: bool  # many monitors of the source fail together
    now: datetime
    hold_reason: Sentence | None = None  # why all automation is stopped


@dataclass(frozen=True, slots=True)
class IncidentDecision:
    """What to do about a failing monitor, and what prevents more. A `trip_reason` also trips the circuit breaker."""

    status: IncidentStatus
    why: Sentence | None = None
    trip_reason: Sentence | None = None


def decide(inputs: DecisionInput) -> IncidentDecision:
    """Return what to do about a failing monitor.

    Checks, in this order, what invalidates the verdict (Production changed, the source is suspect), whether the monitor
    only records or alerts (a dry run, a silence, `notify`), what stops every rollback (stopped automation, a freeze, no
    target), and whether the monitor asks first or rolls back automatically.
    """
    rule, acts = inputs.monitor.rule, inputs.monitor.effective_action
    if inputs.serving_transition_id != inputs.transition_id:
        return IncidentDecision(
            IncidentStatus.SUPERSEDED, say("Production has changed. This was about v{v}.", v=inputs.version)
        )
    if inputs.has_common_cause:
        return IncidentDecision(
            IncidentStatus.HELD,
            say(
                "Many monitors of the source {source} are failing together, so the source is suspect.",
                source=Code(rule.source),
            ).with_code(Reason.COMMON_CAUSE),
        )
    if acts == "dry_run":
        return IncidentDecision(IncidentStatus.LOGGED, say("This monitor is in a dry run: no alerts, no rollback."))
    if inputs.monitor.is_silenced(inputs.now):
        return IncidentDecision(
            IncidentStatus.SILENCED, say("Silenced until {until}.", until=inputs.monitor.silenced_until)
        )
    if acts == "notify":
        return IncidentDecision(IncidentStatus.NOTIFIED, say("This monitor only alerts; it doesn't roll back."))
    if inputs.hold_reason:
        return IncidentDecision(IncidentStatus.HELD, inputs.hold_reason.with_code(Reason.AUTOMATION_STOPPED))
    if inputs.freeze:
        return IncidentDecision(IncidentStatus.FROZEN, inputs.freeze.description)
    if inputs.target is None:
        why = say(
            "There's no version to roll back to: each earlier one is blocked or served too briefly. Choose one: {how}",
            how=Code(f'/model rollback {inputs.model} VERSION --reason "…"'),
        )
        return IncidentDecision(IncidentStatus.HELD, why.with_code(Reason.NO_TARGET))
    if acts == "ask":
        unarmed = say(
            "This monitor can't roll back automatically until someone arms it: {how}",
            how=Code(f"/model monitor arm {inputs.model} {inputs.monitor.name}"),
        )
        return IncidentDecision(IncidentStatus.AWAITING_HUMAN, None if rule.action == "ask" else unarmed)
    return _decide_auto(inputs)


def _decide_auto(inputs: DecisionInput) -> IncidentDecision:
    if inputs.open_request:
        return IncidentDecision(
            IncidentStatus.AWAITING_HUMAN,
            say(
                "Request {id} is pending, so rollbacks need a manual decision until it's closed.",
                id=Code(inputs.open_request),
            ),
        )
    if inputs.breaker:
        return IncidentDecision(IncidentStatus.TRIPPED, inputs.breaker.why)
    rule = inputs.monitor.rule
    if inputs.auto_rollbacks_of_model >= rule.max_auto:
        why = say(
            "Automatic rollbacks of {model} have reached the policy's 24-hour limit: {n}.",
            n=inputs.auto_rollbacks_of_model,
            model=Name(inputs.model),
        )
        return IncidentDecision(IncidentStatus.TRIPPED, why, trip_reason=why)
    if inputs.auto_rollbacks_of_all >= inputs.max_auto_rollbacks:
        why = say(
            "Automatic rollbacks of all models have reached the policy's 24-hour limit: {n}.",
            n=inputs.auto_rollbacks_of_all,
        ).with_code(Reason.LIMIT_OF_ALL_REACHED)
        return IncidentDecision(IncidentStatus.TRIPPED, why, trip_reason=why)
    if inputs.last_rollback_at and inputs.now < inputs.last_rollback_at + rule.cooldown:
        return IncidentDecision(
            IncidentStatus.COOLDOWN,
            say(
                "Production was rolled back on {at}, so rollbacks need a manual decision until {until}.",
                at=inputs.last_rollback_at,
                until=inputs.last_rollback_at + rule.cooldown,
            ),
        )
    return IncidentDecision(IncidentStatus.INTENT)


_ESCALATION_LEVELS = {
    IncidentStatus.NOTIFIED: 1,
    IncidentStatus.HELD: 2,
    IncidentStatus.FROZEN: 2,
    IncidentStatus.COOLDOWN: 2,
    IncidentStatus.TRIPPED: 2,
    IncidentStatus.SUPERSEDED: 2,
    IncidentStatus.AWAITING_HUMAN: 3,
    IncidentStatus.INTENT: 4,
}


def is_escalation(decision: IncidentDecision, old: Incident) -> bool:
    """Return whether a later decision goes further than what was done before, or has a different reason."""
    if decision.status is old.doing:
        return decision.status is IncidentStatus.HELD and reason_of(decision.why) != reason_of(old.why)
    return _ESCALATION_LEVELS.get(decision.status, 0) >= _ESCALATION_LEVELS.get(old.doing, 9)

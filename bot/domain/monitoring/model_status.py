"""A model's status: what's in Production and Staging, and what needs attention. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bot.domain.core.actors import MONITOR_AUTOMATION, format_actor
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Code, Sentence, join_sentences, say, truncate
from bot.domain.monitoring.incident import Incident, IncidentStatus
from bot.domain.monitoring.messages import is_unmeasured, status_text
from bot.domain.monitoring.monitor import MonitorStatus
from bot.domain.monitoring.monitor_overview import MonitorRow
from bot.domain.policy.freezes import ActiveFreeze
from bot.domain.promotions.messages import describe_change
from bot.domain.promotions.request import Request
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.rollbacks.rollback_targets import BEFORE_REGISTRAR
from bot.domain.transitions.drift import RegistrySnapshot
from bot.domain.transitions.serving_check import ServingCheck, ServingCheckState
from bot.domain.transitions.transition import StageEntry, Transition, TransitionKind, transition_time

MAX_SHOWN = 3  # versions in one stage, or monitors, that one line names; the others are counted
_QUIET = frozenset({IncidentStatus.LOGGED, IncidentStatus.SILENCED})
_FINE = frozenset({MonitorStatus.OK, MonitorStatus.WARMUP, MonitorStatus.DISABLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class StageHolder:
    """A version in a stage. `entry` is None if the ledger doesn't know how it got there."""

    version: int
    entry: StageEntry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus:
    """A model's status in the ledger. `monitors` are sorted, worst first; `incidents` and `requests` are open ones."""

    model: str
    production: tuple[StageHolder, ...] = ()
    staging: tuple[StageHolder, ...] = ()
    serving: ServingCheck | None = None  # of the version in Production
    freeze: ActiveFreeze | None = None
    monitors: tuple[MonitorRow, ...] = ()
    incidents: tuple[Incident, ...] = ()
    requests: tuple[Request, ...] = ()
    blocks: tuple[RollbackBlock, ...] = ()  # only in the status of one model

    @property
    def needs_attention(self) -> bool:
        """Whether a person should check the model.

        That's the case if it has an open incident, a monitor that isn't healthy, several versions in Production, or an
        endpoint that didn't confirm the version in Production in time.
        """
        is_followed = self.serving is None or self.serving.state is not ServingCheckState.TIMED_OUT
        return (
            bool(self.incidents) or not is_followed or len(self.production) > 1 or any(map(is_unhealthy, self.monitors))
        )


def is_unhealthy(row: MonitorRow) -> bool:
    """Return whether a monitor needs attention."""
    return not row.monitor.is_paused and row.monitor_state.state not in _FINE


def is_healthy(row: MonitorRow) -> bool:
    """Return whether a monitor isn't paused and its last verdict on the version in Production was good."""
    state = row.monitor_state
    return (
        not row.monitor.is_paused
        and state.state is MonitorStatus.OK
        and state.at is not None
        and not is_unmeasured(state)
    )


def is_unattended(incident: Incident) -> bool:
    """Return whether an incident is open, has alerted people, and hasn't been acknowledged."""
    return incident.is_open and incident.acknowledged_by is None and incident.doing not in _QUIET


def problems_first(statuses: Iterable[ModelStatus]) -> list[ModelStatus]:
    """Return the models that need attention, then the others, both sorted by name."""
    return sorted(statuses, key=lambda status: (not status.needs_attention, status.model))


def stage_holders(
    numbers: Sequence[int], snapshot: RegistrySnapshot, entry: StageEntry | None
) -> tuple[StageHolder, ...]:
    """Return a stage's versions according to the latest snapshot, or to a transition that finished after it."""
    if entry and entry.transition.finished_at and entry.transition.finished_at > snapshot.at:
        stays = numbers if entry.transition.keep_existing else ()
        numbers = list(dict.fromkeys([entry.transition.version, *stays]))
    return tuple(
        StageHolder(version=number, entry=entry if entry and entry.transition.version == number else None)
        for number in numbers
    )


# -- in words ----------------------------------------------------------------------------------------------------------


def holder_facts(holder: StageHolder, *, with_actor: bool = False) -> list[Sentence]:
    """Return the semver of a version in a stage, and when it got there, as far as they're known.

    `with_actor` adds who put it there.
    """
    if holder.entry is None:
        return []
    transition = holder.entry.transition
    semver = [say("{semver}", semver=holder.entry.semver)] if holder.entry.semver else []
    is_since_known = transition.kind is not TransitionKind.OBSERVED or transition.why != BEFORE_REGISTRAR
    return [*semver, *([_since(transition, with_actor=with_actor)] if is_since_known or with_actor else [])]


def _since(transition: Transition, *, with_actor: bool) -> Sentence:
    at = transition_time(transition)
    if not with_actor:
        return say("since {at}", at=at)
    if transition.kind is TransitionKind.OBSERVED:
        is_first = transition.why == BEFORE_REGISTRAR
        return say("first seen {at}", at=at) if is_first else say("since {at}, moved in {product}", at=at)
    actor = "a monitor" if transition.actor == MONITOR_AUTOMATION else format_actor(transition.actor)
    return say("since {at}, {verb} by {who}", at=at, verb=_VERBS.get(transition.kind, "promoted"), who=actor)


_VERBS = {
    TransitionKind.ROLLBACK: "restored",
    TransitionKind.BREAK_GLASS: "promoted without approvals",
    TransitionKind.REPAIR: "kept in a repair",
    TransitionKind.IMPORTED: "imported",
}


def describe_monitors(rows: Sequence[MonitorRow]) -> Sentence:
    """Return a model's monitors in a few words: names for those that need attention, and counts for any others."""
    unhealthy = [row for row in rows if is_unhealthy(row)]
    paused = sum(row.monitor.is_paused for row in rows)
    healthy = sum(map(is_healthy, rows))
    others = len(rows) - len(unhealthy) - paused - healthy
    parts = [
        say("{name} {state}", name=Code(row.monitor.name), state=status_text(row.monitor, row.monitor_state))
        for row in unhealthy[:MAX_SHOWN]
    ]
    counts = ((len(unhealthy) - MAX_SHOWN, "unhealthy"), (healthy, "healthy"), (others, "waiting"), (paused, "paused"))
    for count, state in counts:
        if count > 0:
            monitors = pluralize(count, "monitor") if not parts else str(count)
            parts.append(say("{n} {state}", n=monitors, state=state))
    return join_sentences(parts, ", ")


def status_lines(status: ModelStatus) -> list[Sentence]:
    """Return the lines of a model's status, except those about its monitors."""
    lines = [
        say("{stage}: {which}", stage=stage, which=_describe_holder(holder))
        for stage, holders in (("Production", status.production), ("Staging", status.staging))
        for holder in holders[:MAX_SHOWN]
    ]
    lines = lines or [say("No version is in Production or Staging.")]
    lines += [_serving_line(status.serving)] if status.serving else []
    lines += [say("Frozen: {why}", why=status.freeze.description)] if status.freeze else []
    lines += [
        say("Request {id}: {change}, {state}", id=Code(it.id), change=describe_change(it), state=it.state.label)
        for it in status.requests
    ]
    lines += [_incident_line(incident) for incident in status.incidents]
    if status.blocks:
        lines.append(say("Blocked: {which}", which=[Code(f"v{block.version}") for block in status.blocks]))
    return lines


def _describe_holder(holder: StageHolder) -> Sentence:
    return join_sentences([say("{v}", v=Code(f"v{holder.version}")), *holder_facts(holder, with_actor=True)], " · ")


def _serving_line(check: ServingCheck) -> Sentence:
    match check.state:
        case ServingCheckState.CONFIRMED:
            return say("Serving: {v}, confirmed {at}", v=Code(f"v{check.version}"), at=check.confirmed_at)
        case ServingCheckState.PENDING:
            return say("Serving: waiting for the endpoint to report {v}", v=Code(f"v{check.version}"))
        case _:
            v = Code(f"v{check.version}")
            if not check.seen:
                return say("Serving: the endpoint hasn't confirmed {v}", v=v)
            seen = Code(truncate(check.seen, 60))
            return say("Serving: not confirmed; the endpoint last reported {seen}, not {v}", seen=seen, v=v)


def _incident_line(incident: Incident) -> Sentence:
    owner = (
        say("acknowledged by {who}", who=format_actor(incident.acknowledged_by))
        if incident.acknowledged_by
        else say("unacknowledged")
    )
    return say(
        "Incident {id}: {names} since {since}, {owner}",
        id=Code(incident.id),
        names=[Code(name) for name in incident.monitors[:MAX_SHOWN]] or ["changed files"],
        since=incident.since,
        owner=owner,
    )


def describe_freeze(freeze: ActiveFreeze, *, of_all: bool = False) -> Sentence:
    """Return a freeze in a few words, for a line about its model or, if `of_all`, about all models."""
    until = say(" until {when}", when=freeze.until) if freeze.until else say("")
    why = say(": {why}", why=truncate(freeze.reason.rstrip("."), 200)) if freeze.reason else say("")
    subject = say("Production of all models is ") if of_all else say("")
    return say("{subject}frozen{until}{why}", subject=subject, until=until, why=why)


def shared_freeze(statuses: Sequence[ModelStatus]) -> ActiveFreeze | None:
    """Return the freeze that several models share, so that it's shown only once; None if they don't share one."""
    freezes = {(it.freeze.until, it.freeze.reason): it.freeze for it in statuses if it.freeze}
    is_shared = len(freezes) == 1 and len(statuses) > 1 and all(it.freeze for it in statuses)
    return next(iter(freezes.values())) if is_shared else None

"""Writes incidents to the ledger together with their messages and audit events."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import MONITOR_AUTOMATION, actor_id
from bot.domain.core.sentence import Sentence, join_sentences
from bot.domain.monitoring import incident_messages as words
from bot.domain.monitoring.incident import Incident, IncidentEnding, IncidentKind, IncidentResolution, IncidentStatus
from bot.domain.monitoring.incident_decision import IncidentDecision
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.state import ProductionTerm
from bot.domain.monitoring.views import monitors_of_incident
from bot.domain.transitions.serving_check import ServingCheckState
from bot.ports import LedgerReader as Ledger
from bot.ports import LedgerTransaction
from bot.services.core.context import Context
from bot.services.core.outbox_messages import incident_message, thread_message
from bot.services.monitoring.checks import CheckResult

MAX_LINES = 8  # monitors that an incident lists
RECENT_LIMIT = 50  # latest incidents or events of a model that are searched


@dataclass(slots=True)
class FollowUp:
    """What's left to do after the transaction: messages to deliver, and transitions to run."""

    has_messages: bool = False
    models_to_transition: set[str] = field(default_factory=set)


class IncidentWriter:
    """Opens, saves, and resolves incidents in the caller's transaction."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def open(self, tx: LedgerTransaction, incident: Incident, follow_up: FollowUp) -> None:
        """Add a new incident, and post its message and the first one of its thread."""
        tx.add_incident(incident)
        tx.add_message(incident_message(incident, "opened", self.channel_of(incident)))
        tx.add_message(thread_message(incident.id, "opened", words.opened(incident)))
        follow_up.has_messages = True

    def save(self, tx: LedgerTransaction, incident: Incident, key_suffix: str, follow_up: FollowUp) -> None:
        """Save an incident and update its message; `key_suffix` makes the outbox message's key unique."""
        tx.save_incident(incident)
        tx.add_message(incident_message(incident, key_suffix, self.channel_of(incident)))
        follow_up.has_messages = True

    def resolve(
        self,
        tx: LedgerTransaction,
        incident: Incident,
        resolution: IncidentResolution,
        now: datetime,
        follow_up: FollowUp,
    ) -> None:
        """End an incident, and say how in its message, its thread, and the audit log."""
        ended = incident.with_resolution(resolution, now)
        if (
            incident.doing is IncidentStatus.ROLLED_BACK
            and incident.rollback
            and is_serving_denied(tx, incident.rollback)
        ):
            ended = replace(ended, doing=IncidentStatus.NOT_FOLLOWED)
        elif incident.doing is not IncidentStatus.ROLLED_BACK and resolution.ending in {
            IncidentEnding.OVERTAKEN,
            IncidentEnding.ROLLED_BACK,
        }:
            ended = replace(ended, doing=IncidentStatus.SUPERSEDED)
        self.save(tx, ended, "resolved", follow_up)
        tx.add_message(thread_message(ended.id, "resolved", resolution.sentence))
        tx.add_audit_event(resolved_event(ended, resolution, now))

    def set_line(
        self,
        tx: LedgerTransaction,
        incident: Incident,
        name: str,
        line: Sentence,
        result: CheckResult,
        follow_up: FollowUp,
    ) -> None:
        """Add a monitor to an open incident, or replace the line of one that it has."""
        updated = incident.with_line(name, line, MAX_LINES)
        if updated != incident:
            self.save(tx, updated, f"joined:{result.monitor.id}:{result.claim.slot}", follow_up)

    def channel_of(self, incident: Incident) -> str:
        """Return the channel of the incident's model; the default channel for an incident of a source."""
        policy = self._context.policy
        return policy.channel_for(incident.model) if incident.model else policy.channel


def find_open_incident(reader: Ledger, model: str, source: str, kind: IncidentKind) -> Incident | None:
    incidents = reader.incidents(model=model, open_only=True)
    return next((incident for incident in incidents if incident.kind is kind and incident.source == source), None)


def active_monitors(reader: Ledger, incident: Incident) -> list[Monitor]:
    """Return the incident's monitors that still exist and aren't paused."""
    return [
        monitor
        for monitor in monitors_of_incident(incident, reader.monitors(incident.model or None))
        if not monitor.is_paused
    ]


def unwatched_resolution(reader: Ledger, incident: Incident) -> IncidentResolution:
    """Return how an incident ended whose monitors are all paused or gone: what happened last, and who did it.

    The audit log has it: pausing, changing, or removing a monitor is recorded in the same transaction.
    """
    names = {name if incident.is_of_source else f"{incident.model} {name}" for name in incident.monitors}
    rows = reader.latest_audit_events(model=incident.model or None, tags=tuple(_ENDINGS_BY_TAG), limit=RECENT_LIMIT)
    event = next((row.event for row in rows if row.event.subject in names), None)
    if event is None:
        ending, name, by, announced_in = IncidentEnding.UNWATCHED, incident.monitors[0], None, ""
    else:
        ending, name = _ENDINGS_BY_TAG[event.tag], event.subject.rpartition(" ")[2]
        if event.tag is EventTag.POLICY_MONITORS_LOADED and event.after is None:
            ending = IncidentEnding.REMOVED
        by, announced_in = event.actor, str(event.evidence.get("told_in", ""))
    return IncidentResolution(
        ending=ending, sentence=words.unwatched(ending, name, by), by=by, announced_in=announced_in
    )


_ENDINGS_BY_TAG = {
    EventTag.MONITOR_PAUSED: IncidentEnding.PAUSED,
    EventTag.MONITOR_EDITED: IncidentEnding.EDITED,
    EventTag.MONITOR_REMOVED: IncidentEnding.REMOVED,
    EventTag.POLICY_MONITORS_LOADED: IncidentEnding.EDITED,
}


def resolved_event(incident: Incident, resolution: IncidentResolution, now: datetime) -> Event:
    evidence = {"ending": resolution.ending.value} | ({"ended_by": actor_id(resolution.by)} if resolution.by else {})
    return Event(
        at=now,
        actor=MONITOR_AUTOMATION,
        tag=EventTag.INCIDENT_RESOLVED,
        subject=incident.id,
        model=incident.model or None,
        why=str(resolution.sentence),
        origin="job",
        evidence=evidence,
    )


def is_serving_denied(reader: Ledger, move: str) -> bool:
    """Tell whether the endpoint didn't confirm a transition's version in time."""
    serving = reader.serving_check(move)
    return serving is not None and serving.state is ServingCheckState.TIMED_OUT


def monitor_event(tag: EventTag, result: CheckResult, term: ProductionTerm, decision: IncidentDecision | None) -> Event:
    monitor, monitor_state = result.monitor, result.verdict.monitor_state
    evidence = {
        "monitor": monitor.id,
        "revision": monitor.revision,
        "version": term.version,
        "move": term.transition_id,
        "value": monitor_state.value,
        "total": monitor_state.total,
        "bound": monitor_state.bound,
        "rule": monitor.rule.rule,
        "action": monitor.effective_action,
        "doing": decision.status.value if decision else None,
    }
    why = (
        result.verdict.why
        if decision is None or decision.why is None
        else join_sentences([result.verdict.why, decision.why], " ")
    )
    return Event(
        at=result.at,
        actor=MONITOR_AUTOMATION,
        tag=tag,
        subject=f"{monitor.model} {monitor.name}",
        model=monitor.model,
        after=f"v{term.version}",
        why=str(why),
        origin="job",
        evidence=evidence,
    )

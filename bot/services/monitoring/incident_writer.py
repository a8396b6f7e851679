"""Reads the inputs for decisions about failing monitors, and writes incidents with their messages and events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import MONITOR_AUTOMATION, Automation, actor_id
from bot.domain.core.sentence import Sentence, join_sentences
from bot.domain.monitoring import incident_messages as words
from bot.domain.monitoring.incident import (
    ONE_DAY,
    DecisionInput,
    Incident,
    IncidentDecision,
    IncidentEnding,
    IncidentKind,
    IncidentResolution,
    IncidentStatus,
)
from bot.domain.monitoring.monitor import Monitor
from bot.domain.policy.freezes import active_freeze
from bot.domain.policy.policy import Policy
from bot.domain.registry.model import TARGET_STAGES, Stage
from bot.domain.rollbacks.rollback_targets import ServingPeriod, last_good_version, rollback_targets, serving_periods
from bot.domain.transitions import restore_messages
from bot.domain.transitions.serving_check import ServingCheckState
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState
from bot.ports import LedgerReader as Ledger
from bot.ports import LedgerTransaction
from bot.services.core.context import Context
from bot.services.core.outbox_messages import incident_end_message, incident_message, thread_message
from bot.services.monitoring.checks import CheckResult
from bot.services.rollbacks.rollbacks import MAX_TRANSITIONS

MAX_LINES = 8  # monitors that an incident lists


class IncidentWriter:
    """Opens, saves, and resolves incidents in one transaction.

    After the transaction, deliver messages if `has_messages` is set, and run the transitions of `models_to_transition`.
    """

    def __init__(self, context: Context, tx: LedgerTransaction) -> None:
        self.context = context
        self.tx = tx
        self.has_messages = False
        self.models_to_transition: set[str] = set()

    def find_open(self, result: CheckResult, kind: IncidentKind, *, of_source: bool = False) -> Incident | None:
        """Return the open incident of this kind for a check's model or source, or None if there isn't one."""
        model, source = ("", result.monitor.rule.source) if of_source else (result.monitor.model, "")
        return next(
            (
                incident
                for incident in self.tx.incidents(model=model, open_only=True)
                if incident.kind is kind and incident.source == source
            ),
            None,
        )

    def open(
        self,
        result: CheckResult,
        kind: IncidentKind,
        decision: IncidentDecision,
        *,
        since: datetime,
        target: int | None = None,
        of_source: bool = False,
    ) -> Incident:
        """Add an incident about a check's model or source, and post its message."""
        monitor, term = result.monitor, None if of_source else result.term
        incident = Incident(
            id=self.context.new_id(),
            kind=kind,
            model="" if of_source else monitor.model,
            source=monitor.rule.source if of_source else "",
            version=term.version if term else None,
            move=term.transition_id if term else None,
            monitors=(),
            opened_at=result.at,
            since=since,
            lines=(),
            doing=decision.status,
            why=decision.why,
            target=target,
            told_at=result.at,
        )
        incident = with_line(incident, result)
        self.add(incident)
        return incident

    def add(self, incident: Incident) -> None:
        """Add an incident, and post its message."""
        self.tx.add_incident(incident)
        self._post(incident, "opened")

    def save(self, incident: Incident, key_suffix: str) -> None:
        """Save an incident and update its message; `key_suffix` makes the key of the outbox message unique."""
        self.tx.save_incident(incident)
        self._post(incident, key_suffix)

    def _post(self, incident: Incident, key_suffix: str) -> None:
        self.tx.add_message(incident_message(incident, key_suffix, self.context.policy.channel_for(incident.model)))
        self.has_messages = True

    def say(self, incident: Incident, key_suffix: str, sentence: Sentence) -> None:
        """Post a sentence in an incident's thread."""
        self.tx.add_message(thread_message(incident.id, key_suffix, sentence))

    def save_line(self, incident: Incident, result: CheckResult) -> None:
        """Add a line about the check's monitor to an open incident, or replace its existing line."""
        updated = with_line(incident, result)
        if updated != incident:
            self.save(updated, f"joined:{result.monitor.id}:{result.claim.slot}")

    def resolve(self, incident: Incident, resolution: IncidentResolution, now: datetime) -> None:
        """Resolve an incident, and report how it ended in its message, its thread, and the audit log."""
        ended, is_rolled_back = incident.with_resolution(resolution, now), incident.doing is IncidentStatus.ROLLED_BACK
        if is_rolled_back and incident.rollback and is_serving_denied(self.tx, incident.rollback):
            ended = replace(ended, doing=IncidentStatus.NOT_FOLLOWED)
        elif not is_rolled_back and resolution.ending in {IncidentEnding.OVERTAKEN, IncidentEnding.ROLLED_BACK}:
            ended = replace(ended, doing=IncidentStatus.SUPERSEDED)
        self.save(ended, "resolved")
        self.tx.add_message(incident_end_message(ended, "resolved", resolution.sentence))
        self.audit_end(ended, resolution, now)

    def audit_end(self, incident: Incident, resolution: IncidentResolution, now: datetime) -> None:
        """Record in the audit log how an incident ended."""
        ended_by = {"ended_by": actor_id(resolution.by)} if resolution.by else {}
        self.tx.add_audit_event(
            Event(
                at=now,
                actor=MONITOR_AUTOMATION,
                tag=EventTag.INCIDENT_RESOLVED,
                subject=incident.id,
                model=incident.model or None,
                why=str(resolution.sentence),
                origin="job",
                evidence={"ending": resolution.ending.value} | ended_by,
            )
        )

    def audit(self, tag: EventTag, result: CheckResult, decision: IncidentDecision | None = None) -> None:
        """Record an event about a check's monitor, with the decision if there is one."""
        monitor, monitor_state, term = result.monitor, result.verdict.monitor_state, result.term
        version = term.version if term else None
        why = result.verdict.why
        self.tx.add_audit_event(
            Event(
                at=result.at,
                actor=MONITOR_AUTOMATION,
                tag=tag,
                subject=f"{monitor.model} {monitor.name}",
                model=monitor.model,
                after=f"v{version}",
                why=str(join_sentences([why, decision.why], " ") if decision and decision.why else why),
                origin="job",
                evidence={
                    "monitor": monitor.id,
                    "revision": monitor.revision,
                    "version": version,
                    "move": term.transition_id if term else None,
                    "value": monitor_state.value,
                    "total": monitor_state.total,
                    "bound": monitor_state.bound,
                    "rule": monitor.rule.rule,
                    "action": monitor.effective_action,
                    "doing": decision.status.value if decision else None,
                },
            )
        )


def name_in_incident(monitor: Monitor, incident: Incident) -> str:
    """Return a monitor's name in an incident; in an incident about a source, the model's name precedes it."""
    return f"{monitor.model} {monitor.name}" if incident.is_of_source else monitor.name


def with_line(incident: Incident, result: CheckResult) -> Incident:
    """Return the incident with a line about this check; its monitor joins if it isn't in the incident yet."""
    monitor = result.monitor
    why = words.blind_reason(monitor, result.verdict.monitor_state.state, result.why)
    line = words.source_line(monitor, why) if incident.is_of_source else words.monitor_line(monitor, why)
    return incident.with_line(name_in_incident(monitor, incident), line, MAX_LINES)


def is_serving_denied(reader: Ledger, move: str) -> bool:
    """Return whether the endpoint didn't confirm a transition's version in time."""
    serving = reader.serving_check(move)
    return serving is not None and serving.state is ServingCheckState.TIMED_OUT


MAX_RESETS = 100  # latest resets of circuit breakers to read


def build_decision_input(
    tx: LedgerTransaction, policy: Policy, result: CheckResult, has_common_cause: bool
) -> DecisionInput:
    """Return the input to `decide` for a failing monitor, read in the transaction that records the decision.

    `has_common_cause`: whether many monitors of its source are failing together.
    """
    model, now, term = result.monitor.model, result.at, result.term
    assert term is not None
    transitions = tx.transitions(model, stage=Stage.PRODUCTION, limit=MAX_TRANSITIONS)
    served = serving_periods(transitions)
    finish_times = [
        transition.finished_at
        for transition in transitions
        if transition.kind is TransitionKind.ROLLBACK and transition.state is TransitionState.DONE
    ]
    recent_rollbacks = _counted_rollbacks(tx, now)
    requests = filter(None, (tx.open_request(model, stage) for stage in TARGET_STAGES))
    target = rollback_target(tx, result.monitor, served, now)
    nearest = next(iter(rollback_targets(served, _blocked_versions(tx, model), tx.registry_snapshot(model))), None)
    return DecisionInput(
        monitor=result.monitor,
        model=model,
        version=term.version,
        transition_id=term.transition_id,
        now=now,
        serving_transition_id=served[0].started_by.id if served and served[0].until is None else None,
        last_rollback_at=next(filter(None, finish_times), None),
        auto_rollbacks_of_model=sum(transition.model == model for transition in recent_rollbacks),
        auto_rollbacks_of_all=len(recent_rollbacks),
        max_auto_rollbacks=policy.max_auto,
        breaker=next((breaker for breaker in tx.tripped_breakers() if breaker.model in {"", model}), None),
        freeze=active_freeze(model, tx.freezes(), policy, now),
        open_request=next((request.id for request in requests), None),
        hold_reason=restore_messages.automation_stopped_reason() if tx.active_hold() else None,
        target=target,
        skipped_target=nearest if nearest != target else None,
        has_common_cause=has_common_cause,
    )


def rollback_target(reader: Ledger, monitor: Monitor, served: Sequence[ServingPeriod], now: datetime) -> int | None:
    """Return the version that a monitor would roll back to, or None if there isn't one.

    `served` are the model's serving periods, newest first.
    """
    blocked, snapshot = _blocked_versions(reader, monitor.model), reader.registry_snapshot(monitor.model)
    return last_good_version(served, blocked, now, monitor.rule.min_served, snapshot)


def _blocked_versions(reader: Ledger, model: str) -> set[int]:
    return {block.version for block in reader.rollback_blocks(model)}


def _counted_rollbacks(reader: Ledger, now: datetime) -> list[Transition]:
    """Return the automatic rollbacks of the last day that count against the limits.

    A rollback counts if it's done or in progress, and no admin has reset the circuit breaker since it began.
    """
    resets = reader.latest_audit_events(tags=(EventTag.BREAKER_RESET,), since=now - ONE_DAY, limit=MAX_RESETS)
    return [
        transition
        for transition in reader.rollbacks(now - ONE_DAY)
        if isinstance(transition.actor, Automation)
        and transition.state not in {TransitionState.STALE, TransitionState.FAILED}
        and not any(
            reset.event.model in {None, transition.model} and reset.event.at >= transition.intended_at
            for reset in resets
        )
    ]

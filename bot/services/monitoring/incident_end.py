"""Resolves incidents that are over, and reminds people of those that nobody has acknowledged."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from bot.domain.core.actors import Automation
from bot.domain.monitoring import incident_messages as words
from bot.domain.monitoring.incident import (
    REMINDER_INTERVAL,
    Incident,
    IncidentEnding,
    IncidentKind,
    IncidentResolution,
    IncidentStatus,
)
from bot.domain.monitoring.state import MonitorState, MonitorStatus, ProductionTerm
from bot.domain.monitoring.views import monitors_of_incident
from bot.domain.transitions.serving_check import ServingCheckState
from bot.domain.transitions.transition import TransitionKind
from bot.ports import LedgerReader as Ledger
from bot.ports import LedgerTransaction
from bot.services.core.context import Context
from bot.services.core.outbox_messages import ordering_key_of, thread_message
from bot.services.monitoring.checks import CheckResult
from bot.services.monitoring.incident_writer import (
    RECENT_LIMIT,
    FollowUp,
    IncidentWriter,
    active_monitors,
    find_open_incident,
    is_serving_denied,
    resolved_event,
    unwatched_resolution,
)
from bot.services.monitoring.source_outages import SourceOutages, has_monitor_in_status
from bot.services.rollbacks.rollbacks import Rollbacks


class IncidentUpkeep:
    """Finds out how open incidents ended, resolves them, and posts reminders."""

    def __init__(self, context: Context, rollbacks: Rollbacks, writer: IncidentWriter, outages: SourceOutages) -> None:
        self._context = context
        self._rollbacks = rollbacks
        self._writer = writer
        self._outages = outages

    def end_and_remind(self) -> bool:
        """Resolve what is over and post reminders; return whether there are messages to deliver."""
        now, follow_up = self._context.clock.now(), FollowUp()
        with self._context.ledger.read() as reader:
            still_open = reader.incidents(open_only=True, limit=1000)
            work = [
                incident.id
                for incident in still_open
                if self._find_resolution(reader, incident, now) or _is_reminder_due(reader, incident, now)
            ]
        if not work:
            return False
        with self._context.ledger.write() as tx:
            tx.lock("incidents")
            for incident_id in work:
                incident = tx.incident(incident_id)
                if not incident.is_open:
                    continue
                resolution = self._find_resolution(tx, incident, now)
                if resolution is not None:
                    self._writer.resolve(tx, incident, resolution, now, follow_up)
                elif _is_reminder_due(tx, incident, now):
                    reminded = replace(incident, repeated_at=now)
                    tx.add_message(
                        thread_message(reminded.id, f"repeated:{now.isoformat()}", words.reminder(incident, now))
                    )
                    self._writer.save(tx, reminded, f"repeated:{now.isoformat()}", follow_up)
        return follow_up.has_messages

    def _find_resolution(self, reader: Ledger, incident: Incident, now: datetime) -> IncidentResolution | None:
        """Return how an incident ended; None while it continues."""
        if incident.is_of_source:
            return self._outages.find_source_resolution(reader, incident, now)
        served = self._rollbacks.serving_periods(reader, incident.model)
        serves = served[0] if served and served[0].until is None else None
        if incident.doing is IncidentStatus.ROLLED_BACK:
            if incident.rollback and _is_serving_check_pending(reader, incident.rollback):
                return None
            if serves and serves.started_by.id == incident.rollback:
                by = None if isinstance(serves.started_by.actor, Automation) else serves.started_by.actor
                if is_serving_denied(reader, incident.rollback):
                    return IncidentResolution(
                        ending=IncidentEnding.NOT_CONFIRMED, sentence=words.not_confirmed(serves.version), by=by
                    )
                sentence = words.restored(serves.version, serves.since, incident.version, by)
                return IncidentResolution(ending=IncidentEnding.RESTORED, sentence=sentence, by=by)
        if serves is None or serves.started_by.id != incident.move:
            return None if incident.doing is IncidentStatus.INTENT else self.resolution_by_transition(reader, incident)
        monitors = active_monitors(reader, incident)
        if not monitors:
            return unwatched_resolution(reader, incident)
        if incident.kind is IncidentKind.FAILED and all(
            is_healthy(reader.monitor_state(monitor.id)) for monitor in monitors
        ):
            sentence = words.recovered(incident.version, incident.since, now)  # for example, after its rule was changed
            return IncidentResolution(ending=IncidentEnding.RECOVERED, sentence=sentence)
        return None

    def resolution_by_transition(self, reader: Ledger, incident: Incident) -> IncidentResolution:
        """Return how an incident ended by a transition: its version no longer serves, or serves again."""
        served = self._rollbacks.serving_periods(reader, incident.model)
        started_by = served[0].started_by if served and served[0].until is None else None
        if started_by is None:
            return IncidentResolution(
                ending=IncidentEnding.OVERTAKEN, sentence=words.superseded(incident.version, None)
            )
        announced_in = ordering_key_of(started_by)
        if started_by.kind is TransitionKind.ROLLBACK and not isinstance(started_by.actor, Automation):
            sentence, ending = words.rolled_back_manually(started_by), IncidentEnding.ROLLED_BACK
        else:
            sentence, ending = words.superseded(incident.version, started_by), IncidentEnding.OVERTAKEN
        return IncidentResolution(
            ending=ending,
            sentence=sentence,
            by=started_by.actor,
            announced_in="" if announced_in == incident.id else announced_in,
        )

    def resolve_if_recovered(
        self, tx: LedgerTransaction, result: CheckResult, kind: IncidentKind, follow_up: FollowUp
    ) -> None:
        """Resolve the incident of `kind` that the monitor belongs to, if none of its monitors is affected any more."""
        of_source = find_open_incident(tx, "", result.monitor.rule.source, kind) if kind is IncidentKind.BLIND else None
        for incident in filter(None, (find_open_incident(tx, result.monitor.model, "", kind), of_source)):
            if has_monitor_in_status(tx, incident, kind):
                continue
            if kind is IncidentKind.BLIND:
                sentence = words.monitoring_is_back(incident.since, result.at)
            else:
                sentence = words.recovered(incident.version, incident.since, result.at)
            self._writer.resolve(
                tx,
                incident,
                IncidentResolution(ending=IncidentEnding.RECOVERED, sentence=sentence),
                result.at,
                follow_up,
            )

    def confirm_recovery(
        self, tx: LedgerTransaction, result: CheckResult, term: ProductionTerm, follow_up: FollowUp
    ) -> None:
        """Mark the incident whose rollback began this term as recovered, once its monitors are healthy."""
        recent = tx.incidents(model=result.monitor.model, limit=RECENT_LIMIT)
        restored = [
            incident
            for incident in recent
            if incident.rollback == term.transition_id and incident.ending is IncidentEnding.RESTORED
        ]
        for incident in restored:
            monitors = active_monitors(tx, incident)
            if monitors and all(is_healthy(tx.monitor_state(state.id)) for state in monitors):
                since = incident.resolved_at or result.at
                resolution = IncidentResolution(
                    ending=IncidentEnding.RECOVERED,
                    sentence=words.recovered_after_rollback(term.version, since, result.at),
                )
                self._writer.save(
                    tx,
                    replace(incident, ending=resolution.ending, resolution=resolution.sentence),
                    "recovered",
                    follow_up,
                )
                tx.add_message(thread_message(incident.id, "recovered", resolution.sentence))
                tx.add_audit_event(resolved_event(incident, resolution, result.at))


def _is_serving_check_pending(reader: Ledger, move: str) -> bool:
    serving = reader.serving_check(move)
    return serving is not None and serving.state is ServingCheckState.PENDING


def is_healthy(monitor_state: MonitorState) -> bool:
    """Tell whether a monitor is OK with a value: one that has just started over isn't known to be healthy."""
    return monitor_state.state is MonitorStatus.OK and monitor_state.value is not None


def _is_reminder_due(reader: Ledger, incident: Incident, now: datetime) -> bool:
    """Tell whether a reminder is due: nobody acknowledged the incident, and not all of its monitors are silenced."""
    last = incident.repeated_at or incident.opened_at
    if incident.acknowledged_at is not None or now - last < REMINDER_INTERVAL:
        return False
    monitors = monitors_of_incident(incident, reader.monitors(incident.model or None))
    return not monitors or any(not monitor.is_silenced(now) for monitor in monitors)

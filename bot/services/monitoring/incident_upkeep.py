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
        """End what is over, and remind of what nobody looks after; tell whether there is something to tell."""
        now, done = self._context.clock.now(), FollowUp()
        with self._context.ledger.read() as reading:
            still_open = reading.incidents(open_only=True, limit=1000)
            work = [
                one
                for one in still_open
                if self._find_resolution(reading, one, now) or _is_reminder_due(reading, one, now)
            ]
        if not work:
            return False
        with self._context.ledger.write() as tx:
            tx.lock("incidents")
            for one in work:
                incident = tx.incident(one.id)
                if not incident.is_open:
                    continue
                how = self._find_resolution(tx, incident, now)
                if how is not None:
                    self._writer.resolve(tx, incident, how, now, done)
                elif _is_reminder_due(tx, incident, now):
                    told = replace(incident, repeated_at=now)
                    tx.add_message(
                        thread_message(told.id, f"repeated:{now.isoformat()}", words.reminder(incident, now))
                    )
                    self._writer.save(tx, told, f"repeated:{now.isoformat()}", done)
        return done.has_messages

    def _find_resolution(self, reader: Ledger, incident: Incident, now: datetime) -> IncidentResolution | None:
        """Return how an open incident has ended; None where it goes on."""
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
                how = words.restored(serves.version, serves.since, incident.version, by)
                return IncidentResolution(ending=IncidentEnding.RESTORED, sentence=how, by=by)
        if serves is None or serves.started_by.id != incident.move:
            return None if incident.doing is IncidentStatus.INTENT else self.resolution_by_transition(reader, incident)
        mine = active_monitors(reader, incident)
        if not mine:
            return unwatched_resolution(reader, incident)
        if incident.kind is IncidentKind.FAILED and all(is_healthy(reader.monitor_state(one.id)) for one in mine):
            how = words.recovered(incident.version, incident.since, now)  # by a rule that was changed meanwhile
            return IncidentResolution(ending=IncidentEnding.RECOVERED, sentence=how)
        return None

    def resolution_by_transition(self, reader: Ledger, incident: Incident) -> IncidentResolution:
        """Return how an incident ended whose version doesn't serve any more, or serves again."""
        served = self._rollbacks.serving_periods(reader, incident.model)
        began = served[0].started_by if served and served[0].until is None else None
        if began is None:
            return IncidentResolution(
                ending=IncidentEnding.OVERTAKEN, sentence=words.superseded(incident.version, None)
            )
        told_in = ordering_key_of(began)
        if began.kind is TransitionKind.ROLLBACK and not isinstance(began.actor, Automation):
            how, ending = words.rolled_back_manually(began), IncidentEnding.ROLLED_BACK
        else:
            how, ending = words.superseded(incident.version, began), IncidentEnding.OVERTAKEN
        return IncidentResolution(
            ending=ending, sentence=how, by=began.actor, announced_in="" if told_in == incident.id else told_in
        )

    def resolve_if_recovered(
        self, tx: LedgerTransaction, result: CheckResult, kind: IncidentKind, follow_up: FollowUp
    ) -> None:
        """End the incident where none of its monitors stands as it did."""
        of_source = find_open_incident(tx, "", result.monitor.rule.source, kind) if kind is IncidentKind.BLIND else None
        for incident in filter(None, (find_open_incident(tx, result.monitor.model, "", kind), of_source)):
            if has_monitor_in_status(tx, incident, kind):
                continue
            if kind is IncidentKind.BLIND:
                how = words.monitoring_is_back(incident.since, result.at)
            else:
                how = words.recovered(incident.version, incident.since, result.at)
            self._writer.resolve(
                tx, incident, IncidentResolution(ending=IncidentEnding.RECOVERED, sentence=how), result.at, follow_up
            )

    def confirm_recovery(
        self, tx: LedgerTransaction, result: CheckResult, term: ProductionTerm, follow_up: FollowUp
    ) -> None:
        """Say of the incident whose rollback began this term that the restored version has passed its checks."""
        recent = tx.incidents(model=result.monitor.model, limit=RECENT_LIMIT)
        mine = [
            each for each in recent if each.rollback == term.transition_id and each.ending is IncidentEnding.RESTORED
        ]
        for incident in mine:
            watching = active_monitors(tx, incident)
            if watching and all(is_healthy(tx.monitor_state(each.id)) for each in watching):
                since = incident.resolved_at or result.at
                end = IncidentResolution(
                    ending=IncidentEnding.RECOVERED,
                    sentence=words.recovered_after_rollback(term.version, since, result.at),
                )
                self._writer.save(
                    tx, replace(incident, ending=end.ending, resolution=end.sentence), "recovered", follow_up
                )
                tx.add_message(thread_message(incident.id, "recovered", end.sentence))
                tx.add_audit_event(resolved_event(incident, end, result.at))


def _is_serving_check_pending(reader: Ledger, move: str) -> bool:
    serving = reader.serving_check(move)
    return serving is not None and serving.state is ServingCheckState.PENDING


def is_healthy(monitor_state: MonitorState) -> bool:
    """Tell whether a monitor was measured, and is well: nothing is known of one that begins anew."""
    return monitor_state.state is MonitorStatus.OK and monitor_state.value is not None


def _is_reminder_due(reader: Ledger, incident: Incident, now: datetime) -> bool:
    """Tell whether people are to be reminded: nobody looks after it, and somebody of its monitors is not silenced."""
    last = incident.repeated_at or incident.opened_at
    if incident.acknowledged_at is not None or now - last < REMINDER_INTERVAL:
        return False
    mine = monitors_of_incident(incident, reader.monitors(incident.model or None))
    return not mine or any(not one.is_silenced(now) for one in mine)

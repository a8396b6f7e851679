"""Resolves incidents that are over, and posts reminders about unacknowledged ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from bot.domain.audit.events import EventTag
from bot.domain.core.actors import Automation
from bot.domain.monitoring import incident_messages as words
from bot.domain.monitoring.incident import (
    REMINDER_INTERVAL,
    Incident,
    IncidentEnding,
    IncidentKind,
    IncidentResolution,
    IncidentStatus,
    monitors_of_incident,
)
from bot.domain.monitoring.monitor import BLIND_STATUSES, Monitor, MonitorState, MonitorStatus
from bot.domain.transitions.serving_check import ServingCheckState
from bot.domain.transitions.transition import TransitionKind
from bot.ports import LedgerReader as Ledger
from bot.services.core.context import Context
from bot.services.core.outbox_messages import ordering_key_of
from bot.services.monitoring.checks import CheckResult, is_failing_together, present_period
from bot.services.monitoring.incident_writer import IncidentWriter, is_serving_denied

RECENT_LIMIT = 50  # latest incidents or events of a model that are searched


def end_and_remind(context: Context) -> bool:
    """Resolve the incidents that are over and post reminders; return whether there are messages to deliver."""
    now = context.clock.now()
    with context.ledger.read() as reader:
        work = [
            incident.id
            for incident in reader.incidents(open_only=True, limit=1000)
            if _find_resolution(reader, incident, now) or _is_reminder_due(reader, incident, now)
        ]
    if not work:
        return False
    with context.ledger.write() as tx:
        tx.lock("incidents")
        writer = IncidentWriter(context, tx)
        for incident in (incident for incident in map(tx.incident, work) if incident.is_open):
            if (resolution := _find_resolution(tx, incident, now)) is not None:
                writer.resolve(incident, resolution, now)
            elif _is_reminder_due(tx, incident, now):
                on_call = context.policy.on_call_ids(incident.model)
                writer.say(incident, f"repeated:{now.isoformat()}", words.reminder(incident, now, on_call))
                writer.save(replace(incident, repeated_at=now), f"repeated:{now.isoformat()}")
    return writer.has_messages


def resolve_if_recovered(writer: IncidentWriter, result: CheckResult, kind: IncidentKind) -> None:
    """Resolve the model's open `kind` incident (for BLIND, also the source's) if none of its monitors is affected."""
    of_source = writer.find_open(result, kind, of_source=True) if kind is IncidentKind.BLIND else None
    for incident in filter(None, (writer.find_open(result, kind), of_source)):
        if not _is_any_affected(writer.tx, incident):
            if kind is IncidentKind.BLIND:
                sentence = words.monitoring_is_back(incident.since, result.at)
            else:
                sentence = words.recovered(incident.version, incident.since, result.at)
            resolution = IncidentResolution(ending=IncidentEnding.RECOVERED, sentence=sentence)
            writer.resolve(incident, resolution, result.at)


def confirm_recovery(writer: IncidentWriter, result: CheckResult) -> None:
    """Mark an incident as recovered if its rollback began this term and all its active monitors are healthy."""
    tx, term = writer.tx, result.term
    assert term is not None
    for incident in tx.incidents(model=result.monitor.model, limit=RECENT_LIMIT):
        if incident.rollback != term.transition_id or incident.ending is not IncidentEnding.RESTORED:
            continue
        monitors = _active_monitors(tx, incident)
        if monitors and all(_is_healthy(tx.monitor_state(monitor.id)) for monitor in monitors):
            sentence = words.recovered_after_rollback(term.version, incident.resolved_at or result.at, result.at)
            resolution = IncidentResolution(ending=IncidentEnding.RECOVERED, sentence=sentence)
            writer.save(replace(incident, ending=resolution.ending, resolution=sentence), "recovered")
            writer.audit_end(incident, resolution, result.at)  # the thread has the review


# -- how an incident ended ---------------------------------------------------------------------------------------------


def _find_resolution(reader: Ledger, incident: Incident, now: datetime) -> IncidentResolution | None:
    """Return how an incident ended, or None if it hasn't."""
    if incident.is_of_source:
        return _find_source_resolution(reader, incident, now)
    serves = present_period(reader, incident.model)
    if incident.doing is IncidentStatus.ROLLED_BACK and incident.rollback:
        serving = reader.serving_check(incident.rollback)
        if serving is not None and serving.state is ServingCheckState.PENDING:
            return None
        if serves and serves.started_by.id == incident.rollback:
            by = None if isinstance(serves.started_by.actor, Automation) else serves.started_by.actor
            if is_serving_denied(reader, incident.rollback):
                ending, sentence = IncidentEnding.NOT_CONFIRMED, words.not_confirmed(serves.version)
            else:
                ending = IncidentEnding.RESTORED
                sentence = words.restored(serves.version, serves.since, incident.version, by)
            return IncidentResolution(ending=ending, sentence=sentence, by=by)
    if serves is None or serves.started_by.id != incident.move:
        return None if incident.doing is IncidentStatus.INTENT else resolution_by_transition(reader, incident)
    if incident.kind is IncidentKind.FILES:  # over once a comparison finds no difference: see file_incidents.py
        return None
    monitors = _active_monitors(reader, incident)
    if not monitors:
        return _unwatched_resolution(reader, incident)
    if incident.kind is IncidentKind.FAILED and all(
        _is_healthy(reader.monitor_state(monitor.id)) for monitor in monitors
    ):
        sentence = words.recovered(incident.version, incident.since, now)  # for example, after its rule was changed
        return IncidentResolution(ending=IncidentEnding.RECOVERED, sentence=sentence)
    return None


def _find_source_resolution(reader: Ledger, incident: Incident, now: datetime) -> IncidentResolution | None:
    """Return how an incident about a source ended, or None if it hasn't."""
    if incident.kind is not IncidentKind.BLIND:
        is_over = not is_failing_together(reader, incident.source)
        sentence = words.source_recovered(incident.source, incident.since, now)
    elif not _active_monitors(reader, incident):
        return _unwatched_resolution(reader, incident)
    else:  # the last monitor has a verdict again, or Production changed and the monitor started over
        is_over = not _is_any_affected(reader, incident)
        sentence = words.monitoring_is_back(incident.since, now)
    return IncidentResolution(ending=IncidentEnding.RECOVERED, sentence=sentence) if is_over else None


def resolution_by_transition(reader: Ledger, incident: Incident) -> IncidentResolution:
    """Return how a transition ended an incident: by taking its version out of Production or putting it back."""
    serves = present_period(reader, incident.model)
    if serves is None:
        sentence = words.superseded(incident.version, None)
        return IncidentResolution(ending=IncidentEnding.OVERTAKEN, sentence=sentence)
    started_by = serves.started_by
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


def _unwatched_resolution(reader: Ledger, incident: Incident) -> IncidentResolution:
    """Return how an incident ended when all its monitors were paused or gone: the last change, and who made it.

    The change is found in the audit log, which records pausing, changing, or removing a monitor.
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


def _active_monitors(reader: Ledger, incident: Incident) -> list[Monitor]:
    """Return the incident's monitors that still exist and aren't paused."""
    monitors = monitors_of_incident(incident, reader.monitors(incident.model or None))
    return [monitor for monitor in monitors if not monitor.is_paused]


def _is_any_affected(reader: Ledger, incident: Incident) -> bool:
    """Return whether any of the incident's active monitors is still failing or still has no verdict."""
    bad = {MonitorStatus.FAILED} if incident.kind is IncidentKind.FAILED else BLIND_STATUSES
    return any(reader.monitor_state(monitor.id).state in bad for monitor in _active_monitors(reader, incident))


def _is_healthy(monitor_state: MonitorState) -> bool:
    """Return whether a monitor is OK and has a value; one that just started over isn't known to be healthy."""
    return monitor_state.state is MonitorStatus.OK and monitor_state.value is not None


def _is_reminder_due(reader: Ledger, incident: Incident, now: datetime) -> bool:
    """Return whether an unacknowledged incident is due for a reminder; it isn't if all its monitors are silenced."""
    last = incident.repeated_at or incident.opened_at
    if incident.acknowledged_at is not None or now - last < REMINDER_INTERVAL:
        return False
    monitors = monitors_of_incident(incident, reader.monitors(incident.model or None))
    return not monitors or any(not monitor.is_silenced(now) for monitor in monitors)

"""The complete ledger, and the dispatcher that distributes its checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Client
from bot.domain.core.errors import UnknownRequest
from bot.domain.monitoring.incident import Incident, IncidentEnding, MonitorChart, monitors_of_incident
from bot.domain.monitoring.incident_review import REVIEWED_TAGS, IncidentFacts
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.monitor_overview import build_monitor_chart
from bot.domain.monitoring.proposals import messages as proposal_messages
from bot.domain.monitoring.proposals.proposal import MonitorProposal, pack_proposal, unpack_proposal
from bot.domain.monitoring.readings import CheckOutcome, Measurement
from bot.domain.registry.metric_catalog import MetricCatalog
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import Transition, TransitionState, transition_time
from bot.ports.audit_log import AuditLogReader, AuditLogWriter
from bot.ports.integrity import DigestReader, DigestWriter
from bot.ports.monitoring import MonitoringReader, MonitoringWriter
from bot.ports.promotions import PromotionReader, PromotionWriter
from bot.ports.records import Backlog, CheckBatch, DueWork, QueuedCommand
from bot.ports.registry_state import RegistryStateReader, RegistryStateWriter
from bot.ports.transitions import TransitionReader, TransitionWriter
from bot.ports.work_queue import WorkQueueReader, WorkQueueWriter

_PROPOSAL = "proposal"  # the key of a queued command that has the proposed monitor
MAX_CHART_CHECKS = 500  # checks in a chart
MAX_REVIEWED_CHECKS = 1000  # latest checks of each monitor that are searched for the first failure
MAX_REVIEWED_EVENTS = 200  # latest audit events in a review


class LedgerReader(
    PromotionReader,
    TransitionReader,
    RegistryStateReader,
    MonitoringReader,
    DigestReader,
    WorkQueueReader,
    AuditLogReader,
    Protocol,
):
    """A consistent view of the ledger. All times, here and in transactions, are aware datetimes in UTC."""

    def backlog(self, now: datetime) -> Backlog:
        """Count everything that's unfinished at `now`. The cost doesn't grow with the amount of finished work."""

    def due_work(self, now: datetime) -> frozenset[DueWork]:
        """Return the kinds of work that may be due at `now`, with one query. A kind with due work is never missing."""


class LedgerTransaction(
    PromotionWriter,
    TransitionWriter,
    RegistryStateWriter,
    MonitoringWriter,
    DigestWriter,
    WorkQueueWriter,
    AuditLogWriter,
    LedgerReader,
    Protocol,
):
    """One transaction on the ledger: everything in it commits together or not at all."""


class Ledger(Protocol):
    """The database that all decisions are based on."""

    def write(self) -> AbstractContextManager[LedgerTransaction]:
        """Open a transaction; it commits when the block ends, and rolls back if the block raises.

        Raises LedgerUnavailable if the transaction can't be opened in time.
        """

    def read(self) -> AbstractContextManager[LedgerReader]:
        """Open a consistent view of the ledger. Raises LedgerUnavailable if it can't be opened in time."""

    def require_same_tables(self) -> None:
        """Raise LedgerUpgraded if another version of Registrar has upgraded the tables since this process started."""

    def set_operator_ids(self, read_operators: Callable[[], Mapping[str, str]]) -> None:
        """Set the source of operators' Slack IDs.

        `read_operators` returns Slack IDs by operator name. Each transaction calls it, and adds the IDs to the
        operators that it reads from the ledger.
        """

    def close(self) -> None:
        """Close every connection."""


class Dispatcher(Protocol):
    """Runs batches of checks in the background: on a thread of this process, or on a worker on another machine."""

    def set_handler(self, handler: Callable[[CheckBatch], None]) -> None:
        """Set the handler for the batches that this process takes.

        `handler` must not raise; it's called from several threads at once.
        """

    def start(self) -> None:
        """Start taking batches."""

    def dispatch(self, batches: Sequence[CheckBatch]) -> None:
        """Queue batches to run soon, without waiting for them.

        Raises LedgerUnavailable if they might not have been queued.
        """

    def close(self) -> None:
        """Stop taking batches, and wait a few seconds for running ones to finish."""


def read_monitor_chart(reader: LedgerReader, monitor: Monitor, metrics: MetricCatalog) -> MonitorChart:
    """Return the chart of a monitor's recent checks, with the Production transitions during that time."""
    return build_monitor_chart(
        monitor,
        reader.monitor_state(monitor.id),
        reader.measurements(monitor.id, from_revision=monitor.measured_from, limit=MAX_CHART_CHECKS),
        reader.transitions(monitor.model, stage=Stage.PRODUCTION),
        metrics,
    )


def read_proposal(reader: LedgerReader, proposal_id: str) -> MonitorProposal:
    """Return a monitor that an agent proposed. Raises UnknownRequest if no proposal has this ID."""
    with suppress(KeyError):
        return to_proposal(reader.queued_command(proposal_id))
    raise UnknownRequest(proposal_messages.unknown_proposal(proposal_id))


def to_proposal(queued: QueuedCommand) -> MonitorProposal:
    """Return the monitor that an agent proposed, stored by `with_proposal`. Raises UnknownRequest if there's none.

    Only a client's agent can make proposals, so a person's form can't pose as one.
    """
    data = queued.command.get(_PROPOSAL)
    if data is None or queued.agent is None or not isinstance(queued.caller, Client):
        raise UnknownRequest(proposal_messages.unknown_proposal(queued.id))
    return unpack_proposal(data, queued.id, queued.caller, queued.agent)


def with_proposal(queued: QueuedCommand, proposal: MonitorProposal) -> QueuedCommand:
    """Return the draft with the proposal added. `load_command` rejects it, so no form or queue can execute it."""
    return replace(queued, command=queued.command | {_PROPOSAL: pack_proposal(proposal)})


def read_incident_facts(reader: LedgerReader, incident_id: str) -> IncidentFacts:
    """Return what the ledger records about an incident, for its review. Raises UnknownRequest."""
    incident = reader.incident(incident_id)
    monitors = monitors_of_incident(incident, reader.monitors(incident.model or None))
    model, replaced = incident.model, _replacement(reader, incident)
    return IncidentFacts(
        incident=incident,
        monitors=monitors,
        first_failure=_first_failure(reader, incident, monitors),
        entered=_transition(reader, incident.move),
        replaced=replaced,
        serving=reader.serving_check(replaced.id) if replaced else None,
        restored_first_at=_first_entry(reader, replaced) if replaced else None,
        is_blocked=any(block.version == incident.version for block in reader.rollback_blocks(model)),
        breaker=next((breaker for breaker in reader.tripped_breakers() if breaker.model in {"", model}), None),
        events=_events_about(reader, incident),
    )


def _replacement(reader: LedgerReader, incident: Incident) -> Transition | None:
    """Return the incident's rollback, or else the transition that ended the incident; None if there's neither."""
    if incident.rollback:
        return _transition(reader, incident.rollback)
    if incident.ending not in {IncidentEnding.ROLLED_BACK, IncidentEnding.OVERTAKEN}:
        return None
    entries = [
        transition
        for transition in reader.transitions(incident.model, stage=Stage.PRODUCTION, until=incident.resolved_at)
        if transition.state is TransitionState.DONE and transition.target is Stage.PRODUCTION
    ]
    return next((entry for entry in reversed(entries) if transition_time(entry) >= incident.opened_at), None)


def _transition(reader: LedgerReader, transition_id: str | None) -> Transition | None:
    with suppress(KeyError):
        return reader.transition(transition_id) if transition_id else None
    return None


def _first_failure(reader: LedgerReader, incident: Incident, monitors: Sequence[Monitor]) -> Measurement | None:
    """Return the first failing check, or None if it's older than the checks that are read."""
    just_before = incident.since - timedelta(seconds=1)
    checks = [
        check
        for monitor in monitors
        for check in reader.measurements(monitor.id, since=just_before, limit=MAX_REVIEWED_CHECKS)
        if check.outcome is CheckOutcome.FAILED and check.at <= incident.opened_at
    ]
    return min(checks, key=lambda check: check.at, default=None)


def _first_entry(reader: LedgerReader, replaced: Transition) -> datetime | None:
    """Return when the restored version first entered Production, not counting the restore, or None."""
    entries = reader.production_entries(replaced.model, replaced.version)
    return min((transition_time(entry) for entry in entries if entry.id != replaced.id), default=None)


def _events_about(reader: LedgerReader, incident: Incident) -> list[Event]:
    rows = reader.latest_audit_events(
        model=incident.model or None, tags=REVIEWED_TAGS, since=incident.opened_at, limit=MAX_REVIEWED_EVENTS
    )
    about_incidents = {EventTag.INCIDENT_ACKNOWLEDGED, EventTag.INCIDENT_RESOLVED}
    return [
        row.event
        for row in reversed(rows)
        if row.event.subject in {incident.id, *incident.monitors}
        or (row.event.tag not in about_incidents and not incident.is_of_source)
    ]

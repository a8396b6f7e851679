"""Incidents of a source: many of its monitors fail together, or have no data together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bot.domain.core.sentence import Sentence
from bot.domain.monitoring import incident_messages as words
from bot.domain.monitoring.incident import (
    COMMON_CAUSE_COUNT,
    Incident,
    IncidentEnding,
    IncidentKind,
    IncidentResolution,
    IncidentStatus,
    is_common_cause,
)
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.state import BLIND_STATUSES, MonitorState, MonitorStatus
from bot.ports import LedgerReader as Ledger
from bot.ports import LedgerTransaction
from bot.services.core.context import Context
from bot.services.monitoring.checks import CheckResult
from bot.services.monitoring.incident_writer import (
    FollowUp,
    IncidentWriter,
    active_monitors,
    find_open_incident,
    unwatched_resolution,
)

MIN_SAMPLE = 50  # of a source's monitors, checked together: they speak for very many others
FAILING_STATUSES = {MonitorStatus.FAILED, MonitorStatus.PENDING}


@dataclass(slots=True)
class SuspectSources:
    """Sources of which many monitors fail together, and of which many say nothing together."""

    failing: set[str] = field(default_factory=set)
    blind: set[str] = field(default_factory=set)


class SourceOutages:
    """Opens the incident of a source, adds monitors to it, and says when it is over."""

    def __init__(self, context: Context, writer: IncidentWriter) -> None:
        self._context = context
        self._writer = writer

    def open_or_join(
        self, tx: LedgerTransaction, result: CheckResult, kind: IncidentKind, since: datetime, follow_up: FollowUp
    ) -> None:
        """Open the incident of a check's source, or let it be one of its monitors."""
        source, line = result.monitor.rule.source, words.source_line(result.monitor, blind_reason(result))
        incident = find_open_incident(tx, "", source, kind)
        name = source_monitor_name(result.monitor)
        if incident is None:
            incident = Incident(
                id=self._context.new_id(),
                kind=kind,
                model="",
                source=source,
                version=None,
                move=None,
                monitors=(name,),
                opened_at=result.at,
                since=since,
                lines=(line,),
                doing=IncidentStatus.HELD,
                told_at=result.at,
            )
            self._writer.open(tx, incident, follow_up)
        elif kind is IncidentKind.BLIND or name not in incident.monitors:
            self._writer.set_line(tx, incident, name, line, result, follow_up)

    def find_source_resolution(self, reader: Ledger, incident: Incident, now: datetime) -> IncidentResolution | None:
        if incident.kind is IncidentKind.BLIND:
            if not active_monitors(reader, incident):
                return unwatched_resolution(reader, incident)
            if has_monitor_in_status(reader, incident, IncidentKind.BLIND):
                return None
            # Its last one was judged with its own check, or Production has moved and it began anew.
            return IncidentResolution(
                ending=IncidentEnding.RECOVERED, sentence=words.monitoring_is_back(incident.since, now)
            )
        standings = reader.monitor_states()
        mine = [one for one in reader.monitors() if one.rule.source == incident.source and not one.is_paused]
        states = [standings[one.id].state for one in mine if one.id in standings]
        failing = sum(state in FAILING_STATUSES for state in states)
        if is_common_cause(failing, sum(state is not MonitorStatus.DISABLED for state in states)):
            return None
        return IncidentResolution(
            ending=IncidentEnding.RECOVERED, sentence=words.source_recovered(incident.source, incident.since, now)
        )


def find_suspect_sources(
    tx: LedgerTransaction, news: Sequence[CheckResult], results: Sequence[CheckResult]
) -> SuspectSources:
    """Return the sources of which so many monitors fail, or say nothing, that it is the source's own fault."""
    loud = [one for one in news if one.monitor.effective_action != "dry_run" and (one.is_failing or one.is_blind)]
    loud = [one for one in loud if not has_never_judged(one.monitor, one.verdict.monitor_state)]
    sources = {one.monitor.rule.source for one in loud}
    if not sources:
        return SuspectSources()
    standings = tx.monitor_states()
    there = [one for one in tx.monitors() if one.rule.source in sources and not one.is_paused]
    doubted = SuspectSources()
    for source in sources:
        mine = [(one, standings[one.id]) for one in there if one.rule.source == source and one.id in standings]
        watching = [
            (one.model, standing)
            for one, standing in mine
            if standing.state is not MonitorStatus.DISABLED and not has_never_judged(one, standing)
        ]
        sample = [one.verdict.monitor_state for one in results if one.monitor.rule.source == source]
        if _are_failing_together([one for _, one in watching]) or (
            len(sample) >= MIN_SAMPLE and _are_failing_together(sample)
        ):
            doubted.failing.add(source)
        since = min((at for one in loud if one.monitor.rule.source == source for at in _gap_starts(one)), default=None)
        blind = [model for model, one in watching if one.is_blind or _has_missed_since(one, since)]
        # Of one model alone it is one alert anyway, and that one is its team's.
        if is_common_cause(len(blind), len(watching)) and len(set(blind)) >= COMMON_CAUSE_COUNT:
            doubted.blind.add(source)
    return doubted


def has_monitor_in_status(reader: Ledger, incident: Incident, kind: IncidentKind) -> bool:
    bad = {MonitorStatus.FAILED} if kind is IncidentKind.FAILED else BLIND_STATUSES
    return any(reader.monitor_state(one.id).state in bad for one in active_monitors(reader, incident))


def _gap_starts(result: CheckResult) -> Sequence[datetime]:
    """Return since when gaps may be why it can't judge, if it had any: those in its last window."""
    standing, since = result.verdict.monitor_state, result.at - 2 * result.monitor.rule.window
    return [since] if standing.state is MonitorStatus.CANT_JUDGE and _has_missed_since(standing, since) else []


def _has_missed_since(monitor_state: MonitorState, since: datetime | None) -> bool:
    """Tell whether it had a check without a figure since then.

    Of a source with gaps every window becomes incomplete, but each at its own time.
    """
    return since is not None and monitor_state.missed_at is not None and monitor_state.missed_at >= since


def has_never_judged(monitor: Monitor, monitor_state: MonitorState) -> bool:
    """Tell whether it can't judge yet, and nobody relies on it: a new monitor whose baseline still has to grow."""
    return monitor_state.state is MonitorStatus.CANT_JUDGE and monitor_state.judged_at is None and not monitor.is_armed


def source_monitor_name(monitor: Monitor) -> str:
    """Return what an incident of a source calls a monitor."""
    return f"{monitor.model} {monitor.name}"


def blind_reason(result: CheckResult) -> Sentence:
    return words.blind_reason(result.monitor, result.verdict.monitor_state.state, result.why)


def _are_failing_together(monitor_states: Sequence[MonitorState]) -> bool:
    """Tell whether so many of a source's monitors fail that the source is in doubt."""
    return is_common_cause(sum(one.state in FAILING_STATUSES for one in monitor_states), len(monitor_states))

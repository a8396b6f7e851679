"""Tells which sources are suspect: many of their monitors fail together, or have no data together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bot.domain.monitoring.incident import COMMON_CAUSE_COUNT, is_common_cause
from bot.domain.monitoring.monitor import Monitor, MonitorState, MonitorStatus
from bot.ports import LedgerReader as Ledger
from bot.ports import LedgerTransaction
from bot.services.monitoring.checks import CheckResult

MIN_SAMPLE = 50  # monitors of a source, checked together, that are enough to judge the source by
FAILING_STATUSES = {MonitorStatus.FAILED, MonitorStatus.PENDING}


@dataclass(slots=True)
class SuspectSources:
    """Sources of which many monitors fail together (`failing`), or have no verdict together (`blind`)."""

    failing: set[str] = field(default_factory=set)
    blind: set[str] = field(default_factory=set)


def find_suspect_sources(
    tx: LedgerTransaction, news: Sequence[CheckResult], results: Sequence[CheckResult]
) -> SuspectSources:
    """Return the sources of which so many monitors fail, or have no verdict, that the source itself is suspect.

    `news` are the checks among `results` that could alert.
    """
    alarming = [
        result
        for result in news
        if result.monitor.effective_action != "dry_run" and (result.is_failing or result.is_blind)
    ]
    alarming = [result for result in alarming if not has_never_judged(result.monitor, result.verdict.monitor_state)]
    sources = {result.monitor.rule.source for result in alarming}
    if not sources:
        return SuspectSources()
    monitor_states = tx.monitor_states()
    monitors = [monitor for monitor in tx.monitors() if monitor.rule.source in sources and not monitor.is_paused]
    suspects = SuspectSources()
    for source in sources:
        with_state = [
            (monitor, monitor_states[monitor.id])
            for monitor in monitors
            if monitor.rule.source == source and monitor.id in monitor_states
        ]
        watching = [
            (monitor.model, monitor_state)
            for monitor, monitor_state in with_state
            if monitor_state.state is not MonitorStatus.DISABLED and not has_never_judged(monitor, monitor_state)
        ]
        sample = [result.verdict.monitor_state for result in results if result.monitor.rule.source == source]
        if _are_failing_together([state for _, state in watching]) or (
            len(sample) >= MIN_SAMPLE and _are_failing_together(sample)
        ):
            suspects.failing.add(source)
        since = min(
            (at for result in alarming if result.monitor.rule.source == source for at in _gap_starts(result)),
            default=None,
        )
        blind = [model for model, state in watching if state.is_blind or _has_missed_since(state, since)]
        # Monitors of one model share one alert anyway, in their team's channel.
        if is_common_cause(len(blind), len(watching)) and len(set(blind)) >= COMMON_CAUSE_COUNT:
            suspects.blind.add(source)
    return suspects


def is_failing_together(reader: Ledger, source: str) -> bool:
    """Tell whether so many of a source's monitors fail now that the source is suspect."""
    monitor_states = reader.monitor_states()
    watching = [
        monitor_states[monitor.id]
        for monitor in reader.monitors()
        if monitor.rule.source == source and not monitor.is_paused and monitor.id in monitor_states
    ]
    return _are_failing_together([state for state in watching if state.state is not MonitorStatus.DISABLED])


def _gap_starts(result: CheckResult) -> Sequence[datetime]:
    """Return the start of the windows in which a gap can be why the monitor can't judge; nothing if it had none."""
    monitor_state, since = result.verdict.monitor_state, result.at - 2 * result.monitor.rule.window
    return (
        [since] if monitor_state.state is MonitorStatus.CANT_JUDGE and _has_missed_since(monitor_state, since) else []
    )


def _has_missed_since(monitor_state: MonitorState, since: datetime | None) -> bool:
    """Tell whether a check had no data since then.

    A source with gaps makes every monitor's window incomplete, but each at its own time.
    """
    return since is not None and monitor_state.missed_at is not None and monitor_state.missed_at >= since


def has_never_judged(monitor: Monitor, monitor_state: MonitorState) -> bool:
    """Tell whether the monitor is new, unarmed, and still lacks a baseline: that's no reason for an alert."""
    return monitor_state.state is MonitorStatus.CANT_JUDGE and monitor_state.judged_at is None and not monitor.is_armed


def _are_failing_together(monitor_states: Sequence[MonitorState]) -> bool:
    """Tell whether so many of a source's monitors fail that the source is suspect."""
    return is_common_cause(sum(state.state in FAILING_STATUSES for state in monitor_states), len(monitor_states))

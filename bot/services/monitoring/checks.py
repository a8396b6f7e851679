"""Checks as they pass through the scheduler: claimed, queried, evaluated, and turned into rows for the ledger.

`find_suspect_sources` returns the sources whose monitors fail together, or lose their data together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from bot.domain.core.sentence import Sentence
from bot.domain.monitoring.consecutive_checks import Verdict
from bot.domain.monitoring.incident import COMMON_CAUSE_COUNT, is_common_cause
from bot.domain.monitoring.monitor import (
    BLIND_STATUSES,
    BaselineReplacement,
    FrozenBaseline,
    Monitor,
    MonitorState,
    MonitorStatus,
    ProductionTerm,
)
from bot.domain.monitoring.readings import Answer, CheckOutcome, Measurement, Reading
from bot.domain.monitoring.reasons import reason_of
from bot.domain.registry.model import Stage
from bot.domain.rollbacks.rollback_targets import ServingPeriod, serving_periods
from bot.ports import LedgerReader as Ledger
from bot.ports import LedgerTransaction, Query

MAX_TRANSITIONS = 40  # latest Production transitions to read when looking for the version that serves now


@dataclass(frozen=True, slots=True)
class ClaimedCheck:
    """A check that the process `owner` has claimed: the monitor, and its state so far."""

    monitor: Monitor
    monitor_state: MonitorState
    owner: str

    @property
    def slot(self) -> int:
        """The check's sequence number for this monitor."""
        return self.monitor_state.slot + 1

    @property
    def key(self) -> tuple[str, int]:
        """The monitor's ID and the check's sequence number."""
        return self.monitor.id, self.slot

    @property
    def max_duration(self) -> timedelta:
        """The longest time that the source can take to answer, retries included."""
        return self.monitor.rule.timeout * (1 + self.monitor.rule.retries)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """A check that's been measured and evaluated, but not saved yet."""

    claim: ClaimedCheck
    term: ProductionTerm | None
    reading: Reading
    verdict: Verdict
    at: datetime
    new_baseline: FrozenBaseline | None = None  # made for this check; save it with the check
    baseline_replacement: BaselineReplacement | None = None  # from the version's own days; save it with the check

    @property
    def monitor(self) -> Monitor:
        """The monitor."""
        return self.claim.monitor

    @property
    def measurement(self) -> Measurement:
        """The check as the ledger stores it."""
        return Measurement(
            monitor=self.monitor.id,
            slot=self.claim.slot,
            at=self.at,
            revision=self.monitor.revision,
            version=self.term.version if self.term else None,
            move=self.term.transition_id if self.term else None,
            outcome=self.verdict.outcome,
            value=self.reading.value if self.reading.outcome is CheckOutcome.OK else None,
            total=self.reading.total,
            points=self.reading.points,
            why=self.verdict.why,
        )

    @property
    def next_state(self) -> MonitorState:
        """The monitor's state after this check."""
        next_at = self.monitor.next_check_at(self.at, self.claim.slot)
        return replace(self.verdict.monitor_state, slot=self.claim.slot, next_at=next_at)

    @property
    def delay(self) -> timedelta | None:
        """How late the check was evaluated; None if it ran before it was due."""
        due = self.claim.monitor_state.next_at
        return self.at - due if due is not None and self.at >= due else None

    @property
    def is_failing(self) -> bool:
        """Whether this check failed and the monitor's state is FAILED."""
        return self.verdict.outcome is CheckOutcome.FAILED and self.verdict.monitor_state.state is MonitorStatus.FAILED

    @property
    def is_blind(self) -> bool:
        """Whether the monitor has gone without a verdict long enough to alert."""
        return self.verdict.monitor_state.state in BLIND_STATUSES

    @property
    def is_no_longer_blind(self) -> bool:
        """Whether the monitor has a verdict again."""
        return self.verdict.previous_status in BLIND_STATUSES and not self.is_blind

    @property
    def needs_late_alert(self) -> bool:
        """Whether a blind monitor's alert is overdue because its silence ended or it was armed since the last check."""
        before, armed, silence_end = self.claim.monitor_state.at, self.monitor.armed_at, self.monitor.silenced_until
        if not self.is_blind or before is None:
            return False
        return bool((silence_end and before <= silence_end <= self.at) or (armed and armed >= before))

    @property
    def has_new_blind_reason(self) -> bool:
        """Whether the reason why the monitor can't reach a verdict has changed."""
        is_new = reason_of(self.claim.monitor_state.why) not in {"", reason_of(self.why)}
        return is_new and self.verdict.monitor_state.state is MonitorStatus.CANT_JUDGE

    @property
    def why(self) -> Sentence:
        """The reason for the monitor's state. If there's no verdict, the check's own reason can differ."""
        return self.verdict.monitor_state.why or self.verdict.why


class SourceReader(Protocol):
    """Reads the policy's sources by name."""

    def read(self, name: str, queries: Sequence[Query]) -> list[Answer]:
        """Return an answer for each query, in order. Raises Unreachable and Misconfigured."""
        ...

    def history(self, name: str, query: Query, step: timedelta) -> Answer:
        """Return the points that the source still has, at most one per `step`. Raises the same errors as `read`."""
        ...


def build_query(monitor: Monitor, version: int, since: datetime, until: datetime) -> Query:
    """Return the query for a version's readings in a monitor's source, from `since` to `until`."""
    rule = monitor.rule
    return Query(
        monitor=monitor.id,
        source=rule.source,
        model=monitor.model,
        version=version,
        query=rule.query,
        of=rule.of,
        since=since,
        until=until,
        timeout=rule.timeout,
    )


def current_term(reader: Ledger, model: str) -> ProductionTerm | None:
    """Return the term of the version now in Production, according to the ledger, or None if there isn't one."""
    period = present_period(reader, model)
    return to_term(period) if period else None


def present_period(reader: Ledger, model: str) -> ServingPeriod | None:
    """Return the serving period of the version now in Production, or None if there isn't one."""
    served = serving_periods(reader.transitions(model, stage=Stage.PRODUCTION, limit=MAX_TRANSITIONS))
    return served[0] if served and served[0].until is None else None


def to_term(period: ServingPeriod) -> ProductionTerm:
    """Return a serving period as a term."""
    return ProductionTerm(transition_id=period.started_by.id, version=period.version, since=period.since)


def with_current_monitor(reader: Ledger, result: CheckResult) -> CheckResult | None:
    """Return the check with the monitor's current settings, or None if the check doesn't count anymore.

    A check is dropped if someone changed, paused, or removed its monitor while the source was being queried. If someone
    silenced or armed the monitor in the meantime, that takes effect for this check. Nothing is locked, so a change
    that's saved at the same moment takes effect with the next check.
    """
    monitor = next(
        (monitor for monitor in reader.monitors(result.monitor.model) if monitor.id == result.monitor.id), None
    )
    if monitor is None or monitor.is_paused or monitor.revision != result.monitor.revision:
        return None
    return replace(result, claim=replace(result.claim, monitor=monitor))


MIN_SAMPLE = 50  # how many monitors of one source, checked together, are enough to assess the source
FAILING_STATUSES = {MonitorStatus.FAILED, MonitorStatus.PENDING}


@dataclass(slots=True)
class SuspectSources:
    """Sources that are suspect because many of their monitors are failing (`failing`) or have no verdict (`blind`)."""

    failing: set[str] = field(default_factory=set)
    blind: set[str] = field(default_factory=set)


def find_suspect_sources(
    tx: LedgerTransaction, news: Sequence[CheckResult], results: Sequence[CheckResult]
) -> SuspectSources:
    """Return the sources that are suspect because so many of their monitors are failing or have no verdict.

    `news` is the subset of `results` that could alert.
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
        # Monitors of one model share an alert in their team's channel anyway.
        if is_common_cause(len(blind), len(watching)) and len(set(blind)) >= COMMON_CAUSE_COUNT:
            suspects.blind.add(source)
    return suspects


def is_failing_together(reader: Ledger, source: str) -> bool:
    """Return whether a source is suspect because so many of its monitors are currently failing."""
    monitor_states = reader.monitor_states()
    watching = [
        monitor_states[monitor.id]
        for monitor in reader.monitors()
        if monitor.rule.source == source and not monitor.is_paused and monitor.id in monitor_states
    ]
    return _are_failing_together([state for state in watching if state.state is not MonitorStatus.DISABLED])


def _gap_starts(result: CheckResult) -> Sequence[datetime]:
    """Return a list with the start of the window in which a gap can prevent a verdict; empty if there's no gap."""
    monitor_state, since = result.verdict.monitor_state, result.at - 2 * result.monitor.rule.window
    return (
        [since] if monitor_state.state is MonitorStatus.CANT_JUDGE and _has_missed_since(monitor_state, since) else []
    )


def _has_missed_since(monitor_state: MonitorState, since: datetime | None) -> bool:
    """Return whether any check at `since` or later had no data; False if `since` is None.

    A source with gaps leaves the windows of all its monitors incomplete, but at different times.
    """
    return since is not None and monitor_state.missed_at is not None and monitor_state.missed_at >= since


def has_never_judged(monitor: Monitor, monitor_state: MonitorState) -> bool:
    """Return whether an unarmed monitor can't reach a verdict and never has.

    This doesn't warrant an alert, because a new monitor may not have a baseline yet.
    """
    return monitor_state.state is MonitorStatus.CANT_JUDGE and monitor_state.judged_at is None and not monitor.is_armed


def _are_failing_together(monitor_states: Sequence[MonitorState]) -> bool:
    """Return whether a source is suspect because so many of its monitors are failing."""
    return is_common_cause(sum(state.state in FAILING_STATUSES for state in monitor_states), len(monitor_states))

"""Checks on their way through the scheduler: claimed, queried, judged, and turned into what the ledger stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from bot.domain.core.sentence import Sentence
from bot.domain.monitoring.assessment import Verdict
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
from bot.domain.rollbacks.rollback import ServingPeriod, serving_periods
from bot.ports import LedgerReader as Ledger
from bot.ports import Query

MAX_TRANSITIONS = 40  # latest ones of Production, to find out who serves now


@dataclass(frozen=True, slots=True)
class ClaimedCheck:
    """A check that `owner`, a process, has claimed: the monitor, and its state so far."""

    monitor: Monitor
    monitor_state: MonitorState
    owner: str

    @property
    def slot(self) -> int:
        """The number of the check."""
        return self.monitor_state.slot + 1

    @property
    def key(self) -> tuple[str, int]:
        """The monitor's id and the number of the check."""
        return self.monitor.id, self.slot

    @property
    def max_duration(self) -> timedelta:
        """How long the source may take to answer."""
        return self.monitor.rule.timeout * (1 + self.monitor.rule.retries)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """A check that was measured and judged, and that still has to be saved."""

    claim: ClaimedCheck
    term: ProductionTerm | None
    reading: Reading
    verdict: Verdict
    at: datetime
    new_baseline: FrozenBaseline | None = None  # made for this check, to be saved with it
    baseline_replacement: BaselineReplacement | None = None  # of the version's own days, to be saved with it

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
            version=self.term and self.term.version,
            move=self.term and self.term.transition_id,
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
        """How late it was judged; None if it ran before it was due."""
        due = self.claim.monitor_state.next_at
        return self.at - due if due is not None and self.at >= due else None

    @property
    def is_failing(self) -> bool:
        """Tell whether this check failed and the monitor's state is FAILED."""
        return self.verdict.outcome is CheckOutcome.FAILED and self.verdict.monitor_state.state is MonitorStatus.FAILED

    @property
    def is_blind(self) -> bool:
        """Tell whether the monitor has had no verdict for so long that it's worth an alert."""
        return self.verdict.monitor_state.state in BLIND_STATUSES

    @property
    def is_no_longer_blind(self) -> bool:
        """Tell whether the monitor has a verdict again."""
        return self.verdict.previous_status in BLIND_STATUSES and not self.is_blind

    @property
    def needs_late_alert(self) -> bool:
        """Tell whether an alert is overdue: since the previous check, a silence ended, or someone armed the monitor."""
        before, armed, silence_end = self.claim.monitor_state.at, self.monitor.armed_at, self.monitor.silenced_until
        if not self.is_blind or before is None:
            return False
        return bool((silence_end and before <= silence_end <= self.at) or (armed and armed >= before))

    @property
    def has_new_blind_reason(self) -> bool:
        """Tell whether the monitor can't judge, for another reason than before."""
        is_new = reason_of(self.claim.monitor_state.why) not in {"", reason_of(self.why)}
        return is_new and self.verdict.monitor_state.state is MonitorStatus.CANT_JUDGE

    @property
    def why(self) -> Sentence:
        """The reason for the monitor's state. If it can't judge, the check's own reason can be another one."""
        return self.verdict.monitor_state.why or self.verdict.why


class SourceReader(Protocol):
    """Reads the policy's sources by name."""

    def read(self, name: str, queries: Sequence[Query]) -> list[Answer]:
        """Return an answer for each query, in order. Raises Unreachable and Misconfigured."""
        ...

    def history(self, name: str, query: Query, step: timedelta) -> Answer:
        """Return the points that the source still has, at most one every `step`. Raises like `read`."""
        ...


def current_term(reader: Ledger, model: str) -> ProductionTerm | None:
    """Return the version in Production now, according to the ledger; None if there's none."""
    period = present_period(reader, model)
    return period and to_term(period)


def present_period(reader: Ledger, model: str) -> ServingPeriod | None:
    """Return since when and how the version in Production has served; None if there's none."""
    served = serving_periods(reader.transitions(model, stage=Stage.PRODUCTION, limit=MAX_TRANSITIONS))
    return served[0] if served and served[0].until is None else None


def to_term(period: ServingPeriod) -> ProductionTerm:
    """Return the term that a serving period is."""
    return ProductionTerm(transition_id=period.started_by.id, version=period.version, since=period.since)


def with_current_monitor(reader: Ledger, result: CheckResult) -> CheckResult | None:
    """Return the check with its monitor as it is now; None if the check no longer counts.

    Someone may have changed, paused, or removed it while the source was queried; then its next check counts, if there
    is one. A silence, or arming, that came meanwhile applies to this check. Nothing is locked: a change that is being
    made at this moment comes after the check.
    """
    monitor = next(
        (monitor for monitor in reader.monitors(result.monitor.model) if monitor.id == result.monitor.id), None
    )
    if monitor is None or monitor.is_paused or monitor.revision != result.monitor.revision:
        return None
    return replace(result, claim=replace(result.claim, monitor=monitor))

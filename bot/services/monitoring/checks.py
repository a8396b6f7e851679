"""Checks on their way through the scheduler: claimed, queried, judged, and turned into what the ledger stores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from bot.domain.core.sentence import Code, Sentence, say
from bot.domain.monitoring.assessment import Verdict
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import Answer, CheckOutcome, Measurement, Reading
from bot.domain.monitoring.state import BLIND_STATUSES, MonitorState, MonitorStatus, ProductionTerm
from bot.domain.monitoring.stored_baselines import BaselineReplacement, FrozenBaseline
from bot.domain.registry.model import Stage
from bot.domain.rollbacks.rollback import serving_periods
from bot.ports import LedgerReader as Ledger
from bot.ports import Query

MAX_TRANSITIONS = 40  # latest ones of Production, to find out who serves now
StoredBaselines = tuple[
    FrozenBaseline | None, FrozenBaseline | None
]  # a monitor's baselines: frozen, and of its own days


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedCheck:
    """A check that `owner`, a process, has claimed: the monitor, its state so far, and the number of the check."""

    monitor: Monitor
    monitor_state: MonitorState
    slot: int
    owner: str


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
        before, armed = self.claim.monitor_state.at, self.monitor.armed_at
        if not self.is_blind or before is None:
            return False
        return self.monitor.has_silence_ended(before, self.at) or (armed is not None and armed >= before)

    @property
    def has_new_blind_reason(self) -> bool:
        """Tell whether the monitor can't judge, for another reason than before."""
        before, now = self.claim.monitor_state.why, self.why
        return self.verdict.monitor_state.state is MonitorStatus.CANT_JUDGE and (
            before is None or before.template != now.template
        )

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
    served = serving_periods(reader.transitions(model, stage=Stage.PRODUCTION, limit=MAX_TRANSITIONS))
    if not served or served[0].until is not None:
        return None
    return ProductionTerm(transition_id=served[0].started_by.id, version=served[0].version, since=served[0].since)


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


def future_term_reason(term: ProductionTerm) -> Sentence:
    return say(
        "{v} came into Production on {since}, which is yet to come: the clock was set back. Nothing is measured "
        "until then.",
        v=Code(f"v{term.version}"),
        since=term.since,
    )


def check_delay(result: CheckResult) -> timedelta | None:
    """Return how late a check was judged; None if it ran before it was due."""
    due = result.claim.monitor_state.next_at
    return result.at - due if due is not None and result.at >= due else None


def to_measurement(result: CheckResult) -> Measurement:
    term = result.term
    has_value = result.reading.outcome is CheckOutcome.OK
    return Measurement(
        monitor=result.claim.monitor.id,
        slot=result.claim.slot,
        at=result.at,
        revision=result.claim.monitor.revision,
        version=term.version if term else None,
        move=term.transition_id if term else None,
        outcome=result.verdict.outcome,
        value=result.reading.value if has_value else None,
        total=result.reading.total,
        points=result.reading.points,
        why=result.verdict.why,
    )


def next_state(result: CheckResult) -> MonitorState:
    next_at = result.monitor.next_check_at(result.at, result.claim.slot)
    return replace(result.verdict.monitor_state, slot=result.claim.slot, next_at=next_at)


def build_query(check: ClaimedCheck, term: ProductionTerm, now: datetime) -> Query:
    since, until = query_span(check.monitor, check.monitor_state, term, now)
    rule = check.monitor.rule
    return Query(
        monitor=check.monitor.id,
        source=rule.source,
        model=check.monitor.model,
        version=term.version,
        query=rule.query,
        of=rule.of,
        since=since,
        until=until,
        timeout=rule.timeout,
    )


def to_claimed_check(monitor: Monitor, monitor_state: MonitorState, owner: str) -> ClaimedCheck:
    return ClaimedCheck(monitor=monitor, monitor_state=monitor_state, slot=monitor_state.slot + 1, owner=owner)


def needs_query(answer: Answer | None) -> bool:
    return answer is None or answer.outcome is CheckOutcome.ERROR


def max_duration(monitor: Monitor) -> timedelta:
    return monitor.rule.timeout * (1 + monitor.rule.retries)


def group_by_source(due: Sequence[ClaimedCheck]) -> dict[str, list[ClaimedCheck]]:
    by_source: dict[str, list[ClaimedCheck]] = defaultdict(list)
    for check in due:
        by_source[check.monitor.rule.source].append(check)
    return by_source


def query_span(
    monitor: Monitor, monitor_state: MonitorState, term: ProductionTerm, now: datetime
) -> tuple[datetime, datetime]:
    """Return the start and end of the time to query: never before the version came into Production.

    A threshold needs its newest reading, or its window if it has an aggregate; a rule against a baseline needs what
    came since the previous check.
    """
    rule = monitor.rule
    until = now - rule.label_delay
    if rule.is_threshold:
        span = rule.window if rule.aggregate not in {None, "last"} else 2 * rule.max_reading_age
        return max(term.since, until - span), until
    last = (
        monitor_state.at - rule.label_delay
        if monitor_state.at and monitor_state.move == term.transition_id
        else until - rule.every
    )
    return max(term.since, min(last, until)), until

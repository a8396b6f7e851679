"""A monitor's state between checks, and the term of a version in Production that it belongs to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from bot.domain.core.sentence import Sentence
from bot.domain.monitoring.monitor import Monitor


class MonitorStatus(Enum):
    """What a monitor's last checks mean."""

    DISABLED = "disabled"  # paused, or nothing is in Production
    WARMUP = "warmup"  # right after a promotion: only the hard limit is checked
    OK = "ok"
    PENDING = "pending"  # failing, but not often enough in a row yet
    FAILED = "failed"
    NO_DATA = "no data"
    ERROR = "error"
    CANT_JUDGE = "can't judge"  # it has readings, but its rule gave no verdict when one was due


# There's no verdict about the version. Such a status ends with a verdict, not just with a reading.
BLIND_STATUSES = frozenset({MonitorStatus.NO_DATA, MonitorStatus.ERROR, MonitorStatus.CANT_JUDGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductionTerm:
    """The time a version is in Production: since when, and by which transition. A verdict belongs to one term."""

    transition_id: str
    version: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorState:
    """A monitor's state, from which its next check continues."""

    monitor: str
    slot: int = 0  # of the last check
    next_at: datetime | None = None
    state: MonitorStatus = MonitorStatus.DISABLED
    revision: int = 0
    version: int | None = None
    move: str | None = None  # the transition that began the term
    bad: int = 0  # failed windows in a row
    good: int = 0  # healthy windows in a row
    empty: int = 0  # checks in a row without data
    broken: int = 0  # checks in a row with an error
    beyond: int = 0  # checks in a row beyond the hard limit
    unjudged: int = 0  # checks in a row without a verdict that was due
    judged_at: datetime | None = None  # the last verdict, also one about an earlier version
    missed_at: datetime | None = None  # the last check without a value
    points: int = 0  # readings since the promotion, each counted once
    newest: datetime | None = None  # of those readings
    judged_to: datetime | None = None  # the end of the last block that was judged
    failed_at: datetime | None = None  # the last failed verdict of the term
    since: datetime | None = None  # when the current run of failures began
    at: datetime | None = None  # of the last check
    value: float | None = None  # of the last check that had one
    total: float | None = None  # what that is out of; None if the metric isn't a count
    bound: float | None = None
    usual: float | None = None  # what the baseline expected in the last comparison
    evidence: tuple[float, ...] | None = None  # gathered in this term, see rules/counts.py
    why: Sentence | None = None  # the reason from the last check

    @property
    def is_blind(self) -> bool:
        """Tell whether the version has no verdict right now, whether or not there's an alert yet."""
        return self.state in BLIND_STATUSES or self.has_no_value or self.unjudged > 0

    @property
    def has_no_value(self) -> bool:
        """Tell whether the last check had no value."""
        return self.empty > 0 or self.broken > 0


def state_for_term(monitor_state: MonitorState, monitor: Monitor, term: ProductionTerm | None) -> MonitorState:
    """Return the state to continue from: in another term or revision, counts and evidence start over.

    Another revision keeps when the version failed last. Evidence is about one direction and one effect, so it's gone.
    """
    move, version = (term.transition_id, term.version) if term else (None, None)
    if (monitor_state.move, monitor_state.revision) == (move, monitor.revision):
        return monitor_state
    return MonitorState(
        monitor=monitor_state.monitor,
        slot=monitor_state.slot,
        next_at=monitor_state.next_at,
        revision=monitor.revision,
        version=version,
        move=move,
        state=MonitorStatus.OK if term else MonitorStatus.DISABLED,
        judged_at=monitor_state.judged_at,
        failed_at=monitor_state.failed_at if monitor_state.move == move else None,
    )


def state_after_resume(monitor_state: MonitorState, monitor: Monitor, now: datetime) -> MonitorState:
    """Return the state from which a resumed monitor continues.

    Windows with a pause in them are incomplete for a good reason, so they count as judged.
    """
    anew = replace(
        monitor_state,
        next_at=monitor.first_check_at(now),
        empty=0,
        broken=0,
        unjudged=0,
        judged_at=monitor_state.judged_at and now,
        judged_to=now + monitor.rule.window if monitor.rule.kind.compares_windows else None,
    )
    return replace(anew, state=MonitorStatus.OK, value=None, total=None) if anew.state in BLIND_STATUSES else anew

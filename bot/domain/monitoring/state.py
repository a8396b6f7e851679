"""The state of a monitor, and the term of Production that it's about."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

from bot.domain.core.sentence import Sentence

if TYPE_CHECKING:  # numpy is slow to import, and the terminal knows this module
    pass
from bot.domain.monitoring.monitor import Monitor


class MonitorStatus(Enum):
    """Where a monitor stands."""

    DISABLED = "disabled"  # paused, or nothing is in Production
    WARMUP = "warmup"  # right after a promotion: only the hard limit is looked at
    OK = "ok"
    PENDING = "pending"  # it failed, not yet often enough in a row
    FAILED = "failed"
    NO_DATA = "no data"
    ERROR = "error"
    CANT_JUDGE = "can't judge"  # there are figures, but its rule has given no verdict when one was due


# Nothing is known of the version. Such a state ends with a verdict, not with a mere figure.
BLIND_STATUSES = frozenset({MonitorStatus.NO_DATA, MonitorStatus.ERROR, MonitorStatus.CANT_JUDGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductionTerm:
    """Who is in Production, since when, by which move. A verdict belongs to one."""

    transition_id: str
    version: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorState:
    """Where a monitor stands: what its next check goes on from."""

    monitor: str
    slot: int = 0  # of the last check
    next_at: datetime | None = None
    state: MonitorStatus = MonitorStatus.DISABLED
    revision: int = 0
    version: int | None = None
    move: str | None = None  # that began the term
    bad: int = 0  # failed windows in a row
    good: int = 0  # windows in a row that are well again
    empty: int = 0  # checks in a row without data
    broken: int = 0  # checks in a row with an error
    beyond: int = 0  # checks in a row beyond the hard limit
    unjudged: int = 0  # checks in a row since a verdict was due and could not be given
    judged_at: datetime | None = None  # the last verdict, also one about an earlier version
    missed_at: datetime | None = None  # the last check without a figure
    points: int = 0  # readings since the promotion, each counted once
    newest: datetime | None = None  # of those readings
    judged_to: datetime | None = None  # the end of the last block that was judged
    failed_at: datetime | None = None  # the last failed verdict of the term
    since: datetime | None = None  # when the present run of failures began
    at: datetime | None = None  # of the last check
    value: float | None = None  # of the last check that had one
    total: float | None = None  # what that is out of; None if the metric isn't a count
    bound: float | None = None
    usual: float | None = None  # what the baseline had, when it was compared with last
    evidence: tuple[float, ...] | None = (
        None  # what's gathered in this term: `bot.domain.monitoring.rules.counts.Gathered`
    )
    why: Sentence | None = None  # what the last check came to

    @property
    def is_blind(self) -> bool:
        """Tell whether the version isn't measured or isn't judged now, however soon people hear of that."""
        return self.state in BLIND_STATUSES or self.has_no_value or self.unjudged > 0

    @property
    def has_no_value(self) -> bool:
        """Tell whether the last check had no figure."""
        return self.empty > 0 or self.broken > 0


def state_for_term(monitor_state: MonitorState, monitor: Monitor, term: ProductionTerm | None) -> MonitorState:
    """Return the standing to go on from: for another term or revision, counts and evidence start over.

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
    """Return the standing from which a monitor that was paused goes on.

    Windows with a pause in them are incomplete for a good reason, so they count as judged.
    """
    anew = replace(
        monitor_state,
        next_at=monitor.first_check_at(now),
        empty=0,
        broken=0,
        unjudged=0,
        judged_at=monitor_state.judged_at and now,
        judged_to=now + monitor.rule.window if monitor.rule.uses_blocks else None,
    )
    return replace(anew, state=MonitorStatus.OK, value=None, total=None) if anew.state in BLIND_STATUSES else anew

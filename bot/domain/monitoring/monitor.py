"""Monitors: their settings, when they're checked, their state between checks, and their baselines. No I/O, no clock.

A monitor's status says what its readings mean: DISABLED, WARMUP, OK ⇄ PENDING → FAILED, or, without a verdict, NO_DATA,
ERROR, or CANT_JUDGE. The incident's status (incident.py) says what was done about a failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING

from bot.domain.core.actors import Actor
from bot.domain.core.sentence import Sentence
from bot.domain.policy.monitor_config import MonitorConfig

if TYPE_CHECKING:  # numpy is slow to import, and the terminal knows this module
    from bot.domain.monitoring.rules.baselines import Baseline

MAX_SILENCE = timedelta(hours=72)  # the longest time for which a monitor can be silenced
JITTER = 0.1  # share of the interval by which a check can be early or late, so monitors aren't all checked at once
EARLY_SHARE = 0.1  # share of the interval by which a check can be early to be made together with another
MAX_EARLY = timedelta(seconds=5)  # however long the interval is


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """A monitor for one model. A monitor from the policy file can be changed only there."""

    id: str
    model: str
    rule: MonitorConfig
    created_at: datetime
    created_by: Actor | None = None  # None: the policy file
    revision: int = 1  # incremented by every edit; a verdict belongs to one revision
    measured_from: int = 1  # the first revision that measured the same thing as now; earlier readings don't count
    is_paused: bool = False
    armed_at: datetime | None = None
    armed_by: Actor | None = None
    removed_at: datetime | None = None
    silenced_until: datetime | None = None
    silenced_by: Actor | None = None  # None: a person ended the silence at `silenced_until`
    silence_reason: str = ""

    @property
    def name(self) -> str:
        """Its name, unique within the model."""
        return self.rule.name

    @property
    def is_from_file(self) -> bool:
        """Whether it's defined in the policy file."""
        return self.created_by is None

    @property
    def is_armed(self) -> bool:
        """Whether it can roll back automatically: it's `auto`, and the policy file or a second person armed it."""
        return self.rule.action == "auto" and (self.is_from_file or self.armed_at is not None)

    @property
    def effective_action(self) -> str:
        """The action that's in effect now: a monitor with `auto` asks a person until it's armed."""
        return "ask" if self.rule.action == "auto" and not self.is_armed else self.rule.action

    def with_rule(self, rule: MonitorConfig) -> Monitor:
        """Return the monitor's next revision, with a new rule."""
        revision = self.revision + 1
        same = rule.measurement_key == self.rule.measurement_key
        return replace(self, rule=rule, revision=revision, measured_from=self.measured_from if same else revision)

    def is_silenced(self, now: datetime) -> bool:
        """Return whether its alerts and rollbacks are suppressed at `now`."""
        return self.silenced_by is not None and self.silenced_until is not None and now < self.silenced_until

    def first_check_at(self, now: datetime) -> datetime:
        """Return when it's first checked: within a tenth of an interval, at a time that varies by monitor."""
        return now + self.rule.every * JITTER * _stable_fraction(self.id)

    def next_check_at(self, now: datetime, slot: int) -> datetime:
        """Return when it's next checked after `slot`: an interval later, give or take the jitter."""
        return now + self.rule.every * (1 + JITTER * (2 * _stable_fraction(f"{self.id}:{slot}") - 1))


def _stable_fraction(text: str) -> float:
    """Return a number from 0 to 1 that's the same for the same text in every process."""
    return int.from_bytes(sha256(text.encode()).digest()[:4], "big") / 2**32


class MonitorStatus(Enum):
    """What a monitor's recent checks mean."""

    DISABLED = "disabled"  # nothing is in Production
    WARMUP = "warmup"  # right after a promotion: only the hard limit is checked
    OK = "ok"  # the last verdict was good
    PENDING = "pending"  # failing, but not for enough consecutive checks yet
    FAILED = "failed"  # enough consecutive checks failed: an incident is open
    NO_DATA = "no data"  # in too many consecutive checks
    ERROR = "error"  # the source failed in too many consecutive checks
    CANT_JUDGE = "can't judge"  # it has readings, but its rule should have reached a verdict and didn't


# Statuses without a verdict about the version. They end with a verdict, not just with a reading.
BLIND_STATUSES = frozenset({MonitorStatus.NO_DATA, MonitorStatus.ERROR, MonitorStatus.CANT_JUDGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductionTerm:
    """A version's time in Production: when it began, and which transition began it. A verdict belongs to one term."""

    transition_id: str
    version: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorState:
    """A monitor's state, from which its next check continues."""

    monitor: str
    slot: int = 0  # of the latest check
    next_at: datetime | None = None
    state: MonitorStatus = MonitorStatus.DISABLED
    revision: int = 0
    version: int | None = None
    move: str | None = None  # the transition that began the term
    bad: int = 0  # consecutive failed windows
    good: int = 0  # consecutive healthy windows
    empty: int = 0  # consecutive checks without data
    broken: int = 0  # consecutive checks with an error
    beyond: int = 0  # consecutive checks outside the hard limit
    unjudged: int = 0  # consecutive checks that should have reached a verdict but didn't
    judged_at: datetime | None = None  # the latest verdict, even one about an earlier version
    missed_at: datetime | None = None  # the latest check without a value
    points: int = 0  # readings since the promotion, each counted once
    newest: datetime | None = None  # time of the newest of those readings
    judged_to: datetime | None = None  # the end of the last block that was evaluated
    failed_at: datetime | None = None  # the latest failed verdict of the term
    since: datetime | None = None  # when the current run of failures began
    at: datetime | None = None  # of the latest check
    value: float | None = None  # of the latest check that had one
    total: float | None = None  # what that is out of; None if the metric isn't a count
    bound: float | None = None
    usual: float | None = None  # what the baseline expected in the latest comparison
    evidence: tuple[float, ...] | None = None  # gathered in this term; see rules/counts.py
    why: Sentence | None = None  # the reason from the latest check

    @property
    def is_blind(self) -> bool:
        """Whether the version has no verdict at the moment, even if there's no alert about that yet."""
        return self.state in BLIND_STATUSES or self.has_no_value or self.unjudged > 0

    @property
    def has_no_value(self) -> bool:
        """Whether the latest check had no value."""
        return self.empty > 0 or self.broken > 0


def state_for_term(monitor_state: MonitorState, monitor: Monitor, term: ProductionTerm | None) -> MonitorState:
    """Return the state to continue from. In another term or revision, counts and evidence start over.

    Another revision in the same term keeps the time of the last failure. Evidence is dropped because it's about one
    direction and effect.
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

    Windows with a pause in them are expected to be incomplete, so they count as evaluated.
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


class OwnBaselineKind(Enum):
    """Why a version is compared with its own past days."""

    LIVE = "live"  # there's no earlier data; summarized again every day
    BEST = "best"  # they're better than the baseline and replace it


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenBaseline:
    """A monitor's baseline for one term: a summary, made once, of the readings from before the term.

    The readings are those from `since` to `until`. `key` identifies the settings that the summary depends on.
    """

    monitor: str
    move: str  # the transition that began the term
    key: str
    since: datetime
    until: datetime
    made_at: datetime
    summary: Baseline


@dataclass(frozen=True, slots=True)
class BaselineReplacement:
    """A new baseline from a version's own readings. `replaced` is the previous one if the change must be announced."""

    kind: OwnBaselineKind
    baseline: FrozenBaseline
    replaced: Baseline | None


def with_soon_due(
    monitors: Sequence[tuple[Monitor, MonitorState]], now: datetime
) -> list[tuple[Monitor, MonitorState]]:
    """Return the monitors that are due now or very soon, or none at all if none is due now.

    Checking several monitors of one source together costs little more than checking one.
    """
    due_at = [(state.next_at or now, min(monitor.rule.every * EARLY_SHARE, MAX_EARLY)) for monitor, state in monitors]
    if all(at > now for at, _ in due_at):
        return []
    return [pair for pair, (at, early) in zip(monitors, due_at, strict=True) if at <= now + early]

"""Monitors: what one check found, what is made of it, and the states between. No I/O, no clock.

A monitor's own state says what its readings mean: DISABLED, WARMUP, OK ⇄ PENDING → FAILED, beside them NO_DATA,
ERROR, and CANT_JUDGE. What was done about a failure is the state of the incident that it opens
(bot/domain/monitoring/incident.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

from bot.domain.core.actors import Actor
from bot.domain.policy.monitor_config import MonitorConfig

if TYPE_CHECKING:  # numpy is slow to import, and the terminal knows this module
    pass

JITTER = 0.1  # of the interval, to either side: monitors of one interval do not all come at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """A monitor of one model. One from the policy file is changed there and nowhere else."""

    id: str
    model: str
    rule: MonitorConfig
    created_at: datetime
    created_by: Actor | None = None  # None: the policy file
    revision: int = 1  # counted up with every edit; a verdict belongs to one
    measured_from: int = 1  # the revision since which it measures the same; no earlier figure counts
    is_paused: bool = False
    armed_at: datetime | None = None
    armed_by: Actor | None = None
    removed_at: datetime | None = None
    silenced_until: datetime | None = None
    silenced_by: Actor | None = None  # None: a person has lifted it, at that time; no clock brings it back
    silence_reason: str = ""

    @property
    def name(self) -> str:
        """What people call it; unique for its model."""
        return self.rule.name

    @property
    def is_from_file(self) -> bool:
        """Tell whether the policy file says it."""
        return self.created_by is None

    @property
    def is_armed(self) -> bool:
        """Tell whether it may roll back by itself: its action says so, and the file or a second person armed it."""
        return self.rule.action == "auto" and (self.is_from_file or self.armed_at is not None)

    @property
    def effective_action(self) -> str:
        """Return its action as it holds now: `auto` that nobody armed asks."""
        return "ask" if self.rule.action == "auto" and not self.is_armed else self.rule.action

    def with_rule(self, rule: MonitorConfig) -> Monitor:
        """Return its next revision, by another rule."""
        revision = self.revision + 1
        same = rule.measurement_key == self.rule.measurement_key
        return replace(self, rule=rule, revision=revision, measured_from=self.measured_from if same else revision)

    def has_silence_ended(self, since: datetime, now: datetime) -> bool:
        """Tell whether a silence has ended since a time, until `now`."""
        return self.silenced_until is not None and since <= self.silenced_until <= now

    def is_silenced(self, now: datetime) -> bool:
        """Tell whether its posts and acts are held back at `now`."""
        return self.silenced_by is not None and self.silenced_until is not None and now < self.silenced_until

    def first_check_at(self, now: datetime) -> datetime:
        """Return when it is checked first: soon, each monitor at a moment of its own."""
        return now + self.rule.every * JITTER * _stable_fraction(self.id)

    def next_check_at(self, now: datetime, slot: int) -> datetime:
        """Return when it is checked after `slot`: an interval later, up to a tenth sooner or later."""
        return now + self.rule.every * (1 + JITTER * (2 * _stable_fraction(f"{self.id}:{slot}") - 1))

    def latest_check_at(self, now: datetime) -> datetime:
        """Return the latest moment that a next check can have which is planned at `now`."""
        return now + self.rule.every * (1 + JITTER)


def _stable_fraction(text: str) -> float:
    """Return a number from 0 to 1 that is the same for the same word in every process."""
    return int.from_bytes(sha256(text.encode()).digest()[:4], "big") / 2**32


def max_silence() -> timedelta:
    """Return the longest time for which a monitor can be silenced."""
    return timedelta(hours=72)

"""Monitors: their settings, who changed, armed, or silenced them, and when they're checked. No I/O, no clock.

A monitor's status (state.py) says what its readings mean: DISABLED, WARMUP, OK ⇄ PENDING → FAILED, and beside them
NO_DATA, ERROR, and CANT_JUDGE. What was done about a failure is the status of the incident (incident.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from bot.domain.core.actors import Actor
from bot.domain.policy.monitor_config import MonitorConfig

MAX_SILENCE = timedelta(hours=72)  # the longest time for which a monitor can be silenced
JITTER = 0.1  # of the interval, to either side, so that monitors aren't all checked at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """A monitor of one model. One from the policy file can be changed only there."""

    id: str
    model: str
    rule: MonitorConfig
    created_at: datetime
    created_by: Actor | None = None  # None: the policy file
    revision: int = 1  # incremented by every edit; a verdict belongs to one revision
    measured_from: int = 1  # the first revision that measures the same thing; earlier readings don't count
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
        """Tell whether it's defined in the policy file."""
        return self.created_by is None

    @property
    def is_armed(self) -> bool:
        """Tell whether it can roll back automatically: it's `auto`, and the file or a second person armed it."""
        return self.rule.action == "auto" and (self.is_from_file or self.armed_at is not None)

    @property
    def effective_action(self) -> str:
        """Return the action that applies now: an unarmed `auto` asks a person."""
        return "ask" if self.rule.action == "auto" and not self.is_armed else self.rule.action

    def with_rule(self, rule: MonitorConfig) -> Monitor:
        """Return its next revision, with another rule."""
        revision = self.revision + 1
        same = rule.measurement_key == self.rule.measurement_key
        return replace(self, rule=rule, revision=revision, measured_from=self.measured_from if same else revision)

    def is_silenced(self, now: datetime) -> bool:
        """Tell whether its alerts and rollbacks are held back at `now`."""
        return self.silenced_by is not None and self.silenced_until is not None and now < self.silenced_until

    def first_check_at(self, now: datetime) -> datetime:
        """Return when it's first checked: within one interval, spread over monitors."""
        return now + self.rule.every * JITTER * _stable_fraction(self.id)

    def next_check_at(self, now: datetime, slot: int) -> datetime:
        """Return when it's checked after `slot`: an interval later, give or take the jitter."""
        return now + self.rule.every * (1 + JITTER * (2 * _stable_fraction(f"{self.id}:{slot}") - 1))


def _stable_fraction(text: str) -> float:
    """Return a number from 0 to 1 that's the same for the same text in every process."""
    return int.from_bytes(sha256(text.encode()).digest()[:4], "big") / 2**32

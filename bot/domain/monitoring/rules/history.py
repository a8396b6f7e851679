"""TODO bot.domain.monitoring.rules.history"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from bot.domain.monitoring.rules.baselines import Baseline
from bot.domain.monitoring.rules.statistics import Tally
from bot.domain.monitoring.rules.time_series import Points
from bot.domain.monitoring.stored_baselines import Own


class Past(Protocol):
    """What a rule looks back at, for one monitor in one term."""

    def readings(self, since: datetime, until: datetime) -> Points:
        """Return the term's readings from `since` on and before `until`."""
        ...

    def recent(self, since: datetime) -> Points:
        """Return the term's readings after `since`, the one that is judged included."""
        ...

    def frozen(self) -> Baseline:
        """Return what was usual before the term began."""
        ...

    def own(self, kind: Own) -> tuple[datetime, Baseline] | None:
        """Return up to when the version's own days were kept as a baseline, and that baseline; None if none was."""
        ...

    def keep(self, kind: Own, since: datetime, until: datetime, summary: Baseline) -> None:
        """Keep a baseline of the version's own days; it replaces an earlier one."""
        ...

    def tally(self, baseline: Baseline, since: datetime) -> Tally:
        """Return the tally of the term's readings from `since` on, the one that is judged included."""
        ...

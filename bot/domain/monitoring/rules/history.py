"""What a rule reads of a monitor's past, from the ledger or from memory."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from bot.domain.monitoring.rules.baselines import Baseline
from bot.domain.monitoring.rules.statistics import Tally
from bot.domain.monitoring.rules.time_series import TimeSeries
from bot.domain.monitoring.stored_baselines import OwnBaselineKind


class MonitorHistory(Protocol):
    """What a rule looks back at, for one monitor in one term."""

    def readings(self, since: datetime, until: datetime) -> TimeSeries:
        """Return the term's readings from `since` on and before `until`."""
        ...

    def recent(self, since: datetime) -> TimeSeries:
        """Return the term's readings after `since`, the one that is judged included."""
        ...

    def frozen_baseline(self) -> Baseline:
        """Return what was usual before the term began."""
        ...

    def own_baseline(self, kind: OwnBaselineKind) -> tuple[datetime, Baseline] | None:
        """Return up to when the version's own days were kept as a baseline, and that baseline; None if none was."""
        ...

    def save_own_baseline(self, kind: OwnBaselineKind, since: datetime, until: datetime, summary: Baseline) -> None:
        """Keep a baseline of the version's own days; it replaces an earlier one."""
        ...

    def tally(self, baseline: Baseline, since: datetime) -> Tally:
        """Return the tally of the term's readings from `since` on, the one that is judged included."""
        ...

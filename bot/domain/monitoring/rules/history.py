"""The history that a rule needs, as an interface: live checks and backtests implement it."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from bot.domain.monitoring.rules.baselines import Baseline
from bot.domain.monitoring.rules.statistics import Tally
from bot.domain.monitoring.rules.time_series import TimeSeries
from bot.domain.monitoring.stored_baselines import OwnBaselineKind


class MonitorHistory(Protocol):
    """The earlier readings and baselines of one monitor in one term."""

    def readings(self, since: datetime, until: datetime) -> TimeSeries:
        """Return the term's readings from `since` on and before `until`."""
        ...

    def recent(self, since: datetime) -> TimeSeries:
        """Return the term's readings after `since`, including the one that's being judged."""
        ...

    def frozen_baseline(self) -> Baseline:
        """Return the baseline from before the term."""
        ...

    def own_baseline(self, kind: OwnBaselineKind) -> tuple[datetime, Baseline] | None:
        """Return the end of the version's own baseline and the baseline; None if there's none."""
        ...

    def save_own_baseline(self, kind: OwnBaselineKind, since: datetime, until: datetime, summary: Baseline) -> None:
        """Keep a baseline of the version's own days; it replaces an earlier one."""
        ...

    def tally(self, baseline: Baseline, since: datetime) -> Tally:
        """Return the tally of the term's readings from `since` on, including the one that's being judged."""
        ...

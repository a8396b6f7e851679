"""Baselines as the ledger keeps them: frozen at a promotion, or of a version's own days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # numpy is slow to import, and the terminal knows this module
    from bot.domain.monitoring.rules.baselines import Baseline


class OwnBaselineKind(Enum):
    """Why a version is compared with its own days."""

    LIVE = "live"  # there are no others: summarized again every day
    BEST = "best"  # they're better than its baseline: a ratchet


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenBaseline:
    """A monitor's baseline of one term: what was measured before the term began, summarized once and never again.

    The readings are those from `since` to `until`. `key` says what else the summary depends on.
    """

    monitor: str
    move: str  # that began the term
    key: str
    since: datetime
    until: datetime
    made_at: datetime
    summary: Baseline


@dataclass(frozen=True, slots=True)
class BaselineReplacement:
    """A new baseline of a version's own days, and the one it replaces if people should hear about that."""

    kind: OwnBaselineKind
    baseline: FrozenBaseline
    replaced: Baseline | None

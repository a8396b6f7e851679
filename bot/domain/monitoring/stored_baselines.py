"""Baselines as the ledger stores them: frozen at the promotion, or of the version's own days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # numpy is slow to import, and the terminal knows this module
    from bot.domain.monitoring.rules.baselines import Baseline


class OwnBaselineKind(Enum):
    """Why a version is compared with its own days."""

    LIVE = "live"  # there are no earlier ones; summarized again every day
    BEST = "best"  # they're better than the baseline, which they replace


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenBaseline:
    """A monitor's baseline in one term: a summary, made once, of what was measured before the term.

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
    """A new baseline of a version's own days, and the one it replaces if that should be announced."""

    kind: OwnBaselineKind
    baseline: FrozenBaseline
    replaced: Baseline | None

"""Estimates how many false rollbacks to expect from armed monitors. Pure.

The rates come from simulated months (docs/explanation/statistics.md) and guarantee nothing about a real metric.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import fsum

from bot.domain.monitoring.monitor import Monitor
from bot.domain.policy.monitor_config import RULES, MonitorConfig

FALSE_ROLLBACKS_PER_MONTH: Mapping[str, float] = {
    name: kind.false_rollbacks_per_month for name, kind in RULES.items() if kind.false_rollbacks_per_month is not None
}

SIMULATED_RULE = MonitorConfig(name="simulated", source="simulated")  # all defaults


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseRollbackEstimate:
    """How many monitors are armed, and how many false rollbacks to expect from them.

    `per_month` is the sum over the `counted` monitors. For the others, the rate is unknown or only partly known.
    """

    armed: int
    counted: int
    per_month: float
    thresholds: int  # how often they fire depends on their bound
    hard_limits: int  # likewise; the rules they're next to are counted
    others: int  # their settings act sooner than the simulated ones


def expected_per_month(rule: MonitorConfig) -> float | None:
    """Return the maximum number of false rollbacks to expect per month, not counting those of a hard limit.

    Return None for a fixed bound, and for settings that act sooner than the simulated ones, which are the defaults.
    """
    effect, least = rule.min_effect, SIMULATED_RULE.min_effect
    is_looser = (
        effect.kind is not least.kind  # a distance, or a share of the error, can be as small as the noise
        or effect.amount < least.amount
        or rule.fail_after < SIMULATED_RULE.fail_after
        or any(
            ours < simulated
            for ours, simulated in zip(rule.kind.caution(rule), rule.kind.caution(SIMULATED_RULE), strict=True)
        )
    )
    return None if is_looser else FALSE_ROLLBACKS_PER_MONTH.get(str(rule.rule))


def estimate_false_rollbacks(monitors: Iterable[Monitor]) -> FalseRollbackEstimate | None:
    """Return the combined estimate for these monitors; None if none is armed. Paused ones don't count."""
    rules = [monitor.rule for monitor in monitors if monitor.is_armed and not monitor.is_paused]
    if not rules:
        return None
    figures = [figure for rule in rules if (figure := expected_per_month(rule)) is not None]
    thresholds = sum(not rule.uses_baseline for rule in rules)
    return FalseRollbackEstimate(
        armed=len(rules),
        counted=len(figures),
        per_month=fsum(figures),
        thresholds=thresholds,
        hard_limits=sum(rule.hard_limit is not None for rule in rules),
        others=len(rules) - len(figures) - thresholds,
    )

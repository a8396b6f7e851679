"""How often to expect armed monitors to roll back without a cause. Pure.

The figures come from simulated months (docs/rules.md), so they guarantee nothing about a real metric.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import fsum
from types import MappingProxyType

from bot.domain.monitoring.monitor import Monitor
from bot.domain.policy.monitor_config import MonitorConfig

# By rule: the share of months in which it acts without a cause (upper 95% bound), for the months in docs/rules.md with
# φ = 0.7 and without heavy tails. A test compares these with that page's table.
FALSE_ROLLBACKS_PER_MONTH: Mapping[str, float] = MappingProxyType(
    {"default": 0.002, "blocks": 0.002, "sequential": 0.001}
)

SIMULATED_RULE = MonitorConfig(name="simulated", source="simulated")  # all defaults


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseRollbackEstimate:
    """The armed monitors, and the false rollbacks to expect.

    `per_month` is the sum over the `counted` monitors; the others have no figure, or one that covers only part of them.
    """

    armed: int
    counted: int
    per_month: float
    thresholds: int  # how often they act depends on their bound
    hard_limits: int  # likewise; the rules they're next to are counted
    others: int  # set to act sooner than what was simulated


def expected_per_month(rule: MonitorConfig) -> float | None:
    """Return how many rollbacks a month to expect at most without a cause, not counting a hard limit's.

    None for a threshold, and for settings that act sooner than the simulated ones, which are the defaults.
    """
    return (
        FALSE_ROLLBACKS_PER_MONTH[str(rule.rule)]
        if rule.rule in FALSE_ROLLBACKS_PER_MONTH and not _is_looser(rule)
        else None
    )


def estimate_false_rollbacks(monitors: Iterable[Monitor]) -> FalseRollbackEstimate | None:
    """Return what to expect from these monitors together; None if none is armed. Paused ones don't count."""
    rules = [monitor.rule for monitor in monitors if monitor.is_armed and not monitor.is_paused]
    figures = [figure for rule in rules if (figure := expected_per_month(rule)) is not None]
    thresholds = sum(rule.is_threshold for rule in rules)
    if not rules:
        return None
    return FalseRollbackEstimate(
        armed=len(rules),
        counted=len(figures),
        per_month=fsum(figures),
        thresholds=thresholds,
        hard_limits=sum(rule.hard_limit is not None for rule in rules),
        others=len(rules) - len(figures) - thresholds,
    )


def _is_looser(rule: MonitorConfig) -> bool:
    effect, least = rule.min_effect, SIMULATED_RULE.min_effect
    if effect.kind is not least.kind or effect.amount < least.amount:
        return True  # a distance, or a share of the error, can be as small as the noise
    if rule.fail_after < SIMULATED_RULE.fail_after:
        return True
    if rule.rule == "sequential":
        return rule.alpha > SIMULATED_RULE.alpha
    return rule.sigma < SIMULATED_RULE.sigma or rule.window < SIMULATED_RULE.window

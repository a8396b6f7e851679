"""The rule `threshold`: compares a value with fixed bounds. Pure."""

from __future__ import annotations

from math import inf, isfinite

from bot.domain.core.numbers import format_number, format_proportion
from bot.domain.core.sentence import say
from bot.domain.monitoring.consecutive_checks import RuleResult
from bot.domain.monitoring.reasons import Reason
from bot.domain.monitoring.rules.evaluation import RuleInput


def evaluate(inputs: RuleInput) -> RuleResult:
    """Evaluate a check's value."""
    rule, reading = inputs.rule, inputs.reading
    return judge_threshold(reading.value, reading.total, greater_than=rule.greater_than, less_than=rule.less_than)


def judge_threshold(
    value: float, total: float | None = None, *, greater_than: float | None = None, less_than: float | None = None
) -> RuleResult:
    """Compare a value with its bounds; a value equal to one of them fails.

    A value that isn't finite gives no verdict. Raise ValueError if there's no bound, or if `greater_than` isn't below
    `less_than`.
    """
    low, high = -inf if greater_than is None else greater_than, inf if less_than is None else less_than
    if not low < high or (low, high) == (-inf, inf):
        raise ValueError("A threshold needs greater_than, less_than, or both, with greater_than below less_than.")
    bound = high if low == -inf or (high != inf and abs(value - high) < abs(value - low)) else low
    if not isfinite(value):
        return RuleResult(is_worse=None, bound=bound, why=say("No value.").with_code(Reason.NO_DATA))
    way, is_worse = "greater" if bound == low else "less", not low < value < high
    template = f"{{value}} isn't {way} than {{bound}}." if is_worse else f"{{value}} is {way} than {{bound}}."
    why = say(template, value=format_proportion(value, total), bound=format_number(bound))
    return RuleResult(is_worse=is_worse, bound=bound, why=why)

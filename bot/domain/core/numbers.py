"""Numbers as people read them: the same in Slack, in the terminal, and in charts."""

from __future__ import annotations

import math

MISSING = "–"  # Slack's tables don't accept empty cells


def pluralize(count: int, singular: str, plural: str = "") -> str:
    """Return a count with its noun: `1 model`, `1,000 models`. `plural` is for nouns with an irregular plural."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def format_number(value: float, digits: int = 4) -> str:
    """Return a value with `digits` significant digits: `0.912`, `12,345`, `1.5e-7`; `–` if it's missing.

    Digits before the decimal point are never rounded away. Values from 1e12 up and below 0.0001 use
    scientific notation.
    """
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    size = abs(float(f"{value:.{digits - 1}e}"))  # rounded first: 9999.6 becomes 10000, which has five digits
    if size == 0:
        return "0"
    if not 1e-4 <= size < 1e12:
        mantissa, power = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(power)}"
    return f"{value:,.0f}" if size >= 10 ** (digits - 1) else f"{value:,.{digits}g}"


def format_proportion(value: float, total: float | None) -> str:
    """Return a proportion with its count, such as `0.93 (93 of 100)`; without a `total`, just the value."""
    return (
        format_number(value)
        if total is None
        else f"{format_number(value)} ({format_number(value * total)} of {format_number(total)})"
    )


def format_difference(value: float, digits: int = 4) -> str:
    """Return a difference with its sign: `+0.021`, `-4`, `0`; `–` if it's missing."""
    return f"+{format_number(value, digits)}" if value > 0 else format_number(value, digits)

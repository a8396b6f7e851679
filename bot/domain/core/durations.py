"""Durations as people write them: `30m`, `24h`, `7d`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

_UNIT_NAMES = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(text: object) -> timedelta:
    """Parse a duration such as `90s`, `1h30m`, or `7d`. Raises ValueError."""
    if isinstance(text, timedelta):
        return text
    parts = re.findall(r"(\d+)\s*([smhdw])", str(text).strip().lower())
    if not parts or re.sub(r"\d+\s*[smhdw]\s*", "", str(text).strip().lower()):
        raise ValueError("must be a duration, such as 30m, 24h, or 7d")
    try:
        return sum((timedelta(**{_UNIT_NAMES[unit]: int(amount)}) for amount, unit in parts), timedelta())
    except OverflowError:
        raise ValueError("must be a shorter duration") from None


def format_duration(duration: timedelta) -> str:
    """Return the duration in its two largest units: `7d`, `1h 30m`, `45s`."""
    remaining = max(0, int(duration.total_seconds()))
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        amount, remaining = divmod(remaining, size)
        if amount:
            parts.append(f"{amount}{unit}")
    return " ".join(parts[:2]) or "0s"


def serialize_duration(duration: timedelta) -> str:
    """Return the duration in whole seconds, in a form that `parse_duration` reads."""
    return f"{int(duration.total_seconds())}s"


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(serialize_duration)]

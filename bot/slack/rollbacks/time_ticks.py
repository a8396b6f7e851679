"""Round moments for a time axis, and their labels."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import ceil

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_TICK_INTERVALS = [
    timedelta(seconds=15),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
    _HOUR,
    3 * _HOUR,
    6 * _HOUR,
    12 * _HOUR,
    _DAY,
    2 * _DAY,
    7 * _DAY,
    14 * _DAY,
    30 * _DAY,
    61 * _DAY,
    91 * _DAY,
    182 * _DAY,
]
_MAX_TICKS = 6


def time_ticks(left: datetime, right: datetime) -> tuple[list[datetime], timedelta]:
    """Return the round moments from `left` to `right`, at most six, and the time between them."""
    duration = right - left
    stride = next((interval for interval in _TICK_INTERVALS if duration / interval <= _MAX_TICKS), timedelta(days=365))
    if stride >= 30 * _DAY:
        return _month_ticks(left, right, max(1, ceil(duration / _MAX_TICKS / (30.4 * _DAY)))), stride
    midnight = datetime(left.year, left.month, left.day, tzinfo=UTC)
    first = midnight + stride * ceil((left - midnight) / stride)
    return [first + stride * at for at in range(_MAX_TICKS + 1) if first + stride * at <= right], stride


def _month_ticks(left: datetime, right: datetime, months_apart: int) -> list[datetime]:
    months_apart = next((months for months in (1, 2, 3, 6) if months >= months_apart), 12 * ceil(months_apart / 12))
    at = left.year * 12 + left.month - 1
    at += -at % months_apart
    ticks = []
    while (tick := datetime(at // 12, at % 12 + 1, 1, tzinfo=UTC)) <= right:
        ticks += [tick] if tick >= left else []
        at += months_apart
    return ticks


def tick_labels(ticks: Sequence[datetime], interval: timedelta) -> list[str]:
    """Return the labels; the day or year is below the first one and wherever it changes."""
    labels, before = [], None
    for tick in ticks:
        if interval < _DAY:
            top, below = f"{tick:%H:%M}", f"{tick.day} {tick:%b %Y}"
        elif interval < 30 * _DAY:
            top, below = f"{tick.day} {tick:%b}", f"{tick.year}"
        else:
            top, below = f"{tick:%b}", f"{tick.year}"
        zone = ", UTC" if before is None else ""
        labels.append(f"{top}\n{' ' if below == before else below + zone}")  # all have two lines, so the same height
        before = below
    return labels

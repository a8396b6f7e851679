"""Turns a source's answer into one value, ignoring invalid points, or into the reason why there's none. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from numbers import Real

import numpy as np

from bot.domain.core.sentence import Sentence, say
from bot.domain.monitoring.readings import Answer, CheckOutcome, CountPoint, Point, Reading
from bot.domain.policy.monitor_config import COUNT_AGGREGATES, MonitorConfig

MAX_CLOCK_SKEW = timedelta(seconds=60)  # how far another machine's clock can be ahead of this one's
COUNT_TOLERANCE = 1e-9  # share of a total by which a count can exceed it: sums of floating-point numbers aren't exact


class PointFault(StrEnum):
    """Why points don't count, worded to follow a number, as in `3 in the future`."""

    NOT_A_NUMBER = "not a number"
    NOT_FINITE = "NaN or infinite"
    WITHOUT_TOTAL = "without a total"
    OUTSIDE_TOTAL = "not between 0 and the total"
    WITHOUT_TIME_ZONE = "without a timestamp and time zone"
    ZERO_TOTAL = "0 of 0"
    FROM_THE_FUTURE = "in the future"
    AFTER_SPAN = "after the time range"
    BEFORE_SPAN = "before the time range"


def measure(
    answer: Answer,
    rule: MonitorConfig,
    *,
    since: datetime,
    until: datetime,
    now: datetime,
    newest_seen: datetime | None = None,
) -> Reading:
    """Return an answer's value, computed with the rule's aggregate, or why there's none.

    Points count if they're after `since` and at most a minute after `until`, which allows for another machine's clock;
    points of a timeless answer always count. If several points have the same time, the first one counts. Points up to
    `newest_seen`, the time of the newest point that an earlier check saw, aren't `fresh`. The value of counts is a
    proportion. Never raise; if the outcome is OK, the value is finite.
    """
    if answer.outcome is not CheckOutcome.OK:
        return Reading(outcome=answer.outcome, why=answer.why)
    points, faults = usable_points(
        answer.points, rule, lambda at: None if answer.is_timeless else _time_fault(at, since, until, now)
    )
    if not points:
        return _no_data(_no_readings_reason(faults))
    newest = points[-1][0]
    if not answer.is_timeless and until - newest > rule.max_reading_age:
        return _no_data(say("The newest reading is too old: {at}.", at=newest.astimezone(UTC)), newest)
    if len(points[0]) == 3 and rule.effective_aggregate not in COUNT_AGGREGATES:
        why = say("Can't compute the {reckons} of counts. Use mean or last.", reckons=rule.effective_aggregate)
        return Reading(outcome=CheckOutcome.ERROR, why=why)
    if rule.effective_aggregate == "rate" and len(points) < 2:
        return _no_data(say("A rate needs two readings, but there's only one."), newest)
    value, total = aggregate(points, rule.effective_aggregate)
    if not math.isfinite(value):
        return _no_data(say("The readings are too large to compute a value."), newest)
    fresh = sum(answer.is_timeless or newest_seen is None or point[0] > newest_seen for point in points)
    return Reading(value=value, total=total, points=len(points), fresh=fresh, newest=newest)


def usable_points(
    points: Sequence[Point | CountPoint], rule: MonitorConfig, time_fault: Callable[[datetime], PointFault | None]
) -> tuple[list[Point | CountPoint], Counter[PointFault]]:
    """Return the points that count, oldest first and one for each time, and how many of the others have each fault.

    They're either all plain values or all counts with a total above 0: a plain value doesn't count if there are counts
    or if the rule needs them. `time_fault` returns what's wrong with a time that has a time zone, or None.
    """
    usable: dict[datetime, Point | CountPoint] = {}
    faults: Counter[PointFault] = Counter()
    for at, *figures in points:
        checked = _check_figures(figures)
        if isinstance(checked, PointFault):
            faults[checked] += 1
        elif not _has_time_zone(at):
            faults[PointFault.WITHOUT_TIME_ZONE] += 1
        elif (fault := time_fault(at)) is not None:
            faults[fault] += 1
        else:
            usable.setdefault(at, (at, *checked))
    if rule.of is not None or any(len(point) == 3 for point in usable.values()):
        counts = [point for point in usable.values() if len(point) == 3]
        faults += Counter(
            {
                PointFault.WITHOUT_TOTAL: len(usable) - len(counts),
                PointFault.ZERO_TOTAL: sum(total == 0 for _, _, total in counts),
            }
        )
        usable = {at: (at, count, total) for at, count, total in counts if total > 0}
    return sorted(usable.values()), faults


def aggregate(points: Sequence[Point | CountPoint], method: str) -> tuple[float, float | None]:
    """Return the `mean`, `last`, `rate`, or `p50` to `p99` of the points, which are oldest first, and the total.

    The total is None for plain values. The mean of counts is Σk/Σn; their `rate` and percentiles are NaN. `rate` is a
    counter's growth per second; a counter that falls is assumed to have been reset. The result isn't finite if the
    numbers are too large.
    """
    figures = np.array([point[1:] for point in points], dtype=float)
    values = figures[:, 0]
    with np.errstate(all="ignore"):
        if figures.shape[1] > 1:
            count, total = (figures[-1] if method == "last" else figures.sum(axis=0)).tolist()
            is_told = method in COUNT_AGGREGATES and math.isfinite(total)
            return min(count / total, 1.0) if is_told else math.nan, total
        if method == "last":
            return float(values[-1]), None
        if method == "rate":
            grown = np.where(values[1:] >= values[:-1], values[1:] - values[:-1], values[1:])
            return float(grown.sum()) / (points[-1][0] - points[0][0]).total_seconds(), None
        if method == "mean":
            return float(values.mean()), None
        return float(np.percentile(values, int(method.removeprefix("p")))), None


def _check_figures(figures: Sequence[object]) -> tuple[float] | tuple[float, float] | PointFault:
    """Return a value, or a count and its total, as finite numbers, or else what's wrong; plugins can send anything."""
    checked = []
    for figure in figures[:2]:
        if isinstance(figure, bool) or not isinstance(figure, Real):
            return PointFault.NOT_A_NUMBER
        try:
            checked.append(float(figure))
        except OverflowError:
            return PointFault.NOT_FINITE
        if not math.isfinite(checked[-1]):
            return PointFault.NOT_FINITE
    match checked:
        case [value]:
            return (value,)
        case [count, total]:
            return (count, total) if 0 <= count <= total * (1 + COUNT_TOLERANCE) else PointFault.OUTSIDE_TOTAL
    return PointFault.NOT_A_NUMBER


def _has_time_zone(at: object) -> bool:
    return isinstance(at, datetime) and at.utcoffset() is not None


def _time_fault(at: datetime, since: datetime, until: datetime, now: datetime) -> PointFault | None:
    if at - now > MAX_CLOCK_SKEW:
        return PointFault.FROM_THE_FUTURE
    if at - until > MAX_CLOCK_SKEW:
        return PointFault.AFTER_SPAN
    return PointFault.BEFORE_SPAN if at <= since else None


def _no_readings_reason(faults: Counter[PointFault]) -> Sentence:
    if not faults:
        return say("No readings.")
    if faults[PointFault.ZERO_TOTAL]:
        return say("Nothing was counted: 0 of 0.")
    parts = [say("{n} {what}", n=count, what=fault.value) for fault, count in faults.most_common()]
    return say("No usable readings: {parts}.", parts=parts)


def _no_data(why: Sentence, newest: datetime | None = None) -> Reading:
    return Reading(outcome=CheckOutcome.NO_DATA, why=why, newest=newest)

"""From a source's answer to one value, without invalid points; or why there's none. Pure."""

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

MAX_CLOCK_SKEW = timedelta(seconds=60)  # how far another machine's clock may go before ours
COUNT_TOLERANCE = 1e-9  # of a total, by which a count may lie above it: sums of floating-point numbers


class PointFault(StrEnum):
    """Why a point doesn't count, in the words after its number."""

    NOT_A_NUMBER = "no number"
    NOT_FINITE = "NaN or infinite"
    WITHOUT_TOTAL = "without a total"
    OUTSIDE_TOTAL = "not between 0 and the total"
    WITHOUT_TIME_ZONE = "without a time and its zone"
    ZERO_TOTAL = "0 of 0"
    FROM_THE_FUTURE = "from the future"
    AFTER_SPAN = "later than what is looked at"
    BEFORE_SPAN = "from before what is looked at"


def measure(
    answer: Answer,
    rule: MonitorConfig,
    *,
    since: datetime,
    until: datetime,
    now: datetime,
    newest_seen: datetime | None = None,
) -> Reading:
    """Return the value of an answer by the rule's aggregate, or why there's none.

    Points count after `since` and up to `until`, a minute of another clock granted; those of a timeless answer always.
    Of several of one moment the first counts. Those up to `newest_seen`, the newest one that a check before has seen,
    are not `fresh`. Counts are added up: their value is how many of all. Never raises; the value of an OK is finite.
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
        return _no_data(say("The newest reading is from {at}.", at=newest.astimezone(UTC)), newest)
    if len(points[0]) == 3 and rule.effective_aggregate not in COUNT_AGGREGATES:
        why = say(
            "The readings are counts, which have no {reckons}. Use mean or last.", reckons=rule.effective_aggregate
        )
        return Reading(outcome=CheckOutcome.ERROR, why=why)
    if rule.effective_aggregate == "rate" and len(points) < 2:
        return _no_data(say("A rate needs two readings, and there is one."), newest)
    value, total = aggregate(points, rule.effective_aggregate)
    if not math.isfinite(value):
        return _no_data(say("The readings are too large to be reckoned with."), newest)
    fresh = sum(answer.is_timeless or newest_seen is None or point[0] > newest_seen for point in points)
    return Reading(value=value, total=total, points=len(points), fresh=fresh, newest=newest)


def usable_points(
    points: Sequence[Point | CountPoint], rule: MonitorConfig, time_fault: Callable[[datetime], PointFault | None]
) -> tuple[list[Point | CountPoint], Counter[PointFault]]:
    """Return the points that count, oldest first and one of a moment, and how many of the others have which fault.

    Either all of them are values, or all are counts out of more than 0: beside counts, and where the rule asks for
    them, a mere value says nothing. `time_fault` says what is wrong with a time that has its zone.
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
    """Return what the points, oldest first, come to: `mean`, `last`, `rate`, or `p50` to `p99`; and the total.

    The mean of counts is Σk/Σn. They have no `rate` and no percentiles: NaN. `rate` is
    what a counter grew a second; where it falls, it started over. Not finite where numbers are too large.
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
    """Return a value, or a count and its total, as finite numbers; or what is wrong: plug-ins can send anything."""
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
        return say("There are no readings.")
    if faults[PointFault.ZERO_TOTAL]:
        return say("Nothing was counted: 0 of 0.")
    parts = [say("{n} {what}", n=count, what=fault.value) for fault, count in faults.most_common()]
    return say("There are no readings that count: {parts}.", parts=parts)


def _no_data(why: Sentence, newest: datetime | None = None) -> Reading:
    return Reading(outcome=CheckOutcome.NO_DATA, why=why, newest=newest)

"""From what a source said to one value: nonsense is left out, and where nothing is left, why. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from numbers import Real

import numpy as np

from bot.domain.monitor_rule import MonitorRule
from bot.domain.monitors import Answer, Outcome, Point, Reading
from bot.domain.text import Say, say

AHEAD = timedelta(seconds=60)  # how far another machine's clock may go before ours

# Why a point does not count, in the words after its number.
_NO_NUMBER = "no number"
_NOT_FINITE = "NaN or infinite"
_NO_TIME = "without a time and its zone"
_FUTURE = "from the future"
_LATER = "later than what is looked at"
_EARLIER = "from before what is looked at"


def measure(
    answer: Answer, rule: MonitorRule, *, since: datetime, until: datetime, now: datetime, seen: datetime | None = None
) -> Reading:
    """Return the one value that an answer comes to by the rule's aggregate, or why there is none.

    Points count after `since` and up to `until`, a minute of another clock granted; those of a timeless answer
    always. Of several of one moment the first counts. Those up to `seen`, the newest one that a check before has seen,
    are not `fresh`. Never raises; the value of an OK is finite.
    """
    if answer.outcome is not Outcome.OK:
        return Reading(outcome=answer.outcome, why=answer.why)
    left, faults = _usable(answer, since, until, now)
    if not left:
        return _nothing(_why_nothing(faults))
    points = sorted(left.items())
    newest = points[-1][0]
    if not answer.is_timeless and until - newest > rule.oldest:
        return _nothing(say("The newest reading is from {at}.", at=newest.astimezone(UTC)), newest)
    if rule.reckons == "rate" and len(points) < 2:
        return _nothing(say("A rate needs two readings, and there is one."), newest)
    value = aggregate(points, rule.reckons)
    if not math.isfinite(value):
        return _nothing(say("The readings are too large to be reckoned with."), newest)
    fresh = sum(answer.is_timeless or seen is None or at > seen for at, _ in points)
    return Reading(value=value, points=len(points), fresh=fresh, newest=newest)


def aggregate(points: list[Point], how: str) -> float:
    """Return what the points, oldest first, come to: `mean`, `last`, `rate` or `p50` to `p99`.

    `rate` is what a counter grew a second; where it falls it began anew. Not finite where numbers are too large.
    """
    values = np.array([value for _, value in points], dtype=float)
    with np.errstate(all="ignore"):
        if how == "last":
            return float(values[-1])
        if how == "rate":
            grown = np.where(values[1:] >= values[:-1], values[1:] - values[:-1], values[1:])
            return float(grown.sum()) / (points[-1][0] - points[0][0]).total_seconds()
        if how == "mean":
            return float(values.mean())
        return float(np.percentile(values, int(how.removeprefix("p"))))


def _usable(
    answer: Answer, since: datetime, until: datetime, now: datetime
) -> tuple[Mapping[datetime, float], Counter[str]]:
    left: dict[datetime, float] = {}
    faults: Counter[str] = Counter()
    for at, value in answer.points:
        figure = _figure(value)
        fault = figure if isinstance(figure, str) else _wrong_time(at, answer, since, until, now)
        if fault:
            faults[fault] += 1
        elif not isinstance(figure, str):
            left.setdefault(at, figure)
    return left, faults


def _figure(value: object) -> float | str:
    """Return the value as a finite number, or what is wrong with it: plug-ins and programs send anything."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return _NO_NUMBER
    try:
        figure = float(value)
    except OverflowError:
        return _NOT_FINITE
    return figure if math.isfinite(figure) else _NOT_FINITE


def _wrong_time(at: object, answer: Answer, since: datetime, until: datetime, now: datetime) -> str | None:
    if not isinstance(at, datetime) or at.utcoffset() is None:
        return _NO_TIME
    if answer.is_timeless:
        return None
    if at - now > AHEAD:
        return _FUTURE
    if at - until > AHEAD:
        return _LATER
    return _EARLIER if at <= since else None


def _why_nothing(faults: Counter[str]) -> Say:
    if not faults:
        return say("There are no readings.")
    parts = [say("{n} {what}", n=count, what=fault) for fault, count in faults.most_common()]
    return say("There are no readings that count: {parts}.", parts=parts)


def _nothing(why: Say, newest: datetime | None = None) -> Reading:
    return Reading(outcome=Outcome.NO_DATA, why=why, newest=newest)

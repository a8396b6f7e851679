"""The Production timeline, and which version served at a given time or on a given day. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from bot.domain.core.actors import Actor
from bot.domain.core.errors import BadInput
from bot.domain.core.relative_time import RelativeDay, resolve_start
from bot.domain.core.sentence import say
from bot.domain.promotions.request import Request
from bot.domain.registry.model import Stage
from bot.domain.rollbacks.rollback_targets import ServingPeriod, period_at


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """A point in time, or the interval from `start` to `end`. `day` is set if the window is a day."""

    start: datetime
    end: datetime | None = None
    day: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """What served in Production, newest first, with the promotions' requests and approvers by request ID.

    `watched_since` is when Registrar's record starts. `window` is the requested point in time or day; if it's set,
    `periods` has only the periods that overlap it. `chart_periods` has all the periods that a chart shows, newest
    first.
    """

    model: str
    periods: tuple[ServingPeriod, ...]
    now: datetime
    watched_since: datetime | None = None
    requests: Mapping[str, Request]
    approvers: Mapping[str, tuple[Actor, ...]] = field(default_factory=dict)  # approvers of each request, in order
    chart_periods: tuple[ServingPeriod, ...] = ()
    has_older: bool = False  # whether older periods exist that weren't read
    window: TimeWindow | None = None
    before: ServingPeriod | None = None  # the last period that started before the window
    after: ServingPeriod | None = None  # the first period that started after the window


@dataclass(frozen=True, slots=True)
class ProductionChange:
    """A change in Production: its time, and the version that serves from then on (None if nothing does)."""

    at: datetime
    version: int | None
    predates_registrar: bool = False  # already there when Registrar started; `at` is when it was first seen


def resolve_window(at: timedelta | datetime | date | RelativeDay, now: datetime) -> TimeWindow:
    """Return the window for `at`: an age, a point in time, or a day in UTC. Raises BadInput if it's in the future."""
    if isinstance(at, timedelta):
        return TimeWindow(resolve_start(at, now))
    if isinstance(at, datetime):
        if at > now:
            raise BadInput(say("{at} is in the future.", at=at))
        return TimeWindow(at.astimezone(UTC))
    at = at.date_at(now) if isinstance(at, RelativeDay) else at
    midnight = datetime.combine(at, time(), UTC)
    if midnight > now:
        raise BadInput(say("{day} is in the future.", day=format_day(at)))
    return TimeWindow(midnight, min(midnight + timedelta(days=1), now), at)


def format_day(day: date) -> str:
    """Return a day as people write it: `3 March 2026`."""
    return f"{day.day} {day:%B %Y}"


def periods_in_window(periods: Sequence[ServingPeriod], window: TimeWindow) -> tuple[ServingPeriod, ...]:
    """Return the periods (newest first) that overlap the window."""
    if window.end is None:
        period = period_at(periods, window.start)
        return (period,) if period else ()
    end = max(window.end, window.start + timedelta(microseconds=1))
    return tuple(
        candidate
        for candidate in periods
        if candidate.since < end and (candidate.until is None or candidate.until > window.start)
    )


def production_changes(periods: Sequence[ServingPeriod], window: TimeWindow) -> list[ProductionChange]:
    """Return the changes within the window, oldest first, including those that left Production empty."""
    changes: list[ProductionChange] = []
    for period in reversed(periods_in_window(periods, window)):
        if period.since > window.start:
            changes.append(ProductionChange(period.since, period.version, period.predates_registrar))
        if (
            _leaves_production_empty(period)
            and period.until
            and window.end
            and window.start < period.until < window.end
        ):
            changes.append(ProductionChange(period.until, None))
    return changes


def _leaves_production_empty(period: ServingPeriod) -> bool:
    return period.ended_by is not None and period.ended_by.target is not Stage.PRODUCTION


def production_gaps(periods: Sequence[ServingPeriod], now: datetime) -> list[tuple[datetime, datetime]]:
    """Return the start and end of each time that Production has been empty since the first period, newest first."""
    gaps, next_begin = [], now
    for period in periods:
        if period.until and period.until < next_begin and _leaves_production_empty(period):
            gaps.append((period.until, next_begin))
        next_begin = period.since
    return gaps

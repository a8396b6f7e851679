"""The timeline of Production, and who was in it at a moment or on a day. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from bot.domain.core.actors import Actor
from bot.domain.core.errors import BadInput
from bot.domain.core.relative_time import Day, begin
from bot.domain.core.sentence import say
from bot.domain.promotions.request import Request
from bot.domain.registry.model import Stage
from bot.domain.rollbacks.rollback import Served, served_at


@dataclass(frozen=True, slots=True)
class Window:
    """A moment, or with `end` what lies from `begin` up to it; `day` where it was asked for as one."""

    begin: datetime
    end: datetime | None = None
    day: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Who served in Production, newest first; with the requests that promotions answer and who approved, by their ids.

    `watched` is since when Registrar knows of it; before that nobody does. `window` is what was asked about: then
    only what overlaps with it is `served`. `drawn` is what a picture shows: all of them, the newest first.
    """

    model: str
    served: tuple[Served, ...]
    now: datetime
    watched: datetime | None = None
    requests: Mapping[str, Request]
    approvers: Mapping[str, tuple[Actor, ...]] = field(default_factory=dict)  # who approved each request, in order
    drawn: tuple[Served, ...] = ()
    has_more: bool = False  # older ones, that were not asked for
    window: Window | None = None
    before: Served | None = None  # the last one that began before the window
    after: Served | None = None  # the first one that began behind it


@dataclass(frozen=True, slots=True)
class Change:
    """From when on somebody serves, or with None nobody."""

    at: datetime
    version: int | None
    is_first_look: bool = False  # it was there when Registrar first looked, and came at a time that isn't known


def window(at: timedelta | datetime | date | Day, now: datetime) -> Window:
    """Return what `at` means: that long ago, a moment, or a whole day in UTC. Raises BadInput for the future."""
    if isinstance(at, timedelta):
        return Window(begin(at, now))
    if isinstance(at, datetime):
        if at > now:
            raise BadInput(say("{at} is in the future.", at=at))
        return Window(at.astimezone(UTC))
    at = at.at(now) if isinstance(at, Day) else at
    midnight = datetime.combine(at, time(), UTC)
    if midnight > now:
        raise BadInput(say("{day} is in the future.", day=write_day(at)))
    return Window(midnight, min(midnight + timedelta(days=1), now), at)


def write_day(day: date) -> str:
    """Return a day as people write it: `3 March 2026`."""
    return f"{day.day} {day:%B %Y}"


def overlapping(served: Sequence[Served], asked: Window) -> tuple[Served, ...]:
    """Return those (newest first) who served in the window for a while."""
    if asked.end is None:
        found = served_at(served, asked.begin)
        return (found,) if found else ()
    end = max(asked.end, asked.begin + timedelta(microseconds=1))
    return tuple(one for one in served if one.since < end and (one.until is None or one.until > asked.begin))


def changes(served: Sequence[Served], asked: Window) -> list[Change]:
    """Return what changed within the window after its beginning, oldest first, nobody's times among it."""
    found: list[Change] = []
    for one in reversed(overlapping(served, asked)):
        if one.since > asked.begin:
            found.append(Change(one.since, one.version, one.is_older_than_us))
        if _leaves_nobody(one) and one.until and asked.end and asked.begin < one.until < asked.end:
            found.append(Change(one.until, None))
    return found


def _leaves_nobody(one: Served) -> bool:
    return one.ended is not None and one.ended.target is not Stage.PRODUCTION


def gaps(served: Sequence[Served], now: datetime) -> list[tuple[datetime, datetime]]:
    """Return when nobody served between the first and now, newest first."""
    found, next_begin = [], now
    for one in served:
        if one.until and one.until < next_begin and _leaves_nobody(one):
            found.append((one.until, next_begin))
        next_begin = one.since
    return found

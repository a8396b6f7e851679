"""Recurring windows that open on a cron schedule: the one, if any, that contains a time. Doesn't read the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:  # the terminal's help imports the policy, but needs no windows
    from apscheduler.triggers.cron import CronTrigger

_MAX_OVERLAPPING_WINDOWS = 400  # windows that can overlap at one moment; with more, the reported end is too early
_WEEKDAY_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def check_cron(cron: str, time_zone: str) -> None:
    """Check a cron expression and an IANA time zone. Raises ValueError, which says what's wrong."""
    _cron_trigger(cron, time_zone)


def cron_window_at(cron: str, duration: timedelta, time_zone: str, now: datetime) -> tuple[datetime, datetime] | None:
    """Return the start and end, in UTC, of the window that contains `now`; None if there isn't one.

    `duration` is elapsed time: a window that spans the start of daylight saving time ends an hour later on the clock.
    """
    trigger, moment, latest = _cron_trigger(cron, time_zone), timedelta(microseconds=1), None
    start = trigger.get_next_fire_time(None, now - duration + moment)
    for _ in range(_MAX_OVERLAPPING_WINDOWS):
        if start is None or start.astimezone(UTC) > now:
            break
        latest = start.astimezone(UTC)
        start = trigger.get_next_fire_time(start, start + moment)
    return None if latest is None else (latest, latest + duration)


def _cron_trigger(cron: str, time_zone: str) -> CronTrigger:
    fields = cron.split()
    if len(fields) != 5:
        raise ValueError(f"{cron!r} isn't a cron expression with five fields: minute hour day month weekday")
    from apscheduler.triggers.cron import CronTrigger

    try:
        zone = ZoneInfo(time_zone)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{time_zone!r} isn't a time zone; try one like Europe/Berlin") from None
    try:
        minute, hour, day, month, weekday = fields
        return CronTrigger(
            minute=minute, hour=hour, day=day, month=month, day_of_week=_weekday_names(weekday.lower()), timezone=zone
        )
    except ValueError as error:
        raise ValueError(f"can't read {cron!r}: {error}") from error


def _weekday_names(field: str) -> str:
    """Return cron's weekdays (0 and 7 are Sunday) as names, since APScheduler counts from Monday."""
    if field == "*":
        return field
    return ",".join(
        dict.fromkeys(_WEEKDAY_NAMES[day % 7] for part in field.split(",") for day in _parse_weekday_range(part))
    )


def _parse_weekday_range(part: str) -> range:
    span, _, step = part.partition("/")
    first, _, last = ("0-6" if span == "*" else span).partition("-")
    start = _parse_weekday(first)
    end = _parse_weekday(last) if last else 6 if step else start
    if end < start:
        end += 7
    return range(start, end + 1, int(step or 1))


def _parse_weekday(word: str) -> int:
    if word in _WEEKDAY_NAMES:
        return _WEEKDAY_NAMES.index(word)
    if not word.isascii() or not word.isdigit() or int(word) > 7:
        raise ValueError(f"{word!r} isn't a weekday")
    return int(word)

"""Times and days as people write them: `2h` ago, `yesterday`, `2026-03-03`."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum

from bot.domain.core.durations import parse_duration
from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import Code, Name, say


class RelativeDay(Enum):
    """A day in UTC, relative to now."""

    TODAY = "today"
    YESTERDAY = "yesterday"

    def date_at(self, now: datetime) -> date:
        """Return the date that this day refers to at `now`."""
        return now.astimezone(UTC).date() - timedelta(days=self is RelativeDay.YESTERDAY)


def parse_moment(text: object) -> timedelta | datetime:
    """Parse a duration or a time. A time without a zone is in UTC. Raises BadInput."""
    if isinstance(text, timedelta | datetime):
        return text
    word = str(text).strip()
    try:
        return parse_duration(word)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(word)
    except ValueError:
        raise BadInput(
            say(
                "Can't read {word} as a time. Try {a}, {b}, or {c}.",
                word=Name(word[:40]),
                a=Code("2h"),
                b=Code("7d"),
                c=Code("2026-12-01T18:00"),
            )
        ) from None
    if not 1900 <= moment.year < 2200:  # near its limits, datetime can't convert between zones
        raise BadInput(say("{word} is too far from today.", word=Name(word[:40])))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def parse_past(text: object) -> timedelta | datetime | RelativeDay:
    """Parse a start time: a time, the beginning of `today` or `yesterday`, or a duration before now."""
    return _parse_relative_day(text) or parse_moment(text)


def parse_day_or_moment(text: object) -> timedelta | datetime | date | RelativeDay | None:
    """Parse a day (`2026-03-03`, `yesterday`), a time, or a duration before now."""
    if text is None or isinstance(text, date):
        return text
    if relative_day := _parse_relative_day(text):
        return relative_day
    word = str(text).strip()
    if not re.fullmatch(r"\d{4}-\d{1,2}-\d{1,2}", word):
        return parse_moment(text)
    try:
        day = date(*map(int, word.split("-")))
    except ValueError:
        raise BadInput(say("{word} isn't a valid date.", word=Name(word))) from None
    if not 1900 <= day.year < 2200:
        raise BadInput(say("{word} is too far from today.", word=Name(word)))
    return day


def _parse_relative_day(text: object) -> RelativeDay | None:
    word = text.value if isinstance(text, RelativeDay) else str(text).strip().lower()
    return next((day for day in RelativeDay if day.value == word), None)


def resolve_start(since: timedelta | datetime | RelativeDay, now: datetime) -> datetime:
    """Return the time that `since` refers to at `now`, but no earlier than datetime's minimum."""
    if isinstance(since, RelativeDay):
        return datetime.combine(since.date_at(now), time(), UTC)
    try:
        return now - since if isinstance(since, timedelta) else since
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)

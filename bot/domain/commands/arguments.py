"""What can be typed as an argument: the values that words mean, and how a field is said to take them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from typing import Annotated, Any, get_args

from pydantic import BeforeValidator

from bot.domain.commands.base import Arg
from bot.domain.core.durations import parse_duration
from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import Code, Name, clean, say
from bot.domain.registry.model import Stage, VersionRef, parse_target, parse_version
from bot.domain.registry.semver import Bump
from bot.domain.transitions.registry_tags import OURS

DESCRIPTION_MOST = 4000  # characters; MLflow on PostgreSQL holds 5,000, and a promotion adds a line
TAG_MOST = 1000  # characters of a tag's value
EVENTS_MOST = 10**15  # more than an audit will ever hold, and less than a database counts


def _request_id(text: object) -> str:
    word = str(text).strip().lstrip("#").lower()
    if not re.fullmatch(r"[a-z0-9]{4,16}", word):
        raise BadInput(
            say(
                "{word} is no request. Its short id stands on the card, like {like}.",
                word=Name(str(text)[:40]),
                like=Code("r4k7q"),
            )
        )
    return word


def to_run_id(text: object) -> str:
    """Return a run id. Raises BadInput for what is none."""
    word = str(text).strip()
    if not re.fullmatch(r"\w{1,64}", word, re.ASCII):
        raise BadInput(say("{word} is no run id. Copy it from MLflow: 32 letters and digits.", word=Name(word[:80])))
    return word


def is_version(text: str) -> bool:
    """Tell whether a word can name a version: a number, a semver, an alias, or a stage."""
    try:
        parse_version(text)
    except BadInput:
        return False
    return True


def each_of(each: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what makes a tuple of one word or several, each by `each`."""
    return lambda words: tuple(each(word) for word in ([words] if isinstance(words, str) else words))


def to_metric_names(text: object) -> tuple[str, ...]:
    """Return the metrics that were typed with commas between them, each once."""
    words = text.split(",") if isinstance(text, str) else list(text) if isinstance(text, Sequence) else [str(text)]
    return tuple(dict.fromkeys(word.strip() for word in words if word.strip()))


def _pair(text: object) -> str:
    """Return `key=value` as it was typed, once it is sure that a registry can hold both."""
    key, equals, value = str(text).partition("=")
    key = key.strip()
    if not equals or not key:
        raise BadInput(say("{word} is no tag. Write it so: {like}", word=Name(str(text)[:80]), like=Code("owner=ann")))
    if not re.fullmatch(r"[\w.\-: /]{1,250}", key) or ".." in key or key.startswith("/"):
        raise BadInput(say("MLflow takes no tag called {key}. Use letters, digits and _ . - : /", key=Name(key)))
    if key.startswith("mlflow.") or key in OURS:
        raise BadInput(
            say(
                "The tag {key} is kept by {who}; set another.",
                key=Code(key),
                who="MLflow itself" if key.startswith("mlflow.") else "Registrar",
            )
        )
    if len(value) > TAG_MOST:
        raise BadInput(say("The value of {key} is longer than {n} characters.", key=Code(key), n=f"{TAG_MOST:,}"))
    return f"{key}={value.strip()}"


def _result(text: object) -> str:
    """Return `metric=number` as it was typed, once it is sure that it is one."""
    name, equals, value = str(text).partition("=")
    name = name.strip()
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not equals or not math.isfinite(number):
        raise BadInput(
            say("{word} is no result. Write it so: {like}", word=Name(str(text)[:80]), like=Code("accuracy=0.92"))
        )
    if not re.fullmatch(r"[\w.\-: /]{1,200}", name) or ".." in name or name.startswith("/"):
        raise BadInput(say("MLflow takes no metric called {key}. Use letters, digits and _ . - : /", key=Name(name)))
    return f"{name}={value.strip()}"


def _results(text: object) -> tuple[str, ...]:
    words = [text] if isinstance(text, str) else list(text) if isinstance(text, Sequence) else [str(text)]
    return tuple(_result(part) for word in words for part in str(word).split(",") if part.strip())


class Day(Enum):
    """A day in UTC as people say it: which one it is depends on when."""

    TODAY = "today"
    YESTERDAY = "yesterday"

    def at(self, now: datetime) -> date:
        """Return the day that is meant at `now`."""
        return now.astimezone(UTC).date() - timedelta(days=self is Day.YESTERDAY)


def moment(text: object) -> timedelta | datetime:
    """Return a span of time or a moment. A moment without a zone is in UTC."""
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
    if not 1900 <= moment.year < 2200:  # near its ends a calendar cannot change from one zone to another
        raise BadInput(say("{word} is too far away.", word=Name(word[:40])))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def past(text: object) -> timedelta | datetime | Day:
    """Return from when on: a moment, the beginning of `today` or `yesterday`, or a span of time before now."""
    return _day(text) or moment(text)


def day_or_moment(text: object) -> timedelta | datetime | date | Day | None:
    """Return a whole day (`2026-03-03`, `yesterday`), a moment, or a span of time before now."""
    if text is None or isinstance(text, date):
        return text
    if said := _day(text):
        return said
    word = str(text).strip()
    if not re.fullmatch(r"\d{4}-\d{1,2}-\d{1,2}", word):
        return moment(text)
    try:
        day = date(*map(int, word.split("-")))
    except ValueError:
        raise BadInput(say("{word} isn't in the calendar.", word=Name(word))) from None
    if not 1900 <= day.year < 2200:
        raise BadInput(say("{word} is too far away.", word=Name(word)))
    return day


def _day(text: object) -> Day | None:
    word = text.value if isinstance(text, Day) else str(text).strip().lower()
    return next((day for day in Day if day.value == word), None)


def to_description(text: object) -> str:
    """Return a description as it is kept. Raises BadInput for one that is too long."""
    words = clean(str(text)).strip()
    if len(words) > DESCRIPTION_MOST:
        raise BadInput(f"The description is longer than {DESCRIPTION_MOST:,} characters. Say it shorter, and link.")
    return words


def to_bump(text: object) -> Bump:
    """Return the part of a semver that is to be raised. Raises BadInput for what is none."""
    if isinstance(text, Bump):
        return text
    try:
        return Bump(str(text).strip().lower())
    except ValueError:
        parts = [Code(each.value) for each in Bump]
        raise BadInput(
            say("{word} is no bump. It is one of {parts}.", word=Name(str(text)[:40]), parts=parts)
        ) from None


Version = Annotated[
    VersionRef,
    BeforeValidator(lambda text: text if isinstance(text, VersionRef) else parse_version(str(text))),
    Arg("VERSION", "7, v7, 2.1.0, @alias, staging, production or latest", flags=("--version",)),
]
Target = Annotated[
    Stage,
    BeforeValidator(lambda text: text if isinstance(text, Stage) else parse_target(str(text))),
    Arg("STAGE", "staging or production", flags=("--to",)),
]
OptionalVersion = Annotated[
    VersionRef | None,
    get_args(Version)[1],
    Arg("VERSION", "7, v7, 2.1.0, @alias, staging, production or latest", flags=("--version",), takes=is_version),
]
Tags = Annotated[tuple[str, ...], BeforeValidator(each_of(_pair))]
Results = Annotated[
    tuple[str, ...],
    BeforeValidator(_results),
    Arg("METRIC=VALUE", "a result of your own validation; can be given again", False, ("--validation",), many=True),
]
RequestId = Annotated[
    str, BeforeValidator(_request_id), Arg("REQUEST", "the short id on the card", flags=("--request",))
]


def begin(since: timedelta | datetime | Day, now: datetime) -> datetime:
    """Return the moment that is meant: itself, when a day began, or that long before now (at most the first date)."""
    if isinstance(since, Day):
        return datetime.combine(since.at(now), time(), UTC)
    try:
        return now - since if isinstance(since, timedelta) else since
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def results(pairs: Sequence[str]) -> dict[str, float]:
    """Return the results that were typed as `metric=number`, by metric; of one given twice the last."""
    return {name: float(value) for name, _, value in (pair.partition("=") for pair in pairs)}

"""Pushed readings as programs send them, validated by hand so that each error names its place."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import Code, Sentence, join_sentences, sanitize_text, say, truncate
from bot.domain.registry.model import check_model_name

MAX_READINGS = 1_000  # in one call
MAX_METRIC_LENGTH = 250  # characters, as in MLflow
MAX_CLOCK_SKEW = timedelta(minutes=5)  # how far the client's clock can be ahead of ours
MAX_FAULTS_SHOWN = 5  # the others are counted

_BODY_KEYS = ("source", "readings")
_READING_KEYS = ("model", "version", "metric", "value", "of", "at")


class TooManyReadings(BadInput):
    """More readings than one call can have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingInput:
    """One reading as it was sent. Version 0: it doesn't say which. With a `total`, `value` is a count out of it."""

    model: str
    version: int
    metric: str
    value: float
    total: float | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PushPayload:
    """The content of one call."""

    source: str
    readings: tuple[ReadingInput, ...]


class _InvalidField(Exception):
    """An error at one place."""

    def __init__(self, path: str, why: Sentence | str) -> None:
        self.sentence = say("{path}: {why}", path=Code(path), why=why)


def parse_push(body: bytes, now: datetime) -> PushPayload:
    """Return the parsed body. Raises BadInput, which names the place of each error, and TooManyReadings."""
    data = _parse_json(body)
    if not isinstance(data, dict):
        raise BadInput("The body must be a JSON object with source and readings.")
    faults = list(_unknown_keys("", data, _BODY_KEYS))
    source, readings = data.get("source"), data.get("readings")
    if not isinstance(source, str) or not source:
        faults.append(_InvalidField("source", "the name of a source is missing."))
    if not isinstance(readings, list) or not readings:
        faults.append(_InvalidField("readings", "a list of readings is missing."))
        readings = []
    if len(readings) > MAX_READINGS:
        raise TooManyReadings(
            say(
                "readings: {n} are more than one call may hold ({most}); send several calls.",
                n=len(readings),
                most=MAX_READINGS,
            )
        )
    given: list[ReadingInput] = []
    for at, one in enumerate(readings):
        try:
            given.append(_parse_reading(f"readings.{at}", one, now, faults))
        except _InvalidField as fault:
            faults.append(fault)
    if faults:
        raise BadInput(_describe_faults(faults))
    return PushPayload(source=str(source), readings=tuple(given))


def _parse_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise BadInput("The body is no JSON.") from None


def _unknown_keys(prefix: str, data: Mapping[str, Any], known_keys: tuple[str, ...]) -> Iterator[_InvalidField]:
    for key in data:
        if key not in known_keys:
            yield _InvalidField(
                f"{prefix}{truncate(sanitize_text(key), 50)}", f"unknown key; known are {', '.join(known_keys)}."
            )


def _parse_reading(path: str, data: Any, now: datetime, faults: list[_InvalidField]) -> ReadingInput:
    if not isinstance(data, dict):
        raise _InvalidField(path, "must be an object.")
    faults += _unknown_keys(f"{path}.", data, _READING_KEYS)
    for key in ("model", "metric", "value", "at"):
        if key not in data:
            raise _InvalidField(f"{path}.{key}", "is missing.")
    value, total = _parse_value(f"{path}.value", data["value"]), _parse_total(f"{path}.of", data.get("of"))
    if total is not None and not 0 <= value <= total:
        raise _InvalidField(f"{path}.value", "must be between 0 and the total (of).")
    return ReadingInput(
        model=_parse_model(f"{path}.model", data["model"]),
        version=_parse_version(f"{path}.version", data.get("version")),
        metric=_parse_metric(f"{path}.metric", data["metric"]),
        value=value,
        total=total,
        at=_parse_time(f"{path}.at", data["at"], now),
    )


def _parse_model(path: str, name: Any) -> str:
    if not isinstance(name, str):
        raise _InvalidField(path, "must be a text.")
    try:
        checked = check_model_name(name)
    except BadInput as error:
        raise _InvalidField(path, error.sentence) from None
    if checked != name:
        raise _InvalidField(path, "has spaces around it.")
    return checked


def _parse_version(path: str, version: Any) -> int:
    if version is None:
        return 0
    if isinstance(version, str) and re.fullmatch(r"[vV]?[0-9]{1,9}", version):
        version = int(version.lstrip("vV"))
    if isinstance(version, bool) or not isinstance(version, int) or not 0 < version < 1_000_000_000:
        raise _InvalidField(path, "must be the number of a version, such as 7.")
    return version


def _parse_metric(path: str, name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        raise _InvalidField(path, "must be the name of a metric.")
    if len(name) > MAX_METRIC_LENGTH or sanitize_text(name).strip() != name:
        raise _InvalidField(
            path, f"must be at most {MAX_METRIC_LENGTH} characters that can be seen, without spaces around them."
        )
    return name


def _parse_value(path: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _InvalidField(path, "must be a number.")
    try:
        figure = float(value)
    except OverflowError:
        figure = math.inf
    if not math.isfinite(figure):
        raise _InvalidField(path, "must be a finite number; leave out what could not be measured.")
    return figure


def _parse_total(path: str, total: Any) -> float | None:
    if total is None:
        return None
    figure = _parse_value(path, total)
    if figure < 0:
        raise _InvalidField(path, "must be 0 or more.")
    return figure


_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def _parse_time(path: str, text: Any, now: datetime) -> datetime:
    if not isinstance(text, str) or not _RFC_3339.fullmatch(text):
        raise _InvalidField(path, "must be a time with its zone, such as 2026-05-04T12:00:00Z.")
    try:
        at = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _InvalidField(path, "is no time.") from None
    if at.year < 1970:
        raise _InvalidField(path, "is before 1970.")
    if at - now > MAX_CLOCK_SKEW:
        raise _InvalidField(path, "lies in the future.")
    return at


def _describe_faults(faults: list[_InvalidField]) -> Sentence:
    shown = join_sentences((fault.sentence for fault in faults[:MAX_FAULTS_SHOWN]), " ")
    more = len(faults) - MAX_FAULTS_SHOWN
    return shown if more <= 0 else say("{shown} And {n} more.", shown=shown, n=more)

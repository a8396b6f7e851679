"""Pushed readings: what a program may hand over, checked by hand so that every fault is named with its place."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import Code, Say, clean, joined, say, short
from bot.domain.registry.model import check_model_name

READINGS_MOST = 1_000  # of one call
METRIC_MOST = 250  # characters, as in MLflow
AHEAD = timedelta(minutes=5)  # how far the clock of whoever measures may go before ours
FAULTS_MOST = 5  # that are named; the others are counted

_KEYS = ("source", "readings")
_READING = ("model", "version", "metric", "value", "of", "at")


class TooManyReadings(BadInput):
    """More readings than one call may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One reading as it was given. Version 0: it does not say which. With a `total`, `value` is a count out of it."""

    model: str
    version: int
    metric: str
    value: float
    total: float | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """What one call hands over."""

    source: str
    readings: tuple[Given, ...]


class _Fault(Exception):
    """What is wrong at one place."""

    def __init__(self, path: str, why: Say | str) -> None:
        self.say = say("{path}: {why}", path=Code(path), why=why)


def parse_push(body: bytes, now: datetime) -> Push:
    """Return what the body says. Raises BadInput naming the place of each fault, and TooManyReadings."""
    data = _json(body)
    if not isinstance(data, dict):
        raise BadInput("The body must be a JSON object with source and readings.")
    faults = list(_strangers("", data, _KEYS))
    source, readings = data.get("source"), data.get("readings")
    if not isinstance(source, str) or not source:
        faults.append(_Fault("source", "the name of a source is missing."))
    if not isinstance(readings, list) or not readings:
        faults.append(_Fault("readings", "a list of readings is missing."))
        readings = []
    if len(readings) > READINGS_MOST:
        raise TooManyReadings(
            say(
                "readings: {n} are more than one call may hold ({most}); send several calls.",
                n=len(readings),
                most=READINGS_MOST,
            )
        )
    given: list[Given] = []
    for at, one in enumerate(readings):
        try:
            given.append(_reading(f"readings.{at}", one, now, faults))
        except _Fault as fault:
            faults.append(fault)
    if faults:
        raise BadInput(_told(faults))
    return Push(source=str(source), readings=tuple(given))


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise BadInput("The body is no JSON.") from None


def _strangers(where: str, data: Mapping[str, Any], known: tuple[str, ...]) -> Iterator[_Fault]:
    for key in data:
        if key not in known:
            yield _Fault(f"{where}{short(clean(key), 50)}", f"unknown key; known are {', '.join(known)}.")


def _reading(where: str, data: Any, now: datetime, faults: list[_Fault]) -> Given:
    if not isinstance(data, dict):
        raise _Fault(where, "must be an object.")
    faults += _strangers(f"{where}.", data, _READING)
    for key in ("model", "metric", "value", "at"):
        if key not in data:
            raise _Fault(f"{where}.{key}", "is missing.")
    value, total = _value(f"{where}.value", data["value"]), _total(f"{where}.of", data.get("of"))
    if total is not None and not 0 <= value <= total:
        raise _Fault(f"{where}.value", "must be between 0 and the total (of).")
    return Given(
        model=_model(f"{where}.model", data["model"]),
        version=_version(f"{where}.version", data.get("version")),
        metric=_metric(f"{where}.metric", data["metric"]),
        value=value,
        total=total,
        at=_moment(f"{where}.at", data["at"], now),
    )


def _model(path: str, name: Any) -> str:
    if not isinstance(name, str):
        raise _Fault(path, "must be a text.")
    try:
        checked = check_model_name(name)
    except BadInput as error:
        raise _Fault(path, error.sentence) from None
    if checked != name:
        raise _Fault(path, "has spaces around it.")
    return checked


def _version(path: str, version: Any) -> int:
    if version is None:
        return 0
    if isinstance(version, str) and re.fullmatch(r"[vV]?[0-9]{1,9}", version):
        version = int(version.lstrip("vV"))
    if isinstance(version, bool) or not isinstance(version, int) or not 0 < version < 1_000_000_000:
        raise _Fault(path, "must be the number of a version, such as 7.")
    return version


def _metric(path: str, name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        raise _Fault(path, "must be the name of a metric.")
    if len(name) > METRIC_MOST or clean(name).strip() != name:
        raise _Fault(path, f"must be at most {METRIC_MOST} characters that can be seen, without spaces around them.")
    return name


def _value(path: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Fault(path, "must be a number.")
    try:
        figure = float(value)
    except OverflowError:
        figure = math.inf
    if not math.isfinite(figure):
        raise _Fault(path, "must be a finite number; leave out what could not be measured.")
    return figure


def _total(path: str, total: Any) -> float | None:
    if total is None:
        return None
    figure = _value(path, total)
    if figure < 0:
        raise _Fault(path, "must be 0 or more.")
    return figure


_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def _moment(path: str, text: Any, now: datetime) -> datetime:
    if not isinstance(text, str) or not _RFC_3339.fullmatch(text):
        raise _Fault(path, "must be a time with its zone, such as 2026-05-04T12:00:00Z.")
    try:
        at = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _Fault(path, "is no time.") from None
    if at.year < 1970:
        raise _Fault(path, "is before 1970.")
    if at - now > AHEAD:
        raise _Fault(path, "lies in the future.")
    return at


def _told(faults: list[_Fault]) -> Say:
    shown = joined((fault.say for fault in faults[:FAULTS_MOST]), " ")
    more = len(faults) - FAULTS_MOST
    return shown if more <= 0 else say("{shown} And {n} more.", shown=shown, n=more)

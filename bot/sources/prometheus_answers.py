"""Parses Prometheus's answers. Anything but exactly what its API promises is an error, never a value."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bot.domain.core.sentence import Code, Sentence, sanitize_text, say, truncate
from bot.domain.monitoring.readings import Answer, Point
from bot.sources import error_answer

MAX_POINTS = 11_000  # of a series: Prometheus refuses more
_MAX_MESSAGE_LENGTH = 200  # characters of its own message
_SUGGESTED_QUERY = Code("sum(…)")


class _UnexpectedShapeError(Exception):
    """The answer doesn't follow Prometheus's API."""


def parse_answer(status: int, body: bytes, address: str) -> Answer:
    """Return the parsed answer. It never raises."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    if status != 200:
        return error_answer(_error_sentence(status, data, address))
    try:
        return _parse_data(data)
    except _UnexpectedShapeError:
        return error_answer(say("What answers at {url} does not answer like Prometheus.", url=Code(address)))


def too_long_answer(address: str) -> Answer:
    """Return the error for an answer that's too long to read."""
    return error_answer(say("Prometheus at {url} answered more than is read.", url=Code(address)))


def _parse_data(data: Any) -> Answer:
    if not isinstance(data, dict) or data.get("status") != "success" or not isinstance(data.get("data"), dict):
        raise _UnexpectedShapeError
    kind, result = data["data"].get("resultType"), data["data"].get("result")
    if not isinstance(result, list):
        raise _UnexpectedShapeError
    if kind == "scalar":
        return Answer(points=_parse_points([result]))
    if kind == "string":
        return error_answer(say("A configuration error: the query gives a text, and no number."))
    if kind not in {"vector", "matrix"}:
        raise _UnexpectedShapeError
    if len(result) > 1:
        return error_answer(
            say(
                "A configuration error: {n} series; write {sum} or so, that there is one.",
                n=len(result),
                sum=_SUGGESTED_QUERY,
            )
        )
    return Answer(points=[point for series in result for point in _parse_series(kind, series)])


def _parse_series(kind: str, series: Any) -> list[Point]:
    values = series.get("value" if kind == "vector" else "values") if isinstance(series, dict) else None
    if not isinstance(values, list):
        raise _UnexpectedShapeError
    return _parse_points([values] if kind == "vector" else values)


def _parse_points(pairs: Sequence[Any]) -> list[Point]:
    """Return the points. NaN and infinite values stay: they're missing data, not an error."""
    try:
        return [(datetime.fromtimestamp(_parse_time(at), UTC), float(_parse_figure(value))) for at, value in pairs]
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise _UnexpectedShapeError from error


def _parse_time(at: Any) -> float:
    if isinstance(at, bool) or not isinstance(at, int | float):
        raise TypeError("a time is a number")
    return at


def _parse_figure(value: Any) -> str:
    if not isinstance(value, str) or "_" in value:  # which Python takes for a number's
        raise TypeError("a figure is a text")
    return value


def _error_sentence(status: int, data: Any, address: str) -> Sentence:
    url, sentence = Code(address), _error_message(data)
    if status in {401, 403}:
        return say(
            "Prometheus at {url} does not let us in ({status}); see {key}.",
            url=url,
            status=status,
            key=Code("token_env"),
        )
    if sentence and status in {400, 422}:
        return say("A bad query: {said}", said=sentence)
    if 300 <= status < 400:
        return say(
            "{url} sends us elsewhere ({status}); name the address where Prometheus itself answers.",
            url=url,
            status=status,
        )
    if sentence:
        return say("Prometheus at {url} failed ({status}): {said}", url=url, status=status, said=sentence)
    return say("What answers at {url} gave the status {status}.", url=url, status=status)


def _error_message(data: Any) -> str:
    """Return Prometheus's own message, if this is one."""
    if not isinstance(data, dict) or data.get("status") != "error" or not isinstance(data.get("error"), str):
        return ""
    return truncate(sanitize_text(data["error"]), _MAX_MESSAGE_LENGTH)

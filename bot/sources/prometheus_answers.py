"""What Prometheus answers, as our words. Whatever is not exactly what its API promises is an error, never a figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bot.domain.core.sentence import Code, Say, clean, say, short
from bot.domain.monitoring.readings import Answer, Point
from bot.sources import broken

POINTS_MOST = 11_000  # of a series: Prometheus refuses more
_SAID_MOST = 200  # characters of its own message
_SUGGESTED = Code("sum(…)")


class _OtherShapeError(Exception):
    """The answer is none of Prometheus's API."""


def answer_of(status: int, body: bytes, address: str) -> Answer:
    """Return what an answer says. Never raises."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    if status != 200:
        return broken(_refusal(status, data, address))
    try:
        return _told(data)
    except _OtherShapeError:
        return broken(say("What answers at {url} does not answer like Prometheus.", url=Code(address)))


def too_long(address: str) -> Answer:
    """Return the answer where Prometheus said more than we read."""
    return broken(say("Prometheus at {url} answered more than is read.", url=Code(address)))


def _told(data: Any) -> Answer:
    if not isinstance(data, dict) or data.get("status") != "success" or not isinstance(data.get("data"), dict):
        raise _OtherShapeError
    kind, result = data["data"].get("resultType"), data["data"].get("result")
    if not isinstance(result, list):
        raise _OtherShapeError
    if kind == "scalar":
        return Answer(points=_points([result]))
    if kind == "string":
        return broken(say("A configuration error: the query gives a text, and no number."))
    if kind not in {"vector", "matrix"}:
        raise _OtherShapeError
    if len(result) > 1:
        return broken(
            say(
                "A configuration error: {n} series; write {sum} or so, that there is one.",
                n=len(result),
                sum=_SUGGESTED,
            )
        )
    return Answer(points=[point for series in result for point in _series(kind, series)])


def _series(kind: str, series: Any) -> list[Point]:
    found = series.get("value" if kind == "vector" else "values") if isinstance(series, dict) else None
    if not isinstance(found, list):
        raise _OtherShapeError
    return _points([found] if kind == "vector" else found)


def _points(pairs: Sequence[Any]) -> list[Point]:
    """Return the points; a figure that is NaN or infinite stays so: it is no data, and no error."""
    try:
        return [(datetime.fromtimestamp(_time(at), UTC), float(_text(value))) for at, value in pairs]
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise _OtherShapeError from error


def _time(at: Any) -> float:
    if isinstance(at, bool) or not isinstance(at, int | float):
        raise TypeError("a time is a number")
    return at


def _text(value: Any) -> str:
    if not isinstance(value, str) or "_" in value:  # which Python takes for a number's
        raise TypeError("a figure is a text")
    return value


def _refusal(status: int, data: Any, address: str) -> Say:
    url, said = Code(address), _said(data)
    if status in {401, 403}:
        return say(
            "Prometheus at {url} does not let us in ({status}); see {key}.",
            url=url,
            status=status,
            key=Code("token_env"),
        )
    if said and status in {400, 422}:
        return say("A bad query: {said}", said=said)
    if 300 <= status < 400:
        return say(
            "{url} sends us elsewhere ({status}); name the address where Prometheus itself answers.",
            url=url,
            status=status,
        )
    if said:
        return say("Prometheus at {url} failed ({status}): {said}", url=url, status=status, said=said)
    return say("What answers at {url} gave the status {status}.", url=url, status=status)


def _said(data: Any) -> str:
    """Return Prometheus's own message, if this is one."""
    if not isinstance(data, dict) or data.get("status") != "error" or not isinstance(data.get("error"), str):
        return ""
    return short(clean(data["error"]), _SAID_MOST)

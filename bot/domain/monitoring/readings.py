"""Readings: what programs push, what sources return, and how a check uses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from math import nan
from typing import NamedTuple

from bot.domain.core.sentence import Sentence


class CheckOutcome(Enum):
    """The outcome of a check. Only FAILED can lead to a rollback."""

    OK = "ok"
    FAILED = "failed"
    NO_DATA = "no data"  # no, too few, too old, or invalid readings
    ERROR = "error"  # the source didn't answer, or the monitor is misconfigured
    UNJUDGED = "can't judge"  # there was a value, and the rule should have reached a verdict but didn't


Point = tuple[datetime, float]
CountPoint = tuple[datetime, float, float]  # count and total: k of n
CheckValue = tuple[datetime, float, float | None]  # a check's value and total; None if it isn't a count


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedReading:
    """One pushed reading. `version` is 0 if the client didn't specify one.

    With a `total`, `value` is the count out of that total as pushed, not yet a proportion.
    """

    source: str
    model: str
    version: int
    metric: str
    at: datetime
    value: float
    total: float | None = None
    received_at: datetime
    client: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A source's answer to one query: points in any order, some of which can be invalid.

    A point is a time and a value or, for a count, a time, the count, and the total, so 93 of 100 is 0.93. `outcome` is
    OK even if there are no points; it's ERROR, with a `why`, if the source failed or the query is wrong. If the answer
    `is_timeless`, such as one from a training run, its points don't age.
    """

    points: Sequence[Point | CountPoint] = ()
    outcome: CheckOutcome = CheckOutcome.OK
    why: Sentence | None = None
    is_timeless: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A check's value and the number of points it's based on, or why there's no value.

    For counts, the value is a proportion, k/n, and `total` is n.
    """

    value: float = nan
    total: float | None = None
    points: int = 0
    fresh: int = 0  # points that no earlier check has seen
    newest: datetime | None = None  # time of the newest point; None if it's timeless
    outcome: CheckOutcome = CheckOutcome.OK  # OK: there's a value to evaluate; NO_DATA and ERROR come with a `why`
    why: Sentence | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A check as the ledger stores it.

    `slot` numbers a monitor's checks; `move` is the transition that began the term.
    """

    monitor: str
    slot: int
    at: datetime
    revision: int
    version: int | None
    move: str | None
    outcome: CheckOutcome
    value: float | None = None
    total: float | None = None  # what `value` is out of; None if the metric isn't a count
    points: int = 0
    why: Sentence | None = None


class RecordedCheck(NamedTuple):
    """The part of a finished check that a replay needs, kept small because a replay reads hundreds of thousands."""

    at: datetime
    move: str | None  # the transition that began the term
    version: int | None
    outcome: CheckOutcome
    value: float | None
    points: int
    total: float | None = None  # what `value` is out of; None if the metric isn't a count


@dataclass(frozen=True, slots=True)
class Firing:
    """A time when a replayed rule would have failed, and why."""

    at: datetime
    value: float
    why: Sentence

"""Readings, pushed or returned by a source, and what one check measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from math import nan
from typing import TYPE_CHECKING, NamedTuple

from bot.domain.core.sentence import Sentence

if TYPE_CHECKING:  # numpy is slow to import, and the terminal knows this module
    pass


class CheckOutcome(Enum):
    """What a check came to. Only FAILED may ever move Production."""

    OK = "ok"
    FAILED = "failed"
    NO_DATA = "no data"  # nothing, too little, too old, or nonsense
    ERROR = "error"  # the source did not answer, or the monitor is set up wrongly
    UNJUDGED = "can't judge"  # there was a figure, and a verdict was due, but the rule gave none


Point = tuple[datetime, float]


CountPoint = tuple[datetime, float, float]  # count and total: k of n


CheckValue = tuple[datetime, float, float | None]  # a check's value and total; None if it isn't a count


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedReading:
    """One reading that somebody pushed. Version 0: they did not say which.

    With a `total`, `value` is a count out of it, as it was pushed, and no proportion yet.
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
    """What a source said to one query: points in any order, nonsense among them, or why there are none.

    A point is a time and a value or, for a count, a time, the count, and the total: 93 of 100 is 0.93.
    `outcome` is OK also for no points at all; ERROR, with `why`, where the source failed or the query is wrong.
    `is_timeless`: the points do not age, as a training run's.
    """

    points: Sequence[Point | CountPoint] = ()
    outcome: CheckOutcome = CheckOutcome.OK
    why: Sentence | None = None
    is_timeless: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a source told about one monitor: a value and how many points it is made of, or why there is none.

    For counts, the value is a proportion, k/n, and `total` is n.
    """

    value: float = nan
    total: float | None = None
    points: int = 0
    fresh: int = 0  # points that no check before has seen
    newest: datetime | None = None  # of the points; None where the source does not say
    outcome: CheckOutcome = CheckOutcome.OK  # OK: there is a value, to be judged; NO_DATA or ERROR, with `why`
    why: Sentence | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One check as the ledger keeps it. `slot` counts a monitor's checks; `move` began the term that it is about."""

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
    """As much of a finished check as a replay needs; a replay has hundreds of thousands of them."""

    at: datetime
    move: str | None  # that began the term that it is about
    version: int | None
    outcome: CheckOutcome
    value: float | None
    points: int
    total: float | None = None  # what `value` is out of; None if the metric isn't a count


@dataclass(frozen=True, slots=True)
class Firing:
    """One time at which a replayed rule would have failed, and why."""

    at: datetime
    value: float
    why: Sentence

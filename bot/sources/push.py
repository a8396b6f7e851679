"""Readings that programs pushed to us: they are in the ledger already."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from bot.domain.durations import parse_duration
from bot.domain.monitors import Answer, Point
from bot.domain.policy import Source
from bot.ports import Ledger, Query, Reading
from bot.sources import Parts, check_options, switch, wrong_option

KEPT = timedelta(days=35)  # how long readings stay, where the policy says nothing: five weeks of the same hours
SHORTEST = timedelta(hours=1)


class PushSource:
    """The port `MetricSource` over the ledger. A reading that does not say of which version it is counts for any."""

    def __init__(self, ledger: Ledger, name: str) -> None:
        self._ledger = ledger
        self._name = name

    def read(self, queries: Sequence[Query]) -> list[Answer]:
        """Return the readings of each query, all from one reading of the ledger. Raises LedgerUnavailable."""
        asked: dict[Query, Answer] = {}
        with self._ledger.read() as reading:
            for query in queries:
                if query not in asked:
                    asked[query] = Answer(points=self._points(reading, query, {0, query.version}))
        return [asked[query] for query in queries]

    def history(self, query: Query, step: timedelta) -> Answer:
        """Return the readings of every version: of each moment the first, of each `step` the last."""
        with self._ledger.read() as reading:
            points = self._points(reading, query, None)
        return Answer(points=list({(at - query.since) // step: (at, value) for at, value in points}.values()))

    def _points(self, reading: Reading, query: Query, versions: set[int] | None) -> list[Point]:
        pushed = reading.readings(self._name, query.model, query.query, since=query.since, until=query.until)
        return [(one.at, one.value) for one in pushed if versions is None or one.version in versions]


def open_push(name: str, source: Source, parts: Parts) -> PushSource:
    """Return a source of the type `push`. Raises Misconfigured."""
    check_options(name, source, ["keep", "require_signature"])
    keep_of(name, source)
    wants_signature(name, source)
    return PushSource(parts.ledger, name)


def keep_of(name: str, source: Source) -> timedelta:
    """Return how long the readings of a push source are kept. Raises Misconfigured."""
    try:
        kept = parse_duration(source.options.get("keep", KEPT))
    except ValueError:
        raise wrong_option(name, "keep", "is no duration; write one like 12h or 35d.") from None
    if kept < SHORTEST:
        raise wrong_option(name, "keep", "is shorter than an hour.")
    return kept


def wants_signature(name: str, source: Source) -> bool:
    """Tell whether a push source takes signed readings only. Raises Misconfigured."""
    return switch(name, source, "require_signature")

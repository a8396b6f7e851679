"""Serves the readings that programs pushed to `POST /v1/metrics`, from the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import timedelta

from bot.domain.core.durations import parse_duration
from bot.domain.monitoring.readings import Answer, CountPoint, Point, PushedReading
from bot.domain.policy.policy import Source
from bot.ports import Ledger, LedgerReader, Query
from bot.sources import SourceDependencies, bool_option, check_options, wrong_option

DEFAULT_RETENTION = timedelta(
    days=35
)  # how long readings are kept by default: five weeks, for baselines by time of day
MIN_RETENTION = timedelta(hours=1)
GROUPING_TOLERANCE = timedelta(minutes=5)


class PushSource:
    """A `MetricSource` for pushed readings. A reading without a version counts for the version in Production."""

    def __init__(self, ledger: Ledger, name: str) -> None:
        self._ledger = ledger
        self._name = name

    def read(self, queries: Sequence[Query]) -> list[Answer]:
        """Return the readings for each query, all from one read transaction. Raises LedgerUnavailable."""
        answers: dict[Query, Answer] = {}
        with self._ledger.read() as reader:
            for group in _group_by_start(set(queries)):
                answers |= {query: Answer(points=points) for query, points in self._read(reader, group).items()}
        return [answers[query] for query in queries]

    def history(self, query: Query, step: timedelta) -> Answer:
        """Return the readings of every version, at most one (the last) in each `step`."""
        with self._ledger.read() as reader:
            pushed = reader.readings(self._name, [(query.model, query.query)], since=query.since, until=query.until)
        return Answer(points=list({(reader.at - query.since) // step: _to_point(reader) for reader in pushed}.values()))

    def _read(self, reader: LedgerReader, queries: Sequence[Query]) -> dict[Query, list[Point | CountPoint]]:
        """Return the readings for queries that begin at about the same time, using one ledger query."""
        since, until = min(query.since for query in queries), max(query.until for query in queries)
        by_metric: dict[tuple[str, str], list[PushedReading]] = defaultdict(list)
        asked = {(query.model, query.query) for query in queries}
        for pushed in reader.readings(self._name, sorted(asked), since=since, until=until):
            by_metric[pushed.model, pushed.metric].append(pushed)
        return {query: _matching_points(query, by_metric[query.model, query.query]) for query in queries}


def _matching_points(query: Query, pushed: Sequence[PushedReading]) -> list[Point | CountPoint]:
    versions = {0, query.version}
    return [
        _to_point(reading)
        for reading in pushed
        if query.since < reading.at <= query.until and reading.version in versions
    ]


def _to_point(pushed: PushedReading) -> Point | CountPoint:
    return (pushed.at, pushed.value) if pushed.total is None else (pushed.at, pushed.value, pushed.total)


def _group_by_start(queries: Collection[Query]) -> list[list[Query]]:
    """Return groups of queries that start within five minutes, so that an early query doesn't slow down the rest."""
    groups: list[list[Query]] = []
    for query in sorted(queries, key=lambda query: query.since):
        if not groups or query.since - groups[-1][0].since > GROUPING_TOLERANCE:
            groups.append([])
        groups[-1].append(query)
    return groups


def open_push(name: str, source: Source, dependencies: SourceDependencies) -> PushSource:
    """Return a source of type `push`. Raises Misconfigured."""
    check_options(name, source, ["keep", "require_signature"])
    retention_of(name, source)
    bool_option(name, source, "require_signature")
    return PushSource(dependencies.ledger, name)


def retention_of(name: str, source: Source) -> timedelta:
    """Return how long a push source's readings are kept. Raises Misconfigured."""
    try:
        retention = parse_duration(source.options.get("keep", DEFAULT_RETENTION))
    except ValueError:
        raise wrong_option(name, "keep", "must be a duration, such as 12h or 35d.") from None
    if retention < MIN_RETENTION:
        raise wrong_option(name, "keep", "must be at least an hour.")
    return retention

"""Metrics in MLflow, from the training run behind the Production version or from runs that monitor that version.

With `live: true`, a program that measures the version logs to a run with the tags `registrar.model` and
`registrar.version`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta

from bot.domain.core.errors import RegistrarError
from bot.domain.core.sentence import Name, say
from bot.domain.monitoring.readings import Answer, CheckOutcome, CountPoint, Point
from bot.domain.policy.policy import Source
from bot.domain.registry.model import VersionInfo
from bot.ports import ExperimentTracker, ModelRegistry, Query
from bot.sources import SourceDependencies, bool_option, check_options, error_answer, join_counts, other_version_serves

_FetchedPoints = dict[tuple[str, str], list[Point] | RegistrarError]  # by run and metric


class MlflowSource:
    """A `MetricSource` for the metrics of training runs, which don't age."""

    def __init__(self, registry: ModelRegistry, tracker: ExperimentTracker) -> None:
        self._registry = registry
        self._tracker = tracker

    def read(self, queries: Sequence[Query]) -> list[Answer]:
        """Return the metric from the run behind each model's Production version, with two requests for all queries.

        If Production has a version other than the query's, there's no data. Raises RegistryUnreachable and
        RegistryRefused.
        """
        production = self._registry.production_versions({query.model for query in queries})
        runs = self._tracker.latest_metrics([value.run_id for value in production.values() if value.run_id])
        answers = []
        for query in queries:
            holder = production.get(query.model)
            if answer := _other_version_answer(query, holder):
                answers.append(answer)
                continue
            metrics = runs.get((holder and holder.run_id) or "", {})
            answers.append(Answer(points=_latest_points(query, metrics), is_timeless=True))
        return answers

    def history(self, query: Query, step: timedelta) -> Answer:
        """Return the only value, because a training run has no history to replay."""
        return self.read([query])[0]


class LiveMlflowSource:
    """A `MetricSource` for metrics that are logged to a run while the version serves."""

    def __init__(
        self, registry: ModelRegistry, tracker: ExperimentTracker, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._registry = registry
        self._tracker = tracker
        self._monotonic = monotonic

    def read(self, queries: Sequence[Query]) -> list[Answer]:
        """Return the points logged by the monitoring runs of each query's version.

        One request finds the runs for all queries, and each metric of a run takes another. A query that exceeds its
        time limit gets an error. Raises RegistryUnreachable and RegistryRefused.
        """
        began = self._monotonic()
        runs = self._tracker.monitoring_runs({(query.model, query.version) for query in queries})
        asked: _FetchedPoints = {}
        return [self._answer(query, runs.get((query.model, query.version), []), asked, began) for query in queries]

    def history(self, query: Query, step: timedelta) -> Answer:
        """Return the points from the monitoring runs of every version, at most one (the last) in each `step`."""
        began = self._monotonic()
        versions = {(query.model, version.version) for version in self._registry.versions(query.model)}
        runs = self._tracker.monitoring_runs(versions | {(query.model, query.version)})
        answer = self._answer(query, [run for ids in runs.values() for run in ids], {}, began)
        if answer.outcome is not CheckOutcome.OK:
            return answer
        latest_in_step = {(point[0] - query.since) // step: point for point in sorted(answer.points)}
        return Answer(points=list(latest_in_step.values()))

    def _answer(self, query: Query, runs: Sequence[str], fetched: _FetchedPoints, started: float) -> Answer:
        names = [query.query] if query.of is None else [query.query, query.of]
        for key in ((run, name) for run in runs for name in names):
            if key not in fetched and self._monotonic() - started < query.timeout.total_seconds():
                fetched[key] = self._fetch(*key)
        return _merge_runs(query, [[fetched.get((run, name)) for name in names] for run in runs])

    def _fetch(self, run: str, metric: str) -> list[Point] | RegistrarError:
        try:
            return self._tracker.metric_history(run, metric)
        except RegistrarError as error:
            return error


def _other_version_answer(query: Query, holder: VersionInfo | None) -> Answer | None:
    number = holder.version if holder else None
    if number == query.version:
        return None
    return Answer(
        outcome=CheckOutcome.NO_DATA, why=other_version_serves(query.version, number, query.model), is_timeless=True
    )


def _latest_points(query: Query, metrics: Mapping[str, Point]) -> list[Point | CountPoint]:
    """Return the latest value that a run logged; for counts, the latest count and total, even from different times."""
    names = [query.query] if query.of is None else [query.query, query.of]
    if not all(name in metrics for name in names):
        return []
    at, value = metrics[query.query]
    return [(at, value) if query.of is None else (at, value, metrics[query.of][1])]


def _merge_runs(query: Query, runs: Collection[list[list[Point] | RegistrarError | None]]) -> Answer:
    """Return the points from several runs; for counts, only those where a run logged both metrics at the same time."""
    points: list[Point | CountPoint] = []
    lone: list[Point] = []
    for run in runs:
        metrics: list[list[Point]] = []
        for series in run:
            if series is None:
                return error_answer(
                    say("{product} didn't return the points for {metric} in time.", metric=Name(query.query))
                )
            if isinstance(series, RegistrarError):
                return error_answer(series.sentence)
            metrics.append(_in_span(query, series))
        points += metrics[0] if query.of is None else join_counts(*metrics)
        lone += metrics[0]
    if query.of is not None and lone and not points:
        return Answer(
            outcome=CheckOutcome.NO_DATA,
            why=say(
                "{count} and {of} were never logged at the same time. Log both in one call to log_metrics.",
                count=Name(query.query),
                of=Name(query.of),
            ),
        )
    return Answer(points=points)


def _in_span(query: Query, points: Collection[Point]) -> list[Point]:
    return [point for point in points if query.since < point[0] <= query.until]


def open_mlflow(name: str, source: Source, dependencies: SourceDependencies) -> MlflowSource | LiveMlflowSource:
    """Return a source of type `mlflow`. Raises Misconfigured."""
    check_options(name, source, ["live"])
    opener = LiveMlflowSource if bool_option(name, source, "live") else MlflowSource
    return opener(dependencies.registry, dependencies.tracker)

"""An armed monitor alerts and moves nothing if its source has no valid value: each source, each failure."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bot.domain.monitoring.incident import IncidentKind
from bot.domain.monitoring.monitor import MonitorStatus
from bot.domain.monitoring.readings import Answer, PushedReading
from bot.domain.policy.policy import Source
from bot.domain.registry.model import RUN_MODEL_TAG, RUN_VERSION_TAG, Stage
from bot.ports import MetricSource, Query
from bot.registry.mlflow.registry import MlflowRegistry
from bot.services.monitoring.scheduler import MonitorScheduler
from bot.sources import SourceDependencies
from bot.sources.mlflow import LiveMlflowSource, MlflowSource
from bot.sources.prometheus import PrometheusSource
from bot.sources.push import open_push
from tests.support.monitoring.monitoring import (
    add_monitor,
    incidents,
    monitor_state,
    rollbacks,
    served,  # noqa: F401
    tick,
)
from tests.support.network.broken_prometheus import BAD_BODIES, BAD_RESPONSES, FakeServer, http_response, success_body
from tests.support.network.ports import free_port
from tests.support.registry.opened import tracker_of
from tests.support.registry.registries import mlflow_patience  # noqa: F401
from tests.support.services.bench import Bench, bench  # noqa: F401

GOOD, BAD = 0.9, 0.5


@dataclass
class SingleSource:
    """The only source."""

    source: MetricSource

    def read(self, name: str, queries: Sequence[Query]) -> list[Answer]:
        """Return the source's answers."""
        return list(self.source.read(queries))

    def history(self, name: str, query: Query, step: timedelta) -> Answer:
        """Return the source's history."""
        return self.source.history(query, step)


@dataclass
class Held:
    """A bench with an armed monitor that fails at the first bad value and queries a real source."""

    bench: Bench

    def asks(self, source: MetricSource) -> None:
        """Make monitors query this source."""
        monitoring = MonitorScheduler(
            self.bench.context,
            SingleSource(source),
            self.bench.incidents,
            run_transitions=self.bench.moves.execute_due,
            monotonic=self.bench.clock.monotonic,
        )
        object.__setattr__(self.bench, "monitoring", monitoring)

    def checks(self, source: MetricSource, before: Callable[[], object] = lambda: None, **rule: Any) -> MonitorStatus:
        """Check four times, and return the monitor's state: no mix of errors and gaps stays silent longer."""
        self.asks(source)
        fields: dict[str, Any] = {"fail_after": 1, "no_data": 2, "error": 2, "retries": 0, "timeout": "2s"}
        monitor = add_monitor(self.bench, **fields | rule)
        for _ in range(4):
            self.bench.clock.advance(seconds=12)
            before()
            tick(self.bench)
        return monitor_state(self.bench, monitor).state

    def holds(self) -> None:
        """Assert that the monitor alerted once and moved nothing."""
        assert (self.bench.registry.holders(), rollbacks(self.bench)) == ([4], [])
        assert [one.kind for one in incidents(self.bench)] == [IncidentKind.BLIND]


@pytest.fixture
def held(served: Bench) -> Held:  # noqa: F811
    """Return the bench."""
    return Held(served)


@pytest.fixture
def silent() -> Iterator[str]:
    """Return the address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


# -- prometheus --------------------------------------------------------------------------------------------------------


@pytest.fixture
def prometheus() -> Iterator[Callable[[Any], PrometheusSource]]:
    """Return a function that makes a source for a server with this answer."""
    made: list[FakeServer | PrometheusSource] = []

    def make(answer: Any) -> PrometheusSource:
        server = FakeServer(answer)
        source = PrometheusSource(server.url, token=None)
        made.extend([server, source])
        return source

    yield make
    for one in made:
        one.close()


def figure(text: str) -> Callable[[str], bytes]:
    """Return a function that answers with a value at the queried time."""

    def answer(request: str) -> bytes:
        path = request.split(" ")[1]
        at = float(parse_qs(urlsplit(path).query).get("time", ["0"])[0])
        return http_response(200, success_body("vector", [{"metric": {}, "value": [at, text]}]))

    return answer


NONE_THERE = {
    "unknown": http_response(200, success_body("vector", [])),
    "NaN": figure("NaN"),
    "+Inf": figure("+Inf"),
    "-Inf": figure("-Inf"),
}


@pytest.mark.parametrize("answer", BAD_RESPONSES.values(), ids=BAD_RESPONSES)
def test_a_failing_prometheus_alerts_and_moves_nothing(held: Held, prometheus: Any, answer: bytes) -> None:
    assert held.checks(prometheus(answer)) is MonitorStatus.ERROR
    held.holds()


@pytest.mark.parametrize("shape", BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_missing_prometheus_answer_alerts_and_moves_nothing(held: Held, prometheus: Any, shape: Any) -> None:
    assert held.checks(prometheus(http_response(200, shape))) is MonitorStatus.ERROR
    held.holds()


@pytest.mark.parametrize("answer", NONE_THERE.values(), ids=NONE_THERE)
def test_a_prometheus_without_values_alerts_and_moves_nothing(held: Held, prometheus: Any, answer: Any) -> None:
    assert held.checks(prometheus(answer)) is MonitorStatus.NO_DATA
    held.holds()


def test_a_prometheus_that_refuses_alerts_and_moves_nothing(held: Held) -> None:
    assert held.checks(PrometheusSource(f"http://127.0.0.1:{free_port()}", token=None)) is MonitorStatus.ERROR
    held.holds()


def test_a_silent_prometheus_alerts_and_moves_nothing(held: Held, silent: str) -> None:
    assert held.checks(PrometheusSource(silent, token=None), timeout="1s") is MonitorStatus.ERROR
    held.holds()


def test_a_bad_value_from_prometheus_rolls_back(held: Held, prometheus: Any) -> None:
    assert held.checks(prometheus(figure(str(BAD)))) is not MonitorStatus.ERROR
    assert held.bench.registry.holders() == [2]


# -- push --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def push(held: Held) -> MetricSource:
    """Return the source over the ledger's readings."""
    registry = held.bench.registry
    parts = SourceDependencies(ledger=held.bench.ledger, registry=registry, tracker=registry, environ={})
    source: MetricSource = open_push("push", Source(type="push"), parts)
    return source


def pushes(held: Held, value: float, *, back: timedelta = timedelta(), **about: Any) -> Callable[[], None]:
    """Return a function that pushes a reading with this age."""

    def push() -> None:
        now: datetime = held.bench.clock.now()
        fields: dict[str, Any] = {"source": "push", "model": "churn", "version": 4, "metric": "accuracy"} | about
        reading = PushedReading(at=now - back, value=value, received_at=now, client="ci", **fields)
        with held.bench.ledger.write() as tx:
            tx.add_readings([reading])

    return push


def both(*some: Callable[[], None]) -> Callable[[], None]:
    """Return a function that pushes all of these readings."""

    def push() -> None:
        for one in some:
            one()

    return push


NOTHING_OF_USE: dict[str, Callable[[Held], Callable[[], None]]] = {
    "nothing": lambda held: lambda: None,
    "of another version": lambda held: pushes(held, BAD, version=3),
    "of another model": lambda held: pushes(held, BAD, model="fraud"),
    "of another metric": lambda held: pushes(held, BAD, metric="f1"),
    "of another source": lambda held: pushes(held, BAD, source="live"),
    "old": lambda held: pushes(held, BAD, back=timedelta(minutes=9)),
    "of the future": lambda held: pushes(held, BAD, back=-timedelta(hours=1)),
    "from before the promotion": lambda held: pushes(held, BAD, back=timedelta(days=2)),
}


@pytest.mark.parametrize("what", NOTHING_OF_USE)
def test_missing_pushed_readings_alert_and_move_nothing(held: Held, push: MetricSource, what: str) -> None:
    assert held.checks(push, NOTHING_OF_USE[what](held)) is MonitorStatus.NO_DATA
    held.holds()


@pytest.mark.parametrize(
    ("first", "then"),
    [({}, {}), ({}, {"back": timedelta(seconds=3)}), ({}, {"version": 3}), ({}, {"back": -timedelta(hours=1)})],
    ids=["twice", "out of order", "of another version", "of the future"],
)
def test_a_good_reading_counts_despite_invalid_ones(
    held: Held, push: MetricSource, first: dict[str, Any], then: dict[str, Any]
) -> None:
    readings = both(pushes(held, GOOD, **first), pushes(held, BAD, **then))
    assert held.checks(push, readings) is MonitorStatus.OK
    assert (held.bench.registry.holders(), incidents(held.bench)) == ([4], [])


def test_a_bad_pushed_reading_rolls_back(held: Held, push: MetricSource) -> None:
    held.checks(push, pushes(held, BAD))
    assert held.bench.registry.holders() == [2]


# -- mlflow: what it holds ---------------------------------------------------------------------------------------------


def trained(held: Held, **metrics: float) -> None:
    """Give the version in Production a run with these metrics."""
    registry = held.bench.registry
    run = registry.add_run(metrics=metrics)
    number = registry.add_version("churn", run_id=run)
    registry.by_hand("churn", number, Stage.PRODUCTION)
    held.bench.watch.poll()


@pytest.mark.parametrize(
    "metrics", [{}, {"f1": BAD}, {"accuracy": math.nan}, {"accuracy": math.inf}, {"accuracy": -math.inf}], ids=str
)
def test_a_training_run_without_the_metric_alerts_and_moves_nothing(held: Held, metrics: dict[str, float]) -> None:
    trained(held, **metrics)
    assert held.checks(MlflowSource(held.bench.registry, tracker_of(held.bench.registry))) is MonitorStatus.NO_DATA
    assert (held.bench.registry.holders(), rollbacks(held.bench)) == ([5], [])
    assert [one.kind for one in incidents(held.bench)] == [IncidentKind.BLIND]


def test_another_version_in_mlflow_s_production_is_no_data(held: Held) -> None:
    held.bench.registry.by_hand("churn", 1, Stage.PRODUCTION)  # and no check has run yet
    assert held.checks(MlflowSource(held.bench.registry, tracker_of(held.bench.registry))) is MonitorStatus.NO_DATA
    assert (held.bench.registry.holders(), rollbacks(held.bench)) == ([1], [])


def test_a_bad_training_metric_rolls_back(held: Held) -> None:
    trained(held, accuracy=BAD)
    held.checks(MlflowSource(held.bench.registry, tracker_of(held.bench.registry)), min_served="0s")
    assert held.bench.registry.holders() == [4]


def logs(held: Held, value: float, back: timedelta = timedelta(), *, version: int = 4) -> Callable[[], None]:
    """Return a function that logs a live metric with this age."""
    registry = held.bench.registry
    run = registry.add_run(tags={RUN_MODEL_TAG: "churn", RUN_VERSION_TAG: str(version)}, status="RUNNING")
    return lambda: registry.log_metric(run, "accuracy", value, held.bench.clock.now() - back)


LIVE: dict[str, Callable[[Held], Callable[[], None]]] = {
    "no run": lambda held: lambda: None,
    "NaN": lambda held: logs(held, math.nan),
    "+Inf": lambda held: logs(held, math.inf),
    "-Inf": lambda held: logs(held, -math.inf),
    "of another version": lambda held: logs(held, BAD, version=3),
    "old": lambda held: logs(held, BAD, timedelta(minutes=9)),
    "of the future": lambda held: logs(held, BAD, -timedelta(hours=1)),
}


@pytest.mark.parametrize("what", LIVE)
def test_missing_live_metrics_alert_and_move_nothing(held: Held, what: str) -> None:
    assert (
        held.checks(LiveMlflowSource(held.bench.registry, tracker_of(held.bench.registry)), LIVE[what](held))
        is MonitorStatus.NO_DATA
    )
    held.holds()


def test_a_bad_live_metric_rolls_back(held: Held) -> None:
    held.checks(LiveMlflowSource(held.bench.registry, tracker_of(held.bench.registry)), logs(held, BAD))
    assert held.bench.registry.holders() == [2]


def test_the_newest_of_unordered_live_metrics_counts(held: Held) -> None:
    registry = held.bench.registry
    run = registry.add_run(tags={RUN_MODEL_TAG: "churn", RUN_VERSION_TAG: "4"}, status="RUNNING")

    def log() -> None:
        now = held.bench.clock.now()
        for value, back in ((GOOD, 0), (BAD, 5), (BAD, 5), (BAD, 8)):
            registry.log_metric(run, "accuracy", value, now - timedelta(seconds=back))

    assert held.checks(LiveMlflowSource(registry, tracker_of(registry)), log) is MonitorStatus.OK
    assert held.bench.registry.holders() == [4]


# -- mlflow: how it answers --------------------------------------------------------------------------------------------

WAYS = (
    "nothing",
    "no http",
    "half a body",
    "no body",
    "html",
    "not let in",
    "forbidden",
    "not found",
    "too many",
    "broken",
    "bad gateway",
    "overloaded",
    "latin",
    "deep",
)
OVER_HTTP = {name: BAD_RESPONSES[name] for name in WAYS} | {
    "a list": http_response(200, []),
    "a text": http_response(200, "churn"),
    "strange": http_response(200, {"registered_models": "none"}),
}


@pytest.mark.parametrize("source", [MlflowSource, LiveMlflowSource])
@pytest.mark.parametrize("answer", OVER_HTTP.values(), ids=OVER_HTTP)
def test_a_failing_mlflow_alerts_and_moves_nothing(
    held: Held,
    answer: bytes,
    source: Callable[[Any, Any], MetricSource],
    mlflow_patience: None,  # noqa: F811
) -> None:
    sham = FakeServer(answer)
    registry = MlflowRegistry(sham.url, timeout=2)
    try:
        # If it happens to be JSON without data, the outcome is no data.
        assert held.checks(source(registry, registry.tracker)) in {MonitorStatus.ERROR, MonitorStatus.NO_DATA}
        held.holds()
    finally:
        registry.close()
        sham.close()


@pytest.mark.parametrize("source", [MlflowSource, LiveMlflowSource])
@pytest.mark.parametrize("is_there", [True, False], ids=["silent", "refused"])
def test_an_mlflow_that_does_not_answer_alerts_and_moves_nothing(
    held: Held,
    source: Callable[[Any, Any], MetricSource],
    is_there: bool,
    silent: str,
    mlflow_patience: None,  # noqa: F811
) -> None:
    registry = MlflowRegistry(silent if is_there else f"http://127.0.0.1:{free_port()}", timeout=1)
    try:
        assert held.checks(source(registry, registry.tracker)) is MonitorStatus.ERROR
        held.holds()
    finally:
        registry.close()

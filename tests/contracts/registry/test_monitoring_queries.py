"""What a monitor asks a registry: who is in Production, what runs measured. Every registry tells the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.registry.model import RUN_MODEL_TAG, RUN_VERSION_TAG, Stage
from bot.ports import ModelRegistry
from bot.registry.mlflow.registry import MlflowRegistry
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.registries import KINDS, MlflowBackend, RegistryBackend

NONE, STAGING, PRODUCTION, ARCHIVED = Stage
NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.fixture(params=[*KINDS, "http with tags"])
def both(
    request: pytest.FixtureRequest, registries: Callable[[str], tuple[ModelRegistry, RegistryBackend]]
) -> tuple[ModelRegistry, RegistryBackend]:
    return registries(request.param)


@pytest.fixture
def registry(both: tuple[ModelRegistry, RegistryBackend]) -> ModelRegistry:
    return both[0]


@pytest.fixture
def backend(both: tuple[ModelRegistry, RegistryBackend]) -> RegistryBackend:
    return both[1]


def monitoring(backend: RegistryBackend, model: str, version: str, *, deleted: bool = False) -> str:
    """Add a run that monitors a version, and return its id."""
    return backend.add_run(tags={RUN_MODEL_TAG: model, RUN_VERSION_TAG: version}, status="RUNNING", is_deleted=deleted)


class TestProduction:
    def test_each_model_tells_its_version_and_the_run_behind_it(
        self, registry: ModelRegistry, backend: RegistryBackend
    ) -> None:
        run = backend.add_run(metrics={"accuracy": 0.9})
        for name in ("churn", "fraud", "other"):
            backend.add_model(name, versions=1)
            registry.transition_stage(name, backend.add_version(name, run_id=run), PRODUCTION, archive_existing=True)
        held = registry.production_versions(["churn", "fraud", "unknown"])
        assert sorted(held) == ["churn", "fraud"]
        assert {(one.version, one.stage, one.run_id, one.aliases) for one in held.values()} == {
            (2, PRODUCTION, run, ())
        }

    def test_a_model_with_nothing_in_production_is_left_out(
        self, registry: ModelRegistry, backend: RegistryBackend
    ) -> None:
        backend.add_model("churn", versions=[NONE, STAGING, ARCHIVED])
        assert registry.production_versions(["churn"]) == {}

    def test_a_prompt_is_no_model(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        backend.add_model("greeting", versions=[NONE], is_prompt=True)
        assert registry.production_versions(["greeting", "o'brien", "a'b\"c"]) == {}


class TestMetrics:
    def test_the_newest_point_of_each_metric_comes_with_its_time(
        self, registry: ModelRegistry, backend: RegistryBackend
    ) -> None:
        runs = [backend.add_run(status="RUNNING") for _ in range(2)]
        for run in runs:
            backend.log_metric(run, "accuracy", 0.9, NOON)
            backend.log_metric(run, "accuracy", 0.8, NOON + timedelta(minutes=5))
            backend.log_metric(run, "f1", 0.7, NOON)
        newest = {"accuracy": (NOON + timedelta(minutes=5), 0.8), "f1": (NOON, 0.7)}
        assert registry.latest_metrics([*runs, "unknown"]) == dict.fromkeys(runs, newest)
        assert registry.latest_metrics(runs[:1]) == {runs[0]: newest}
        assert registry.latest_metrics([]) == {}

    def test_what_is_no_finite_number_is_nan(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        run = backend.add_run(metrics={"nan": math.nan, "inf": math.inf, "-inf": -math.inf})
        newest = registry.latest_metrics([run, run])[run]
        assert [math.isnan(value) for _, value in newest.values()] == [True] * 3
        assert [math.isnan(value) for _, value in registry.metric_history(run, "inf")] == [True]

    def test_a_deleted_run_still_tells_what_it_measured(
        self, registry: ModelRegistry, backend: RegistryBackend
    ) -> None:
        run = backend.add_run(metrics={"accuracy": 0.9}, is_deleted=True)
        assert registry.latest_metrics([run, "unknown"])[run]["accuracy"][1] == 0.9

    def test_every_point_comes_oldest_first(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        run = backend.add_run(status="RUNNING")
        points = [(NOON + timedelta(minutes=at), at / 10) for at in range(4)]
        for at, value in [points[2], points[0], points[3], points[1]]:
            backend.log_metric(run, "accuracy", value, at)
        assert registry.metric_history(run, "accuracy") == points
        assert registry.metric_history(run, "f1") == []

    @pytest.mark.parametrize("run", ["0" * 32, "x' OR 1", ""])
    def test_an_unknown_run_has_no_points(self, registry: ModelRegistry, run: str) -> None:
        assert registry.metric_history(run, "accuracy") == []


class TestMonitoringRuns:
    def test_they_are_found_by_their_tags(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        first, again, other = (
            monitoring(backend, *which) for which in [("churn", "7"), ("churn", "v7"), ("fraud", "1")]
        )
        for model, version in [("churn", "8"), ("churn", "seven"), ("else", "7")]:
            monitoring(backend, model, version)
        monitoring(backend, "churn", "7", deleted=True)
        backend.add_run(tags={RUN_MODEL_TAG: "churn"})
        backend.add_run(tags={RUN_VERSION_TAG: "7"})
        found = registry.monitoring_runs({("churn", 7), ("fraud", 1), ("fraud", 2)})
        assert {pair: sorted(runs) for pair, runs in found.items()} == {
            ("churn", 7): sorted([first, again]),
            ("fraud", 1): [other],
        }
        assert {pair: sorted(runs) for pair, runs in registry.monitoring_runs([("churn", 7)]).items()} == {
            ("churn", 7): sorted([first, again])
        }

    @pytest.mark.parametrize("name", ["o'brien", 'the "best"', "100%", "модель", "x' OR name != 'x", "a\\"])
    def test_odd_names_are_found_and_nothing_else(
        self, registry: ModelRegistry, backend: RegistryBackend, name: str
    ) -> None:
        run = monitoring(backend, name, "1")
        monitoring(backend, "churn", "1")
        assert registry.monitoring_runs([(name, 1)]) == {(name, 1): [run]}

    def test_without_any_there_are_none(self, registry: ModelRegistry) -> None:
        assert registry.monitoring_runs([("churn", 7)]) == {}
        assert registry.monitoring_runs([]) == {}


@pytest.fixture
def counted(mlflow_server: MlflowServer) -> Iterator[MlflowRegistry]:
    """Give a registry over HTTP."""
    registry = MlflowRegistry(mlflow_server.uri)
    yield registry
    registry.close()


class TestRequests:
    def test_the_metrics_of_many_models_in_production_take_two(
        self, counted: MlflowRegistry, mlflow_server: MlflowServer, mlflow_backend: MlflowBackend
    ) -> None:
        for at in range(20):
            mlflow_backend.add_model(f"m{at}")
            mlflow_backend.add_version(
                f"m{at}", stage=PRODUCTION, run_id=mlflow_backend.add_run(metrics={"f1": at / 100})
            )
        counted.latest_metrics(["a", "b"])  # asks for the experiments, the tests' own is new
        mlflow_server.requests.clear()
        held = counted.production_versions([f"m{at}" for at in range(20)])
        runs = counted.latest_metrics([str(one.run_id) for one in held.values()])
        assert sorted(value for metrics in runs.values() for _, value in metrics.values()) == [
            at / 100 for at in range(20)
        ]
        assert [request.split("/mlflow/")[1] for request in mlflow_server.requests] == [
            "registered-models/search",
            "runs/search",
        ]

    def test_monitoring_runs_of_many_models_take_one(
        self, counted: MlflowRegistry, mlflow_server: MlflowServer, mlflow_backend: MlflowBackend
    ) -> None:
        wanted = [(f"m{at}", 1) for at in range(5)]
        for model, version in wanted:
            monitoring(mlflow_backend, model, str(version))
        counted.monitoring_runs(wanted)
        mlflow_server.requests.clear()
        assert counted.monitoring_runs(wanted).keys() == set(wanted)
        assert len(mlflow_server.requests) == 1

    def test_nothing_asked_takes_none(self, counted: MlflowRegistry, mlflow_server: MlflowServer) -> None:
        mlflow_server.requests.clear()
        assert (counted.production_versions([]), counted.latest_metrics([]), counted.monitoring_runs([])) == (
            {},
            {},
            {},
        )
        assert mlflow_server.requests == []

"""The registry reads that monitors need: versions in Production and metrics of runs, the same in every registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from bot.domain.registry.model import RUN_MODEL_TAG, RUN_VERSION_TAG, Stage
from bot.ports import ModelRegistry
from bot.registry.mlflow.registry import MlflowRegistry
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.registries import KINDS, MlflowBackend, RegistryContents

NONE, STAGING, PRODUCTION, ARCHIVED = Stage
NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.fixture(params=[*KINDS, "http with tags"])
def both(
    request: pytest.FixtureRequest, registries: Callable[[str], tuple[ModelRegistry, RegistryContents]]
) -> tuple[ModelRegistry, RegistryContents]:
    return registries(request.param)


@pytest.fixture
def registry(both: tuple[ModelRegistry, RegistryContents]) -> ModelRegistry:
    return both[0]


@pytest.fixture
def backend(both: tuple[ModelRegistry, RegistryContents]) -> RegistryContents:
    return both[1]


def monitoring(backend: RegistryContents, model: str, version: str, *, deleted: bool = False) -> str:
    """Add a run that monitors a version; return its id."""
    return backend.add_run(tags={RUN_MODEL_TAG: model, RUN_VERSION_TAG: version}, status="RUNNING", is_deleted=deleted)


class TestProduction:
    def test_a_prompt_is_not_a_model_in_production(self, registry: ModelRegistry, backend: RegistryContents) -> None:
        backend.add_model("greeting", versions=[NONE], is_prompt=True)
        assert registry.production_versions(["greeting", "o'brien", "a'b\"c"]) == {}


@pytest.fixture
def counted(mlflow_server: MlflowServer) -> Iterator[MlflowRegistry]:
    """Yield a registry over HTTP."""
    registry = MlflowRegistry(mlflow_server.uri)
    yield registry
    registry.close()


class TestRequests:
    def test_the_metrics_of_many_models_need_two_requests(
        self, counted: MlflowRegistry, mlflow_server: MlflowServer, mlflow_backend: MlflowBackend
    ) -> None:
        for at in range(20):
            mlflow_backend.add_model(f"m{at}")
            mlflow_backend.add_version(
                f"m{at}", stage=PRODUCTION, run_id=mlflow_backend.add_run(metrics={"f1": at / 100})
            )
        counted.tracker.latest_metrics(["a", "b"])  # reads the experiments, because the test's own is new
        mlflow_server.requests.clear()
        held = counted.production_versions([f"m{at}" for at in range(20)])
        runs = counted.tracker.latest_metrics([str(one.run_id) for one in held.values()])
        assert sorted(value for metrics in runs.values() for _, value in metrics.values()) == [
            at / 100 for at in range(20)
        ]
        assert [request.split("/mlflow/")[1] for request in mlflow_server.requests] == [
            "registered-models/search",
            "runs/search",
        ]

    def test_the_monitoring_runs_of_many_models_need_one_request(
        self, counted: MlflowRegistry, mlflow_server: MlflowServer, mlflow_backend: MlflowBackend
    ) -> None:
        wanted = [(f"m{at}", 1) for at in range(5)]
        for model, version in wanted:
            monitoring(mlflow_backend, model, str(version))
        counted.tracker.monitoring_runs(wanted)
        mlflow_server.requests.clear()
        assert counted.tracker.monitoring_runs(wanted).keys() == set(wanted)
        assert len(mlflow_server.requests) == 1

    def test_an_empty_query_needs_no_request(self, counted: MlflowRegistry, mlflow_server: MlflowServer) -> None:
        mlflow_server.requests.clear()
        assert (
            counted.production_versions([]),
            counted.tracker.latest_metrics([]),
            counted.tracker.monitoring_runs([]),
        ) == (
            {},
            {},
            {},
        )
        assert mlflow_server.requests == []

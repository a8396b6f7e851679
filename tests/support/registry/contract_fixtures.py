"""Fixtures for the registry contract tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bot.domain.registry.model import Stage
from bot.ports import ExperimentTracker, ModelRegistry
from bot.registry.contract.registry import RegistryContract, stages
from bot.registry.mlflow.registry import MlflowRegistry
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.opened import tracker_of
from tests.support.registry.registries import KINDS, TAGGED_KINDS, MlflowBackend, RegistryContents

NONE, STAGING, PRODUCTION, ARCHIVED = Stage

__all__ = [
    "ARCHIVED",
    "CALLS",
    "NONE",
    "ODD_NAMES",
    "PRODUCTION",
    "READING",
    "STAGING",
    "WRITING",
    "backend",
    "both",
    "contents",
    "registry",
    "remote",
    "stages",
    "tracker",
]


ODD_NAMES = RegistryContract.odd_names


@pytest.fixture(params=[*KINDS, *TAGGED_KINDS])
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


@pytest.fixture
def contents(backend: RegistryContents) -> RegistryContents:
    return backend


@pytest.fixture
def tracker(registry: ModelRegistry) -> ExperimentTracker:
    return tracker_of(registry)


READING: dict[str, Callable[[ModelRegistry], object]] = {
    "models": lambda registry: registry.models("chu"),
    "model": lambda registry: registry.model("churn"),
    "versions": lambda registry: registry.versions("churn"),
    "version": lambda registry: registry.version("churn", 1),
}


WRITING: dict[str, Callable[[ModelRegistry], object]] = {
    "transition": lambda registry: registry.transition_stage("churn", 2, PRODUCTION, archive_existing=True),
    "set_alias": lambda registry: registry.set_alias("churn", "champion", 2),
    "drop_alias": lambda registry: registry.delete_alias("churn", "champion"),
    "set_tags": lambda registry: registry.set_tags("churn", 1, {"owner": "ann"}),
    "set_tags to nothing": lambda registry: registry.set_tags("churn", 1, {"owner": None}),
    "describe a version": lambda registry: registry.set_description("churn", 1, "text"),
    "describe a model": lambda registry: registry.set_description("churn", None, "text"),
}


CALLS = READING | WRITING


@pytest.fixture
def remote(mlflow_server: MlflowServer, mlflow_backend: MlflowBackend) -> MlflowRegistry:
    """Return a registry over HTTP that has `churn` and has just read it."""
    mlflow_backend.add_model("churn", versions=[PRODUCTION, NONE])
    registry = MlflowRegistry(mlflow_server.uri)
    registry.versions("churn")
    mlflow_server.requests.clear()
    return registry

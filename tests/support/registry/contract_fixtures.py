"""Fixtures of the contract that every registry keeps."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bot.domain.registry.model import Stage
from bot.ports import ModelRegistry
from bot.registry.mlflow.registry import MlflowRegistry
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.registries import KINDS, TAGGED_KINDS, MlflowBackend, RegistryBackend

NONE, STAGING, PRODUCTION, ARCHIVED = Stage


ODD_NAMES = [
    "o'brien",
    'the "best"',
    "two words",
    "100%",
    "a_b",
    "модель",
    "名前",
    "churn@eu",
    "a\\",
    "x AND y",
    "a;b",
    "a--b",
    "x' OR name != 'x",
    "x' AND name = 'y",
    'x" OR name LIKE "%',
]


@pytest.fixture(params=[*KINDS, *TAGGED_KINDS])
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


def stages(registry: ModelRegistry, name: str = "churn") -> dict[int, Stage]:
    return {version.version: version.stage for version in registry.versions(name)}


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
    """Return a registry over HTTP that holds churn, and has just been asked for it."""
    mlflow_backend.add_model("churn", versions=[PRODUCTION, NONE])
    registry = MlflowRegistry(mlflow_server.uri)
    registry.versions("churn")
    mlflow_server.requests.clear()
    return registry

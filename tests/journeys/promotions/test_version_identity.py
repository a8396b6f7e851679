"""With a real MLflow: only the approved version is promoted, not another one with its name and number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.domain.registry.model import Stage
from bot.registry.mlflow.registry import MlflowRegistry
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, RunningApp, running_app
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.registries import MlflowBackend

Attack = Callable[[Any, MlflowBackend], None]


def with_versions(backend: MlflowBackend, name: str) -> None:
    """Add a model with two versions, each with its own run, v1 in Production."""
    backend.add_model(name)
    for stage in (Stage.PRODUCTION, Stage.NONE):
        backend.add_version(name, stage=stage, run_id=backend.add_run(), source=f"s3://models/{name}")


def recreate(mlflow: Any, backend: MlflowBackend) -> None:
    """Delete the model, and create it again with different runs."""
    mlflow.delete_registered_model("churn")
    with_versions(backend, "churn")


def swap(mlflow: Any, backend: MlflowBackend) -> None:
    """Swap two models by renaming them."""
    with_versions(backend, "fraud")
    mlflow.rename_registered_model("churn", "elsewhere")
    mlflow.rename_registered_model("fraud", "churn")
    mlflow.rename_registered_model("elsewhere", "fraud")


@pytest.fixture
def app(
    slack: LocalSlack, tmp_path: Path, mlflow_server: MlflowServer, mlflow_backend: MlflowBackend
) -> Iterator[RunningApp]:
    """The bot, with `churn` in a real MLflow."""
    with_versions(mlflow_backend, "churn")
    registry = MlflowRegistry(mlflow_server.uri, timeout=20)
    with running_app(slack, tmp_path / "home", registry) as app:
        yield app
    registry.close()


@pytest.mark.parametrize("attack", [recreate, swap])
def test_a_different_version_with_a_request_s_number_is_not_promoted_by_its_approval(
    app: RunningApp, mlflow_backend: MlflowBackend, attack: Attack
) -> None:
    app.alice.types(CHANNEL, "/model promote churn 2 production")
    card = app.card()
    attack(mlflow_backend._client, mlflow_backend)
    assert app.bob.clicks(card, "Approve").acked
    ended = app.card(holds="is a different version now")
    assert "request_approve" not in str(ended["blocks"])
    assert app.production() == [1]


def test_the_approved_version_is_promoted(app: RunningApp) -> None:
    app.alice.types(CHANNEL, "/model promote churn 2 production")
    assert app.bob.clicks(app.card(), "Approve").acked
    app.card(holds="is in Production")
    assert app.production() == [2]

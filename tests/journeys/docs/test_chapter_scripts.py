"""Scripts that read MLflow as the textbook chapter's do see the truth after Registrar has promoted and rolled back.

They read only stages, tags, and runs, and know nothing of Registrar.
"""

from __future__ import annotations

import operator
from collections.abc import Hashable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from bot.domain.registry.model import Stage
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, RunningApp, running_app
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.registries import MlflowBackend
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.filterwarnings("ignore:.*get_latest_versions:FutureWarning")  # the chapter calls it

F1 = {1: 0.80, 2: 0.83, 3: 0.88, 4: 0.91}


def production_history(client: MlflowClient, model: str) -> list[dict[str, Any]]:
    """Return the versions that have been in Production, judged by stage and `promotion_date`, newest first."""
    history = [
        {
            "version": version.version,
            "current_stage": version.current_stage,
            "promotion_date": version.tags["promotion_date"],
            "promoted_by": version.tags["promoted_by"],
        }
        for version in client.search_model_versions(f"name='{model}'")
        if version.current_stage in {"Production", "Archived"} and "promotion_date" in version.tags
    ]
    return sorted(history, key=lambda entry: entry["promotion_date"], reverse=True)


def in_production(client: MlflowClient, model: str) -> list[str]:
    """Return the versions that the stage call names."""
    return [version.version for version in client.get_latest_versions(model, stages=["Production"])]


def compare_versions(client: MlflowClient, model: str, metrics: list[str]) -> pd.DataFrame:
    """Return a row for each version with its stage and its run's metrics, the newest first."""
    rows = []
    for version in client.search_model_versions(f"name='{model}'"):
        logged = client.get_run(version.run_id or "").data.metrics
        values = {metric: logged.get(metric) for metric in metrics}
        rows.append({"version": int(version.version), "stage": version.current_stage, **values})
    return pd.DataFrame(rows).sort_values("version", ascending=False)


def best_version(client: MlflowClient, model: str, metric: str) -> dict[Hashable, Any]:
    """Return the row of the version with the highest value."""
    frame = compare_versions(client, model, [metric])
    return frame.sort_values(metric).to_dict("records")[-1]


def meets_threshold(client: MlflowClient, model: str, metric: str, threshold: float, comparison: str) -> bool:
    """Return whether the run of the version in Production has a value on the right side of the threshold."""
    compare = {"greater_than": operator.gt, "less_than": operator.lt}[comparison]
    [version] = client.get_latest_versions(model, stages=["Production"])
    return bool(compare(client.get_run(version.run_id or "").data.metrics[metric], threshold))


@pytest.fixture
def app(
    slack: LocalSlack, tmp_path: Path, mlflow_server: MlflowServer, mlflow_backend: MlflowBackend
) -> Iterator[RunningApp]:
    """The bot over `churn` in a real MLflow: four versions, none in a stage."""
    from bot.registry.mlflow.registry import MlflowRegistry

    mlflow_backend.add_model("churn")
    for f1 in F1.values():
        run_id = mlflow_backend.add_run(metrics={"f1": f1})
        mlflow_backend.add_version("churn", stage=Stage.NONE, run_id=run_id, source="s3://models/churn")
    with (
        closing(MlflowRegistry(mlflow_server.uri, timeout=20)) as registry,
        running_app(slack, tmp_path / "home", registry) as running,
    ):
        yield running


@pytest.fixture
def client(mlflow_server: MlflowServer) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(mlflow_server.uri)


def promote(app: RunningApp, version: int, stage: str) -> None:
    """Request the promotion as Alice, approve it as Bob, and wait until MLflow's tags say so."""
    app.alice.types(CHANNEL, f'/model promote churn {version} {stage} --reason "better f1"')
    assert app.bob.clicks(app.card(), "Approve").acked
    app.card(holds=f"is in {stage.capitalize()}")
    wait_for_tag(app, version, "approval_status", f"approved_{stage}")


def wait_for_tag(app: RunningApp, version: int, key: str, value: str) -> None:
    wait_until(lambda: app.registry.version("churn", version).tags.get(key) == value)


def test_a_promotion_and_a_rollback_are_seen(app: RunningApp, client: MlflowClient) -> None:
    promote(app, 1, "staging")
    for version in (2, 3, 4):
        promote(app, version, "production")
    promote(app, 1, "production")
    app.bob.types(CHANNEL, '/model rollback churn --reason "accuracy fell"')
    wait_for_tag(app, 4, "restored_to_production", "true")

    assert in_production(client, "churn") == ["4"]
    tags = client.get_model_version("churn", "1").tags
    assert (tags["rollback_reason"], tags["rolled_back_by"]) == ("accuracy fell", "U0BOB")
    assert client.get_model_version("churn", "4").tags["restored_by"] == "U0BOB"
    history = production_history(client, "churn")
    assert {entry["version"]: entry["current_stage"] for entry in history} == {
        "1": "Archived",
        "4": "Production",
        "3": "Archived",
        "2": "Archived",
    }
    assert {entry["promoted_by"] for entry in history} == {"U0BOB"}


def test_a_version_that_was_only_in_staging_is_no_part_of_the_production_history(
    app: RunningApp, client: MlflowClient
) -> None:
    promote(app, 3, "production")
    promote(app, 1, "staging")
    promote(app, 2, "staging")  # archives v1
    assert client.get_model_version("churn", "1").current_stage == "Archived"
    assert [entry["version"] for entry in production_history(client, "churn")] == ["3"]


def test_comparisons_name_the_stages_that_registrar_set(app: RunningApp, client: MlflowClient) -> None:
    promote(app, 3, "production")
    promote(app, 4, "staging")
    frame = compare_versions(client, "churn", ["f1"])
    assert list(zip(frame["version"], frame["stage"], frame["f1"], strict=True)) == [
        (4, "Staging", 0.91),
        (3, "Production", 0.88),
        (2, "None", 0.83),
        (1, "None", 0.80),
    ]
    assert best_version(client, "churn", "f1") == {"version": 4, "stage": "Staging", "f1": 0.91}


def test_a_threshold_is_checked_on_the_version_in_production(app: RunningApp, client: MlflowClient) -> None:
    promote(app, 2, "production")
    assert not meets_threshold(client, "churn", "f1", 0.85, "greater_than")
    promote(app, 3, "production")
    assert meets_threshold(client, "churn", "f1", 0.85, "greater_than")

"""Register the demo's models from the snapshot that scripts/snapshot.py wrote, without training."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import yaml
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, Metric, Param
from mlflow.exceptions import MlflowException

SNAPSHOT_FOLDER = Path(__file__).parents[2] / "examples" / "churn" / "snapshot"
CONTEXT_TAG = "mlflow.data.context"  # MLflow's tag for what a data set was used for
SOURCE_TAGS = {"mlflow.source.name": "examples/churn/train.py", "mlflow.source.type": "LOCAL"}


def read_snapshot() -> Mapping[str, Any]:
    """Return the snapshot's contents: `made_with` (library versions), and `versions`, oldest first."""
    document: Mapping[str, Any] = json.loads((SNAPSHOT_FOLDER / "models.json").read_text(encoding="utf-8"))
    return document


def is_compatible() -> bool:
    """Return whether this scikit-learn is the version that saved the models; another version might not load them."""
    return bool(read_snapshot()["made_with"]["scikit-learn"] == version("scikit-learn"))


def restore_models(
    uri: str, model: str, artifacts: Path, *, first_after: int = 0
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Register each version after `first_after`; yield its number and what the snapshot says about its run.

    `artifacts`: the folder for the experiment's files.
    """
    mlflow.set_tracking_uri(uri)  # a client's own URI isn't enough: to register a model, MLflow opens another client
    client = mlflow.MlflowClient()
    existing = client.get_experiment_by_name(model)
    experiment = existing.experiment_id if existing else client.create_experiment(model, artifacts.resolve().as_uri())
    try:
        client.create_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    for number, about in enumerate(read_snapshot()["versions"][first_after:], first_after + 1):
        run = client.create_run(experiment, tags=SOURCE_TAGS | about["tags"], run_name=about["name"]).info.run_id
        client.log_inputs(run, [_dataset_input(dataset) for dataset in about["inputs"]])
        client.log_batch(run, params=[Param(key, value) for key, value in about["params"].items()])
        model_id = _log_model(client, experiment, run, about["params"], SNAPSHOT_FOLDER / f"v{number}")
        now = int(time.time() * 1000)
        metrics = [Metric(key, value, now, 0, model_id=model_id) for key, value in about["metrics"].items()]
        client.log_batch(run, metrics)
        client.set_terminated(run)
        source = f"models:/{model_id}"
        client.create_model_version(model, source=source, run_id=run, model_id=model_id, await_creation_for=0)
        yield number, about


def _dataset_input(entry: Mapping[str, Any]) -> DatasetInput:
    dataset = Dataset(
        name=entry["name"],
        digest=entry["digest"],
        source_type="code",
        source=json.dumps({"tags": SOURCE_TAGS}),
        schema=json.dumps(entry["schema"]),
        profile=json.dumps(entry["profile"]),
    )
    return DatasetInput(dataset, [InputTag(CONTEXT_TAG, entry["context"])])


def _log_model(client: mlflow.MlflowClient, experiment: str, run_id: str, params: dict[str, str], files: Path) -> str:
    model = client.create_logged_model(experiment, name="model", source_run_id=run_id, params=params, tags=SOURCE_TAGS)
    of_this_registry = {
        "artifact_path": model.artifact_location,
        "model_id": model.model_id,
        "model_uuid": model.model_id,
        "run_id": run_id,
        "utc_time_created": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
    }
    with tempfile.TemporaryDirectory(prefix="registrar-demo-") as folder:
        copied = shutil.copytree(files, Path(folder) / "model")
        with (copied / "MLmodel").open("a", encoding="utf-8") as about:
            yaml.safe_dump(of_this_registry, about)
        client.log_model_artifacts(model.model_id, str(copied))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return str(model.model_id)

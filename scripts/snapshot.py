"""Train the models in examples/churn, and write them to examples/churn/snapshot, which the demo loads.

    python scripts/snapshot.py

Run it after changing train.py, common.py, or the scikit-learn version in requirements-demo.lock.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.request import url2pathname

import mlflow
import yaml
from mlflow.entities import Run

FOLDER = Path(__file__).parent.parent / "examples" / "churn"
SNAPSHOT = FOLDER / "snapshot"
LIBRARIES = ("scikit-learn", "skops", "mlflow")
# Fields that depend on the registry. The demo adds them when it loads the snapshot.
OF_A_REGISTRY = ("artifact_path", "model_id", "model_uuid", "run_id", "utc_time_created")
OF_A_MACHINE = "mlflow."  # tags with this prefix contain the user, the program, and the commit
ABOUT = "Written by scripts/snapshot.py. latency_ms depends on the machine; the other metrics don't."


def main() -> None:
    """Train the models, and replace the snapshot."""
    with tempfile.TemporaryDirectory(prefix="snapshot-") as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        subprocess.run(  # noqa: S603 - our own script
            [sys.executable, str(FOLDER / "train.py")], env=os.environ | {"MLFLOW_TRACKING_URI": uri}, check=True
        )
        shutil.rmtree(SNAPSHOT, ignore_errors=True)
        write(mlflow.MlflowClient(uri), SNAPSHOT)


def write(client: mlflow.MlflowClient, folder: Path, model: str = "churn") -> None:
    """Write each version of a model: its run to models.json, its files to v1, v2, …"""
    versions = sorted(int(one.version) for one in client.search_model_versions(f"name = '{model}'"))
    runs = []
    for number in versions:
        found = client.get_model_version(model, str(number))
        runs.append(described(client.get_run(found.run_id)))
        files = client.get_logged_model(found.source.removeprefix("models:/")).artifact_location.removeprefix("file://")
        copy(Path(url2pathname(files)), folder / f"v{number}")
    made_with = {name: version(name) for name in LIBRARIES}
    document = {"about": ABOUT, "made_with": made_with, "versions": runs}
    (folder / "models.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def described(run: Run) -> dict[str, Any]:
    """Return a run's logged data, without data about this machine."""
    inputs = [
        {
            "context": one.tags[0].value,
            "name": one.dataset.name,
            "digest": one.dataset.digest,
            "schema": json.loads(one.dataset.schema),
            "profile": json.loads(one.dataset.profile),
        }
        for one in run.inputs.dataset_inputs
    ]
    return {
        "name": run.info.run_name,
        "params": run.data.params,
        "metrics": run.data.metrics,
        "tags": {key: value for key, value in run.data.tags.items() if not key.startswith(OF_A_MACHINE)},
        "inputs": inputs,
    }


def copy(files: Path, target: Path) -> None:
    """Copy a model's files without the registry's fields in MLmodel, and compress the skops archive.

    skops doesn't compress it; a compressed archive is an eighth of the size.
    """
    shutil.copytree(files, target)
    about = yaml.safe_load((target / "MLmodel").read_text(encoding="utf-8"))
    kept = {key: value for key, value in about.items() if key not in OF_A_REGISTRY}
    (target / "MLmodel").write_text(yaml.safe_dump(kept), encoding="utf-8")
    with (
        zipfile.ZipFile(files / "model.skops") as before,
        zipfile.ZipFile(target / "model.skops", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed,
    ):
        for name in before.namelist():
            packed.writestr(zipfile.ZipInfo(name), before.read(name), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main()

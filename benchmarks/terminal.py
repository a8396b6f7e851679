"""Times of the terminal: help compared with importing pydantic, a comparison with MLflow and its two requests."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.report import Report
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.registries import MlflowBackend

ROOT = Path(__file__).parent.parent
ROUNDS = 7
VERSIONS = 5
HELP_AIM = 2.0  # × importing pydantic
REGISTRAR = str(Path(sys.executable).parent / "registrar")
# The minimum for any comparison in its own process: import MLflow, and request the versions and their runs.
BARE = """
import mlflow
from mlflow import MlflowClient
client = MlflowClient()
found = client.search_model_versions("name='churn'")
experiment = mlflow.get_experiment_by_name("Default").experiment_id
client.search_runs([experiment])
"""


def typing(folder: Path) -> Report:
    """Return the table of the terminal's commands compared with their minimum, run alternately."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    shelf = MlflowBackend(uri, str(folder / "artifacts"))
    try:
        shelf.add_model("churn")
        for number in range(VERSIONS):
            shelf.add_version("churn", run_id=shelf.add_run(metrics={"f1": 0.8 + number / 100}))
    finally:
        shelf.close()
    server = MlflowServer(uri, folder / "artifacts")
    server.start()
    try:
        taken = _measured(server.uri, folder)
    finally:
        server.stop()
    ratio = taken["help"] / taken["pydantic"]
    compared = taken["compare"] / taken["bare"]
    is_met = "met" if ratio <= HELP_AIM else "not met"
    text = "\n".join(
        [
            "| in its own process | seconds | |",
            "|---|---|---|",
            f"| `import pydantic` | {taken['pydantic']:.3f} | |",
            f"| `registrar --help` | {taken['help']:.3f} | {ratio:.1f} × (aim ≤ {HELP_AIM:.0f}: {is_met}) |",
            f"| `import mlflow`, and the two requests | {taken['bare']:.2f} | |",
            f"| `registrar compare churn` | {taken['compare']:.2f} | {compared:.2f} × |",
        ]
    )
    figures = {
        "registrar --help ÷ import pydantic": ratio,
        "registrar compare ÷ import mlflow and 2 requests": compared,
    }
    return Report(text, figures)


def _measured(uri: str, folder: Path) -> dict[str, float]:
    ways = {
        "pydantic": [sys.executable, "-c", "import pydantic"],
        "help": [REGISTRAR, "--help"],
        "bare": [sys.executable, "-c", BARE],
        "compare": [REGISTRAR, "compare", "churn"],
    }
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SLACK_", "REGISTRAR_", "MLFLOW_"))}
    environment = clean | {"MLFLOW_TRACKING_URI": uri, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    environment["PYTHONPATH"] = str(ROOT)  # before the installed package, which can belong to another checkout
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, words in ways.items():
            began = time.perf_counter()
            subprocess.run(words, check=True, env=environment, cwd=folder, stdout=subprocess.DEVNULL)  # noqa: S603 - our own commands
            taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(each) for name, each in taken.items()}

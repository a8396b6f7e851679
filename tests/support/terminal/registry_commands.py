"""Terminal commands on a real MLflow."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from bot.domain.registry.comparison import Comparison
from bot.domain.registry.model import Stage
from handlers.terminal.output import tables
from tests.support.registry.registries import MlflowBackend
from tests.support.terminal.cli_runner import CliRunner, command


@pytest.fixture
def registrar(
    mlflow_sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CliRunner:
    """Return the terminal's command in a folder with only MLflow; settings are keyword arguments."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_sqlite)
    return command(monkeypatch, capsys)


@pytest.fixture
def churn(mlflow_backend: MlflowBackend) -> str:
    """Return a model with v1 in Production, v2 without latency, and v3 without a run."""
    first = mlflow_backend.add_run(metrics={"f1": 0.1 + 0.2, "latency_ms": 12.0})
    second = mlflow_backend.add_run(metrics={"f1": 0.91})
    mlflow_backend.add_model("churn")
    mlflow_backend.add_version("churn", run_id=first, stage=Stage.PRODUCTION, tags={"semver": "1.0.0"})
    mlflow_backend.add_version("churn", run_id=second, tags={"semver": "1.1.0"})
    mlflow_backend.add_version("churn")
    return "churn"


def lines(found: Comparison, width: int = 80) -> list[str]:
    """Return the output's lines at this width."""
    console = Console(width=width, file=io.StringIO(), record=True, markup=False)
    for part in tables.comparison_table(found, width):
        console.print(part)
    return [line.rstrip() for line in console.export_text().splitlines()]

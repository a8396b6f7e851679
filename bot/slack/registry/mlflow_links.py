"""Pages of MLflow in the browser."""

from __future__ import annotations

from urllib.parse import quote

from bot.domain.registry.model import RunInfo, VersionInfo


def version_url(mlflow_url: str, version: VersionInfo) -> str:
    """Return the address of a version's page. `mlflow_url`: MLflow's address, without a slash at its end."""
    return f"{mlflow_url}/#/models/{quote(version.model, safe='')}/versions/{version.version}"


def run_url(mlflow_url: str, run: RunInfo) -> str:
    """Return the address of a run's page."""
    return f"{mlflow_url}/#/experiments/{quote(run.experiment, safe='')}/runs/{quote(run.id, safe='')}"

"""Pages of MLflow in the browser."""

from __future__ import annotations

from urllib.parse import quote

from bot.domain.registry.model import RunInfo, VersionInfo


def version_page(web: str, version: VersionInfo) -> str:
    """Return the address of a version's page. `web` is MLflow's own address, without a slash at its end."""
    return f"{web}/#/models/{quote(version.model, safe='')}/versions/{version.version}"


def run_page(web: str, run: RunInfo) -> str:
    """Return the address of a run's page."""
    return f"{web}/#/experiments/{quote(run.experiment, safe='')}/runs/{quote(run.id, safe='')}"

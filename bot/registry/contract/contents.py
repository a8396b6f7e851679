"""What a registry adapter provides for its contract tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from bot.domain.registry.model import Dataset, ModelPackage, Stage, VersionInfo


class RegistryContents(Protocol):
    """The storage behind a registry, where a test adds models and runs without going through the adapter."""

    def add_model(
        self,
        name: str,
        *,
        versions: int | Sequence[Stage] = 0,
        description: str = "",
        tags: Mapping[str, str] | None = None,
        is_prompt: bool = False,
    ) -> None:
        """Add a model with `versions` versions, or with one version in each of the given stages, v1 first."""

    def add_version(
        self,
        name: str,
        *,
        stage: Stage = Stage.NONE,
        run_id: str | None = None,
        description: str = "",
        tags: Mapping[str, str] | None = None,
        source: str = "",
    ) -> int:
        """Add a version; return its number."""

    def delete_version(self, name: str, version: int) -> None:
        """Delete a version."""

    def add_run(  # noqa: PLR0913 - a run has this many fields
        self,
        *,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        datasets: Sequence[Dataset] = (),
        status: str = "FINISHED",
        is_deleted: bool = False,
        models: Sequence[str] = (),
        name: str = "",
        experiment: str = "Default",
        user: str = "",
        started_at: datetime | None = None,
        ended_at: datetime | None = None,
    ) -> str:
        """Add a run that logged models with the names in `models`; return its ID."""

    def log_metric(self, run_id: str, metric: str, value: float, at: datetime) -> None:
        """Log one point of a run's metric."""

    def add_package(self, version_or_source: VersionInfo | str, package: ModelPackage) -> None:
        """Add the package's files next to a version's files, or at the given source."""

    def add_file(self, version_or_source: VersionInfo | str, path: str, contents: bytes) -> None:
        """Add or replace a version's file, or one at the given source. Only for adapters with `ReadsFiles`."""

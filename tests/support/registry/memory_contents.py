"""The contents of the in-memory registry: models, versions, runs, and packages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import RLock
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from bot.domain.registry.model import Dataset, LoggedValue, ModelPackage, RunInfo, Stage, VersionInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # when metrics are logged, unless a test sets another time


@dataclass(slots=True)
class StoredModel:
    """A registered model, or a prompt."""

    name: str
    description: str
    tags: Mapping[str, str]
    is_prompt: bool
    updated_at: datetime
    created_at: datetime
    versions: dict[int, VersionInfo] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    last_number: int = 0  # numbers of deleted versions are never reused


@dataclass(slots=True)
class StoredRun:
    """A run, with the names of the models that it logged and all points of its metrics in order."""

    info: RunInfo
    models: tuple[str, ...] = ()
    points: dict[str, list[LoggedValue]] = field(default_factory=dict)


class MemoryContents:
    """The data of an in-memory registry. Changes through these methods don't count as requests."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._lock = RLock()
        self._models: dict[str, StoredModel] = {}
        self._runs: dict[str, StoredRun] = {}
        self._packages: dict[str, ModelPackage] = {}
        self._estimators: dict[str, str] = {}
        self._files: dict[str, dict[str, bytes]] = {}

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
        with self._lock:
            self._models[name] = StoredModel(
                name, description, MappingProxyType(dict(tags or {})), is_prompt, self._now(), self._now()
            )
            for stage in [Stage.NONE] * versions if isinstance(versions, int) else versions:
                self.add_version(name, stage=stage)

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
        """Add a version with the next number to an existing model; return the number."""
        with self._lock:
            model = self._models[name]
            model.last_number += 1
            model.updated_at = self._now()
            model.versions[model.last_number] = VersionInfo(
                model=name,
                version=model.last_number,
                stage=stage,
                run_id=run_id,
                description=description,
                created_at=self._now(),
                changed_at=self._now(),
                tags=MappingProxyType(dict(tags or {})),
                source=source or f"memory:/{name}/{model.last_number}",
            )
            return model.last_number

    def delete_version(self, name: str, version: int) -> None:
        """Delete a version with its aliases; its number is never used again."""
        with self._lock:
            model = self._models[name]
            del model.versions[version]
            model.aliases = {alias: number for alias, number in model.aliases.items() if number != version}
            model.updated_at = self._now()

    def delete_model(self, name: str) -> None:
        """Delete a model with all its versions."""
        with self._lock:
            del self._models[name]

    def replace_version(self, name: str, number: int, **changes: Any) -> None:
        """Change a version in place, as a restore would; `changes` are fields of `VersionInfo`."""
        with self._lock:
            versions = self._models[name].versions
            versions[number] = replace(versions[number], **changes)

    def rename_model(self, name: str, new_name: str) -> None:
        """Rename a model, as MLflow does: its versions and aliases don't change."""
        with self._lock:
            model = self._models.pop(name)
            model.name, model.updated_at = new_name, self._now()
            model.versions = {number: replace(version, model=new_name) for number, version in model.versions.items()}
            self._models[new_name] = model

    def move_files(self, old: str, new: str) -> None:
        """Replace the first `old` in every source with `new`, as a database migration does."""
        with self._lock:
            for model in self._models.values():
                model.versions = {
                    number: replace(version, source=version.source.replace(old, new, 1))
                    for number, version in model.versions.items()
                }

    def add_run(
        self,
        run_id: str = "",
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
        """Add or replace a run; return its ID. `models` are the names of the models that it logged."""
        run_id = run_id or uuid4().hex
        info = RunInfo(
            id=run_id,
            experiment=experiment,
            name=name,
            status=status,
            user=user,
            started_at=started_at,
            ended_at=ended_at,
            is_deleted=is_deleted,
            datasets=tuple(datasets),
            metrics=MappingProxyType(dict(metrics or {})),
            params=MappingProxyType(dict(params or {})),
            tags=MappingProxyType(dict(tags or {})),
            git_commit=(tags or {}).get("mlflow.source.git.commit"),
        )
        with self._lock:
            points = {name: [(_EPOCH, value)] for name, value in info.metrics.items()}
            self._runs[run_id] = StoredRun(info, tuple(models), points)
        return run_id

    def log_metric(self, run_id: str, metric: str, value: float, at: datetime) -> None:
        """Log one point of a metric. All points have the same step, so the one with the latest time is the newest."""
        with self._lock:
            run = self._runs[run_id]
            run.points[metric] = sorted([*run.points.get(metric, []), (at, value)], key=lambda point: point[0])
            newest = {name: points[-1][1] for name, points in run.points.items()}
            run.info = replace(run.info, metrics=MappingProxyType(newest))

    def delete_run(self, run_id: str) -> None:
        """Mark a run as deleted; it can still be read."""
        with self._lock:
            run = self._runs[run_id]
            run.info = replace(run.info, is_deleted=True)

    def add_package(self, version_or_source: VersionInfo | str, package: ModelPackage) -> None:
        """Add a package next to the files of a version, or of every version with this source."""
        with self._lock:
            self._packages[version_or_source if isinstance(version_or_source, str) else version_or_source.source] = (
                package
            )

    def add_estimator(self, version_or_source: VersionInfo | str, class_name: str) -> None:
        """Set the model class in the files of a version, or of every version with this source."""
        with self._lock:
            self._estimators[version_or_source if isinstance(version_or_source, str) else version_or_source.source] = (
                class_name
            )

    def add_file(self, version_or_source: VersionInfo | str, path: str, contents: bytes) -> None:
        """Add or replace a file of a version, or of every version with this source.

        Without any, a version has one file, with its source in it.
        """
        source = version_or_source if isinstance(version_or_source, str) else version_or_source.source
        with self._lock:
            self._files.setdefault(source, {})[path] = contents

    def remove_package(self, version: VersionInfo) -> None:
        """Remove the package next to the files of a version."""
        with self._lock:
            del self._packages[version.source]

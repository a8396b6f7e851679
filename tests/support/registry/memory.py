"""An in-memory registry that behaves like MLflow's, and passes the same contract tests."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType

from bot.domain.core.errors import RegistryRefused, RegistryUnreachable
from bot.domain.core.sentence import Name, say
from bot.domain.registry.model import TARGET_STAGES, LoggedValue, ModelInfo, ModelPackage, RunInfo, Stage, VersionInfo
from bot.ports import StoredFile
from bot.registry.checks import (
    MAX_RUN_IDS,
    check_artifact_path,
    check_description,
    check_quotable,
    check_tags,
    choose_logged_model,
    monitored_version,
    name_taken_by_prompt,
    unknown_model,
    unknown_run,
    unknown_version,
    valid_run_ids,
)
from tests.support.registry.memory_contents import MemoryContents, StoredModel


class MemoryRegistry(MemoryContents):
    """The `ModelRegistry` and `ExperimentTracker` ports in memory, with switches to make calls fail.

    `is_down`: every call fails. `loses_answers`: each call takes effect, but its response is lost. `ignores_case`:
    names match regardless of case, as when MLflow's database is MySQL; results have the stored name. `delay`: seconds
    that each response takes; `sleep` waits that long. `request_counts` counts calls by method, with one for each tag
    that's set and for each 1,000 runs.
    """

    def __init__(
        self,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(now)
        self.is_down = False
        self.loses_answers = False
        self.ignores_case = False
        self.delay = 0.0
        self.request_counts: Counter[str] = Counter()
        self._sleep = sleep

    def models(self, text: str = "") -> list[ModelInfo]:
        """Return the models whose name contains `text` (ignoring case), sorted by name."""
        with self._simulated_request("models"):
            models = [model for _, model in sorted(self._models.items()) if not model.is_prompt]
            return [_model_info(model) for model in models if text.lower() in model.name.lower()]

    def recently_updated(self, since: datetime) -> list[ModelInfo]:
        """Return the models that were updated at `since` or later."""
        with self._simulated_request("recently_updated"):
            models = [model for model in self._models.values() if not model.is_prompt]
            return [_model_info(model) for model in models if model.updated_at >= since]

    def model(self, name: str) -> ModelInfo:
        """Return one model with its aliases. Raises UnknownModel."""
        with self._simulated_request("model"):
            return _model_info(self._require_model(name))

    def versions(self, name: str) -> list[VersionInfo]:
        """Return every version, newest number first; none for an unknown model."""
        with self._simulated_request("versions"):
            check_quotable(name)
            model = self._find_stored(name)
            versions = {} if model is None or model.is_prompt else model.versions
            return [versions[number] for number in sorted(versions, reverse=True)]

    def all_versions(self) -> list[VersionInfo]:
        """Return every version of every model, in any order, without aliases."""
        with self._simulated_request("all_versions"):
            models = [model for model in self._models.values() if not model.is_prompt]
            return [version for model in models for version in model.versions.values()]

    def versions_by_model(self) -> Iterator[tuple[str, list[VersionInfo]]]:
        """Return every model's versions, newest number first."""
        by_model: dict[str, list[VersionInfo]] = {}
        for version in sorted(self.all_versions(), key=lambda version: -version.version):
            by_model.setdefault(version.model, []).append(version)
        yield from by_model.items()

    def version(self, name: str, number: int) -> VersionInfo:
        """Return one version with its aliases. Raises UnknownModel and UnknownVersion."""
        with self._simulated_request("version"):
            check_quotable(name)
            model = self._require_version(name, number)
            aliases = sorted(alias for alias, at in model.aliases.items() if at == number)
            return replace(model.versions[number], aliases=tuple(aliases))

    def runs(self, ids: Sequence[str]) -> dict[str, RunInfo]:
        """Return the runs that exist, including deleted ones, by ID."""
        run_ids = valid_run_ids(ids)
        infos: dict[str, RunInfo] = {}
        for start in range(0, len(run_ids), MAX_RUN_IDS):
            with self._simulated_request("runs"):
                found = [self._runs[each].info for each in run_ids[start : start + MAX_RUN_IDS] if each in self._runs]
                for info in found:
                    metrics = {key: _finite(value) for key, value in info.metrics.items()}
                    infos[info.id] = replace(info, metrics=MappingProxyType(metrics))
        return infos

    def production_versions(self, names: Collection[str]) -> dict[str, VersionInfo]:
        """Return the version in Production of each of these models that has one; the highest if there are several."""
        if not names:
            return {}
        with self._simulated_request("in_production"):
            models = [model for name, model in self._models.items() if name in names and not model.is_prompt]
            numbers = {model.name: _model_info(model).latest.get(Stage.PRODUCTION) for model in models}
            return {model.name: model.versions[at] for model in models if (at := numbers[model.name]) is not None}

    def latest_metrics(self, run_ids: Sequence[str]) -> dict[str, Mapping[str, LoggedValue]]:
        """Return the newest point of each metric of the existing runs, by run and name."""
        with self._simulated_request("metrics"):
            found = {run_id: self._runs[run_id].points for run_id in run_ids if run_id in self._runs}
            newest = {run_id: {name: points[-1] for name, points in run.items()} for run_id, run in found.items()}
            return {
                run_id: {name: (at, _finite(value)) for name, (at, value) in run.items()}
                for run_id, run in newest.items()
            }

    def monitoring_runs(self, versions: Collection[tuple[str, int]]) -> dict[tuple[str, int], list[str]]:
        """Return the IDs of active runs whose tags name one of these versions, by model and version."""
        ids_by_version: dict[tuple[str, int], list[str]] = {}
        with self._simulated_request("monitoring_runs"):
            for run_id, run in self._runs.items():
                if (pair := monitored_version(run.info.tags)) in versions and pair and not run.info.is_deleted:
                    ids_by_version.setdefault(pair, []).append(run_id)
        return ids_by_version

    def metric_history(self, run_id: str, metric: str) -> list[LoggedValue]:
        """Return every point of a run's metric, oldest first; empty if there's none."""
        with self._simulated_request("points"):
            run = self._runs.get(run_id)
            return [(at, _finite(value)) for at, value in run.points.get(metric, [])] if run else []

    def version_files(self, version: VersionInfo) -> MemoryFiles:
        """Return the files of the version. Raises UnknownVersion."""
        with self._simulated_request("version_files"):
            self._require_version(version.model, version.version)
            return MemoryFiles(self._files.get(version.source, {"MLmodel": version.source.encode()}))

    def package(self, version: VersionInfo) -> ModelPackage | None:
        """Return the version's package, or None if there's none."""
        with self._simulated_request("package"):
            return self._packages.get(version.source)

    def estimator_class(self, version: VersionInfo) -> str | None:
        """Return the class of the version's model, or None if it wasn't set."""
        with self._simulated_request("estimator"):
            return self._estimators.get(version.source)

    def register_version(
        self, name: str, run_id: str, *, artifact: str = "", description: str = "", tags: Mapping[str, str]
    ) -> VersionInfo:
        """Create the next version from a run; create the model first if it doesn't exist.

        Raises UnknownRun, UnknownModel for a prompt, and BadInput if `artifact` is ambiguous.
        """
        check_tags(tags)
        check_description(description)
        check_quotable(name)
        check_artifact_path(artifact)
        with self._simulated_request("register"):
            run = self._runs.get(run_id)
            if run is None or run.info.is_deleted:
                raise unknown_run(run_id)
            logged = choose_logged_model(run_id, [(f"m-{run_id}-{each}", each) for each in run.models], artifact)
            source = f"models:/{logged}" if logged else f"memory:/{run_id}/artifacts/{artifact or 'model'}"
            if not name.strip() or "/" in name or ":" in name:
                raise RegistryRefused(say("The registry doesn't accept the model name {name}.", name=Name(name)))
            if (model := self._find_stored(name)) is None:
                self.add_model(name)
                model = self._models[name]
            if model.is_prompt:
                raise name_taken_by_prompt(name)
            _check_tag_keys(tags)
            number = self.add_version(model.name, run_id=run_id, description=description, tags=tags, source=source)
            return model.versions[number]

    def set_tags(self, name: str, version: int, tags: Mapping[str, str | None]) -> None:
        """Set the version's tags; None removes a tag. Raises UnknownVersion."""
        check_tags(tags)
        for key, value in tags.items():
            with self._simulated_request("set_tags"):
                model = self._require_version(name, version)
                _check_tag_keys([key])
                other_tags = {other: text for other, text in model.versions[version].tags.items() if other != key}
                new = MappingProxyType(other_tags if value is None else {**other_tags, key: value})
                model.versions[version] = replace(model.versions[version], tags=new)

    def set_description(self, name: str, version: int | None, text: str) -> None:
        """Set the description of a version, or of the model if `version` is None. Raises UnknownVersion."""
        check_description(text)
        with self._simulated_request("describe"):
            if version is None:
                model = self._require_model(name)
                model.description, model.updated_at = text, self._now()
            else:
                model = self._require_version(name, version)
                model.versions[version] = replace(model.versions[version], description=text, changed_at=self._now())

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove an alias, if it exists."""
        with self._simulated_request("drop_alias"):
            self._require_model(name).aliases.pop(alias, None)

    def transition_stage(self, name: str, version: int, stage: Stage, *, archive_existing: bool) -> None:
        """Transition the version; `archive_existing` archives the other versions in the target stage."""
        with self._simulated_request("transition"):
            model = self._require_version(name, version)
            for number, other in model.versions.items() if archive_existing and stage in TARGET_STAGES else ():
                if other.stage is stage:
                    model.versions[number] = replace(other, stage=Stage.ARCHIVED)
            model.versions[version] = replace(model.versions[version], stage=stage, changed_at=self._now())
            model.updated_at = self._now()

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point `alias` to the version. Raises RegistryRefused for an alias that MLflow doesn't accept."""
        with self._simulated_request("set_alias"):
            model = self._require_version(name, version)
            if not re.fullmatch(r"[\w-]{1,255}", alias) or re.fullmatch(r"(?i)latest|v\d+", alias):
                raise RegistryRefused(say("The registry doesn't accept the alias {alias}.", alias=Name(alias)))
            model.aliases[alias] = version

    def close(self) -> None:
        """Do nothing, since the registry has no connections."""

    @contextmanager
    def _simulated_request(self, method: str) -> Iterator[None]:
        self.request_counts[method] += 1
        if self.delay:
            self._sleep(self.delay)
        if self.is_down:
            raise RegistryUnreachable("The registry isn't responding.")
        with self._lock:
            yield
        if self.loses_answers:
            raise RegistryUnreachable("The registry didn't respond in time.")

    def _find_stored(self, name: str) -> StoredModel | None:
        stored = self._models.get(name)
        if stored is None and self.ignores_case:
            return next((model for model in self._models.values() if model.name.lower() == name.lower()), None)
        return stored

    def _require_model(self, name: str) -> StoredModel:
        model = self._find_stored(name)
        if model is None or model.is_prompt:
            raise unknown_model(name)
        return model

    def _require_version(self, name: str, version: int) -> StoredModel:
        model = self._require_model(name)
        if version not in model.versions:
            raise unknown_version(name, version)
        return model


@dataclass(frozen=True, slots=True)
class MemoryFiles:
    """The files of a version, by path."""

    contents: Mapping[str, bytes]

    def files(self) -> list[StoredFile]:
        """Return all files."""
        return [StoredFile(path, len(data)) for path, data in list(self.contents.items())]

    def chunks(self, path: str) -> Iterator[bytes]:
        """Yield a file's contents."""
        yield self.contents[path]


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan


def _check_tag_keys(keys: Iterable[str]) -> None:
    for key in keys:
        if not re.fullmatch(r"[/\w.\- :]+", key):
            raise RegistryRefused(say("The registry doesn't accept the tag {key}.", key=Name(key)))


def _model_info(model: StoredModel) -> ModelInfo:
    latest = {model.versions[number].stage: number for number in sorted(model.versions)}
    return ModelInfo(
        name=model.name,
        description=model.description,
        latest=latest,
        aliases=MappingProxyType(dict(model.aliases)),
        tags=model.tags,
        updated_at=model.updated_at,
        created_at=model.created_at,
        identities={number: model.versions[number].identity(model.created_at) for number in latest.values()},
    )

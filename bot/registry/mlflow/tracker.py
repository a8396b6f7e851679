"""MLflow's runs: their metrics, the models that they logged, and those models' files."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import methodcaller
from typing import Any
from urllib.parse import urlsplit

from bot.domain.core.errors import BadInput, UnknownRun
from bot.domain.registry.model import (
    RUN_MODEL_TAG,
    RUN_VERSION_TAG,
    LoggedValue,
    ModelPackage,
    RunInfo,
    VersionInfo,
)
from bot.ports import VersionFiles
from bot.registry.checks import (
    MAX_RUN_IDS,
    choose_logged_model,
    is_run_id,
    monitored_version,
    unknown_run,
    unknown_version,
    valid_run_ids,
)
from bot.registry.mlflow.artifacts import read_estimator, read_package
from bot.registry.mlflow.connection import MlflowConnection, request_timeout
from bot.registry.mlflow.entities import metric_point, run_info
from bot.registry.mlflow.files import open_files
from bot.registry.mlflow.rest_search import search_runs

_ALL_RUNS = 3  # MLflow's ViewType.ALL: includes deleted runs
_ACTIVE_RUNS = 1  # ViewType.ACTIVE_ONLY
_RUNS_PER_PAGE = 50_000  # MLflow's limit, which applies to experiments too
_MAX_CACHED_ESTIMATORS = 1_000  # versions whose model classes are cached


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """The location of a logged model's files. In MLflow 2, logged models have no ID."""

    source: str
    model_id: str | None = None
    name: str = ""


class MlflowTracker:
    """The `ExperimentTracker` port for MLflow.

    It caches the experiment IDs, because MLflow searches only the experiments it's given. `registry` knows where the
    versions' files are.
    """

    def __init__(self, connection: MlflowConnection, registry: MlflowConnection) -> None:
        self._connection = connection
        self._registry = registry
        self._experiment_ids: Sequence[str] = ()
        self._estimators: dict[tuple[str, int, str], str | None] = {}

    def close(self) -> None:
        """Close the database connections; the next call opens new ones."""
        self._connection.close()

    def runs(self, ids: Sequence[str]) -> dict[str, RunInfo]:
        """Return the runs that exist, including deleted ones, by ID.

        One request for each 1,000 IDs. If a run isn't in a known experiment, one more lists the experiments, and the
        missing runs are searched for in the new ones. A single run is fetched by its ID, because a server without
        Flask-WTF takes 0.1 s for each search.
        """
        return {run_id: run_info(run) for run_id, run in self._find_entities(ids).items()}

    def latest_metrics(self, run_ids: Sequence[str]) -> dict[str, Mapping[str, LoggedValue]]:
        """Return the newest point of each metric, by run ID and metric name, for the runs that exist.

        Same requests as `runs`.
        """
        return {
            run_id: {metric.key: metric_point(metric) for metric in run.data._metric_objs}
            for run_id, run in self._find_entities(run_ids).items()
        }

    def monitoring_runs(self, versions: Collection[tuple[str, int]]) -> dict[tuple[str, int], list[str]]:
        """Return the IDs of active runs whose tags name one of these versions, by model and version.

        One request, and up to two more if some version has no run in the known experiments.
        """
        if not versions:
            return {}
        is_fresh = not self._experiment_ids and self._fetch_new_experiment_ids()
        run_ids = self._search_monitoring_runs(versions)
        if not is_fresh and set(versions) - run_ids.keys() and self._fetch_new_experiment_ids():
            return self._search_monitoring_runs(versions)
        return run_ids

    def metric_history(self, run_id: str, metric: str) -> list[LoggedValue]:
        """Return every point of a run's metric, oldest first; empty if there's none. One request per 25,000 points."""
        if not is_run_id(run_id):
            return []
        try:
            history = self._connection.read(
                lambda client: client.get_metric_history(run_id, metric), unknown_run(run_id)
            )
        except UnknownRun:
            return []
        return sorted((metric_point(entry) for entry in history), key=lambda point: point[0])

    def package(self, version: VersionInfo) -> ModelPackage | None:
        """Return the data in the version's MLmodel file, or None if there's no such file.

        One request for the files' location, and three to read them from an MLflow server. Raises UnknownVersion, and
        RegistryRefused or RegistryUnreachable if they can't be read in time.
        """
        return read_package(self._artifact_location(version), self._connection.uri, request_timeout())

    def estimator_class(self, version: VersionInfo) -> str | None:
        """Return the class of the version's model, read from its files without loading them; None if unknown.

        A few requests the first time, then none. Raises the same errors as `package`.
        """
        key = (version.model, version.version, version.identity().fingerprint)
        if key not in self._estimators:
            class_name = read_estimator(self._artifact_location(version), self._connection.uri, request_timeout())
            if len(self._estimators) >= _MAX_CACHED_ESTIMATORS:
                self._estimators.clear()
            self._estimators[key] = class_name
        return self._estimators[key]

    def version_files(self, version: VersionInfo) -> VersionFiles:
        """Return all files of the version. Raises UnknownVersion, RegistryRefused, and RegistryUnreachable."""
        return open_files(self._artifact_location(version), self._connection.uri)

    def _artifact_location(self, version: VersionInfo) -> str:
        """Return where the version's files are. Raises UnknownVersion, and UnknownRun if its run is gone."""
        location: str = self._registry.read(
            lambda client: client.get_model_version_download_uri(version.model, version.version),
            unknown_version(version.model, version.version),
        )
        if urlsplit(location).scheme != "runs":
            return location
        run_id, _, path = urlsplit(location).path.strip("/").partition("/")
        run = self._run(run_id)
        try:
            return self._logged_model(run, path).source
        except BadInput:  # the run logged other models, and this one as plain files
            return _artifact_uri(run, path)

    def logged_model(self, run_id: str, artifact: str) -> LoggedModel:
        """Return the run's logged model whose name, ID, or file path is `artifact`.

        An empty `artifact` means the run's only model. A run that logged no model can contain one as plain files. One
        request for the run, and one for each model that it logged. Raises UnknownRun, including for a deleted run, and
        BadInput if `artifact` is ambiguous.
        """
        run = self._run(run_id)
        if run.info.lifecycle_stage == "deleted":
            raise unknown_run(run_id)
        return self._logged_model(run, artifact)

    def _search_monitoring_runs(self, wanted: Collection[tuple[str, int]]) -> dict[tuple[str, int], list[str]]:
        # MLflow's filters have neither OR nor escapes. For several models, or one with quotes in its name, this reads
        # all monitoring runs and filters them here.
        names = {model for model, _ in wanted}
        which = f"= '{names.pop()}'" if len(names) == 1 and not set("'\"\\").intersection(*names) else "LIKE '%'"
        filter_string = f"tags.`{RUN_MODEL_TAG}` {which} AND tags.`{RUN_VERSION_TAG}` LIKE '%'"
        run_ids: dict[tuple[str, int], list[str]] = {}
        for run in self._search(filter_string, self._experiment_ids, _ACTIVE_RUNS) if self._experiment_ids else []:
            if (pair := monitored_version(run.data.tags)) in wanted and pair:
                run_ids.setdefault(pair, []).append(run.info.run_id)
        return run_ids

    def _find_entities(self, ids: Sequence[str]) -> dict[str, Any]:
        run_ids = valid_run_ids(ids)
        if len(run_ids) == 1:
            try:
                return {run_ids[0]: self._run(run_ids[0])}
            except UnknownRun:
                return {}
        runs = self._search_by_id(run_ids, self._experiment_ids)
        missing = [run_id for run_id in run_ids if run_id not in runs]
        return runs | self._search_by_id(missing, self._fetch_new_experiment_ids()) if missing else runs

    def _run(self, run_id: str) -> Any:
        """Return MLflow's own run entity, even if the run is deleted. Raises UnknownRun. One request."""
        missing = unknown_run(run_id)
        if not is_run_id(run_id):
            raise missing
        return self._connection.read(lambda client: client.get_run(run_id), missing)

    def _logged_model(self, run: Any, artifact: str) -> LoggedModel:
        models = self._logged_models(run)
        names = [(key, model.name) for key, model in models.items()]
        if chosen := choose_logged_model(run.info.run_id, names, artifact):
            return models[chosen]
        return LoggedModel(_artifact_uri(run, artifact or "model"))

    def _fetch_new_experiment_ids(self) -> Sequence[str]:
        """Cache the IDs of all experiments, and return those that are new."""
        experiments = self._connection.read_pages(
            lambda client, token: client.search_experiments(
                view_type=_ALL_RUNS, max_results=_RUNS_PER_PAGE, page_token=token
            )
        )
        known_ids, self._experiment_ids = set(self._experiment_ids), [each.experiment_id for each in experiments]
        return [each for each in self._experiment_ids if each not in known_ids]

    def _search_by_id(self, ids: Sequence[str], experiment_ids: Sequence[str]) -> dict[str, Any]:
        runs_by_id: dict[str, Any] = {}
        for start in range(0, len(ids) if experiment_ids else 0, MAX_RUN_IDS):
            # MLflow doesn't accept spaces after these commas.
            quoted_ids = ",".join(f"'{run_id}'" for run_id in ids[start : start + MAX_RUN_IDS])
            runs = self._search(f"attributes.run_id IN ({quoted_ids})", experiment_ids)
            runs_by_id |= {run.info.run_id: run for run in runs}
        return runs_by_id

    def _search(self, filter_string: str, experiment_ids: Sequence[str], view_type: int = _ALL_RUNS) -> list[Any]:
        return self._connection.read_pages(
            lambda client, token: search_runs(client, experiment_ids, filter_string, view_type, _RUNS_PER_PAGE, token)
        )

    def _logged_models(self, run: Any) -> dict[str, LoggedModel]:
        outputs = run.outputs.model_outputs if run.outputs else []
        models = {}
        for model_id in dict.fromkeys(output.model_id for output in outputs or []):
            try:
                model = self._connection.read(methodcaller("get_logged_model", model_id), unknown_run(model_id))
            except UnknownRun:  # deleted since
                continue
            models[model_id] = LoggedModel(model.artifact_location, model_id, model.name)
        return models or _logged_models_of_mlflow_2(run)


def _logged_models_of_mlflow_2(run: Any) -> dict[str, LoggedModel]:
    """Return the logged models of a run that stores them in a tag, as MLflow did before version 3."""
    try:
        history = json.loads(run.data.tags.get("mlflow.log-model.history") or "[]")
        paths = dict.fromkeys(str(entry["artifact_path"]) for entry in history)
    except (ValueError, TypeError, LookupError):
        return {}
    return {path: LoggedModel(_artifact_uri(run, path), name=path) for path in paths}


def _artifact_uri(run: Any, path: str) -> str:
    from mlflow.utils.uri import append_to_uri_path  # noqa: PLC0415 - takes seconds

    return str(append_to_uri_path(run.info.artifact_uri, path))  # type: ignore[no-untyped-call]

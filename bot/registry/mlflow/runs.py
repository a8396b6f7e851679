"""MLflow's runs: what they measured, and the models that they logged."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.domain.core.errors import BadInput, UnknownRun
from bot.domain.registry.model import RUN_MODEL_TAG, RUN_VERSION_TAG, LoggedValue, RunInfo
from bot.registry.checks import MAX_RUN_IDS, choose_logged_model, is_run_id, monitored_version, valid_run_ids
from bot.registry.errors import unknown_run
from bot.registry.mlflow.connection import MlflowConnection
from bot.registry.mlflow.entities import metric_point, run_info
from bot.registry.mlflow.rest_search import search_runs

_ALL_RUNS = 3  # MLflow's ViewType.ALL: deleted ones, too
_ACTIVE_RUNS = 1  # ViewType.ACTIVE_ONLY
_RUNS_PER_PAGE = 50_000  # MLflow's limit, as that of experiments


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """Where the files of a model lie that a run logged. MLflow 2 gave such models no id."""

    source: str
    model_id: str | None = None
    name: str = ""


class MlflowRuns:
    """The runs of one connection. It remembers the experiments, because MLflow searches only in those it's given."""

    def __init__(self, connection: MlflowConnection) -> None:
        self._connection = connection
        self._experiment_ids: Sequence[str] = ()  # their ids

    def find(self, ids: Sequence[str]) -> dict[str, RunInfo]:
        """Return the runs that exist, including deleted ones, by id.

        One request for each 1,000 ids, and one for the experiments if a run wasn't found in the known ones. A single
        run is fetched by its id: a server without Flask-WTF spends a tenth of a second on each search.
        """
        return {run_id: run_info(run) for run_id, run in self._find_entities(ids).items()}

    def metrics(self, ids: Sequence[str]) -> dict[str, Mapping[str, LoggedValue]]:
        """Return the newest point of each metric of the runs that are there, by run and name. As `find` costs."""
        return {
            run_id: {metric.key: metric_point(metric) for metric in run.data._metric_objs}
            for run_id, run in self._find_entities(ids).items()
        }

    def monitoring_runs(self, wanted: Collection[tuple[str, int]]) -> dict[tuple[str, int], list[str]]:
        """Return the ids of active runs whose tags name one of these models and versions, by these.

        One request, and two more if something wasn't found in the known experiments.
        """
        if not wanted:
            return {}
        fresh = not self._experiment_ids
        if fresh:
            self._experiment_ids = self._fetch_experiment_ids()
        run_ids = self._search_monitoring_runs(wanted)
        if not fresh and set(wanted) - run_ids.keys():
            known_ids, self._experiment_ids = set(self._experiment_ids), self._fetch_experiment_ids()
            if set(self._experiment_ids) - known_ids:
                return self._search_monitoring_runs(wanted)
        return run_ids

    def points(self, run_id: str, metric: str) -> list[LoggedValue]:
        """Return every point of a run's metric, oldest first; empty if it has none. One request for each 25,000."""
        if not is_run_id(run_id):
            return []
        try:
            history = self._connection.read(
                lambda client: client.get_metric_history(run_id, metric), unknown_run(run_id)
            )
        except UnknownRun:
            return []
        return sorted((metric_point(entry) for entry in history), key=lambda point: point[0])

    def _search_monitoring_runs(self, wanted: Collection[tuple[str, int]]) -> dict[tuple[str, int], list[str]]:
        # MLflow's filters know no OR and no escape: of several models, or of one with an odd name, all runs that
        # monitor something are read, and chosen from here.
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
            return self._find_one(run_ids[0])
        fresh = bool(run_ids) and not self._experiment_ids
        if fresh:
            self._experiment_ids = self._fetch_experiment_ids()
        runs = self._search_by_id(run_ids, self._experiment_ids)
        missing = [run_id for run_id in run_ids if run_id not in runs]
        if missing and not fresh:
            known_ids, self._experiment_ids = set(self._experiment_ids), self._fetch_experiment_ids()
            runs |= self._search_by_id(
                missing, [experiment_id for experiment_id in self._experiment_ids if experiment_id not in known_ids]
            )
        return runs

    def _find_one(self, run_id: str) -> dict[str, Any]:
        try:
            return {run_id: self.run(run_id)}
        except UnknownRun:
            return {}

    def run(self, run_id: str) -> Any:
        """Return MLflow's own run, which can be a deleted one. Raises UnknownRun. One request."""
        missing = unknown_run(run_id)
        if not is_run_id(run_id):
            raise missing
        return self._connection.read(lambda client: client.get_run(run_id), missing)

    def active_run(self, run_id: str) -> Any:
        """Return MLflow's own run. Raises UnknownRun also for a deleted one. One request."""
        run = self.run(run_id)
        if run.info.lifecycle_stage == "deleted":
            raise unknown_run(run_id)
        return run

    def logged_model(self, run: Any, artifact: str) -> LoggedModel:
        """Return the run's model that `artifact` names: by its name, its id, or the path of its files.

        A run that logged no model can contain one as plain files. One request for each model that it logged. Raises
        BadInput if it's ambiguous which one is meant.
        """
        models = self._logged_models(run)
        names = [(key, model.name) for key, model in models.items()]
        if chosen := choose_logged_model(run.info.run_id, names, artifact):
            return models[chosen]
        return LoggedModel(_artifact_uri(run, artifact or "model"))

    def artifact_location(self, run_id: str, path: str) -> str:
        """Return where the files of `runs:/<run_id>/<path>` are. Raises UnknownRun."""
        run = self.run(run_id)
        try:
            return self.logged_model(run, path).source
        except BadInput:  # the run logged other models, and this one as plain files
            return _artifact_uri(run, path)

    def _fetch_experiment_ids(self) -> Sequence[str]:
        experiments = self._connection.read_pages(
            lambda client, token: client.search_experiments(
                view_type=_ALL_RUNS, max_results=_RUNS_PER_PAGE, page_token=token
            )
        )
        return [experiment.experiment_id for experiment in experiments]

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
                model = self._fetch_logged_model(model_id)
            except UnknownRun:  # deleted since
                continue
            models[model_id] = LoggedModel(model.artifact_location, model_id, model.name)
        return models or _logged_models_of_mlflow_2(run)

    def _fetch_logged_model(self, model_id: str) -> Any:
        return self._connection.read(lambda client: client.get_logged_model(model_id), unknown_run(model_id))


def _logged_models_of_mlflow_2(run: Any) -> dict[str, LoggedModel]:
    """Return the models of a run that wrote them down in a tag, as MLflow did before its version 3."""
    try:
        history = json.loads(run.data.tags.get("mlflow.log-model.history") or "[]")
        paths = dict.fromkeys(str(entry["artifact_path"]) for entry in history)
    except (ValueError, TypeError, LookupError):
        return {}
    return {path: LoggedModel(_artifact_uri(run, path), name=path) for path in paths}


def _artifact_uri(run: Any, path: str) -> str:
    from mlflow.utils.uri import append_to_uri_path  # noqa: PLC0415 - see mlflow_calls.Line

    return str(append_to_uri_path(run.info.artifact_uri, path))  # type: ignore[no-untyped-call]

"""MLflow's runs: what they measured, and the models that they logged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bot.domain.errors import BadInput, UnknownRun
from bot.domain.registry import RunInfo
from bot.registry import RUNS_AT_ONCE, chosen, is_run_id, run_ids, unknown_run
from bot.registry.mlflow_calls import Line
from bot.registry.mlflow_entities import run_info

_EVERY_STATE = 3  # MLflow's ViewType.ALL: deleted ones, too
_RUNS_A_PAGE = 50_000  # MLflow's limit, as that of experiments


@dataclass(frozen=True, slots=True)
class Logged:
    """Where the files of a model lie that a run logged. MLflow 2 gave such models no id."""

    source: str
    model_id: str | None = None
    name: str = ""


class Runs:
    """The runs behind one line. It remembers the experiments: MLflow finds runs only in those that it is told."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._experiments: Sequence[str] = ()  # their ids

    def find(self, ids: Sequence[str]) -> dict[str, RunInfo]:
        """Return the runs that are there, deleted ones too, by id.

        One request for each 1,000 ids, and one for the experiments where some run was not found in those we know. A
        single run is got by its id: a server without Flask-WTF spends a tenth of a second on each search.
        """
        wanted = run_ids(ids)
        if len(wanted) == 1:
            return self._one(wanted[0])
        fresh = bool(wanted) and not self._experiments
        if fresh:
            self._experiments = self._all_experiments()
        found = self._found(wanted, self._experiments)
        missing = [run_id for run_id in wanted if run_id not in found]
        if missing and not fresh:
            known, self._experiments = set(self._experiments), self._all_experiments()
            found |= self._found(missing, [one for one in self._experiments if one not in known])
        return found

    def _one(self, run_id: str) -> dict[str, RunInfo]:
        try:
            found = self.run(run_id)
        except UnknownRun:
            return {}
        return {run_id: run_info(found)}

    def run(self, run_id: str) -> Any:
        """Return MLflow's own run, which may be a deleted one. Raises UnknownRun. One request."""
        missing = unknown_run(run_id)
        if not is_run_id(run_id):
            raise missing
        return self._line.read(lambda client: client.get_run(run_id), missing)

    def living(self, run_id: str) -> Any:
        """Return MLflow's own run. Raises UnknownRun also for a deleted one. One request."""
        run = self.run(run_id)
        if run.info.lifecycle_stage == "deleted":
            raise unknown_run(run_id)
        return run

    def logged(self, run: Any, artifact: str) -> Logged:
        """Return the model of the run that `artifact` means: by its name, its id, or the path of its files.

        A run that logged no model may hold one as plain files. One request for each model that it logged. Raises
        BadInput where it is not clear which one is meant.
        """
        models = self._models_of(run)
        known = [(key, model.name) for key, model in models.items()]
        if meant := chosen(run.info.run_id, known, artifact):
            return models[meant]
        return Logged(_within(run, artifact or "model"))

    def place(self, run_id: str, path: str) -> str:
        """Return where the files of `runs:/<run_id>/<path>` lie. Raises UnknownRun."""
        run = self.run(run_id)
        try:
            return self.logged(run, path).source
        except BadInput:  # the run logged other models, and this as plain files
            return _within(run, path)

    def _all_experiments(self) -> Sequence[str]:
        found = self._line.pages(
            lambda client, token: client.search_experiments(
                view_type=_EVERY_STATE, max_results=_RUNS_A_PAGE, page_token=token
            )
        )
        return [each.experiment_id for each in found]

    def _found(self, ids: Sequence[str], experiments: Sequence[str]) -> dict[str, RunInfo]:
        found: dict[str, RunInfo] = {}
        for start in range(0, len(ids) if experiments else 0, RUNS_AT_ONCE):
            # MLflow takes no space after these commas.
            here = ",".join(f"'{run_id}'" for run_id in ids[start : start + RUNS_AT_ONCE])
            runs = self._search(f"attributes.run_id IN ({here})", experiments)
            found |= {run.info.run_id: run_info(run) for run in runs}
        return found

    def _search(self, where: str, experiments: Sequence[str]) -> list[Any]:
        return self._line.pages(
            lambda client, token: client.search_runs(
                list(experiments), where, _EVERY_STATE, max_results=_RUNS_A_PAGE, page_token=token
            )
        )

    def _models_of(self, run: Any) -> dict[str, Logged]:
        outputs = run.outputs.model_outputs if run.outputs else []
        models = {}
        for model_id in dict.fromkeys(output.model_id for output in outputs or []):
            try:
                model = self._logged_model(model_id)
            except UnknownRun:  # deleted since
                continue
            models[model_id] = Logged(model.artifact_location, model_id, model.name)
        return models or _models_of_mlflow_2(run)

    def _logged_model(self, model_id: str) -> Any:
        return self._line.read(lambda client: client.get_logged_model(model_id), unknown_run(model_id))


def _models_of_mlflow_2(run: Any) -> dict[str, Logged]:
    """Return the models of a run that wrote them down in a tag, as MLflow did before its version 3."""
    try:
        history = json.loads(run.data.tags.get("mlflow.log-model.history") or "[]")
        paths = dict.fromkeys(str(each["artifact_path"]) for each in history)
    except (ValueError, TypeError, LookupError):
        return {}
    return {path: Logged(_within(run, path), name=path) for path in paths}


def _within(run: Any, path: str) -> str:
    from mlflow.utils.uri import append_to_uri_path  # noqa: PLC0415 - see mlflow_calls.Line

    return str(append_to_uri_path(run.info.artifact_uri, path))  # type: ignore[no-untyped-call]

"""The port to MLflow's Model Registry."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from bot.domain.registry.model import LoggedValue, ModelInfo, ModelPackage, RunInfo, Stage, VersionInfo


class ModelRegistry(Protocol):
    """The model registry. Every method can raise RegistryUnreachable and RegistryRefused.

    Prompts share MLflow's tables; methods never return or change one, and raise UnknownModel for it. They raise
    UnknownModel, too, for a name with both kinds of quotes. A write takes one request, and one more if the model
    wasn't read within the last minute. A registry that ignores case can find a model by a name in another letter case:
    the result has the stored name, so a caller that passes what a person typed must compare the two.
    """

    def models(self, text: str = "") -> list[ModelInfo]:
        """Return the models whose name contains `text` in any case, sorted by name. One request per 1,000 models."""
        ...

    def model(self, name: str) -> ModelInfo:
        """Return a model with its aliases. Raises UnknownModel. One request."""
        ...

    def versions(self, name: str) -> list[VersionInfo]:
        """Return every version of the model, newest number first, without aliases; none for an unknown model.

        One request.
        """
        ...

    def version(self, name: str, number: int) -> VersionInfo:
        """Return a version with its aliases. Raises UnknownModel and UnknownVersion. One request."""
        ...

    def runs(self, ids: Sequence[str]) -> dict[str, RunInfo]:
        """Return the runs that exist, by id, including deleted ones.

        One request per 1,000 ids, and one more if the experiments aren't known yet.
        """
        ...

    def production_versions(self, names: Collection[str]) -> dict[str, VersionInfo]:
        """Return the Production version of these models, by model name; the highest one if there are several.

        Models without one are left out, and versions come without aliases. One request per 1,000 models; if the
        registry has no stages, one more for each model.
        """
        ...

    def latest_metrics(self, run_ids: Sequence[str]) -> dict[str, Mapping[str, LoggedValue]]:
        """Return the newest point of each metric, by run id and metric name, for the runs that exist.

        For MLflow that's the point with the highest step, and the latest of those. Requests as for `runs`.
        """
        ...

    def monitoring_runs(self, versions: Collection[tuple[str, int]]) -> dict[tuple[str, int], list[str]]:
        """Return the ids of runs whose tags name one of these pairs of model and version, by that pair.

        Deleted runs are left out. One request, and one more to list the experiments if a pair has no run in the known
        ones.
        """
        ...

    def metric_history(self, run_id: str, metric: str) -> list[LoggedValue]:
        """Return all points of a run's metric, oldest first; empty if it has none. One request per 25,000 points."""
        ...

    def package(self, version: VersionInfo) -> ModelPackage | None:
        """Return the metadata beside the version's files; None if there's no MLmodel file. A few requests."""
        ...

    def estimator_class(self, version: VersionInfo) -> str | None:
        """Return the class name of the version's estimator, read from its files; None if they don't tell.

        The model isn't loaded. For a scikit-learn pipeline it's the class of the last step. A few requests the first
        time.
        """
        ...

    def register_version(
        self, name: str, run_id: str, *, artifact: str = "", description: str = "", tags: Mapping[str, str]
    ) -> VersionInfo:
        """Create the model's next version from a run; create the model first if it doesn't exist.

        `artifact`: which of the run's logged models, if there are several. The call isn't retried if its result is
        unknown: search for a version with this run first. Raises UnknownRun, and BadInput if the run logged several
        models and `artifact` names none of them.
        """
        ...

    def set_tags(self, name: str, version: int, tags: Mapping[str, str | None]) -> None:
        """Set a version's tags; None deletes a tag. Raises UnknownVersion. One request per tag."""
        ...

    def set_description(self, name: str, version: int | None, text: str) -> None:
        """Set a version's description, or the model's if `version` is None. Raises UnknownVersion. One request."""
        ...

    def delete_alias(self, name: str, alias: str) -> None:
        """Delete an alias if it exists. One request."""
        ...

    def transition_stage(self, name: str, version: int, stage: Stage, *, archive_existing: bool) -> None:
        """Transition the version to `stage`.

        `archive_existing`: also archive the versions that hold Staging or Production; at no moment does the stage lack
        a version. Raises UnknownVersion. One request if the server can do both at once.
        """
        ...

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias at the version. Raises UnknownVersion. One request."""
        ...

"""MLflow's Model Registry, in our words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from bot.domain.registry.model import LoggedValue, ModelInfo, ModelPackage, RunInfo, Stage, VersionInfo


class ModelRegistry(Protocol):
    """The model registry. Every method may raise RegistryUnreachable and RegistryRefused.

    Prompts share MLflow's tables; no method ever returns or touches one (UnknownModel). The writes take one request
    where the model was read within the last minute, and one more where it was not. A name with both kinds of quotes
    is an UnknownModel. A registry that ignores case may find a model by a name in another letter case: what it returns
    then has the stored name, and whoever passes a typed name compares the two.
    """

    def models(self, text: str = "") -> list[ModelInfo]:
        """Return the models whose name holds `text` (any case), sorted by name. One request a page of 1,000."""
        ...

    def model(self, name: str) -> ModelInfo:
        """Return one model with its aliases. Raises UnknownModel. One request."""
        ...

    def versions(self, name: str) -> list[VersionInfo]:
        """Return every version of the model, newest number first, without aliases; none for an unknown model.

        One request.
        """
        ...

    def version(self, name: str, number: int) -> VersionInfo:
        """Return one version with its aliases. Raises UnknownModel and UnknownVersion. One request."""
        ...

    def runs(self, ids: Sequence[str]) -> dict[str, RunInfo]:
        """Return the runs that are there, deleted ones too, by id.

        One request for each 1,000 ids, and one more where the experiments are not known yet.
        """
        ...

    def production_versions(self, names: Collection[str]) -> dict[str, VersionInfo]:
        """Return the version in Production of each of these models that has one, of several the highest number.

        Without aliases. One request a page of 1,000 models; without stages one more for each model.
        """
        ...

    def latest_metrics(self, run_ids: Sequence[str]) -> dict[str, Mapping[str, LoggedValue]]:
        """Return the newest point of each metric of the runs that are there, by run and name. Requests as for `runs`.

        MLflow's newest is the one of the highest step, and among those the latest.
        """
        ...

    def monitoring_runs(self, versions: Collection[tuple[str, int]]) -> dict[tuple[str, int], list[str]]:
        """Return the ids of the runs whose tags name one of these models and versions, by these; no deleted ones.

        One request, and one more for the experiments where something was not found in those we know.
        """
        ...

    def metric_history(self, run_id: str, metric: str) -> list[LoggedValue]:
        """Return every point of a run's metric, oldest first; none where there is none. A request for each 25,000."""
        ...

    def package(self, version: VersionInfo) -> ModelPackage | None:
        """Return what lies beside the version's files, or None where no MLmodel does. A few requests."""
        ...

    def estimator_class(self, version: VersionInfo) -> str | None:
        """Return the name of the class of the version's model, read from its files; None where they don't tell.

        Nothing is loaded. Of a scikit-learn pipeline it's the last step's. A few requests for the first time.
        """
        ...

    def register_version(
        self, name: str, run_id: str, *, artifact: str = "", description: str = "", tags: Mapping[str, str]
    ) -> VersionInfo:
        """Make the next version out of a run; a model that is not there is made first.

        `artifact` names one of the run's logged models where it has several. It is not sent again by itself after an
        unknown result: look for a version with this run first. Raises UnknownRun, and BadInput where the run logged
        several models and `artifact` names none of them.
        """
        ...

    def set_tags(self, name: str, version: int, tags: Mapping[str, str | None]) -> None:
        """Set the version's tags, or with None take one away. Raises UnknownVersion. One request a tag."""
        ...

    def set_description(self, name: str, version: int | None, text: str) -> None:
        """Write the description of a version, or with None of the model. Raises UnknownVersion. One request."""
        ...

    def delete_alias(self, name: str, alias: str) -> None:
        """Let `alias` name nothing; fine where it did not. One request."""
        ...

    def transition_stage(self, name: str, version: int, stage: Stage, *, archive_existing: bool) -> None:
        """Move the version to `stage`. With `archive_existing` whoever holds Staging or Production is archived.

        There is no instant without a holder. Raises UnknownVersion. One request where the server can do both at once.
        """
        ...

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Let `alias` name the version. Raises UnknownVersion. One request."""
        ...

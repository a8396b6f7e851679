"""Ports to a model registry and its experiments, and the types with which an adapter provides both.

docs/how-to/write-a-registry-adapter.md describes what an adapter must do, and bot/registry/contract tests it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple, Protocol, runtime_checkable

from bot.domain.core.sentence import Sentence
from bot.domain.registry.model import LoggedValue, ModelInfo, ModelPackage, RegistryProduct, RunInfo, Stage, VersionInfo
from bot.ports.external import NO_OBSERVER, Observer


class ModelRegistry(Protocol):
    """Models, their versions, stages, aliases, tags, and descriptions.

    Every method can raise RegistryUnreachable, if retrying later can help, and RegistryRefused, if it can't. A product
    can store other things with its models, such as prompts. Methods never return or change those, and raise
    UnknownModel for them. A write takes one request, and one more if the model wasn't read within the last minute. If a
    registry ignores case, it can return a model whose name differs from the given one only in case. The result has the
    stored name, so a caller that passes a name someone typed must compare the two.
    """

    def models(self, text: str = "") -> list[ModelInfo]:
        """Return the models whose names contain `text`, ignoring case, sorted by name. One request per 1,000 models."""
        ...

    def model(self, name: str) -> ModelInfo:
        """Return a model with its aliases. Raises UnknownModel. One request."""
        ...

    def versions(self, name: str) -> list[VersionInfo]:
        """Return every version of the model, highest number first, without aliases; none for an unknown model.

        One request.
        """
        ...

    def version(self, name: str, number: int) -> VersionInfo:
        """Return a version with its aliases. Raises UnknownModel and UnknownVersion. One request."""
        ...

    def production_versions(self, names: Collection[str]) -> dict[str, VersionInfo]:
        """Return each model's Production version, by model name; the highest one if there are several.

        Models without one are left out, and the versions don't include aliases. One request per 1,000 models; if the
        registry has no stages, one more for each model.
        """
        ...

    def register_version(
        self, name: str, run_id: str, *, artifact: str = "", description: str = "", tags: Mapping[str, str]
    ) -> VersionInfo:
        """Create the model's next version from a run; create the model first if it doesn't exist.

        `artifact`: which of the run's logged models to use, if there are several. The call isn't retried if its result
        is unknown; before you retry, search for a version from this run. Raises UnknownRun, and BadInput if the run
        logged models and `artifact` doesn't single one out.
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

        `archive_existing`: also archive the versions in that stage, without leaving it empty in between. Raises
        UnknownVersion. One request if the server can do both at once.
        """
        ...

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias at the version. Raises UnknownVersion. One request."""
        ...

    def close(self) -> None:
        """Close the connections. The next call opens new ones."""
        ...


@runtime_checkable
class ListsAllVersions(Protocol):
    """An optional capability of a `ModelRegistry`: reading all versions without a request for each model."""

    def all_versions(self) -> list[VersionInfo]:
        """Return every version of every model, in any order, without aliases. One request per 5,000 versions.

        Raises RegistryRefused if the registry can only list the versions of one model at a time.
        """
        ...


@runtime_checkable
class ListsChanges(Protocol):
    """An optional capability of a `ModelRegistry`: listing changes, so that polling a large registry is cheap."""

    def recently_updated(self, since: datetime) -> list[ModelInfo]:
        """Return the models whose `updated_at` is `since` or later, in any order. One request if there are few.

        Raises RegistryRefused if the registry can't sort models by that time.
        """
        ...

    def versions_by_model(self) -> Iterable[tuple[str, list[VersionInfo]]]:
        """Return each model's name and what `versions` returns for it, a page at a time. A few requests per page.

        Models without versions can be missing. A listed model is complete, even if others change in the meantime.
        Raises RegistryRefused if the registry can only list the versions of one model at a time.
        """
        ...


class ExperimentTracker(Protocol):
    """Runs, their metrics, and the files of the models that they logged.

    Like those of a `ModelRegistry`, all methods can raise RegistryUnreachable and RegistryRefused.
    """

    def runs(self, ids: Sequence[str]) -> dict[str, RunInfo]:
        """Return the runs that exist, by run ID, including deleted ones.

        One request per 1,000 IDs, and one more if the experiments aren't known yet.
        """
        ...

    def latest_metrics(self, run_ids: Sequence[str]) -> dict[str, Mapping[str, LoggedValue]]:
        """Return the newest point of each metric, by run ID and metric name, for the runs that exist.

        The newest point is the one with the highest step or, if several have that step, the latest of them. Takes as
        many requests as `runs`.
        """
        ...

    def monitoring_runs(self, versions: Collection[tuple[str, int]]) -> dict[tuple[str, int], list[str]]:
        """Return the IDs of the runs whose tags name one of these pairs of model and version, by pair.

        Deleted runs are left out. One request, and one more to list the experiments if a pair has no run in the known
        ones.
        """
        ...

    def metric_history(self, run_id: str, metric: str) -> list[LoggedValue]:
        """Return all points of a run's metric, oldest first; empty if it has none. One request per 25,000 points."""
        ...

    def package(self, version: VersionInfo) -> ModelPackage | None:
        """Return what the version's files say about its model; None if they say nothing. A few requests."""
        ...

    def estimator_class(self, version: VersionInfo) -> str | None:
        """Return the class name of the version's estimator, read from its files; None if they don't name it.

        The model isn't loaded. For a scikit-learn pipeline, it's the class of the last step. A few requests the first
        time.
        """
        ...

    def close(self) -> None:
        """Close the connections. The next call opens new ones."""
        ...


def _no_page(_: object) -> None:
    """Return None, because there's no such page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryLinks:
    """Functions that return the URLs of the registry's web pages, or None for a page that doesn't exist.

    `version_at` is the reverse: it returns the model and version whose page has the given URL, or None.
    """

    model: Callable[[ModelInfo], str | None] = _no_page
    version: Callable[[VersionInfo], str | None] = _no_page
    run: Callable[[RunInfo], str | None] = _no_page
    version_at: Callable[[str], tuple[str, int] | None] = _no_page


NO_LINKS: Final = RegistryLinks()


class UnsetSetting(NamedTuple):
    """A message about a setting that isn't set: what happens without it, and what to do about it."""

    sentence: Sentence
    advice: Sentence

    def __str__(self) -> str:
        return f"{self.sentence} {self.advice}"


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """An adapter's options. It calls `warn` once, right before it first uses what `OpenRegistry.unset` describes."""

    environ: Mapping[str, str]
    home: Path  # the folder for Registrar's own files
    observer: Observer = NO_OBSERVER
    warn: Callable[[UnsetSetting], object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRegistry:
    """An open registry.

    `has_stages`: whether `transition_stage` works. If not, it's never called, and the version tag `stage` stores the
    stage. `unset`: a setting that should be set, if any.
    """

    registry: ModelRegistry
    tracker: ExperimentTracker
    links: RegistryLinks = NO_LINKS
    has_stages: bool = True
    unset: UnsetSetting | None = None


@dataclass(frozen=True, slots=True)
class RegistryAdapter:
    """The target of an entry point in the group `registrar.registries`: a product, and how to open its registry.

    `open` doesn't connect yet. It raises Misconfigured if a variable is missing or wrong.
    """

    product: RegistryProduct
    open: Callable[[RegistryOptions], OpenRegistry]

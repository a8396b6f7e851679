"""The model card: metadata about one version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict

from bot.domain.registry.metric_catalog import MetricCatalog
from bot.domain.registry.model import RunInfo, VersionInfo
from bot.domain.registry.rollback_block import RollbackBlock


@dataclass(frozen=True, slots=True)
class ValueOrigin:
    """Where a field's value comes from, in order of precedence. docs/reference/model-cards.md is generated from it."""

    description: str


class ModelCard(BaseModel):
    """Metadata about one version. None or an empty value means missing."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    model_name: Annotated[str, ValueOrigin("the registry")]
    version: Annotated[int, ValueOrigin("the registry")]
    semver: Annotated[str | None, ValueOrigin("version tag `semver`")] = None
    stage: Annotated[str, ValueOrigin("the registry")]
    training_date: Annotated[datetime | None, ValueOrigin("the run's start time")] = None
    training_duration_minutes: Annotated[float | None, ValueOrigin("the run's start and end times")] = None
    dataset_version: Annotated[
        str | None,
        ValueOrigin("the run's logged dataset (name@digest), else tag or param `dataset_version`, `dataset`"),
    ] = None
    data_size: Annotated[int | None, ValueOrigin("rows of the run's logged dataset, else tag or param `data_size`")] = (
        None
    )
    metrics: Annotated[
        Mapping[str, float], ValueOrigin("the run's metrics; NaN and infinite values count as missing")
    ] = {}
    framework: Annotated[str | None, ValueOrigin("the flavors of the model's MLmodel file, else tag or param")] = None
    algorithm: Annotated[
        str | None,
        ValueOrigin(
            "version tag `algorithm`, else the run's tag `estimator_name` (autologging), else its "
            "param or tag `algorithm`, `model_type`, `estimator`, `model`, else "
            "the class named in the model file (scikit-learn, XGBoost, LightGBM), read without "
            "loading it; for a pipeline, the class of its last step"
        ),
    ] = None
    hyperparameters: Annotated[Mapping[str, str], ValueOrigin("the run's params")] = {}
    deployed_by: Annotated[
        str | None, ValueOrigin("the ledger: who decided the transition to Production, if Registrar made it")
    ] = None
    deployment_date: Annotated[datetime | None, ValueOrigin("the ledger: when Registrar put it into Production")] = None
    serving_endpoint: Annotated[str | None, ValueOrigin("version tag, else model tag, else run tag")] = None
    use_case: Annotated[str | None, ValueOrigin("version tag, else model tag, else run tag")] = None
    owner: Annotated[str | None, ValueOrigin("version tag, else model tag, else run tag, else the run's user")] = None
    tags: Annotated[Mapping[str, str], ValueOrigin("the version's tags, except those that Registrar writes")] = {}
    approval_status: Annotated[
        str | None, ValueOrigin("the ledger: the version's latest request, else version tag")
    ] = None
    approver: Annotated[str | None, ValueOrigin("the ledger: who approved")] = None
    approval_date: Annotated[datetime | None, ValueOrigin("the ledger: when it was decided")] = None
    dependencies: Annotated[tuple[str, ...], ValueOrigin("requirements.txt next to the model's files")] = ()
    git_commit: Annotated[str | None, ValueOrigin("the run's tag `mlflow.source.git.commit`")] = None

    def missing(self) -> list[str]:
        """Return the names of the missing fields, in field order."""
        return [name for name in type(self).model_fields if getattr(self, name) in _EMPTY]

    def completeness(self) -> float:
        """Return the share of fields that are filled, from 0 to 1."""
        return 1 - len(self.missing()) / len(type(self).model_fields)


CARD_FIELDS_FROM_FILES = frozenset({"framework", "dependencies"})  # fields that only model files provide

_EMPTY: tuple[Any, ...] = (None, "", (), {})


def logged_algorithm(version: VersionInfo, run: RunInfo) -> str | None:
    """Return the algorithm's logged name, or None if it wasn't logged."""
    return (
        version.tags.get("algorithm")
        or run.tags.get("estimator_name")
        or tag_or_param(run, "algorithm", "model_type", "estimator", "model", "estimator_class")
    )


def tag_or_param(run: RunInfo, *keys: str) -> str | None:
    return next((value for name in keys if (value := run.tags.get(name) or run.params.get(name))), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionCard:
    """A model card, with the version and run that it was filled from."""

    version: VersionInfo
    run: RunInfo | None
    card: ModelCard
    block: RollbackBlock | None = None
    catalog: MetricCatalog = MetricCatalog()  # noqa: RUF009 - immutable

    @property
    def metric_texts(self) -> dict[str, str]:
        """The card's metric values with their units, most important first."""
        metrics = self.card.metrics or {}
        names = dict.fromkeys([*self.catalog.by_importance(metrics), *metrics])
        return {name: self.catalog.format_value(name, metrics[name]) for name in names}

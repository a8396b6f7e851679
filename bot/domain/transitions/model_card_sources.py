"""The metadata card of a version: every field filled from where the truth is, and missing where nobody has told it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isnan
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict

from bot.domain.core.actors import Actor
from bot.domain.promotions.request import Request, RequestState, Vote
from bot.domain.registry.model import Dataset, ModelInfo, Package, RunInfo, Stage, VersionInfo
from bot.domain.transitions import registry_tags
from bot.domain.transitions.transition import Move, MoveKind, MoveState


@dataclass(frozen=True, slots=True)
class From:
    """Where a field's value comes from, the first that has one; docs/metadata.md is made from it."""

    words: str


class ModelCard(BaseModel):
    """What is known of one version. None, or nothing in it, is missing."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    model_name: Annotated[str, From("the registry")]
    version: Annotated[int, From("the registry")]
    semver: Annotated[str | None, From("version tag `semver`")] = None
    stage: Annotated[str, From("the registry")]
    training_date: Annotated[datetime | None, From("the run's start")] = None
    training_duration_minutes: Annotated[float | None, From("the run's start and end")] = None
    dataset_version: Annotated[
        str | None, From("the run's logged dataset (name@digest), else tag or param `dataset_version`, `dataset`")
    ] = None
    data_size: Annotated[int | None, From("rows of the run's logged dataset, else tag or param `data_size`")] = None
    metrics: Annotated[Mapping[str, float], From("the run's metrics; NaN and infinite ones count as missing")] = {}
    framework: Annotated[str | None, From("the flavors of the model's MLmodel file, else tag or param")] = None
    algorithm: Annotated[
        str | None,
        From(
            "version tag `algorithm`, else the run's tag `estimator_name` (autologging), else its "
            "param or tag `algorithm`, `model_type`, `estimator`, `model`, else "
            "the class that the model's file names (scikit-learn, XGBoost, LightGBM), read without "
            "loading it; of a pipeline its last step's"
        ),
    ] = None
    hyperparameters: Annotated[Mapping[str, str], From("the run's params")] = {}
    deployed_by: Annotated[
        str | None, From("the ledger: who decided the move into Production, if Registrar made it")
    ] = None
    deployment_date: Annotated[datetime | None, From("the ledger: when Registrar moved it into Production")] = None
    serving_endpoint: Annotated[str | None, From("version tag, else model tag, else run tag")] = None
    use_case: Annotated[str | None, From("version tag, else model tag, else run tag")] = None
    owner: Annotated[str | None, From("version tag, else model tag, else run tag, else the run's user")] = None
    tags: Annotated[Mapping[str, str], From("the version's tags, without those that Registrar writes")] = {}
    approval_status: Annotated[str | None, From("the ledger: the version's last request, else version tag")] = None
    approver: Annotated[str | None, From("the ledger: who approved")] = None
    approval_date: Annotated[datetime | None, From("the ledger: when it was decided")] = None
    dependencies: Annotated[tuple[str, ...], From("requirements.txt beside the model's files")] = ()
    git_commit: Annotated[str | None, From("the run's tag `mlflow.source.git.commit`")] = None

    def missing(self) -> list[str]:
        """Return the names of the fields that nobody has filled, in order."""
        return [name for name in type(self).model_fields if getattr(self, name) in _EMPTY]

    def completeness(self) -> float:
        """Return the share of fields that are filled, from 0 to 1."""
        return 1 - len(self.missing()) / len(type(self).model_fields)


_EMPTY: tuple[Any, ...] = (None, "", (), {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What a card is filled from. `request` is the version's last one with its votes.

    `deployed` is the move that brought it into Production.
    """

    version: VersionInfo
    model: ModelInfo
    run: RunInfo | None = None
    package: Package | None = None
    algorithm: str | None = None
    request: Request | None = None
    votes: tuple[Vote, ...] = ()
    deployed: Move | None = None
    deciders: tuple[Vote, ...] = ()  # the votes on the request of that move


def fill(it: Sources) -> ModelCard:
    """Return the card that the sources give."""
    run = it.run or RunInfo(id="")
    return ModelCard(
        model_name=it.version.model,
        version=it.version.version,
        semver=it.version.semver,
        stage=it.version.stage.value,
        training_date=run.started_at,
        training_duration_minutes=_minutes(run),
        dataset_version=_dataset_version(run),
        data_size=_data_size(run),
        metrics={name: value for name, value in sorted(run.metrics.items()) if not isnan(value)},
        framework=_framework(it.package, run),
        algorithm=it.algorithm or algorithm_of(it.version, run),
        hyperparameters=dict(sorted(run.params.items())),
        deployed_by=registry_tags.approvers(it.deciders) or _named(it.deployed.actor) if it.deployed else None,
        deployment_date=it.deployed.finished_at if it.deployed else None,
        serving_endpoint=_told(it, "serving_endpoint"),
        use_case=_told(it, "use_case"),
        owner=_told(it, "owner") or run.user or None,
        tags=own_tags(it.version),
        dependencies=it.package.dependencies if it.package else (),
        git_commit=run.tags.get("mlflow.source.git.commit"),
        **_approval(it),
    )


def algorithm_of(version: VersionInfo, run: RunInfo) -> str | None:
    """Return the algorithm's name as somebody wrote it down, or None."""
    return (
        version.tags.get("algorithm")
        or run.tags.get("estimator_name")
        or _said(run, "algorithm", "model_type", "estimator", "model", "estimator_class")
    )


def own_tags(version: VersionInfo) -> dict[str, str]:
    """Return the tags that people and programs gave the version, without MLflow's and Registrar's."""
    return {key: value for key, value in sorted(version.tags.items()) if not _is_ours(key)}


def _is_ours(key: str) -> bool:
    return key in registry_tags.OURS or key.startswith(("mlflow.", "validation_", "registrar."))


def _approval(it: Sources) -> dict[str, Any]:
    request = it.request
    if request is None:
        return {"approval_status": it.version.tags.get(registry_tags.STATUS)}
    done = request.state is RequestState.DONE
    status = (
        registry_tags.opened(request)
        if request.state.is_open
        else registry_tags.ended(request, it.votes, request.opened_at)
    )
    return {
        "approval_status": status.get(registry_tags.STATUS),
        "approver": registry_tags.approvers(it.votes) or None if done else None,
        "approval_date": request.decided_at if done else None,
    }


def _framework(package: Package | None, run: RunInfo) -> str | None:
    flavors = ", ".join(package.flavors) if package else ""
    return flavors or _said(run, "framework", "flavor")


def _minutes(run: RunInfo) -> float | None:
    if run.started_at is None or run.ended_at is None:
        return None
    return round((run.ended_at - run.started_at).total_seconds() / 60, 2)


def _dataset_version(run: RunInfo) -> str | None:
    used = _training_data(run.datasets)
    if used is None:
        return _said(run, "dataset_version", "dataset", "data_version")
    return f"{used.name}@{used.digest}" if used.digest else used.name


def _data_size(run: RunInfo) -> int | None:
    used = _training_data(run.datasets)
    if used and used.rows is not None:
        return used.rows
    told = _said(run, "data_size", "n_samples", "num_rows") or ""
    return int(told) if told.isascii() and told.isdigit() else None


def _training_data(datasets: Iterable[Dataset]) -> Dataset | None:
    known = list(datasets)
    return next((one for one in known if one.context.startswith("train")), known[0] if known else None)


def _told(it: Sources, key: str) -> str | None:
    run_tags = it.run.tags if it.run else {}
    return it.version.tags.get(key) or it.model.tags.get(key) or run_tags.get(key)


def _said(run: RunInfo, *names: str) -> str | None:
    return next((value for name in names if (value := run.tags.get(name) or run.params.get(name))), None)


def _named(actor: Actor) -> str:
    return registry_tags.named(actor)


def deployed(moves: Iterable[Move], version: VersionInfo) -> Move | None:
    """Return the move that last brought the version into Production, `moves` being newest first.

    None where it was found there: who moved it, and when, is not known.
    """
    into = (move for move in moves if move.is_of(version) and move.target is Stage.PRODUCTION)
    last = next((move for move in into if move.state is MoveState.DONE), None)
    return None if last is None or last.kind in {MoveKind.OBSERVED, MoveKind.IMPORTED} else last

"""The metadata card of a version: every field filled from where the truth is, and missing where nobody has told it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan
from typing import Any

from bot.domain.core.actors import Actor
from bot.domain.promotions.request import Request, RequestState, Vote
from bot.domain.registry.model import Dataset, ModelInfo, Package, RunInfo, Stage, VersionInfo
from bot.domain.registry.model_card import ModelCard, _said, algorithm_of
from bot.domain.transitions import registry_tags
from bot.domain.transitions.transition import Move, MoveKind, MoveState


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


def _named(actor: Actor) -> str:
    return registry_tags.named(actor)


def deployed(moves: Iterable[Move], version: VersionInfo) -> Move | None:
    """Return the move that last brought the version into Production, `moves` being newest first.

    None where it was found there: who moved it, and when, is not known.
    """
    into = (move for move in moves if move.is_of(version) and move.target is Stage.PRODUCTION)
    last = next((move for move in into if move.state is MoveState.DONE), None)
    return None if last is None or last.kind in {MoveKind.OBSERVED, MoveKind.IMPORTED} else last

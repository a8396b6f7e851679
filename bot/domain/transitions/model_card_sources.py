"""Fill in a version's model card. Each field comes from its source of truth or is marked missing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan
from typing import Any

from bot.domain.promotions.request import Request, RequestState
from bot.domain.promotions.votes import Vote
from bot.domain.registry.model import Dataset, ModelInfo, ModelPackage, RunInfo, Stage, VersionInfo, product
from bot.domain.registry.model_card import ModelCard, logged_algorithm, tag_or_param
from bot.domain.transitions import registry_tags
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCardSources:
    """The sources of a model card. `request` is the version's last request, and `votes` are the votes on it.

    `deployment` is the transition that put the version into Production.
    """

    version: VersionInfo
    model: ModelInfo
    run: RunInfo | None = None
    package: ModelPackage | None = None
    algorithm: str | None = None
    request: Request | None = None
    votes: tuple[Vote, ...] = ()
    deployment: Transition | None = None
    deployment_votes: tuple[Vote, ...] = ()  # the votes on that transition's request


def fill_model_card(sources: ModelCardSources) -> ModelCard:
    """Return the card filled from these sources."""
    run = sources.run or RunInfo(id="")
    return ModelCard(
        model_name=sources.version.model,
        version=sources.version.version,
        semver=sources.version.semver,
        stage=sources.version.stage.value,
        training_date=run.started_at,
        training_duration_minutes=_duration_minutes(run),
        dataset_version=_dataset_version(run),
        data_size=_data_size(run),
        metrics={name: value for name, value in sorted(run.metrics.items()) if not isnan(value)},
        framework=_framework_name(sources.package, run),
        algorithm=sources.algorithm or logged_algorithm(sources.version, run),
        hyperparameters=dict(sorted(run.params.items())),
        deployed_by=registry_tags.approver_names(sources.deployment_votes)
        or registry_tags.actor_name(sources.deployment.actor)
        if sources.deployment
        else None,
        deployment_date=sources.deployment.finished_at if sources.deployment else None,
        serving_endpoint=_tag_value(sources, "serving_endpoint"),
        use_case=_tag_value(sources, "use_case"),
        owner=_tag_value(sources, "owner") or run.user or None,
        tags=user_tags(sources.version),
        dependencies=sources.package.dependencies if sources.package else (),
        git_commit=run.git_commit,
        **_approval_fields(sources),
    )


def user_tags(version: VersionInfo) -> dict[str, str]:
    """Return the tags that people and programs set, excluding the registry's own and Registrar's."""
    ours = ("validation_", "registrar.")
    return {
        key: value
        for key, value in sorted(version.tags.items())
        if key not in registry_tags.RESERVED_TAGS and not key.startswith(ours) and not product().owns_tag(key)
    }


def _approval_fields(sources: ModelCardSources) -> dict[str, Any]:
    request = sources.request
    if request is None:
        return {"approval_status": sources.version.tags.get(registry_tags.STATUS_TAG)}
    is_done = request.state is RequestState.DONE
    status = (
        registry_tags.opened_tags(request)
        if request.state.is_open
        else registry_tags.ended_tags(request, sources.votes, request.opened_at)
    )
    return {
        "approval_status": status.get(registry_tags.STATUS_TAG),
        "approver": registry_tags.approver_names(sources.votes) or None if is_done else None,
        "approval_date": request.decided_at if is_done else None,
    }


def _framework_name(package: ModelPackage | None, run: RunInfo) -> str | None:
    flavors = ", ".join(package.flavors) if package else ""
    return flavors or tag_or_param(run, "framework", "flavor")


def _duration_minutes(run: RunInfo) -> float | None:
    if run.started_at is None or run.ended_at is None:
        return None
    return round((run.ended_at - run.started_at).total_seconds() / 60, 2)


def _dataset_version(run: RunInfo) -> str | None:
    used = _training_dataset(run.datasets)
    if used is None:
        return tag_or_param(run, "dataset_version", "dataset", "data_version")
    return f"{used.name}@{used.digest}" if used.digest else used.name


def _data_size(run: RunInfo) -> int | None:
    used = _training_dataset(run.datasets)
    if used and used.rows is not None:
        return used.rows
    logged_size = tag_or_param(run, "data_size", "n_samples", "num_rows") or ""
    return int(logged_size) if logged_size.isascii() and logged_size.isdigit() else None


def _training_dataset(datasets: Iterable[Dataset]) -> Dataset | None:
    all_datasets = list(datasets)
    return next(
        (dataset for dataset in all_datasets if dataset.context.startswith("train")),
        all_datasets[0] if all_datasets else None,
    )


def _tag_value(sources: ModelCardSources, key: str) -> str | None:
    run_tags = sources.run.tags if sources.run else {}
    return sources.version.tags.get(key) or sources.model.tags.get(key) or run_tags.get(key)


def last_deployment(transitions: Iterable[Transition], version: VersionInfo) -> Transition | None:
    """Return the version's last transition to Production. `transitions` is newest first.

    Return None if there is none, or if Registrar didn't make it: it was imported, or the poll found it, so who made it
    and when isn't known.
    """
    into = (
        transition
        for transition in transitions
        if transition.is_about(version) and transition.target is Stage.PRODUCTION
    )
    last = next((transition for transition in into if transition.state is TransitionState.DONE), None)
    return None if last is None or last.kind in {TransitionKind.OBSERVED, TransitionKind.IMPORTED} else last

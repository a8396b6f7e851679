"""Read models and versions from the registry, together with the ledger's facts about them."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from bot.domain.commands.registry import ListModels, ShowModel
from bot.domain.core.errors import LedgerUnavailable, RegistrarError, UnknownModel
from bot.domain.promotions.model_overview import ModelView
from bot.domain.promotions.request import OPEN_STATES, Request
from bot.domain.promotions.votes import Vote
from bot.domain.registry.model import (
    ModelInfo,
    RunInfo,
    Stage,
    VersionInfo,
    VersionRef,
    check_exact_name,
    resolve_version,
    unknown_model_error,
)
from bot.domain.registry.model_card import VersionCard
from bot.domain.transitions.model_card_sources import ModelCardSources, fill_model_card, last_deployment
from bot.domain.transitions.transition import Transition
from bot.services.core.blocked_versions import blocks_for_display
from bot.services.core.commands import QueryHandlers
from bot.services.core.context import Context

log = logging.getLogger(__name__)

T = TypeVar("T")


class RegistryQueries:
    """Reads models, versions, and model cards. Changes nothing."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def handlers(self) -> QueryHandlers:
        """Return the handlers for queries about models and versions."""
        return {ListModels: lambda command: self._context.registry.models(command.text), ShowModel: self._show}

    def _show(self, command: ShowModel) -> ModelView | VersionCard:
        if command.version is None:
            return self.model_view(command.model)
        return self.version_card(command.model, command.version)

    def model_and_versions(self, name: str) -> tuple[ModelInfo, list[VersionInfo]]:
        """Return a model and its versions, newest first, with two registry requests.

        Raises UnknownModel, which suggests the closest name. A name that differs only in case also raises it, even
        though some databases would find it, because policy rules match exact names.
        """
        try:
            model, versions = self._context.registry.model(name), self._context.registry.versions(name)
        except UnknownModel as error:
            raise self._unknown_model(name) from error
        check_exact_name(name, model.name)
        return model, versions

    def model_view(self, name: str) -> ModelView:
        """Return a model with its versions, open requests, and blocks. Raises UnknownModel.

        Omits the requests and the blocks if the ledger is unavailable.
        """
        model, versions = self.model_and_versions(name)
        requests: list[Request] = []
        with suppress(LedgerUnavailable), self._context.ledger.read() as reader:
            requests = reader.requests(model=name, states=OPEN_STATES)
        with_aliases, blocks = (
            [_with_aliases(version, model) for version in versions],
            blocks_for_display(self._context, versions),
        )
        return ModelView(model, with_aliases, requests, blocks)

    def version(self, name: str, ref: VersionRef) -> VersionInfo:
        """Return one version. Raises UnknownModel and UnknownVersion."""
        model, versions = self.model_and_versions(name)
        return _with_aliases(resolve_version(ref, model, versions), model)

    def version_card(self, name: str, ref: VersionRef) -> VersionCard:
        """Return a version's model card. Raises UnknownModel and UnknownVersion.

        Omits facts from the model's files or the ledger if they can't be read.
        """
        model, versions = self.model_and_versions(name)
        version = _with_aliases(resolve_version(ref, model, versions), model)
        run = self._context.tracker.runs([version.run_id]).get(version.run_id) if version.run_id else None
        request: Request | None = None
        votes: tuple[Vote, ...] = ()
        deployment: Transition | None = None
        deployment_votes: tuple[Vote, ...] = ()
        with suppress(LedgerUnavailable), self._context.ledger.read() as reader:
            request = next(iter(reader.requests(model=name, version=version.version, limit=1)), None)
            request = request if request and request.is_about(version) else None
            votes = tuple(reader.votes(request.id)) if request else ()
            transitions = reader.transitions(name, stage=Stage.PRODUCTION)
            deployment = last_deployment(transitions, version)
            deployment_votes = tuple(reader.votes(deployment.request)) if deployment and deployment.request else ()
        package = self._read_or_log(version, "files", lambda: self._context.tracker.package(version))
        sources = ModelCardSources(
            version=version,
            model=model,
            run=run,
            package=package,
            algorithm=self._read_or_log(
                version, "model file", lambda: self._context.algorithm(version, run or RunInfo(id=""), package)
            ),
            request=request,
            votes=votes,
            deployment=deployment,
            deployment_votes=deployment_votes,
        )
        block = blocks_for_display(self._context, [version]).get(version.version)
        return VersionCard(
            version=version,
            run=run,
            card=fill_model_card(sources),
            block=block,
            catalog=self._context.policy.metrics_for(name),
        )

    def _read_or_log(self, version: VersionInfo, what: str, read: Callable[[], T]) -> T | None:
        """Return what `read` returns, or None if it fails."""
        try:
            return read()
        except RegistrarError as error:
            log.info("can't read the %s of %s v%s: %s", what, version.model, version.version, error)
            return None

    def _unknown_model(self, name: str) -> UnknownModel:
        names = [model.name for model in self._context.registry.models()]
        same_ignoring_case = [other for other in names if other.casefold() == name.casefold()]
        closest = same_ignoring_case or difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        return unknown_model_error(name, closest[0] if closest else None)


def _with_aliases(version: VersionInfo, model: ModelInfo) -> VersionInfo:
    return replace(
        version, aliases=tuple(sorted(alias for alias, number in model.aliases.items() if number == version.version))
    )

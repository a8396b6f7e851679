"""The port `ModelRegistry` over MLflow: a server by URL, or its database directly.

It uses the registry-level client: for most calls, `MlflowClient` makes a second request to find out whether the model
is a prompt, whose answer has every version. We know it from a previous read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from bot.domain.core.errors import RegistryRefused, UnknownModel, UnknownVersion
from bot.domain.registry.model import TARGET_STAGES, ModelInfo, Stage, VersionInfo
from bot.ports import NO_OBSERVER, Observer
from bot.registry.checks import (
    check_artifact_path,
    check_description,
    check_quotable,
    check_tags,
    name_taken_by_prompt,
    unknown_model,
    unknown_version,
)
from bot.registry.mlflow.connection import open_connections, retry_after_alias_race
from bot.registry.mlflow.entities import model_info, version_info
from bot.registry.mlflow.errors import is_already_there, is_archive_bug
from bot.registry.mlflow.rest_search import search_model_versions
from bot.registry.mlflow.tracker import MlflowTracker

_MODELS_PER_PAGE = 1_000  # MLflow's limit
_VERSIONS_PER_PAGE = 5_000  # MLflow allows 200,000, which no server answers within our time limit
_MODEL_CHECK_SECONDS = 60.0  # seconds for which a name that was read as a model's counts as one


class MlflowRegistry:
    """The port `ModelRegistry` over MLflow.

    `timeout`: seconds to wait for an answer. MLflow reads its time limits from the environment at every call: variables
    that are already set win, else the first registry of a process sets them for all. MLflow's own retries are turned
    off, because it would repeat writes, too. `before_open` is called before `tracking_uri` is opened, for models or for
    runs.
    """

    def __init__(
        self,
        tracking_uri: str,
        registry_uri: str | None = None,
        *,
        timeout: int = 5,
        versions_per_page: int = _VERSIONS_PER_PAGE,
        monotonic: Callable[[], float] = time.monotonic,
        observer: Observer = NO_OBSERVER,
        before_open: Callable[[], object] | None = None,
    ) -> None:
        self._connection, tracking_connection = open_connections(
            tracking_uri, registry_uri, timeout, observer, before_open
        )
        self.tracker = MlflowTracker(tracking_connection, self._connection)
        self._versions_per_page = versions_per_page
        self._monotonic = monotonic
        self._models_checked_at: dict[str, float] = {}

    def close(self) -> None:
        """Close the connections to a database, also the tracker's; the next call opens new ones."""
        self._connection.close()
        self.tracker.close()

    def models(self, text: str = "") -> list[ModelInfo]:
        """Return the models whose name contains `text` (ignoring case), sorted by name.

        One request for each page of 1,000.

        The text is matched here: MLflow's filter has wildcards without an escape, and on SQLite it ignores the case of
        ASCII letters only.
        """
        models = [model_info(entity) for entity in self._all_models()]
        self._remember_models(*(model.name for model in models))
        return sorted((m for m in models if text.lower() in m.name.lower()), key=lambda model: model.name)

    def model(self, name: str) -> ModelInfo:
        """Return one model with its aliases. Raises UnknownModel, also for a prompt. One request."""
        missing = unknown_model(name)
        entity = self._connection.read(lambda client: client.get_registered_model(name), missing)
        # A database that ignores case would find another name.
        if entity.name != name or entity._is_prompt():
            raise missing
        self._remember_models(name)
        return model_info(entity)

    def versions(self, name: str) -> list[VersionInfo]:
        """Return every version, newest first, without aliases; empty for an unknown model or a prompt.

        One request for each page of 5,000. Raises UnknownModel for a name that MLflow's filter can't quote.
        """
        check_quotable(name)
        name_filter = f'name = "{name}"' if "'" in name else f"name = '{name}'"  # filters have no escape
        entities = self._connection.read_pages(
            lambda client, token: search_model_versions(
                client, name_filter, self._versions_per_page, ["version_number DESC"], token
            )
        )
        # By number, because a version registered in the meantime shifts the pages.
        by_number = {int(each.version): each for each in entities if each.name == name and not each._is_prompt()}
        if by_number:
            self._remember_models(name)
        return [version_info(by_number[number]) for number in sorted(by_number, reverse=True)]

    def version(self, name: str, number: int) -> VersionInfo:
        """Return one version with its aliases. Raises UnknownModel and UnknownVersion.

        One request, and one more for a missing version, to find out whether its model is missing.
        """
        check_quotable(name)
        missing = unknown_version(name, number)
        try:
            entity = self._connection.read(lambda client: client.get_model_version(name, number), missing)
        except UnknownVersion:
            self.model(name)
            raise
        if entity.name != name or entity._is_prompt():
            raise unknown_model(name)
        self._remember_models(name)
        return version_info(entity)

    def production_versions(self, names: Collection[str]) -> dict[str, VersionInfo]:
        """Return the version in Production of each of these models that has one, of several the highest number.

        One request a page of 1,000 models of the registry; none for no names.
        """
        requested = set(names)
        latest = [
            entity
            for model in (self._all_models() if requested else [])
            if model.name in requested
            for entity in model.latest_versions or ()
        ]
        holders = [version for version in map(version_info, latest) if version.stage is Stage.PRODUCTION]
        return {version.model: version for version in sorted(holders, key=lambda version: version.version)}

    def register_version(
        self, name: str, run_id: str, *, artifact: str = "", description: str = "", tags: Mapping[str, str]
    ) -> VersionInfo:
        """Create the next version from a run; create the model first if it doesn't exist.

        The version is requested only once: after an unknown result, look for a version with this run. Requests: the
        run, each model that it logged, the registered model, the version. Raises UnknownRun, UnknownModel for a prompt,
        and BadInput if it's ambiguous which logged model is meant.
        """
        check_tags(tags)
        check_description(description)
        check_quotable(name)
        check_artifact_path(artifact)
        logged_model = self.tracker.logged_model(run_id, artifact)
        self._find_or_create_model(name)
        created = self._connection.call(
            lambda client: client.create_model_version(
                name,
                logged_model.source,
                run_id,
                dict(tags),
                description=description or None,
                await_creation_for=0,
                model_id=logged_model.model_id,
            ),
            unknown_model(name),
        )
        return version_info(created)

    def set_tags(self, name: str, version: int, tags: Mapping[str, str | None]) -> None:
        """Set the version's tags; None removes one. One request for each tag if the model was just read.

        Raises UnknownModel, UnknownVersion, and BadInput for a tag that's too long, before any is set.
        """
        check_tags(tags)
        self._require_model(name)
        for tag in tags.items():

            def call(client: Any, key: str = tag[0], value: str | None = tag[1]) -> Any:
                if value is None:
                    return client.delete_model_version_tag(name, version, key)
                return client.set_model_version_tag(name, version, key, value)

            self._connection.call(call, unknown_version(name, version))

    def set_description(self, name: str, version: int | None, text: str) -> None:
        """Set the description of a version, or of the model if `version` is None.

        One request if the model was just read.

        Raises UnknownModel, UnknownVersion, and BadInput for a text that's too long.
        """
        check_description(text)
        self._require_model(name)
        if version is None:
            self._connection.call(lambda client: client.update_registered_model(name, text), unknown_model(name))
        else:
            missing = unknown_version(name, version)
            self._connection.call(lambda client: client.update_model_version(name, version, text), missing)

    def transition_stage(self, name: str, version: int, stage: Stage, *, archive_existing: bool) -> None:
        """Transition the version; `archive_existing` archives the versions that are in Staging or Production.

        One request if the model was read within a minute. Raises UnknownModel and UnknownVersion.
        """
        self._require_model(name)
        archives = archive_existing and stage in TARGET_STAGES
        try:
            self._transition_stage(name, version, stage, archive_existing=archives)
            return
        except RegistryRefused as refusal:
            if not archives or not is_archive_bug(refusal.__cause__):
                raise
        # In this order, the stage has two versions for a moment; in the other one, it would have none.
        self._transition_stage(name, version, stage)
        for other in self.versions(name):
            if other.stage is stage and other.version != version:
                self._transition_stage(name, other.version, Stage.ARCHIVED)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point `alias` to the version. One request if the model was read within a minute.

        Raises UnknownModel, UnknownVersion, and RegistryRefused for an alias that MLflow doesn't accept.
        """
        self._require_model(name)
        retry_after_alias_race(
            lambda: self._connection.call(
                lambda client: client.set_registered_model_alias(name, alias, version),
                unknown_version(name, version),
            )
        )

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove an alias; fine if it doesn't exist. One request if the model was read within a minute.

        Raises UnknownModel.
        """
        self._require_model(name)
        self._connection.call(lambda client: client.delete_registered_model_alias(name, alias), unknown_model(name))

    def _all_models(self) -> list[Any]:
        models = self._connection.read_pages(
            lambda client, token: client.search_registered_models(max_results=_MODELS_PER_PAGE, page_token=token)
        )
        return [model for model in models if not model._is_prompt()]

    def _transition_stage(self, name: str, version: int, stage: Stage, *, archive_existing: bool = False) -> None:
        self._connection.call(
            lambda client: client.transition_model_version_stage(
                name, version, stage.value, archive_existing_versions=archive_existing
            ),
            unknown_version(name, version),
        )

    def _find_or_create_model(self, name: str) -> None:
        missing = unknown_model(name)
        try:
            model = self._connection.read(lambda client: client.get_registered_model(name), missing)
        except UnknownModel:
            try:
                self._connection.call(lambda client: client.create_registered_model(name))
            except RegistryRefused as refusal:
                if not is_already_there(refusal):
                    raise
                self.model(name)  # another was faster: was it a model?
            return
        if model._is_prompt():
            raise name_taken_by_prompt(name)
        if model.name != name:  # a database that ignores case
            raise missing

    def _require_model(self, name: str) -> None:
        """Raise UnknownModel for a prompt, which MLflow would transition without an error."""
        checked_at = self._models_checked_at.get(name)
        if checked_at is None or self._monotonic() - checked_at > _MODEL_CHECK_SECONDS:
            self.model(name)

    def _remember_models(self, *names: str) -> None:
        self._models_checked_at.update(dict.fromkeys(names, self._monotonic()))

"""The `ModelRegistry` port for MLflow: a server by URL, or its database directly.

It uses the registry-level client. For most calls, `MlflowClient` sends a second request to find out whether the model
is a prompt, and the response has every version. Registrar knows from a previous read whether it's a prompt.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
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
from bot.registry.mlflow.entities import model_info, updated_at, version_info
from bot.registry.mlflow.errors import is_already_there, is_archive_bug
from bot.registry.mlflow.rest_search import get_registered_model, search_model_versions, search_registered_models
from bot.registry.mlflow.tracker import MlflowTracker

_MODELS_PER_PAGE = 1_000  # MLflow's limit
_RECENT_MODELS_PER_PAGE = 100
_VERSIONS_PER_PAGE = 5_000  # MLflow allows 200,000, but no server returns that many within our timeout
_MODEL_CHECK_SECONDS = 60.0  # how long to trust that a name is a model's, not a prompt's


class MlflowRegistry:
    """The `ModelRegistry` port for MLflow.

    `timeout` is how many seconds to wait for a response. MLflow reads its timeouts from the environment on every call.
    Variables that are already set take precedence; otherwise, the first registry in a process sets them for all.
    MLflow's own retries are turned off, because it would repeat writes too. `before_open` is called before
    `tracking_uri` is opened, for models or for runs. `tracking_setting` names the setting to check if that address is
    wrong.
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
        tracking_setting: str = "MLFLOW_TRACKING_URI",
    ) -> None:
        self._connection, tracking_connection = open_connections(
            tracking_uri, registry_uri, timeout, observer, before_open, tracking_setting
        )
        self.tracker = MlflowTracker(tracking_connection, self._connection)
        self._versions_per_page = versions_per_page
        self._monotonic = monotonic
        self._models_checked_at: dict[str, float] = {}

    def close(self) -> None:
        """Close the database connections, including the tracker's; the next call opens new ones."""
        self._connection.close()
        self.tracker.close()

    def models(self, text: str = "") -> list[ModelInfo]:
        """Return the models whose names contain `text` (ignoring case), sorted by name.

        One request for each page of 1,000. The text is matched here, because wildcards in MLflow's filters can't be
        escaped, and on SQLite, its filters ignore the case of ASCII letters only.
        """
        models = [model_info(entity) for entity in self._all_models()]
        self._remember_models(*(model.name for model in models))
        return sorted((m for m in models if text.lower() in m.name.lower()), key=lambda model: model.name)

    def recently_updated(self, since: datetime) -> list[ModelInfo]:
        """Return the models that were updated at `since` or later, newest first.

        One request for each page of 100, up to the page with the first older model. A model that's updated during the
        call can be missing. Raises RegistryRefused on Unity Catalog, which doesn't sort models.
        """
        recent: list[ModelInfo] = []
        for page in self._pages_of_models(_RECENT_MODELS_PER_PAGE, "last_updated_timestamp DESC"):
            times = [(updated_at(entity), entity) for entity in page]
            recent += [model_info(entity) for at, entity in times if at and at >= since and not entity._is_prompt()]
            if any(at and at < since for at, _ in times):
                break
        self._remember_models(*(model.name for model in recent))
        return recent

    def model(self, name: str) -> ModelInfo:
        """Return one model with its aliases. Raises UnknownModel, including for a prompt. One request."""
        missing = unknown_model(name)
        entity = self._connection.read(lambda client: get_registered_model(client, name), missing)
        # A case-insensitive database would find another name.
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
        versions = [each for each in self._search_versions(name_filter, "version_number DESC") if each.model == name]
        if versions:
            self._remember_models(name)
        return sorted(versions, key=lambda version: version.version, reverse=True)

    def all_versions(self) -> list[VersionInfo]:
        """Return every version of every model, without aliases, in any order. One request for each page of 5,000.

        Raises RegistryRefused on Unity Catalog, which lists only one model's versions at a time.
        """
        return self._search_versions("", "name ASC", "version_number DESC")

    def versions_by_model(self) -> Iterator[tuple[str, list[VersionInfo]]]:
        """Yield each model's name and what `versions` returns for it, a page of 5,000 versions at a time.

        If a version is deleted in the meantime, the pages shift, so another version at a page boundary is missed.
        That's why each page's first and last models are read again, with one request each. Raises RegistryRefused on
        Unity Catalog.
        """
        seen: set[str] = set()
        for page in self._pages_of_versions("", "name ASC", "version_number DESC"):
            by_model: dict[str, list[VersionInfo]] = {}
            for version in _without_prompts(page):
                by_model.setdefault(version.model, []).append(version)
            names = list(by_model)
            for name in names:
                if name in seen:
                    continue
                seen.add(name)
                if name not in {names[0], names[-1]}:
                    yield name, by_model[name]
                else:
                    with suppress(UnknownModel):
                        yield name, self.versions(name)

    def version(self, name: str, number: int) -> VersionInfo:
        """Return one version with its aliases. Raises UnknownModel and UnknownVersion.

        One request; if the version is missing, one more to find out whether its model is missing, too.
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
        """Return the Production version of each of these models, by model name; the highest if there are several.

        Models without one are left out. One request for each page of 1,000 models in the registry; none if `names` is
        empty.
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

        The call is never retried: if its result is unknown, look for a version with this run. One request each for the
        run, each model that it logged, the registered model, and the version. Raises UnknownRun, UnknownModel for a
        prompt, and BadInput if `artifact` is ambiguous.
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
        """Set the version's tags; None removes a tag.

        One request for each tag if the model was read within the last minute. Raises UnknownModel and UnknownVersion,
        and BadInput if a tag is too long, before any tag is set.
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

        One request if the model was read within the last minute. Raises UnknownModel and UnknownVersion, and BadInput
        if the text is too long.
        """
        check_description(text)
        self._require_model(name)
        if version is None:
            self._connection.call(lambda client: client.update_registered_model(name, text), unknown_model(name))
        else:
            missing = unknown_version(name, version)
            self._connection.call(lambda client: client.update_model_version(name, version, text), missing)

    def transition_stage(self, name: str, version: int, stage: Stage, *, archive_existing: bool) -> None:
        """Transition the version; `archive_existing` archives the other versions in the target stage.

        One request if the model was read within the last minute. Raises UnknownModel and UnknownVersion.
        """
        self._require_model(name)
        archives = archive_existing and stage in TARGET_STAGES
        try:
            self._transition_stage(name, version, stage, archive_existing=archives)
            return
        except RegistryRefused as refusal:
            if not archives or not is_archive_bug(refusal.__cause__):
                raise
        # In this order, the stage briefly has two versions; in the reverse order, it would briefly have none.
        self._transition_stage(name, version, stage)
        for other in self.versions(name):
            if other.stage is stage and other.version != version:
                self._transition_stage(name, other.version, Stage.ARCHIVED)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point `alias` at the version. One request if the model was read within the last minute.

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
        """Remove an alias, if it exists. One request if the model was read within the last minute.

        Raises UnknownModel.
        """
        self._require_model(name)
        self._connection.call(lambda client: client.delete_registered_model_alias(name, alias), unknown_model(name))

    def _all_models(self) -> list[Any]:
        pages = self._pages_of_models(_MODELS_PER_PAGE)
        return [model for page in pages for model in page if not model._is_prompt()]

    def _search_versions(self, name_filter: str, *order: str) -> list[VersionInfo]:
        """Return the matching versions of models, but not those of prompts."""
        pages = self._pages_of_versions(name_filter, *order)
        return _without_prompts(entity for page in pages for entity in page)

    def _pages_of_models(self, size: int, *order: str) -> Iterator[Any]:
        return self._connection.iterate_pages(
            lambda client, token: search_registered_models(client, size, order, token)
        )

    def _pages_of_versions(self, name_filter: str, *order: str) -> Iterator[Any]:
        return self._connection.iterate_pages(
            lambda client, token: search_model_versions(client, name_filter, self._versions_per_page, order, token)
        )

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
                self.model(name)  # someone else created it first; check that it's a model
            return
        if model._is_prompt():
            raise name_taken_by_prompt(name)
        if model.name != name:  # a case-insensitive database
            raise missing

    def _require_model(self, name: str) -> None:
        """Raise UnknownModel for a prompt, which MLflow would otherwise transition without an error."""
        checked_at = self._models_checked_at.get(name)
        if checked_at is None or self._monotonic() - checked_at > _MODEL_CHECK_SECONDS:
            self.model(name)

    def _remember_models(self, *names: str) -> None:
        self._models_checked_at.update(dict.fromkeys(names, self._monotonic()))


def _without_prompts(entities: Iterable[Any]) -> list[VersionInfo]:
    # Keyed by name and number, because a version registered in the meantime shifts the pages.
    unique = {(each.name, int(each.version)): each for each in entities if not each._is_prompt()}
    return [version_info(entity) for entity in unique.values()]

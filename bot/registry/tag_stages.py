"""A registry without stages, such as Unity Catalog: the tag `stage` says which stage a version is in.

There, model servers follow the alias, so setting the alias is the actual transition, and the tags only record it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from bot.domain.registry.model import TARGET_STAGES, ModelInfo, Stage, VersionInfo
from bot.ports import ModelRegistry
from bot.registry.checks import unknown_version

STAGE_TAG = "stage"


class TagStageRegistry:
    """The `ModelRegistry` port on top of another registry, whose `transition_stage` is never called.

    The steps of a transition aren't atomic. After a crash between them, call `transition_stage` again to repair it.
    """

    def __init__(self, registry: ModelRegistry, *, champion: str, challenger: str) -> None:
        self._registry = registry
        self.set_tags, self.set_description = registry.set_tags, registry.set_description
        self.set_alias, self.delete_alias, self.close = registry.set_alias, registry.delete_alias, registry.close
        self._aliases = {Stage.PRODUCTION: champion, Stage.STAGING: challenger}

    def models(self, text: str = "") -> list[ModelInfo]:
        """Return the models whose names contain `text` (ignoring case), sorted by name.

        One request for each page of 1,000. `latest` comes from the aliases, because reading the tags would take a
        request for each model.
        """
        return [
            replace(
                model,
                latest={
                    stage: model.aliases[alias] for stage, alias in self._aliases.items() if alias in model.aliases
                },
            )
            for model in self._registry.models(text)
        ]

    def model(self, name: str) -> ModelInfo:
        """Return one model with its aliases; `latest` comes from the tags. Raises UnknownModel. Two requests."""
        model = self._registry.model(name)
        oldest_first = reversed(self.versions(name))
        return replace(model, latest={version.stage: version.version for version in oldest_first})

    def versions(self, name: str) -> list[VersionInfo]:
        """Return every version of the model, newest first, without aliases. One request."""
        return [_with_tagged_stage(version) for version in self._registry.versions(name)]

    def version(self, name: str, number: int) -> VersionInfo:
        """Return one version with its aliases. Raises UnknownModel and UnknownVersion. One request."""
        return _with_tagged_stage(self._registry.version(name, number))

    def production_versions(self, names: Collection[str]) -> dict[str, VersionInfo]:
        """Return the version that each model's Production alias names. One request, and one more for each version."""
        requested = set(names)
        aliased = {
            model.name: model.latest[Stage.PRODUCTION]
            for model in (self.models() if requested else [])
            if model.name in requested and Stage.PRODUCTION in model.latest
        }
        return {name: replace(self.version(name, number), aliases=()) for name, number in aliased.items()}

    def register_version(
        self, name: str, run_id: str, *, artifact: str = "", description: str = "", tags: Mapping[str, str]
    ) -> VersionInfo:
        """Create the next version from a run, as the underlying registry does."""
        created = self._registry.register_version(name, run_id, artifact=artifact, description=description, tags=tags)
        return _with_tagged_stage(created)

    def transition_stage(self, name: str, version: int, stage: Stage, *, archive_existing: bool) -> None:
        """Transition the version: set its alias, then its tag, then the tags of the other versions in the stage.

        The other versions' tags change only with `archive_existing`. Aliases of other stages that name the version are
        removed. Two requests to read, then one for each alias and each tag. Raises UnknownModel and UnknownVersion
        before anything changes.
        """
        aliases, versions = self._registry.model(name).aliases, self.versions(name)
        if version not in {info.version for info in versions}:
            raise unknown_version(name, version)
        if stage in TARGET_STAGES:
            self._registry.set_alias(name, self._aliases[stage], version)
        self._set_stage_tag(name, version, stage)
        if archive_existing and stage in TARGET_STAGES:
            for former in (info for info in versions if info.stage is stage and info.version != version):
                self._set_stage_tag(name, former.version, Stage.ARCHIVED)
        for other, alias in self._aliases.items():
            if other is not stage and aliases.get(alias) == version:
                self._registry.delete_alias(name, alias)

    def _set_stage_tag(self, name: str, version: int, stage: Stage) -> None:
        self._registry.set_tags(name, version, {STAGE_TAG: stage.value})


def _with_tagged_stage(version: VersionInfo) -> VersionInfo:
    stages = {stage.value: stage for stage in Stage}
    stage = stages.get(version.tags.get(STAGE_TAG, ""), Stage.NONE)
    return replace(version, stage=stage, changed_at=None)  # a tag has no timestamp

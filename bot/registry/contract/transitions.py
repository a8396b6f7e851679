"""Contract tests for `ModelRegistry`: stages and aliases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from bot.domain.core.errors import UnknownModel, UnknownVersion
from bot.domain.registry.model import Stage
from bot.ports import ModelRegistry
from bot.registry.contract.contents import RegistryContents
from bot.registry.contract.registry import ARCHIVED, NONE, PRODUCTION, STAGING, stages


class TransitionContract:
    """Stages and aliases. Subclass this, and provide the fixtures `registry` and `contents`."""

    def test_existing_versions_in_the_stage_are_archived(
        self, registry: ModelRegistry, contents: RegistryContents
    ) -> None:
        contents.add_model("churn", versions=[PRODUCTION, PRODUCTION, STAGING])
        registry.transition_stage("churn", 3, PRODUCTION, archive_existing=True)
        assert stages(registry) == {1: ARCHIVED, 2: ARCHIVED, 3: PRODUCTION}

    def test_existing_versions_in_the_stage_can_be_kept(
        self, registry: ModelRegistry, contents: RegistryContents
    ) -> None:
        contents.add_model("churn", versions=[PRODUCTION, STAGING])
        registry.transition_stage("churn", 2, PRODUCTION, archive_existing=False)
        assert stages(registry) == {1: PRODUCTION, 2: PRODUCTION}

    def test_versions_in_other_stages_are_unchanged(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=[PRODUCTION, STAGING, NONE])
        registry.transition_stage("churn", 3, STAGING, archive_existing=True)
        assert stages(registry) == {1: PRODUCTION, 2: ARCHIVED, 3: STAGING}

    def test_other_models_are_unchanged(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=1)
        contents.add_model("fraud", versions=[PRODUCTION])
        registry.transition_stage("churn", 1, PRODUCTION, archive_existing=True)
        assert stages(registry, "fraud") == {1: PRODUCTION}

    def test_a_transition_to_the_current_stage_changes_nothing(
        self, registry: ModelRegistry, contents: RegistryContents
    ) -> None:
        contents.add_model("churn", versions=[PRODUCTION])
        registry.transition_stage("churn", 1, PRODUCTION, archive_existing=True)
        assert stages(registry) == {1: PRODUCTION}

    @pytest.mark.parametrize("start", list(Stage))
    def test_a_version_can_go_from_any_stage_to_any_other(
        self, registry: ModelRegistry, contents: RegistryContents, start: Stage
    ) -> None:
        contents.add_model("churn", versions=[start])
        for goal in Stage:
            registry.transition_stage("churn", 1, goal, archive_existing=True)
            assert stages(registry) == {1: goal}

    def test_archiving_a_version_leaves_other_archived_versions(
        self, registry: ModelRegistry, contents: RegistryContents
    ) -> None:
        contents.add_model("churn", versions=[ARCHIVED, PRODUCTION])
        registry.transition_stage("churn", 2, ARCHIVED, archive_existing=True)
        assert stages(registry) == {1: ARCHIVED, 2: ARCHIVED}

    def test_an_unknown_version_cannot_change_stage(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=1)
        with pytest.raises(UnknownVersion):
            registry.transition_stage("churn", 7, PRODUCTION, archive_existing=True)

    def test_a_transition_of_an_unknown_version_archives_nothing(
        self, registry: ModelRegistry, contents: RegistryContents
    ) -> None:
        contents.add_model("churn", versions=[PRODUCTION])
        with pytest.raises(UnknownVersion):
            registry.transition_stage("churn", 7, PRODUCTION, archive_existing=True)
        assert stages(registry) == {1: PRODUCTION}

    def test_a_deleted_version_cannot_change_stage(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=1)
        contents.delete_version("churn", 1)
        with pytest.raises(UnknownVersion):
            registry.transition_stage("churn", 1, PRODUCTION, archive_existing=True)

    def test_a_version_of_an_unknown_model_cannot_change_stage(self, registry: ModelRegistry) -> None:
        with pytest.raises(UnknownModel):
            registry.transition_stage("churn", 1, PRODUCTION, archive_existing=True)

    def test_a_transition_shows_in_the_model_s_latest_versions(
        self, registry: ModelRegistry, contents: RegistryContents
    ) -> None:
        contents.add_model("churn", versions=1)
        registry.transition_stage("churn", 1, STAGING, archive_existing=True)
        assert registry.model("churn").latest == {STAGING: 1}

    def test_a_model_without_aliases_has_none(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=1)
        assert registry.model("churn").aliases == {}

    def test_an_alias_can_be_set_to_another_version(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=2)
        registry.set_alias("churn", "champion", 1)
        registry.set_alias("churn", "champion", 2)
        assert registry.model("churn").aliases == {"champion": 2}

    def test_a_list_of_models_has_their_aliases(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=1)
        registry.set_alias("churn", "champion", 1)
        assert registry.models()[0].aliases == {"champion": 1}

    def test_an_alias_is_removed_with_its_version(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=1)
        registry.set_alias("churn", "champion", 1)
        contents.delete_version("churn", 1)
        assert registry.model("churn").aliases == {}

    def test_an_alias_needs_a_version(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=1)
        with pytest.raises(UnknownVersion):
            registry.set_alias("churn", "champion", 7)

    def test_an_alias_needs_a_model(self, registry: ModelRegistry) -> None:
        with pytest.raises(UnknownModel):
            registry.set_alias("churn", "champion", 1)

    def test_a_deleted_alias_is_removed(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=1)
        registry.set_alias("churn", "champion", 1)
        registry.set_alias("churn", "best", 1)
        registry.delete_alias("churn", "champion")
        assert registry.model("churn").aliases == {"best": 1}

    def test_deleting_a_missing_alias_is_harmless(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=1)
        registry.delete_alias("churn", "champion")
        assert registry.model("churn").aliases == {}

    def test_deleting_an_alias_needs_a_model(self, registry: ModelRegistry) -> None:
        with pytest.raises(UnknownModel):
            registry.delete_alias("churn", "champion")

    def test_two_threads_can_set_the_same_new_alias(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=2)
        start = Barrier(2)

        def set_all(version: int) -> None:
            for number in range(5):
                start.wait()
                registry.set_alias("churn", f"alias-{number}", version)

        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(set_all, (1, 2))) == [None, None]
        assert set(registry.model("churn").aliases) == {f"alias-{number}" for number in range(5)}

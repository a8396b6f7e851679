"""Stages stored as tags, for a registry without stages."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import pytest

from bot.domain.core.errors import RegistryUnreachable
from bot.domain.registry.model import Stage
from bot.registry.tag_stages import TagStageRegistry
from tests.support.registry.contract_fixtures import ARCHIVED, NONE, PRODUCTION, STAGING, stages
from tests.support.registry.memory import MemoryRegistry


class DyingRegistry(MemoryRegistry):
    """A registry that fails after `left` more writes, as if the caller had died."""

    left = 99

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Set the alias, unless no writes are left."""
        self._live()
        super().set_alias(name, alias, version)

    def delete_alias(self, name: str, alias: str) -> None:
        """Delete the alias, unless no writes are left."""
        self._live()
        super().delete_alias(name, alias)

    def set_tags(self, name: str, version: int, tags: Mapping[str, str | None]) -> None:
        """Set the tags, unless no writes are left."""
        self._live()
        super().set_tags(name, version, tags)

    def _live(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise RegistryUnreachable("It died.")


class TestStagesAsTags:
    @pytest.fixture
    def mortal(self) -> DyingRegistry:
        """Return a registry with v1 in Production and v2 in Staging, by tags and aliases."""
        memory = DyingRegistry()
        memory.add_model("churn", versions=3)
        registry = self.tagged(memory)
        registry.transition_stage("churn", 1, PRODUCTION, archive_existing=True)
        registry.transition_stage("churn", 2, STAGING, archive_existing=True)
        memory.request_counts.clear()
        return memory

    @staticmethod
    def tagged(memory: MemoryRegistry) -> TagStageRegistry:
        return TagStageRegistry(memory, champion="champion", challenger="challenger")

    def test_setting_the_alias_is_the_transition(self, mortal: DyingRegistry) -> None:
        self.tagged(mortal).transition_stage("churn", 2, PRODUCTION, archive_existing=True)
        assert mortal.model("churn").aliases == {"champion": 2}
        assert stages(self.tagged(mortal)) == {1: ARCHIVED, 2: PRODUCTION, 3: NONE}

    def test_the_registry_s_own_stages_are_ignored(self, mortal: DyingRegistry) -> None:
        self.tagged(mortal).transition_stage("churn", 2, PRODUCTION, archive_existing=True)
        assert mortal.request_counts["transition"] == 0
        assert stages(mortal) == {1: NONE, 2: NONE, 3: NONE}

    @pytest.mark.parametrize("stage", [ARCHIVED, NONE])
    def test_a_version_that_leaves_a_stage_loses_its_alias(self, mortal: DyingRegistry, stage: Stage) -> None:
        self.tagged(mortal).transition_stage("churn", 1, stage, archive_existing=True)
        assert mortal.model("churn").aliases == {"challenger": 2}
        assert stages(self.tagged(mortal)) == {1: stage, 2: STAGING, 3: NONE}

    def test_other_aliases_stay(self, mortal: DyingRegistry) -> None:
        mortal.set_alias("churn", "best", 1)
        self.tagged(mortal).transition_stage("churn", 1, ARCHIVED, archive_existing=True)
        assert mortal.model("churn").aliases == {"challenger": 2, "best": 1}

    @pytest.mark.parametrize("writes", range(4))
    @pytest.mark.parametrize("stage", Stage)
    def test_an_interrupted_transition_is_repaired_by_a_retry(
        self, mortal: DyingRegistry, stage: Stage, writes: int
    ) -> None:
        whole = DyingRegistry()
        whole.add_model("churn", versions=3)
        for version, target in ((1, PRODUCTION), (2, STAGING), (2, stage)):
            self.tagged(whole).transition_stage("churn", version, target, archive_existing=True)
        mortal.left = writes
        with suppress(RegistryUnreachable):
            self.tagged(mortal).transition_stage("churn", 2, stage, archive_existing=True)
        mortal.left = 99
        self.tagged(mortal).transition_stage("churn", 2, stage, archive_existing=True)
        assert stages(self.tagged(mortal)) == stages(self.tagged(whole))
        assert mortal.model("churn").aliases == whole.model("churn").aliases

    @pytest.mark.parametrize("writes", range(4))
    def test_there_is_always_a_champion(self, mortal: DyingRegistry, writes: int) -> None:
        mortal.left = writes
        with suppress(RegistryUnreachable):
            self.tagged(mortal).transition_stage("churn", 2, PRODUCTION, archive_existing=True)
        assert mortal.model("churn").aliases["champion"] in {1, 2}
        assert PRODUCTION in stages(self.tagged(mortal)).values()

    def test_an_unknown_stage_tag_means_no_stage(self) -> None:
        memory = MemoryRegistry()
        memory.add_model("churn")
        memory.add_version("churn", tags={"stage": "Live"})
        assert stages(self.tagged(memory)) == {1: NONE}

    def test_listing_models_needs_one_request_and_uses_the_aliases(self, mortal: DyingRegistry) -> None:
        assert self.tagged(mortal).models()[0].latest == {PRODUCTION: 1, STAGING: 2}
        assert mortal.request_counts == {"models": 1}

    def test_reading_a_model_needs_two_requests_and_uses_the_tags(self, mortal: DyingRegistry) -> None:
        assert self.tagged(mortal).model("churn").latest == {PRODUCTION: 1, STAGING: 2, NONE: 3}
        assert mortal.request_counts == {"model": 1, "versions": 1}

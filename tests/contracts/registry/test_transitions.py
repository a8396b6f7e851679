"""Stages and aliases in MLflow and in the in-memory registry."""

from __future__ import annotations

import warnings

import pytest

from bot.domain.core.errors import RegistryRefused
from bot.ports import ModelRegistry
from bot.registry.tag_stages import TagStageRegistry
from tests.support.registry.contract_fixtures import NONE, PRODUCTION, STAGING
from tests.support.registry.registries import RegistryContents


class TestMoving:
    def test_mlflow_shows_no_warnings_about_stages(self, registry: ModelRegistry, backend: RegistryContents) -> None:
        backend.add_model("churn", versions=1)
        with warnings.catch_warnings(record=True) as shown:
            warnings.simplefilter("always", FutureWarning)
            registry.transition_stage("churn", 1, STAGING, archive_existing=True)
        assert [one.message for one in shown if issubclass(one.category, FutureWarning)] == []


class TestAliases:
    def test_an_archived_version_keeps_its_alias(self, registry: ModelRegistry, backend: RegistryContents) -> None:
        backend.add_model("churn", versions=[PRODUCTION, NONE])
        registry.set_alias("churn", "champion", 1)
        if isinstance(registry, TagStageRegistry):
            pytest.skip("without stages the alias is the move")
        registry.transition_stage("churn", 2, PRODUCTION, archive_existing=True)
        assert registry.model("churn").aliases == {"champion": 1}

    @pytest.mark.parametrize("alias", ["latest", "Latest", "v7", "2.1.0", "two words", ""])
    def test_an_alias_that_mlflow_does_not_accept_is_refused(
        self, registry: ModelRegistry, backend: RegistryContents, alias: str
    ) -> None:
        backend.add_model("churn", versions=1)
        with pytest.raises(RegistryRefused):
            registry.set_alias("churn", alias, 1)

"""Unusual names and prompts, in MLflow and in memory, with stages and with tags."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bot.domain.core.errors import UnknownModel
from bot.ports import ModelRegistry
from tests.support.registry.contract_fixtures import ODD_NAMES, PRODUCTION
from tests.support.registry.memory import MemoryRegistry
from tests.support.registry.registries import RegistryContents


class TestReading:
    def test_a_registry_that_ignores_case_returns_the_stored_name(self) -> None:
        registry = MemoryRegistry()
        registry.ignores_case = True
        registry.add_model("churn", versions=1)
        told = registry.model("CHURN").name, registry.versions("Churn")[0].model, registry.version("CHURN", 1).model
        assert told == ("churn",) * 3


class TestNames:
    @pytest.mark.parametrize("name", [name for name in ODD_NAMES if " " in name])
    def test_a_name_cannot_widen_the_search(
        self, registry: ModelRegistry, backend: RegistryContents, name: str
    ) -> None:
        backend.add_model("x", versions=1)
        assert registry.versions(name) == []

    def test_a_name_with_both_quotes_cannot_be_looked_up(self, registry: ModelRegistry) -> None:
        with pytest.raises(UnknownModel, match="both kinds of quotes"):
            registry.versions("""x' OR "x" """)
        with pytest.raises(UnknownModel, match="both kinds of quotes"):
            registry.version("""x' OR "x" """, 1)


class TestPrompts:
    @pytest.fixture(autouse=True)
    def _there_is_a_prompt(self, backend: RegistryContents) -> None:
        backend.add_model("greeting", versions=1, is_prompt=True)

    def test_a_prompt_is_not_listed(self, registry: ModelRegistry) -> None:
        assert registry.models() == []

    def test_a_prompt_is_not_a_model(self, registry: ModelRegistry) -> None:
        with pytest.raises(UnknownModel):
            registry.model("greeting")

    def test_a_prompt_has_no_versions(self, registry: ModelRegistry) -> None:
        assert registry.versions("greeting") == []

    def test_a_prompt_cannot_change_stage(self, registry: ModelRegistry) -> None:
        with pytest.raises(UnknownModel):
            registry.transition_stage("greeting", 1, PRODUCTION, archive_existing=True)

    def test_a_prompt_cannot_be_edited(self, registry: ModelRegistry) -> None:
        acts: list[Callable[[ModelRegistry], object]] = [
            lambda registry: registry.set_alias("greeting", "champion", 1),
            lambda registry: registry.delete_alias("greeting", "champion"),
            lambda registry: registry.set_tags("greeting", 1, {"owner": "ann"}),
            lambda registry: registry.set_tags("greeting", 1, {"owner": None}),
            lambda registry: registry.set_description("greeting", 1, "hello"),
            lambda registry: registry.set_description("greeting", None, "hello"),
            lambda registry: registry.version("greeting", 1),
        ]
        for act in acts:
            with pytest.raises(UnknownModel):
                act(registry)

    def test_no_version_is_registered_under_a_prompt(self, registry: ModelRegistry, backend: RegistryContents) -> None:
        run_id = backend.add_run()
        with pytest.raises(UnknownModel, match="“greeting” is a prompt"):
            registry.register_version("greeting", run_id, tags={})

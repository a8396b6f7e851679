"""Every registry keeps the same promises: the one in memory, MLflow over its database, MLflow over HTTP.

Each of them also without stages, kept as tags.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC

import pytest

from bot.domain.core.errors import UnknownModel
from bot.ports import ModelRegistry
from bot.registry.memory import MemoryRegistry
from tests.support.registry.contract_fixtures import NONE, ODD_NAMES, PRODUCTION, stages
from tests.support.registry.registries import RegistryBackend


class TestReading:
    def test_versions_come_newest_number_first(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        backend.add_model("churn", versions=10)
        assert [v.version for v in registry.versions("churn")] == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]

    def test_an_unknown_model_has_no_versions(self, registry: ModelRegistry) -> None:
        assert registry.versions("churn") == []

    def test_a_version_without_a_run_says_so(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        backend.add_model("churn", versions=1)
        assert registry.versions("churn")[0].run_id is None

    def test_a_version_tells_what_was_registered(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        backend.add_model("churn")
        backend.add_version("churn", run_id="4711", description="the best one", tags={"semver": "1.0.0"})
        told = registry.versions("churn")[0]
        assert (told.model, told.version, told.stage, told.status) == ("churn", 1, NONE, "READY")
        assert (told.run_id, told.description, dict(told.tags)) == (
            "4711",
            "the best one",
            {"semver": "1.0.0"},
        )

    def test_times_are_in_utc(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        backend.add_model("churn", versions=1)
        created, updated = registry.versions("churn")[0].created_at, registry.model("churn").updated_at
        assert [moment and moment.tzinfo for moment in (created, updated)] == [UTC, UTC]

    def test_the_summary_of_a_model_tells_what_its_versions_are(
        self, registry: ModelRegistry, backend: RegistryBackend
    ) -> None:
        backend.add_model("churn")
        backend.add_version("churn", run_id="4711", source="s3://models/churn")
        model, [version] = registry.model("churn"), registry.versions("churn")
        told = version.identity(model.created_at)
        assert (told.run_id, told.source, told.created_at is None) == ("4711", "s3://models/churn", False)
        assert dict(model.identities) == {1: told}
        assert registry.models()[0].identities == model.identities
        assert registry.version("churn", 1).identity(model.created_at) == told

    def test_a_deleted_version_is_gone_and_its_number_stays_free(
        self, registry: ModelRegistry, backend: RegistryBackend
    ) -> None:
        backend.add_model("churn", versions=2)
        backend.delete_version("churn", 2)
        backend.add_version("churn")
        assert [v.version for v in registry.versions("churn")] == [3, 1]

    def test_the_latest_of_a_stage_is_its_highest_number(
        self, registry: ModelRegistry, backend: RegistryBackend
    ) -> None:
        backend.add_model("churn", versions=[PRODUCTION, PRODUCTION, NONE])
        registry.transition_stage("churn", 1, PRODUCTION, archive_existing=False)
        assert registry.model("churn").latest == {PRODUCTION: 2, NONE: 3}

    def test_a_model_tells_what_was_registered(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        backend.add_model("churn", description="who leaves", tags={"owner": "ann"})
        told = registry.model("churn")
        assert (told.name, told.description, dict(told.tags)) == ("churn", "who leaves", {"owner": "ann"})

    def test_an_unknown_model_is_said_to_be_unknown(self, registry: ModelRegistry) -> None:
        with pytest.raises(UnknownModel, match="The registry has no model “churn”"):
            registry.model("churn")

    def test_a_name_in_another_letter_case_is_unknown(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        backend.add_model("churn", versions=1)
        with pytest.raises(UnknownModel):
            registry.model("CHURN")
        assert registry.versions("CHURN") == []

    def test_a_registry_that_ignores_case_tells_the_stored_name(self) -> None:
        registry = MemoryRegistry()
        registry.ignores_case = True
        registry.add_model("churn", versions=1)
        told = registry.model("CHURN").name, registry.versions("Churn")[0].model, registry.version("CHURN", 1).model
        assert told == ("churn",) * 3

    def test_models_are_sorted_by_name(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        for name in ("fraud", "churn", "Churn"):
            backend.add_model(name)
        assert [m.name for m in registry.models()] == ["Churn", "churn", "fraud"]

    @pytest.mark.parametrize(
        ("text", "found"),
        [("CHURN", "eu_churn"), ("МОДЕЛЬ", "модель 5%"), ("%", "модель 5%"), ("_", "eu_churn")],
    )
    def test_models_are_found_by_a_part_of_their_name(
        self, registry: ModelRegistry, backend: RegistryBackend, text: str, found: str
    ) -> None:
        for name in ("eu_churn", "модель 5%", "fraud"):
            backend.add_model(name)
        assert [m.name for m in registry.models(text)] == [found]


class TestNames:
    def test_a_model_of_any_name_is_read_and_moved(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        for name in ODD_NAMES:
            backend.add_model(name, versions=2)
        for name in ODD_NAMES:
            registry.transition_stage(name, 1, PRODUCTION, archive_existing=True)
            registry.set_alias(name, "champion", 1)
            registry.set_tags(name, 1, {"owner": name})
            registry.set_description(name, 1, name)
        told = [registry.version(name, 1) for name in ODD_NAMES]
        assert [(v.model, v.description, v.tags["owner"]) for v in told] == [(name, name, name) for name in ODD_NAMES]
        assert all(stages(registry, name) == {1: PRODUCTION, 2: NONE} for name in ODD_NAMES)
        assert [registry.model(name).aliases for name in ODD_NAMES] == [{"champion": 1}] * len(ODD_NAMES)

    @pytest.mark.parametrize("name", [name for name in ODD_NAMES if " " in name])
    def test_a_name_cannot_widen_the_search(self, registry: ModelRegistry, backend: RegistryBackend, name: str) -> None:
        backend.add_model("x", versions=1)
        assert registry.versions(name) == []

    def test_a_name_with_both_quotes_cannot_be_looked_up(self, registry: ModelRegistry) -> None:
        with pytest.raises(UnknownModel, match="both kinds of quotes"):
            registry.versions("""x' OR "x" """)
        with pytest.raises(UnknownModel, match="both kinds of quotes"):
            registry.version("""x' OR "x" """, 1)


class TestPrompts:
    @pytest.fixture(autouse=True)
    def _there_is_a_prompt(self, backend: RegistryBackend) -> None:
        backend.add_model("greeting", versions=1, is_prompt=True)

    def test_a_prompt_is_not_listed(self, registry: ModelRegistry) -> None:
        assert registry.models() == []

    def test_a_prompt_is_no_model(self, registry: ModelRegistry) -> None:
        with pytest.raises(UnknownModel):
            registry.model("greeting")

    def test_a_prompt_has_no_versions(self, registry: ModelRegistry) -> None:
        assert registry.versions("greeting") == []

    def test_a_prompt_is_not_moved(self, registry: ModelRegistry) -> None:
        with pytest.raises(UnknownModel):
            registry.transition_stage("greeting", 1, PRODUCTION, archive_existing=True)

    def test_a_prompt_is_not_touched(self, registry: ModelRegistry) -> None:
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

    def test_no_version_is_registered_under_a_prompt(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        run_id = backend.add_run()
        with pytest.raises(UnknownModel, match="“greeting” is a prompt"):
            registry.register_version("greeting", run_id, tags={})

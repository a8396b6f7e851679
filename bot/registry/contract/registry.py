"""Contract tests for `ModelRegistry`: models, versions, tags, and descriptions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta
from typing import ClassVar

import pytest

from bot.domain.core.errors import BadInput, UnknownModel, UnknownRun, UnknownVersion
from bot.domain.registry.model import Stage
from bot.ports import ListsAllVersions, ListsChanges, ModelRegistry
from bot.registry.contract.contents import RegistryContents

NONE, STAGING, PRODUCTION, ARCHIVED = Stage


def stages(registry: ModelRegistry, name: str = "churn") -> dict[int, Stage]:
    """Return the stage of each version, by number."""
    return {version.version: version.stage for version in registry.versions(name)}


class RegistryContract:
    """Tests for models and versions. Subclass this, and provide the fixtures `registry` and `contents`."""

    odd_names: ClassVar[list[str]] = [
        "o'brien",
        'the "best"',
        "two words",
        "100%",
        "a_b",
        "модель",
        "名前",
        "churn@eu",
        "a\\",
        "x AND y",
        "a;b",
        "a--b",
        "x' OR name != 'x",
        "x' AND name = 'y",
        'x" OR name LIKE "%',
    ]

    def test_versions_come_newest_number_first(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=10)
        assert [v.version for v in registry.versions("churn")] == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]

    def test_an_unknown_model_has_no_versions(self, registry: ModelRegistry) -> None:
        assert registry.versions("churn") == []

    def test_the_versions_of_all_models_are_listed(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        if not isinstance(registry, ListsAllVersions):
            pytest.skip("This adapter doesn't have `all_versions`, which is optional.")
        contents.add_model("churn", versions=2)
        contents.add_model("fraud", versions=[PRODUCTION])
        contents.add_model("greeting", versions=1, is_prompt=True)
        listed = [*registry.versions("churn"), *registry.versions("fraud")]
        assert sorted(registry.all_versions(), key=str) == sorted(listed, key=str)

    def test_the_versions_of_each_model_are_streamed(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        if not isinstance(registry, ListsChanges):
            pytest.skip("This adapter doesn't have `versions_by_model`, which is optional.")
        for name in ("churn", "fraud", "o'brien"):
            contents.add_model(name, versions=[PRODUCTION, NONE])
        contents.add_model("greeting", versions=1, is_prompt=True)
        assert dict(registry.versions_by_model()) == {
            name: registry.versions(name) for name in ("churn", "fraud", "o'brien")
        }

    def test_only_recently_updated_models_are_listed(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        if not isinstance(registry, ListsChanges):
            pytest.skip("This adapter doesn't have `recently_updated`, which is optional.")
        contents.add_model("churn", versions=1)
        contents.add_model("greeting", versions=1, is_prompt=True)
        churn = registry.model("churn")
        assert churn.updated_at
        assert registry.recently_updated(churn.updated_at) == [churn]
        assert registry.recently_updated(churn.updated_at + timedelta(milliseconds=1)) == []

    def test_a_new_stage_makes_a_model_recently_updated(
        self, registry: ModelRegistry, contents: RegistryContents
    ) -> None:
        if not isinstance(registry, ListsChanges):
            pytest.skip("This adapter doesn't have `recently_updated`, which is optional.")
        contents.add_model("churn", versions=1)
        before = registry.model("churn").updated_at
        assert before
        registry.transition_stage("churn", 1, PRODUCTION, archive_existing=False)
        assert [model.latest for model in registry.recently_updated(before)] == [{PRODUCTION: 1}]

    def test_a_version_without_a_run_has_no_run_id(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=1)
        assert registry.versions("churn")[0].run_id is None

    def test_a_version_has_its_registered_facts(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn")
        contents.add_version("churn", run_id="4711", description="the best one", tags={"semver": "1.0.0"})
        told = registry.versions("churn")[0]
        assert (told.model, told.version, told.stage, told.status) == ("churn", 1, NONE, "READY")
        assert (told.run_id, told.description, dict(told.tags)) == (
            "4711",
            "the best one",
            {"semver": "1.0.0"},
        )

    def test_times_are_in_utc(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=1)
        created, updated = registry.versions("churn")[0].created_at, registry.model("churn").updated_at
        assert [moment and moment.tzinfo for moment in (created, updated)] == [UTC, UTC]

    def test_a_model_s_summary_has_its_versions_identities(
        self, registry: ModelRegistry, contents: RegistryContents
    ) -> None:
        contents.add_model("churn")
        contents.add_version("churn", run_id="4711", source="s3://models/churn")
        model, [version] = registry.model("churn"), registry.versions("churn")
        told = version.identity(model.created_at)
        assert (told.run_id, told.source, told.created_at is None) == ("4711", "s3://models/churn", False)
        assert dict(model.identities) == {1: told}
        assert registry.models()[0].identities == model.identities
        assert registry.version("churn", 1).identity(model.created_at) == told

    def test_a_deleted_version_s_number_is_not_reused(
        self, registry: ModelRegistry, contents: RegistryContents
    ) -> None:
        contents.add_model("churn", versions=2)
        contents.delete_version("churn", 2)
        contents.add_version("churn")
        assert [v.version for v in registry.versions("churn")] == [3, 1]

    def test_the_latest_of_a_stage_is_its_highest_number(
        self, registry: ModelRegistry, contents: RegistryContents
    ) -> None:
        contents.add_model("churn", versions=[PRODUCTION, PRODUCTION, NONE])
        registry.transition_stage("churn", 1, PRODUCTION, archive_existing=False)
        assert registry.model("churn").latest == {PRODUCTION: 2, NONE: 3}

    def test_a_model_has_its_registered_facts(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", description="who leaves", tags={"owner": "ann"})
        told = registry.model("churn")
        assert (told.name, told.description, dict(told.tags)) == ("churn", "who leaves", {"owner": "ann"})

    def test_an_unknown_model_is_refused(self, registry: ModelRegistry) -> None:
        with pytest.raises(UnknownModel):
            registry.model("churn")

    def test_a_name_with_different_case_is_unknown(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=1)
        with pytest.raises(UnknownModel):
            registry.model("CHURN")
        assert registry.versions("CHURN") == []

    def test_models_are_sorted_by_name(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        for name in ("fraud", "churn", "Churn"):
            contents.add_model(name)
        assert [m.name for m in registry.models()] == ["Churn", "churn", "fraud"]

    @pytest.mark.parametrize(
        ("text", "found"),
        [("CHURN", "eu_churn"), ("МОДЕЛЬ", "модель 5%"), ("%", "модель 5%"), ("_", "eu_churn")],
    )
    def test_models_are_found_by_part_of_their_name(
        self, registry: ModelRegistry, contents: RegistryContents, text: str, found: str
    ) -> None:
        for name in ("eu_churn", "модель 5%", "fraud"):
            contents.add_model(name)
        assert [m.name for m in registry.models(text)] == [found]

    def test_a_model_with_any_name_is_read_and_transitioned(
        self, registry: ModelRegistry, contents: RegistryContents
    ) -> None:
        for name in self.odd_names:
            contents.add_model(name, versions=2)
        for name in self.odd_names:
            registry.transition_stage(name, 1, PRODUCTION, archive_existing=True)
            registry.set_alias(name, "champion", 1)
            registry.set_tags(name, 1, {"owner": name})
            registry.set_description(name, 1, name)
        told = [registry.version(name, 1) for name in self.odd_names]
        assert [(v.model, v.description, v.tags["owner"]) for v in told] == [
            (name, name, name) for name in self.odd_names
        ]
        assert all(stages(registry, name) == {1: PRODUCTION, 2: NONE} for name in self.odd_names)
        assert [registry.model(name).aliases for name in self.odd_names] == [{"champion": 1}] * len(self.odd_names)

    def test_one_version_equals_its_list_entry_plus_aliases(
        self, registry: ModelRegistry, contents: RegistryContents
    ) -> None:
        contents.add_model("churn", versions=[PRODUCTION, STAGING])
        contents.add_version("churn", run_id="4711", description="the best one", tags={"semver": "1.0.0"})
        for alias, version in (("champion", 1), ("zebra", 3), ("best", 3)):
            registry.set_alias("churn", alias, version)
        among_all = {version.version: version for version in registry.versions("churn")}
        assert registry.version("churn", 1) == replace(among_all[1], aliases=("champion",))
        assert registry.version("churn", 2) == among_all[2]
        assert registry.version("churn", 3) == replace(among_all[3], aliases=("best", "zebra"))

    def test_a_version_has_its_source(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn")
        contents.add_version("churn", source="/srv/models/7")
        assert registry.versions("churn")[0].source == registry.version("churn", 1).source == "/srv/models/7"

    def test_an_unknown_version_is_refused(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=1)
        with pytest.raises(UnknownVersion):
            registry.version("churn", 7)

    def test_a_deleted_version_is_refused(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=1)
        contents.delete_version("churn", 1)
        with pytest.raises(UnknownVersion):
            registry.version("churn", 1)

    def test_a_version_of_an_unknown_model_reports_the_model(self, registry: ModelRegistry) -> None:
        with pytest.raises(UnknownModel):
            registry.version("churn", 1)

    def test_the_next_version_is_created_from_a_run(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=[PRODUCTION])
        run_id = contents.add_run()
        made = registry.register_version(
            "churn", run_id, description="näher dran", tags={"semver": "2.0.0", "owner": "ann"}
        )
        assert (made.model, made.version, made.stage, made.run_id) == ("churn", 2, NONE, run_id)
        assert (made.description, made.tags) == ("näher dran", {"semver": "2.0.0", "owner": "ann"})
        assert registry.version("churn", 2) == made

    def test_a_missing_model_is_created(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        registry.register_version("churn", contents.add_run(), tags={})
        assert [model.name for model in registry.models()] == ["churn"]
        assert stages(registry) == {1: NONE}

    def test_a_deleted_run_creates_nothing(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        run_id = contents.add_run(is_deleted=True)
        with pytest.raises(UnknownRun):
            registry.register_version("churn", run_id, tags={})
        assert registry.models() == []

    def test_one_of_several_logged_models_can_be_chosen(
        self, registry: ModelRegistry, contents: RegistryContents
    ) -> None:
        run_id = contents.add_run(models=["classifier", "embedder"])
        made = [
            registry.register_version("churn", run_id, artifact=name, tags={}) for name in ("classifier", "embedder")
        ]
        assert len({version.source for version in made}) == 2

    def test_one_of_several_logged_models_must_be_chosen(
        self, registry: ModelRegistry, contents: RegistryContents
    ) -> None:
        run_id = contents.add_run(models=["classifier", "embedder"])
        for artifact in ("", "other"):
            with pytest.raises(BadInput):
                registry.register_version("churn", run_id, artifact=artifact, tags={})
        assert registry.models() == []

    def test_text_that_is_too_long_is_refused_before_anything_is_created(
        self, registry: ModelRegistry, contents: RegistryContents
    ) -> None:
        run_id = contents.add_run()
        with pytest.raises(BadInput):
            registry.register_version("churn", run_id, description="x" * 5001, tags={})
        with pytest.raises(BadInput):
            registry.register_version("churn", run_id, tags={"owner": "x" * 5001})
        assert registry.models() == []

    def test_versions_sort_as_numbers(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        run_id = contents.add_run()
        for _ in range(12):
            registry.register_version("churn", run_id, tags={})
        assert [v.version for v in registry.versions("churn")] == [*range(12, 0, -1)]
        assert registry.model("churn").latest == {NONE: 12}

    def test_tags_are_set_changed_and_removed(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn")
        contents.add_version("churn", tags={"old": "1", "kept": "2"})
        registry.set_tags("churn", 1, {"old": None, "kept": "3", "причина": "drift, “wieder”", "a.b/c d-e:f": ""})
        assert registry.version("churn", 1).tags == {"kept": "3", "причина": "drift, “wieder”", "a.b/c d-e:f": ""}

    def test_removing_a_missing_tag_is_harmless(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=1)
        registry.set_tags("churn", 1, {"owner": None})
        assert registry.version("churn", 1).tags == {}

    def test_other_versions_keep_their_tags(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=2)
        registry.set_tags("churn", 1, {"owner": "ann"})
        assert registry.version("churn", 2).tags == {}

    def test_tags_of_an_unknown_version_are_refused(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=1)
        for value in ("ann", None):
            with pytest.raises(UnknownVersion):
                registry.set_tags("churn", 7, {"owner": value})

    def test_tags_of_an_unknown_model_are_refused(self, registry: ModelRegistry) -> None:
        with pytest.raises(UnknownModel):
            registry.set_tags("churn", 1, {"owner": "ann"})

    def test_a_long_tag_is_refused_before_any_tag_is_set(
        self, registry: ModelRegistry, contents: RegistryContents
    ) -> None:
        contents.add_model("churn", versions=1)
        for key, value in (("k" * 251, "v"), ("k", "v" * 5001)):
            with pytest.raises(BadInput):
                registry.set_tags("churn", 1, {"owner": "ann", key: value})
        assert registry.version("churn", 1).tags == {}

    def test_tags_of_the_maximum_length_are_stored(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=1)
        registry.set_tags("churn", 1, {"k" * 250: "я" * 5000})
        assert registry.version("churn", 1).tags == {"k" * 250: "я" * 5000}

    def test_a_version_gets_a_description(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=2)
        registry.set_description("churn", 1, "Promoted.\nПовышена.")
        assert [v.description for v in registry.versions("churn")] == ["", "Promoted.\nПовышена."]

    def test_a_model_gets_a_description(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", description="old", versions=1)
        registry.set_description("churn", None, "who leaves")
        assert registry.model("churn").description == "who leaves"
        assert registry.versions("churn")[0].description == ""

    def test_a_description_can_be_removed(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", description="old")
        contents.add_version("churn", description="old")
        registry.set_description("churn", None, "")
        registry.set_description("churn", 1, "")
        assert (registry.model("churn").description, registry.version("churn", 1).description) == ("", "")

    def test_a_description_of_an_unknown_version_or_model_is_refused(
        self, registry: ModelRegistry, contents: RegistryContents
    ) -> None:
        contents.add_model("churn", versions=1)
        with pytest.raises(UnknownVersion):
            registry.set_description("churn", 7, "text")
        for version in (1, None):
            with pytest.raises(UnknownModel):
                registry.set_description("fraud", version, "text")

    def test_a_long_description_is_refused(self, registry: ModelRegistry, contents: RegistryContents) -> None:
        contents.add_model("churn", versions=1)
        registry.set_description("churn", 1, "x" * 5000)
        with pytest.raises(BadInput):
            registry.set_description("churn", 1, "x" * 5001)

    def test_production_versions_are_returned_by_model(
        self, registry: ModelRegistry, contents: RegistryContents
    ) -> None:
        run = contents.add_run(metrics={"accuracy": 0.9})
        for name in ("churn", "fraud", "other"):
            contents.add_model(name, versions=1)
            registry.transition_stage(name, contents.add_version(name, run_id=run), PRODUCTION, archive_existing=True)
        held = registry.production_versions(["churn", "fraud", "unknown"])
        assert sorted(held) == ["churn", "fraud"]
        assert {(one.version, one.stage, one.run_id, one.aliases) for one in held.values()} == {
            (2, PRODUCTION, run, ())
        }

    def test_a_model_with_nothing_in_production_is_left_out(
        self, registry: ModelRegistry, contents: RegistryContents
    ) -> None:
        contents.add_model("churn", versions=[NONE, STAGING, ARCHIVED])
        assert registry.production_versions(["churn"]) == {}

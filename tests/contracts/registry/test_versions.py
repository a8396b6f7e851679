"""Versions, runs, tags, descriptions, and packages: every registry keeps the same promises."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bot.domain.core.errors import BadInput, RegistryRefused, UnknownModel, UnknownRun, UnknownVersion
from bot.domain.registry.model import Dataset, ModelPackage
from bot.ports import ModelRegistry
from tests.support.registry.contract_fixtures import NONE, ODD_NAMES, PRODUCTION, STAGING, stages
from tests.support.registry.registries import KINDS, PACKAGE, RegistryBackend

NO_IDS = ["x' OR attributes.run_id LIKE '%", "a','b", "'", '"', "", "a b", "модель", "a\n", "-", "../x", "x" * 999]


class TestOneVersion:
    def test_it_is_told_as_among_all_with_its_aliases(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        backend.add_model("churn", versions=[PRODUCTION, STAGING])
        backend.add_version("churn", run_id="4711", description="the best one", tags={"semver": "1.0.0"})
        for alias, version in (("champion", 1), ("zebra", 3), ("best", 3)):
            registry.set_alias("churn", alias, version)
        among_all = {version.version: version for version in registry.versions("churn")}
        assert registry.version("churn", 1) == replace(among_all[1], aliases=("champion",))
        assert registry.version("churn", 2) == among_all[2]
        assert registry.version("churn", 3) == replace(among_all[3], aliases=("best", "zebra"))

    def test_it_tells_where_its_files_lie(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        backend.add_model("churn")
        backend.add_version("churn", source="/srv/models/7")
        assert registry.versions("churn")[0].source == registry.version("churn", 1).source == "/srv/models/7"

    def test_an_unknown_version_is_said_to_be_unknown(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        backend.add_model("churn", versions=1)
        with pytest.raises(UnknownVersion, match="“churn” has no version v7"):
            registry.version("churn", 7)

    def test_a_deleted_version_is_unknown(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        backend.add_model("churn", versions=1)
        backend.delete_version("churn", 1)
        with pytest.raises(UnknownVersion):
            registry.version("churn", 1)

    def test_of_an_unknown_model_it_is_the_model_that_is_unknown(self, registry: ModelRegistry) -> None:
        with pytest.raises(UnknownModel):
            registry.version("churn", 1)


class TestRuns:
    def test_a_run_tells_what_it_did(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        begun, ended = datetime(2025, 3, 1, 12, 0, tzinfo=UTC), datetime(2025, 3, 1, 12, 42, tzinfo=UTC)
        run_id = backend.add_run(
            metrics={"auc": 0.93, "точность": 0.5},
            params={"depth": "7"},
            tags={"git": "abc"},
            name="bold-crow",
            user="ann",
            started_at=begun,
            ended_at=ended,
        )
        told = registry.runs([run_id])[run_id]
        assert (told.id, told.name, told.user) == (run_id, "bold-crow", "ann")
        assert (dict(told.metrics), dict(told.params)) == ({"auc": 0.93, "точность": 0.5}, {"depth": "7"})
        assert (told.started_at, told.ended_at, told.tags["git"]) == (begun, ended, "abc")
        assert (told.status, told.is_finished, told.is_deleted) == ("FINISHED", True, False)

    def test_a_run_of_which_nobody_told_the_user_has_none(
        self, registry: ModelRegistry, backend: RegistryBackend
    ) -> None:
        run_id = backend.add_run()
        assert registry.runs([run_id])[run_id].user == ""

    def test_a_run_that_goes_on_says_so(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        run_id = backend.add_run(status="RUNNING")
        told = registry.runs([run_id])[run_id]
        assert (told.status, told.is_finished, told.ended_at) == ("RUNNING", False, None)

    def test_a_run_names_its_data(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        datasets = [
            Dataset(name="customers", digest="d41d8", rows=5000, context="training"),
            Dataset(name="holdout", digest="cd98f"),
        ]
        run_id = backend.add_run(datasets=datasets)
        assert set(registry.runs([run_id])[run_id].datasets) == set(datasets)

    def test_a_metric_that_is_no_number_is_missing(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        run_id = backend.add_run(metrics={"a": math.nan, "b": math.inf, "c": -math.inf, "auc": 0.5})
        told = registry.runs([run_id])[run_id].metrics
        assert [name for name, value in told.items() if math.isnan(value)] == ["a", "b", "c"]
        assert told["auc"] == 0.5

    def test_a_run_can_have_hundreds_of_metrics(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        metrics = {f"metric/{number}": number / 7 for number in range(300)}
        run_id = backend.add_run(metrics=metrics)
        assert registry.runs([run_id])[run_id].metrics == metrics

    def test_a_deleted_run_can_be_read(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        run_id = backend.add_run(metrics={"auc": 0.9}, is_deleted=True)
        told = registry.runs([run_id])[run_id]
        assert (told.is_deleted, told.metrics) == (True, {"auc": 0.9})

    def test_runs_of_several_experiments_are_found_at_once(
        self, registry: ModelRegistry, backend: RegistryBackend
    ) -> None:
        ids = [backend.add_run(experiment=name) for name in ("a", "b", "o'brien")]
        assert len({run.experiment for run in registry.runs(ids).values()}) == 3

    def test_a_run_of_a_new_experiment_is_found(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        old = backend.add_run()
        registry.runs([old])
        new = backend.add_run(experiment="new")
        assert registry.runs([old, new]).keys() == {old, new}

    def test_runs_that_are_not_there_are_left_out(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        there = backend.add_run()
        assert registry.runs(["f" * 32, there, there]).keys() == {there}

    def test_of_no_ids_there_are_no_runs(self, registry: ModelRegistry) -> None:
        assert registry.runs([]) == {}

    def test_an_id_cannot_widen_the_search(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        there = backend.add_run()
        for run_id in NO_IDS:
            assert registry.runs([run_id]) == {}
        assert registry.runs([*NO_IDS, there]).keys() == {there}


class TestRegistering:
    def test_the_next_version_is_made_out_of_a_run(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        backend.add_model("churn", versions=[PRODUCTION])
        run_id = backend.add_run()
        made = registry.register_version(
            "churn", run_id, description="näher dran", tags={"semver": "2.0.0", "owner": "ann"}
        )
        assert (made.model, made.version, made.stage, made.run_id) == ("churn", 2, NONE, run_id)
        assert (made.description, made.tags) == ("näher dran", {"semver": "2.0.0", "owner": "ann"})
        assert registry.version("churn", 2) == made

    def test_a_model_that_is_not_there_is_made(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        registry.register_version("churn", backend.add_run(), tags={})
        assert [model.name for model in registry.models()] == ["churn"]
        assert stages(registry) == {1: NONE}

    def test_a_model_of_any_name_gets_a_version(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        run_id = backend.add_run()
        for name in ODD_NAMES:
            registry.register_version(name, run_id, tags={})
        assert all(stages(registry, name) == {1: NONE} for name in ODD_NAMES)

    def test_a_name_with_both_quotes_is_not_registered(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        with pytest.raises(UnknownModel, match="both kinds of quotes"):
            registry.register_version("""x' OR "x" """, backend.add_run(), tags={})
        assert registry.models() == []

    def test_a_name_that_mlflow_does_not_take_is_refused(
        self, registry: ModelRegistry, backend: RegistryBackend
    ) -> None:
        run_id = backend.add_run()
        for name in ("a/b", "a:b", " "):
            with pytest.raises(RegistryRefused):
                registry.register_version(name, run_id, tags={})

    def test_an_unknown_run_makes_nothing(self, registry: ModelRegistry) -> None:
        for run_id in ["f" * 32, *NO_IDS]:
            with pytest.raises(UnknownRun, match="MLflow has no run"):
                registry.register_version("churn", run_id, tags={})
        assert registry.models() == []

    def test_a_deleted_run_makes_nothing(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        run_id = backend.add_run(is_deleted=True)
        with pytest.raises(UnknownRun, match="or it was deleted"):
            registry.register_version("churn", run_id, tags={})
        assert registry.models() == []

    def test_the_one_model_that_the_run_logged_is_meant(
        self, registry: ModelRegistry, backend: RegistryBackend
    ) -> None:
        run_id = backend.add_run(models=["classifier"])
        unsaid = registry.register_version("churn", run_id, tags={})
        assert registry.register_version("churn", run_id, artifact="classifier", tags={}).source == unsaid.source
        assert "m-" in unsaid.source

    def test_of_several_logged_models_one_is_named(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        run_id = backend.add_run(models=["classifier", "embedder"])
        made = [
            registry.register_version("churn", run_id, artifact=name, tags={}) for name in ("classifier", "embedder")
        ]
        assert len({version.source for version in made}) == 2

    def test_of_several_logged_models_one_has_to_be_named(
        self, registry: ModelRegistry, backend: RegistryBackend
    ) -> None:
        run_id = backend.add_run(models=["classifier", "embedder"])
        for artifact in ("", "other"):
            with pytest.raises(BadInput, match=r"classifier, embedder.*--artifact NAME"):
                registry.register_version("churn", run_id, artifact=artifact, tags={})
        assert registry.models() == []

    def test_a_name_that_the_one_logged_model_does_not_have_is_not_passed_over(
        self, registry: ModelRegistry, backend: RegistryBackend
    ) -> None:
        run_id = backend.add_run(models=["classifier"])
        with pytest.raises(BadInput, match="no model “other” but classifier"):
            registry.register_version("churn", run_id, artifact="other", tags={})

    def test_a_run_of_another_tool_has_plain_files(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        run_id = backend.add_run()
        made = [
            registry.register_version("churn", run_id, artifact=artifact, tags={}) for artifact in ("", "nets/best 1")
        ]
        ends = [version.source.rpartition(run_id)[2] for version in made]
        assert ends == ["/artifacts/model", "/artifacts/nets/best 1"]

    def test_files_outside_the_run_are_not_registered(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        run_id = backend.add_run()
        for artifact in ("../other", "/etc", "a//b", "a/..", "%2e%2e/x", "a?b", "a#b", "s3://x"):
            with pytest.raises(BadInput):
                registry.register_version("churn", run_id, artifact=artifact, tags={})
        assert registry.models() == []

    def test_what_is_too_long_is_refused_before_anything_is_made(
        self, registry: ModelRegistry, backend: RegistryBackend
    ) -> None:
        run_id = backend.add_run()
        with pytest.raises(BadInput, match="The description is longer than 5000"):
            registry.register_version("churn", run_id, description="x" * 5001, tags={})
        with pytest.raises(BadInput, match="The tag “owner” is longer than 5000"):
            registry.register_version("churn", run_id, tags={"owner": "x" * 5001})
        assert registry.models() == []

    def test_versions_sort_as_numbers(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        run_id = backend.add_run()
        for _ in range(12):
            registry.register_version("churn", run_id, tags={})
        assert [v.version for v in registry.versions("churn")] == [*range(12, 0, -1)]
        assert registry.model("churn").latest == {NONE: 12}


class TestTags:
    def test_tags_are_set_changed_and_taken_away(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        backend.add_model("churn")
        backend.add_version("churn", tags={"old": "1", "kept": "2"})
        registry.set_tags("churn", 1, {"old": None, "kept": "3", "причина": "drift, “wieder”", "a.b/c d-e:f": ""})
        assert registry.version("churn", 1).tags == {"kept": "3", "причина": "drift, “wieder”", "a.b/c d-e:f": ""}

    def test_a_tag_that_is_not_there_can_be_taken_away(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        backend.add_model("churn", versions=1)
        registry.set_tags("churn", 1, {"owner": None})
        assert registry.version("churn", 1).tags == {}

    def test_other_versions_keep_theirs(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        backend.add_model("churn", versions=2)
        registry.set_tags("churn", 1, {"owner": "ann"})
        assert registry.version("churn", 2).tags == {}

    def test_an_unknown_version_gets_none(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        backend.add_model("churn", versions=1)
        for value in ("ann", None):
            with pytest.raises(UnknownVersion):
                registry.set_tags("churn", 7, {"owner": value})

    def test_an_unknown_model_gets_none(self, registry: ModelRegistry) -> None:
        with pytest.raises(UnknownModel):
            registry.set_tags("churn", 1, {"owner": "ann"})

    def test_a_long_one_is_refused_before_any_is_set(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        backend.add_model("churn", versions=1)
        for key, value in (("k" * 251, "v"), ("k", "v" * 5001)):
            with pytest.raises(BadInput, match=r"is longer than (250|5000) characters"):
                registry.set_tags("churn", 1, {"owner": "ann", key: value})
        assert registry.version("churn", 1).tags == {}

    def test_the_longest_ones_are_kept(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        backend.add_model("churn", versions=1)
        registry.set_tags("churn", 1, {"k" * 250: "я" * 5000})
        assert registry.version("churn", 1).tags == {"k" * 250: "я" * 5000}

    def test_a_key_that_mlflow_does_not_take_is_refused(
        self, registry: ModelRegistry, backend: RegistryBackend
    ) -> None:
        backend.add_model("churn", versions=1)
        for key in ("a*b", "'; DROP TABLE", ""):
            with pytest.raises(RegistryRefused) as refused:
                registry.set_tags("churn", 1, {key: "v"})
            assert "SQL" not in str(refused.value)


class TestDescriptions:
    def test_a_version_is_described(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        backend.add_model("churn", versions=2)
        registry.set_description("churn", 1, "Promoted.\nПовышена.")
        assert [v.description for v in registry.versions("churn")] == ["", "Promoted.\nПовышена."]

    def test_a_model_is_described(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        backend.add_model("churn", description="old", versions=1)
        registry.set_description("churn", None, "who leaves")
        assert registry.model("churn").description == "who leaves"
        assert registry.versions("churn")[0].description == ""

    def test_a_description_can_be_taken_away(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        backend.add_model("churn", description="old")
        backend.add_version("churn", description="old")
        registry.set_description("churn", None, "")
        registry.set_description("churn", 1, "")
        assert (registry.model("churn").description, registry.version("churn", 1).description) == ("", "")

    def test_an_unknown_version_or_model_is_not_described(
        self, registry: ModelRegistry, backend: RegistryBackend
    ) -> None:
        backend.add_model("churn", versions=1)
        with pytest.raises(UnknownVersion):
            registry.set_description("churn", 7, "text")
        for version in (1, None):
            with pytest.raises(UnknownModel):
                registry.set_description("fraud", version, "text")

    def test_a_long_description_is_refused(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        backend.add_model("churn", versions=1)
        registry.set_description("churn", 1, "x" * 5000)
        with pytest.raises(BadInput, match="longer than 5000"):
            registry.set_description("churn", 1, "x" * 5001)


class TestPackages:
    def test_a_version_tells_what_lies_beside_it(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        version = registry.register_version("churn", backend.add_run(models=["classifier"]), tags={})
        backend.add_package(version, PACKAGE)
        assert registry.package(version) == PACKAGE

    def test_plain_files_of_a_run_tell_it_too(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        version = registry.register_version("churn", backend.add_run(), tags={})
        backend.add_package(version, PACKAGE)
        assert registry.package(registry.versions("churn")[0]) == PACKAGE

    def test_a_model_need_not_tell_everything(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        version = registry.register_version("churn", backend.add_run(), tags={})
        backend.add_package(version, ModelPackage(flavors=("python_function",)))
        assert registry.package(version) == ModelPackage(flavors=("python_function",))

    def test_without_files_there_is_no_package(self, registry: ModelRegistry, backend: RegistryBackend) -> None:
        version = registry.register_version("churn", backend.add_run(models=["classifier"]), tags={})
        assert registry.package(version) is None


CHANGES: dict[str, tuple[Callable[[ModelRegistry, RegistryBackend], object], bool]] = {
    "a move": (lambda registry, _: registry.transition_stage("churn", 1, STAGING, archive_existing=True), True),
    "the same move": (
        lambda registry, _: registry.transition_stage("churn", 1, PRODUCTION, archive_existing=True),
        True,
    ),
    "a new version": (lambda registry, backend: registry.register_version("churn", backend.add_run(), tags={}), True),
    "a deleted version": (lambda _, backend: backend.delete_version("churn", 1), True),
    "a described model": (lambda registry, _: registry.set_description("churn", None, "new"), True),
    "a described version": (lambda registry, _: registry.set_description("churn", 1, "new"), False),
    "a tag": (lambda registry, _: registry.set_tags("churn", 1, {"owner": "ann", "old": None}), False),
    "an alias": (lambda registry, _: registry.set_alias("churn", "champion", 1), False),
    "a dropped alias": (lambda registry, _: registry.delete_alias("churn", "champion"), False),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_model_s_time_tells_of_some_changes(
    registries: Callable[[str], tuple[ModelRegistry, RegistryBackend]], kind: str, change: str
) -> None:
    registry, backend = registries(kind)
    backend.add_model("churn", versions=[PRODUCTION])
    act, is_told = CHANGES[change]
    before = registry.models()[0].updated_at
    assert before
    while int(time.time() * 1000) <= before.timestamp() * 1000:  # MLflow counts milliseconds
        pass
    act(registry, backend)
    assert (registry.models()[0].updated_at != before) is is_told

"""Every registry keeps the same promises: the one in memory, MLflow over its database, MLflow over HTTP.

Each of them also without stages, kept as tags.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier, Event

import pytest
import sqlalchemy as sa

from bot.domain.errors import (
    BadInput,
    RegistryRefused,
    RegistryUnreachable,
    UnknownModel,
    UnknownRun,
    UnknownVersion,
)
from bot.domain.registry import Column, Dataset, Package, Stage, VersionInfo
from bot.ports import Registry
from bot.registry.memory import MemoryRegistry
from bot.registry.mlflow import MlflowRegistry
from bot.registry.mlflow_files import read_package
from bot.registry.mlmodel import package_of
from bot.registry.tagged import TaggedStages
from bot.slack.links import run_page
from tests.support.ledger.ledgers import PostgresServer
from tests.support.registry.registries import (
    KINDS,
    PACKAGE,
    TAGGED_KINDS,
    MlflowServer,
    MlflowShelf,
    Shelf,
    free_port,
    mlflow_subprocess,
    mlmodel,
)

NONE, STAGING, PRODUCTION, ARCHIVED = Stage

ODD_NAMES = [
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


NO_IDS = ["x' OR attributes.run_id LIKE '%", "a','b", "'", '"', "", "a b", "модель", "a\n", "-", "../x", "x" * 999]


@pytest.fixture(params=[*KINDS, *TAGGED_KINDS])
def both(request: pytest.FixtureRequest, registries: Callable[[str], tuple[Registry, Shelf]]) -> tuple[Registry, Shelf]:
    return registries(request.param)


@pytest.fixture
def registry(both: tuple[Registry, Shelf]) -> Registry:
    return both[0]


@pytest.fixture
def shelf(both: tuple[Registry, Shelf]) -> Shelf:
    return both[1]


def stages(registry: Registry, name: str = "churn") -> dict[int, Stage]:
    return {version.version: version.stage for version in registry.versions(name)}


class TestReading:
    def test_versions_come_newest_number_first(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=10)
        assert [v.version for v in registry.versions("churn")] == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]

    def test_an_unknown_model_has_no_versions(self, registry: Registry) -> None:
        assert registry.versions("churn") == []

    def test_a_version_without_a_run_says_so(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        assert registry.versions("churn")[0].run_id is None

    def test_a_version_tells_what_was_registered(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn")
        shelf.add_version("churn", run_id="4711", description="the best one", tags={"semver": "1.0.0"})
        told = registry.versions("churn")[0]
        assert (told.model, told.version, told.stage, told.status) == ("churn", 1, NONE, "READY")
        assert (told.run_id, told.description, dict(told.tags)) == (
            "4711",
            "the best one",
            {"semver": "1.0.0"},
        )

    def test_times_are_in_utc(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        created, updated = registry.versions("churn")[0].created_at, registry.model("churn").updated_at
        assert [moment and moment.tzinfo for moment in (created, updated)] == [UTC, UTC]

    def test_the_summary_of_a_model_tells_what_its_versions_are(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn")
        shelf.add_version("churn", run_id="4711", source="s3://models/churn")
        model, [version] = registry.model("churn"), registry.versions("churn")
        told = version.identity(model.created_at)
        assert (told.run_id, told.source, told.created_at is None) == ("4711", "s3://models/churn", False)
        assert dict(model.identities) == {1: told}
        assert registry.models()[0].identities == model.identities
        assert registry.version("churn", 1).identity(model.created_at) == told

    def test_a_deleted_version_is_gone_and_its_number_stays_free(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=2)
        shelf.delete_version("churn", 2)
        shelf.add_version("churn")
        assert [v.version for v in registry.versions("churn")] == [3, 1]

    def test_the_latest_of_a_stage_is_its_highest_number(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=[PRODUCTION, PRODUCTION, NONE])
        registry.transition("churn", 1, PRODUCTION, archive_existing=False)
        assert registry.model("churn").latest == {PRODUCTION: 2, NONE: 3}

    def test_a_model_tells_what_was_registered(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", description="who leaves", tags={"owner": "ann"})
        told = registry.model("churn")
        assert (told.name, told.description, dict(told.tags)) == ("churn", "who leaves", {"owner": "ann"})

    def test_an_unknown_model_is_said_to_be_unknown(self, registry: Registry) -> None:
        with pytest.raises(UnknownModel, match="The registry has no model “churn”"):
            registry.model("churn")

    def test_a_name_in_another_letter_case_is_unknown(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        with pytest.raises(UnknownModel):
            registry.model("CHURN")
        assert registry.versions("CHURN") == []

    def test_a_registry_that_ignores_case_tells_the_stored_name(self) -> None:
        registry = MemoryRegistry()
        registry.ignores_case = True
        registry.add("churn", versions=1)
        told = registry.model("CHURN").name, registry.versions("Churn")[0].model, registry.version("CHURN", 1).model
        assert told == ("churn",) * 3

    def test_models_are_sorted_by_name(self, registry: Registry, shelf: Shelf) -> None:
        for name in ("fraud", "churn", "Churn"):
            shelf.add(name)
        assert [m.name for m in registry.models()] == ["Churn", "churn", "fraud"]

    @pytest.mark.parametrize(
        ("text", "found"),
        [("CHURN", "eu_churn"), ("МОДЕЛЬ", "модель 5%"), ("%", "модель 5%"), ("_", "eu_churn")],
    )
    def test_models_are_found_by_a_part_of_their_name(
        self, registry: Registry, shelf: Shelf, text: str, found: str
    ) -> None:
        for name in ("eu_churn", "модель 5%", "fraud"):
            shelf.add(name)
        assert [m.name for m in registry.models(text)] == [found]


class TestNames:
    def test_a_model_of_any_name_is_read_and_moved(self, registry: Registry, shelf: Shelf) -> None:
        for name in ODD_NAMES:
            shelf.add(name, versions=2)
        for name in ODD_NAMES:
            registry.transition(name, 1, PRODUCTION, archive_existing=True)
            registry.set_alias(name, "champion", 1)
            registry.set_tags(name, 1, {"owner": name})
            registry.describe(name, 1, name)
        told = [registry.version(name, 1) for name in ODD_NAMES]
        assert [(v.model, v.description, v.tags["owner"]) for v in told] == [(name, name, name) for name in ODD_NAMES]
        assert all(stages(registry, name) == {1: PRODUCTION, 2: NONE} for name in ODD_NAMES)
        assert [registry.model(name).aliases for name in ODD_NAMES] == [{"champion": 1}] * len(ODD_NAMES)

    @pytest.mark.parametrize("name", [name for name in ODD_NAMES if " " in name])
    def test_a_name_cannot_widen_the_search(self, registry: Registry, shelf: Shelf, name: str) -> None:
        shelf.add("x", versions=1)
        assert registry.versions(name) == []

    def test_a_name_with_both_quotes_cannot_be_looked_up(self, registry: Registry) -> None:
        with pytest.raises(UnknownModel, match="both kinds of quotes"):
            registry.versions("""x' OR "x" """)
        with pytest.raises(UnknownModel, match="both kinds of quotes"):
            registry.version("""x' OR "x" """, 1)


class TestPrompts:
    @pytest.fixture(autouse=True)
    def _there_is_a_prompt(self, shelf: Shelf) -> None:
        shelf.add("greeting", versions=1, prompt=True)

    def test_a_prompt_is_not_listed(self, registry: Registry) -> None:
        assert registry.models() == []

    def test_a_prompt_is_no_model(self, registry: Registry) -> None:
        with pytest.raises(UnknownModel):
            registry.model("greeting")

    def test_a_prompt_has_no_versions(self, registry: Registry) -> None:
        assert registry.versions("greeting") == []

    def test_a_prompt_is_not_moved(self, registry: Registry) -> None:
        with pytest.raises(UnknownModel):
            registry.transition("greeting", 1, PRODUCTION, archive_existing=True)

    def test_a_prompt_is_not_touched(self, registry: Registry) -> None:
        acts: list[Callable[[Registry], object]] = [
            lambda registry: registry.set_alias("greeting", "champion", 1),
            lambda registry: registry.drop_alias("greeting", "champion"),
            lambda registry: registry.set_tags("greeting", 1, {"owner": "ann"}),
            lambda registry: registry.set_tags("greeting", 1, {"owner": None}),
            lambda registry: registry.describe("greeting", 1, "hello"),
            lambda registry: registry.describe("greeting", None, "hello"),
            lambda registry: registry.version("greeting", 1),
        ]
        for act in acts:
            with pytest.raises(UnknownModel):
                act(registry)

    def test_no_version_is_registered_under_a_prompt(self, registry: Registry, shelf: Shelf) -> None:
        run_id = shelf.add_run()
        with pytest.raises(UnknownModel, match="“greeting” is a prompt"):
            registry.register("greeting", run_id, tags={})


class TestMoving:
    def test_whoever_held_the_stage_is_archived(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=[PRODUCTION, PRODUCTION, STAGING])
        registry.transition("churn", 3, PRODUCTION, archive_existing=True)
        assert stages(registry) == {1: ARCHIVED, 2: ARCHIVED, 3: PRODUCTION}

    def test_whoever_held_the_stage_can_be_kept(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=[PRODUCTION, STAGING])
        registry.transition("churn", 2, PRODUCTION, archive_existing=False)
        assert stages(registry) == {1: PRODUCTION, 2: PRODUCTION}

    def test_holders_of_other_stages_stay(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=[PRODUCTION, STAGING, NONE])
        registry.transition("churn", 3, STAGING, archive_existing=True)
        assert stages(registry) == {1: PRODUCTION, 2: ARCHIVED, 3: STAGING}

    def test_other_models_stay(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        shelf.add("fraud", versions=[PRODUCTION])
        registry.transition("churn", 1, PRODUCTION, archive_existing=True)
        assert stages(registry, "fraud") == {1: PRODUCTION}

    def test_moving_the_holder_to_where_it_is_keeps_it(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=[PRODUCTION])
        registry.transition("churn", 1, PRODUCTION, archive_existing=True)
        assert stages(registry) == {1: PRODUCTION}

    @pytest.mark.parametrize("start", list(Stage))
    def test_a_version_moves_from_any_stage_to_any_other(self, registry: Registry, shelf: Shelf, start: Stage) -> None:
        shelf.add("churn", versions=[start])
        for goal in Stage:
            registry.transition("churn", 1, goal, archive_existing=True)
            assert stages(registry) == {1: goal}

    def test_archiving_one_leaves_the_archived_ones(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=[ARCHIVED, PRODUCTION])
        registry.transition("churn", 2, ARCHIVED, archive_existing=True)
        assert stages(registry) == {1: ARCHIVED, 2: ARCHIVED}

    def test_an_unknown_version_is_said_to_be_unknown(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        with pytest.raises(UnknownVersion, match="“churn” has no version v7"):
            registry.transition("churn", 7, PRODUCTION, archive_existing=True)

    def test_a_move_to_an_unknown_version_archives_nobody(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=[PRODUCTION])
        with pytest.raises(UnknownVersion):
            registry.transition("churn", 7, PRODUCTION, archive_existing=True)
        assert stages(registry) == {1: PRODUCTION}

    def test_a_deleted_version_is_not_moved(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        shelf.delete_version("churn", 1)
        with pytest.raises(UnknownVersion):
            registry.transition("churn", 1, PRODUCTION, archive_existing=True)

    def test_an_unknown_model_is_not_moved(self, registry: Registry) -> None:
        with pytest.raises(UnknownModel):
            registry.transition("churn", 1, PRODUCTION, archive_existing=True)

    def test_a_move_can_be_seen_at_the_model(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        registry.transition("churn", 1, STAGING, archive_existing=True)
        assert registry.model("churn").latest == {STAGING: 1}

    def test_mlflow_does_not_warn_people_of_stages(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)
            registry.transition("churn", 1, STAGING, archive_existing=True)


class TestAliases:
    def test_a_model_without_aliases_has_none(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        assert registry.model("churn").aliases == {}

    def test_an_alias_moves(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=2)
        registry.set_alias("churn", "champion", 1)
        registry.set_alias("churn", "champion", 2)
        assert registry.model("churn").aliases == {"champion": 2}

    def test_a_list_of_models_has_their_aliases(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        registry.set_alias("churn", "champion", 1)
        assert registry.models()[0].aliases == {"champion": 1}

    def test_an_alias_survives_the_archive(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=[PRODUCTION, NONE])
        registry.set_alias("churn", "champion", 1)
        if isinstance(registry, TaggedStages):
            pytest.skip("without stages the alias is the move")
        registry.transition("churn", 2, PRODUCTION, archive_existing=True)
        assert registry.model("churn").aliases == {"champion": 1}

    def test_an_alias_dies_with_its_version(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        registry.set_alias("churn", "champion", 1)
        shelf.delete_version("churn", 1)
        assert registry.model("churn").aliases == {}

    @pytest.mark.parametrize("alias", ["latest", "Latest", "v7", "2.1.0", "two words", ""])
    def test_an_alias_that_mlflow_does_not_take_is_refused(self, registry: Registry, shelf: Shelf, alias: str) -> None:
        shelf.add("churn", versions=1)
        with pytest.raises(RegistryRefused):
            registry.set_alias("churn", alias, 1)

    def test_an_alias_needs_a_version(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        with pytest.raises(UnknownVersion):
            registry.set_alias("churn", "champion", 7)

    def test_an_alias_needs_a_model(self, registry: Registry) -> None:
        with pytest.raises(UnknownModel):
            registry.set_alias("churn", "champion", 1)

    def test_a_dropped_alias_names_nothing(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        registry.set_alias("churn", "champion", 1)
        registry.set_alias("churn", "best", 1)
        registry.drop_alias("churn", "champion")
        assert registry.model("churn").aliases == {"best": 1}

    def test_an_alias_that_named_nothing_can_be_dropped(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        registry.drop_alias("churn", "champion")
        assert registry.model("churn").aliases == {}

    def test_dropping_an_alias_needs_a_model(self, registry: Registry) -> None:
        with pytest.raises(UnknownModel):
            registry.drop_alias("churn", "champion")

    def test_two_who_set_a_new_alias_at_once_both_succeed(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=2)
        start = Barrier(2)

        def set_all(version: int) -> None:
            for number in range(5):
                start.wait()
                registry.set_alias("churn", f"alias-{number}", version)

        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(set_all, (1, 2))) == [None, None]
        assert set(registry.model("churn").aliases) == {f"alias-{number}" for number in range(5)}


class TestOneVersion:
    def test_it_is_told_as_among_all_with_its_aliases(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=[PRODUCTION, STAGING])
        shelf.add_version("churn", run_id="4711", description="the best one", tags={"semver": "1.0.0"})
        for alias, version in (("champion", 1), ("zebra", 3), ("best", 3)):
            registry.set_alias("churn", alias, version)
        among_all = {version.version: version for version in registry.versions("churn")}
        assert registry.version("churn", 1) == replace(among_all[1], aliases=("champion",))
        assert registry.version("churn", 2) == among_all[2]
        assert registry.version("churn", 3) == replace(among_all[3], aliases=("best", "zebra"))

    def test_it_tells_where_its_files_lie(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn")
        shelf.add_version("churn", source="/srv/models/7")
        assert registry.versions("churn")[0].source == registry.version("churn", 1).source == "/srv/models/7"

    def test_an_unknown_version_is_said_to_be_unknown(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        with pytest.raises(UnknownVersion, match="“churn” has no version v7"):
            registry.version("churn", 7)

    def test_a_deleted_version_is_unknown(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        shelf.delete_version("churn", 1)
        with pytest.raises(UnknownVersion):
            registry.version("churn", 1)

    def test_of_an_unknown_model_it_is_the_model_that_is_unknown(self, registry: Registry) -> None:
        with pytest.raises(UnknownModel):
            registry.version("churn", 1)


class TestRuns:
    def test_a_run_tells_what_it_did(self, registry: Registry, shelf: Shelf) -> None:
        begun, ended = datetime(2025, 3, 1, 12, 0, tzinfo=UTC), datetime(2025, 3, 1, 12, 42, tzinfo=UTC)
        run_id = shelf.add_run(
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

    def test_a_run_of_which_nobody_told_the_user_has_none(self, registry: Registry, shelf: Shelf) -> None:
        run_id = shelf.add_run()
        assert registry.runs([run_id])[run_id].user == ""

    def test_a_run_that_goes_on_says_so(self, registry: Registry, shelf: Shelf) -> None:
        run_id = shelf.add_run(status="RUNNING")
        told = registry.runs([run_id])[run_id]
        assert (told.status, told.is_finished, told.ended_at) == ("RUNNING", False, None)

    def test_a_run_names_its_data(self, registry: Registry, shelf: Shelf) -> None:
        datasets = [
            Dataset(name="customers", digest="d41d8", rows=5000, context="training"),
            Dataset(name="holdout", digest="cd98f"),
        ]
        run_id = shelf.add_run(datasets=datasets)
        assert set(registry.runs([run_id])[run_id].datasets) == set(datasets)

    def test_a_metric_that_is_no_number_is_missing(self, registry: Registry, shelf: Shelf) -> None:
        run_id = shelf.add_run(metrics={"a": math.nan, "b": math.inf, "c": -math.inf, "auc": 0.5})
        told = registry.runs([run_id])[run_id].metrics
        assert [name for name, value in told.items() if math.isnan(value)] == ["a", "b", "c"]
        assert told["auc"] == 0.5

    def test_a_run_can_have_hundreds_of_metrics(self, registry: Registry, shelf: Shelf) -> None:
        metrics = {f"metric/{number}": number / 7 for number in range(300)}
        run_id = shelf.add_run(metrics=metrics)
        assert registry.runs([run_id])[run_id].metrics == metrics

    def test_a_deleted_run_can_be_read(self, registry: Registry, shelf: Shelf) -> None:
        run_id = shelf.add_run(metrics={"auc": 0.9}, deleted=True)
        told = registry.runs([run_id])[run_id]
        assert (told.is_deleted, told.metrics) == (True, {"auc": 0.9})

    def test_runs_of_several_experiments_are_found_at_once(self, registry: Registry, shelf: Shelf) -> None:
        ids = [shelf.add_run(experiment=name) for name in ("a", "b", "o'brien")]
        assert len({run.experiment for run in registry.runs(ids).values()}) == 3

    def test_a_run_of_a_new_experiment_is_found(self, registry: Registry, shelf: Shelf) -> None:
        old = shelf.add_run()
        registry.runs([old])
        new = shelf.add_run(experiment="new")
        assert registry.runs([old, new]).keys() == {old, new}

    def test_runs_that_are_not_there_are_left_out(self, registry: Registry, shelf: Shelf) -> None:
        there = shelf.add_run()
        assert registry.runs(["f" * 32, there, there]).keys() == {there}

    def test_of_no_ids_there_are_no_runs(self, registry: Registry) -> None:
        assert registry.runs([]) == {}

    def test_an_id_cannot_widen_the_search(self, registry: Registry, shelf: Shelf) -> None:
        there = shelf.add_run()
        for run_id in NO_IDS:
            assert registry.runs([run_id]) == {}
        assert registry.runs([*NO_IDS, there]).keys() == {there}


class TestRegistering:
    def test_the_next_version_is_made_out_of_a_run(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=[PRODUCTION])
        run_id = shelf.add_run()
        made = registry.register("churn", run_id, description="näher dran", tags={"semver": "2.0.0", "owner": "ann"})
        assert (made.model, made.version, made.stage, made.run_id) == ("churn", 2, NONE, run_id)
        assert (made.description, made.tags) == ("näher dran", {"semver": "2.0.0", "owner": "ann"})
        assert registry.version("churn", 2) == made

    def test_a_model_that_is_not_there_is_made(self, registry: Registry, shelf: Shelf) -> None:
        registry.register("churn", shelf.add_run(), tags={})
        assert [model.name for model in registry.models()] == ["churn"]
        assert stages(registry) == {1: NONE}

    def test_a_model_of_any_name_gets_a_version(self, registry: Registry, shelf: Shelf) -> None:
        run_id = shelf.add_run()
        for name in ODD_NAMES:
            registry.register(name, run_id, tags={})
        assert all(stages(registry, name) == {1: NONE} for name in ODD_NAMES)

    def test_a_name_with_both_quotes_is_not_registered(self, registry: Registry, shelf: Shelf) -> None:
        with pytest.raises(UnknownModel, match="both kinds of quotes"):
            registry.register("""x' OR "x" """, shelf.add_run(), tags={})
        assert registry.models() == []

    def test_a_name_that_mlflow_does_not_take_is_refused(self, registry: Registry, shelf: Shelf) -> None:
        run_id = shelf.add_run()
        for name in ("a/b", "a:b", " "):
            with pytest.raises(RegistryRefused):
                registry.register(name, run_id, tags={})

    def test_an_unknown_run_makes_nothing(self, registry: Registry) -> None:
        for run_id in ["f" * 32, *NO_IDS]:
            with pytest.raises(UnknownRun, match="MLflow has no run"):
                registry.register("churn", run_id, tags={})
        assert registry.models() == []

    def test_a_deleted_run_makes_nothing(self, registry: Registry, shelf: Shelf) -> None:
        run_id = shelf.add_run(deleted=True)
        with pytest.raises(UnknownRun, match="or it was deleted"):
            registry.register("churn", run_id, tags={})
        assert registry.models() == []

    def test_the_one_model_that_the_run_logged_is_meant(self, registry: Registry, shelf: Shelf) -> None:
        run_id = shelf.add_run(models=["classifier"])
        unsaid = registry.register("churn", run_id, tags={})
        assert registry.register("churn", run_id, artifact="classifier", tags={}).source == unsaid.source
        assert "m-" in unsaid.source

    def test_of_several_logged_models_one_is_named(self, registry: Registry, shelf: Shelf) -> None:
        run_id = shelf.add_run(models=["classifier", "embedder"])
        made = [registry.register("churn", run_id, artifact=name, tags={}) for name in ("classifier", "embedder")]
        assert len({version.source for version in made}) == 2

    def test_of_several_logged_models_one_has_to_be_named(self, registry: Registry, shelf: Shelf) -> None:
        run_id = shelf.add_run(models=["classifier", "embedder"])
        for artifact in ("", "other"):
            with pytest.raises(BadInput, match=r"classifier, embedder.*--artifact NAME"):
                registry.register("churn", run_id, artifact=artifact, tags={})
        assert registry.models() == []

    def test_a_name_that_the_one_logged_model_does_not_have_is_not_passed_over(
        self, registry: Registry, shelf: Shelf
    ) -> None:
        run_id = shelf.add_run(models=["classifier"])
        with pytest.raises(BadInput, match="no model “other” but classifier"):
            registry.register("churn", run_id, artifact="other", tags={})

    def test_a_run_of_another_tool_has_plain_files(self, registry: Registry, shelf: Shelf) -> None:
        run_id = shelf.add_run()
        made = [registry.register("churn", run_id, artifact=artifact, tags={}) for artifact in ("", "nets/best 1")]
        ends = [version.source.rpartition(run_id)[2] for version in made]
        assert ends == ["/artifacts/model", "/artifacts/nets/best 1"]

    def test_files_outside_the_run_are_not_registered(self, registry: Registry, shelf: Shelf) -> None:
        run_id = shelf.add_run()
        for artifact in ("../other", "/etc", "a//b", "a/..", "%2e%2e/x", "a?b", "a#b", "s3://x"):
            with pytest.raises(BadInput):
                registry.register("churn", run_id, artifact=artifact, tags={})
        assert registry.models() == []

    def test_what_is_too_long_is_refused_before_anything_is_made(self, registry: Registry, shelf: Shelf) -> None:
        run_id = shelf.add_run()
        with pytest.raises(BadInput, match="The description is longer than 5000"):
            registry.register("churn", run_id, description="x" * 5001, tags={})
        with pytest.raises(BadInput, match="The tag “owner” is longer than 5000"):
            registry.register("churn", run_id, tags={"owner": "x" * 5001})
        assert registry.models() == []

    def test_versions_sort_as_numbers(self, registry: Registry, shelf: Shelf) -> None:
        run_id = shelf.add_run()
        for _ in range(12):
            registry.register("churn", run_id, tags={})
        assert [v.version for v in registry.versions("churn")] == [*range(12, 0, -1)]
        assert registry.model("churn").latest == {NONE: 12}


class TestTags:
    def test_tags_are_set_changed_and_taken_away(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn")
        shelf.add_version("churn", tags={"old": "1", "kept": "2"})
        registry.set_tags("churn", 1, {"old": None, "kept": "3", "причина": "drift, “wieder”", "a.b/c d-e:f": ""})
        assert registry.version("churn", 1).tags == {"kept": "3", "причина": "drift, “wieder”", "a.b/c d-e:f": ""}

    def test_a_tag_that_is_not_there_can_be_taken_away(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        registry.set_tags("churn", 1, {"owner": None})
        assert registry.version("churn", 1).tags == {}

    def test_other_versions_keep_theirs(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=2)
        registry.set_tags("churn", 1, {"owner": "ann"})
        assert registry.version("churn", 2).tags == {}

    def test_an_unknown_version_gets_none(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        for value in ("ann", None):
            with pytest.raises(UnknownVersion):
                registry.set_tags("churn", 7, {"owner": value})

    def test_an_unknown_model_gets_none(self, registry: Registry) -> None:
        with pytest.raises(UnknownModel):
            registry.set_tags("churn", 1, {"owner": "ann"})

    def test_a_long_one_is_refused_before_any_is_set(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        for key, value in (("k" * 251, "v"), ("k", "v" * 5001)):
            with pytest.raises(BadInput, match=r"is longer than (250|5000) characters"):
                registry.set_tags("churn", 1, {"owner": "ann", key: value})
        assert registry.version("churn", 1).tags == {}

    def test_the_longest_ones_are_kept(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        registry.set_tags("churn", 1, {"k" * 250: "я" * 5000})
        assert registry.version("churn", 1).tags == {"k" * 250: "я" * 5000}

    def test_a_key_that_mlflow_does_not_take_is_refused(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        for key in ("a*b", "'; DROP TABLE", ""):
            with pytest.raises(RegistryRefused) as refused:
                registry.set_tags("churn", 1, {key: "v"})
            assert "SQL" not in str(refused.value)


class TestDescriptions:
    def test_a_version_is_described(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=2)
        registry.describe("churn", 1, "Promoted.\nПовышена.")
        assert [v.description for v in registry.versions("churn")] == ["", "Promoted.\nПовышена."]

    def test_a_model_is_described(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", description="old", versions=1)
        registry.describe("churn", None, "who leaves")
        assert registry.model("churn").description == "who leaves"
        assert registry.versions("churn")[0].description == ""

    def test_a_description_can_be_taken_away(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", description="old")
        shelf.add_version("churn", description="old")
        registry.describe("churn", None, "")
        registry.describe("churn", 1, "")
        assert (registry.model("churn").description, registry.version("churn", 1).description) == ("", "")

    def test_an_unknown_version_or_model_is_not_described(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        with pytest.raises(UnknownVersion):
            registry.describe("churn", 7, "text")
        for version in (1, None):
            with pytest.raises(UnknownModel):
                registry.describe("fraud", version, "text")

    def test_a_long_description_is_refused(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        registry.describe("churn", 1, "x" * 5000)
        with pytest.raises(BadInput, match="longer than 5000"):
            registry.describe("churn", 1, "x" * 5001)


class TestPackages:
    def test_a_version_tells_what_lies_beside_it(self, registry: Registry, shelf: Shelf) -> None:
        version = registry.register("churn", shelf.add_run(models=["classifier"]), tags={})
        shelf.add_package(version, PACKAGE)
        assert registry.package(version) == PACKAGE

    def test_plain_files_of_a_run_tell_it_too(self, registry: Registry, shelf: Shelf) -> None:
        version = registry.register("churn", shelf.add_run(), tags={})
        shelf.add_package(version, PACKAGE)
        assert registry.package(registry.versions("churn")[0]) == PACKAGE

    def test_a_model_need_not_tell_everything(self, registry: Registry, shelf: Shelf) -> None:
        version = registry.register("churn", shelf.add_run(), tags={})
        shelf.add_package(version, Package(flavors=("python_function",)))
        assert registry.package(version) == Package(flavors=("python_function",))

    def test_without_files_there_is_no_package(self, registry: Registry, shelf: Shelf) -> None:
        version = registry.register("churn", shelf.add_run(models=["classifier"]), tags={})
        assert registry.package(version) is None


CHANGES: dict[str, tuple[Callable[[Registry, Shelf], object], bool]] = {
    "a move": (lambda registry, _: registry.transition("churn", 1, STAGING, archive_existing=True), True),
    "the same move": (lambda registry, _: registry.transition("churn", 1, PRODUCTION, archive_existing=True), True),
    "a new version": (lambda registry, shelf: registry.register("churn", shelf.add_run(), tags={}), True),
    "a deleted version": (lambda _, shelf: shelf.delete_version("churn", 1), True),
    "a described model": (lambda registry, _: registry.describe("churn", None, "new"), True),
    "a described version": (lambda registry, _: registry.describe("churn", 1, "new"), False),
    "a tag": (lambda registry, _: registry.set_tags("churn", 1, {"owner": "ann", "old": None}), False),
    "an alias": (lambda registry, _: registry.set_alias("churn", "champion", 1), False),
    "a dropped alias": (lambda registry, _: registry.drop_alias("churn", "champion"), False),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_model_s_time_tells_of_some_changes(
    registries: Callable[[str], tuple[Registry, Shelf]], kind: str, change: str
) -> None:
    registry, shelf = registries(kind)
    shelf.add("churn", versions=[PRODUCTION])
    act, is_told = CHANGES[change]
    before = registry.models()[0].updated_at
    assert before
    while int(time.time() * 1000) <= before.timestamp() * 1000:  # MLflow counts milliseconds
        pass
    act(registry, shelf)
    assert (registry.models()[0].updated_at != before) is is_told


class TestMemory:
    def test_a_registry_that_is_down_answers_nothing(self) -> None:
        memory = MemoryRegistry()
        memory.down = True
        with pytest.raises(RegistryUnreachable):
            memory.models()

    def test_a_lost_answer_is_an_error_of_something_done(self) -> None:
        memory = MemoryRegistry()
        memory.add("churn", versions=1)
        memory.loses_answers = True
        with pytest.raises(RegistryUnreachable):
            memory.transition("churn", 1, PRODUCTION, archive_existing=True)
        memory.loses_answers = False
        assert stages(memory) == {1: PRODUCTION}

    def test_a_slow_registry_waits_before_each_answer(self) -> None:
        waited: list[float] = []
        memory = MemoryRegistry(wait=waited.append)
        memory.delay = 2.5
        memory.models()
        assert waited == [2.5]

    def test_it_counts_what_it_is_asked(self) -> None:
        memory = MemoryRegistry()
        memory.add("churn", versions=1)
        memory.model("churn")
        memory.set_tags("churn", 1, {"a": "1", "b": "2"})
        memory.runs([str(number) for number in range(1001)])
        assert memory.requests == {"model": 1, "set_tags": 2, "runs": 2}


class Mortal(MemoryRegistry):
    """A registry whose caller dies before its last `left` writes."""

    left = 99

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Let `alias` name the version, unless this is the end."""
        self._live()
        super().set_alias(name, alias, version)

    def drop_alias(self, name: str, alias: str) -> None:
        """Let `alias` name nothing, unless this is the end."""
        self._live()
        super().drop_alias(name, alias)

    def set_tags(self, name: str, version: int, tags: Mapping[str, str | None]) -> None:
        """Set the tags, unless this is the end."""
        self._live()
        super().set_tags(name, version, tags)

    def _live(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise RegistryUnreachable("It died.")


class TestStagesAsTags:
    @pytest.fixture
    def mortal(self) -> Mortal:
        """Return a registry where v1 is in Production and v2 in Staging, by tags and aliases."""
        memory = Mortal()
        memory.add("churn", versions=3)
        registry = self.tagged(memory)
        registry.transition("churn", 1, PRODUCTION, archive_existing=True)
        registry.transition("churn", 2, STAGING, archive_existing=True)
        memory.requests.clear()
        return memory

    @staticmethod
    def tagged(memory: MemoryRegistry) -> TaggedStages:
        return TaggedStages(memory, champion="champion", challenger="challenger")

    def test_the_alias_is_the_move(self, mortal: Mortal) -> None:
        self.tagged(mortal).transition("churn", 2, PRODUCTION, archive_existing=True)
        assert mortal.model("churn").aliases == {"champion": 2}
        assert stages(self.tagged(mortal)) == {1: ARCHIVED, 2: PRODUCTION, 3: NONE}

    def test_stages_of_the_registry_itself_are_left_alone(self, mortal: Mortal) -> None:
        self.tagged(mortal).transition("churn", 2, PRODUCTION, archive_existing=True)
        assert mortal.requests["transition"] == 0
        assert stages(mortal) == {1: NONE, 2: NONE, 3: NONE}

    @pytest.mark.parametrize("stage", [ARCHIVED, NONE])
    def test_whoever_leaves_loses_the_alias(self, mortal: Mortal, stage: Stage) -> None:
        self.tagged(mortal).transition("churn", 1, stage, archive_existing=True)
        assert mortal.model("churn").aliases == {"challenger": 2}
        assert stages(self.tagged(mortal)) == {1: stage, 2: STAGING, 3: NONE}

    def test_an_alias_of_another_meaning_stays(self, mortal: Mortal) -> None:
        mortal.set_alias("churn", "best", 1)
        self.tagged(mortal).transition("churn", 1, ARCHIVED, archive_existing=True)
        assert mortal.model("churn").aliases == {"challenger": 2, "best": 1}

    @pytest.mark.parametrize("writes", range(4))
    @pytest.mark.parametrize("stage", Stage)
    def test_a_move_that_broke_off_is_healed_by_another_try(self, mortal: Mortal, stage: Stage, writes: int) -> None:
        whole = Mortal()
        whole.add("churn", versions=3)
        for version, target in ((1, PRODUCTION), (2, STAGING), (2, stage)):
            self.tagged(whole).transition("churn", version, target, archive_existing=True)
        mortal.left = writes
        with suppress(RegistryUnreachable):
            self.tagged(mortal).transition("churn", 2, stage, archive_existing=True)
        mortal.left = 99
        self.tagged(mortal).transition("churn", 2, stage, archive_existing=True)
        assert stages(self.tagged(mortal)) == stages(self.tagged(whole))
        assert mortal.model("churn").aliases == whole.model("churn").aliases

    @pytest.mark.parametrize("writes", range(4))
    def test_there_is_no_instant_without_a_champion(self, mortal: Mortal, writes: int) -> None:
        mortal.left = writes
        with suppress(RegistryUnreachable):
            self.tagged(mortal).transition("churn", 2, PRODUCTION, archive_existing=True)
        assert mortal.model("churn").aliases["champion"] in {1, 2}
        assert PRODUCTION in stages(self.tagged(mortal)).values()

    def test_a_word_that_is_no_stage_is_none(self) -> None:
        memory = MemoryRegistry()
        memory.add("churn")
        memory.add_version("churn", tags={"stage": "Live"})
        assert stages(self.tagged(memory)) == {1: NONE}

    def test_a_list_of_models_takes_one_request_and_goes_by_the_aliases(self, mortal: Mortal) -> None:
        assert self.tagged(mortal).models()[0].latest == {PRODUCTION: 1, STAGING: 2}
        assert mortal.requests == {"models": 1}

    def test_one_model_takes_two_requests_and_goes_by_the_tags(self, mortal: Mortal) -> None:
        assert self.tagged(mortal).model("churn").latest == {PRODUCTION: 1, STAGING: 2, NONE: 3}
        assert mortal.requests == {"model": 1, "versions": 1}


READING: dict[str, Callable[[Registry], object]] = {
    "models": lambda registry: registry.models("chu"),
    "model": lambda registry: registry.model("churn"),
    "versions": lambda registry: registry.versions("churn"),
    "version": lambda registry: registry.version("churn", 1),
}
WRITING: dict[str, Callable[[Registry], object]] = {
    "transition": lambda registry: registry.transition("churn", 2, PRODUCTION, archive_existing=True),
    "set_alias": lambda registry: registry.set_alias("churn", "champion", 2),
    "drop_alias": lambda registry: registry.drop_alias("churn", "champion"),
    "set_tags": lambda registry: registry.set_tags("churn", 1, {"owner": "ann"}),
    "set_tags to nothing": lambda registry: registry.set_tags("churn", 1, {"owner": None}),
    "describe a version": lambda registry: registry.describe("churn", 1, "text"),
    "describe a model": lambda registry: registry.describe("churn", None, "text"),
}
CALLS = READING | WRITING
OTHERS: dict[str, Callable[[Registry], object]] = {
    "runs": lambda registry: registry.runs(["a" * 32]),
    "package": lambda registry: registry.package(VersionInfo(model="churn", version=1, stage=NONE)),
    "estimator": lambda registry: registry.estimator(VersionInfo(model="churn", version=1, stage=NONE)),
    "register": lambda registry: registry.register("churn", "a" * 32, tags={}),
}


@pytest.fixture
def remote(mlflow_server: MlflowServer, mlflow_shelf: MlflowShelf) -> MlflowRegistry:
    """Return a registry over HTTP that holds churn, and has just been asked for it."""
    mlflow_shelf.add("churn", versions=[PRODUCTION, NONE])
    registry = MlflowRegistry(mlflow_server.uri)
    registry.versions("churn")
    mlflow_server.requests.clear()
    return registry


class TestRequests:
    @pytest.mark.parametrize("call", CALLS)
    def test_a_call_is_one_request(self, remote: MlflowRegistry, mlflow_server: MlflowServer, call: str) -> None:
        CALLS[call](remote)
        assert len(mlflow_server.requests) == 1

    @pytest.mark.parametrize("call", WRITING)
    def test_a_write_without_a_reading_before_it_reads_first(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, call: str
    ) -> None:
        CALLS[call](MlflowRegistry(mlflow_server.uri))
        read, written = (request.split()[0] for request in mlflow_server.requests)
        assert (read, written in {"POST", "PATCH", "DELETE"}) == ("GET", True)

    def test_a_reading_of_long_ago_is_made_again(self, remote: MlflowRegistry, mlflow_server: MlflowServer) -> None:
        times = iter([0.0, 61.0, 61.0])
        registry = MlflowRegistry(mlflow_server.uri, monotonic=lambda: next(times))
        registry.model("churn")
        registry.set_alias("churn", "champion", 1)
        assert len(mlflow_server.requests) == 3

    def test_a_single_run_is_got_without_a_search(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, mlflow_runs: list[str]
    ) -> None:
        assert remote.runs(mlflow_runs[:1]).keys() == set(mlflow_runs[:1])
        assert remote.runs(["f" * 32]) == {}
        assert [request.partition("/mlflow/")[2] for request in mlflow_server.requests] == ["runs/get"] * 2

    @pytest.mark.parametrize(("number", "requests"), [(2, 1), (1000, 1), (1001, 2)])
    def test_a_thousand_runs_are_one_request(
        self,
        remote: MlflowRegistry,
        mlflow_server: MlflowServer,
        mlflow_runs: list[str],
        monkeypatch: pytest.MonkeyPatch,
        number: int,
        requests: int,
    ) -> None:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")  # a test may have a slow machine
        assert len(remote.runs(mlflow_runs[:number])) == number
        assert len(mlflow_server.requests) == requests + 1  # the first time it asks for the experiments
        remote.runs(mlflow_runs[:number])
        assert len(mlflow_server.requests) == 2 * requests + 1

    def test_no_runs_are_no_request(self, remote: MlflowRegistry, mlflow_server: MlflowServer) -> None:
        assert remote.runs([]) == remote.runs(["a b", "'"]) == {}
        assert mlflow_server.requests == []

    def test_a_run_that_is_gone_is_looked_for_in_new_experiments_only(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, mlflow_shelf: MlflowShelf
    ) -> None:
        old = mlflow_shelf.add_run()
        assert remote.runs([old, "f" * 32]).keys() == {old}
        assert len(mlflow_server.requests) == 2
        remote.runs([old, "f" * 32])
        assert len(mlflow_server.requests) == 4  # the runs, and whether there is a new experiment: no
        new = mlflow_shelf.add_run(experiment="new")
        assert remote.runs([old, new]).keys() == {old, new}
        assert len(mlflow_server.requests) == 7

    def test_a_run_tells_its_experiment_as_the_address_of_its_page_does(
        self, remote: MlflowRegistry, mlflow_shelf: MlflowShelf
    ) -> None:
        run_id = mlflow_shelf.add_run(experiment="churn")
        known = mlflow_shelf.tracking.get_experiment_by_name("churn").experiment_id
        assert run_page("http://mlflow", remote.runs([run_id])[run_id]).endswith(f"/experiments/{known}/runs/{run_id}")

    def test_runs_of_a_deleted_experiment_are_found(self, remote: MlflowRegistry, mlflow_shelf: MlflowShelf) -> None:
        run_id = mlflow_shelf.add_run(experiment="gone")
        mlflow_shelf.delete_experiment("gone")
        assert remote.runs([run_id])[run_id].is_deleted

    def test_registering_asks_for_the_run_its_model_and_the_registered_one(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, mlflow_shelf: MlflowShelf
    ) -> None:
        run_id = mlflow_shelf.add_run(models=["classifier"])
        remote.register("churn", run_id, tags={"semver": "1.0.0"}, description="new")
        assert [request.split("/mlflow/")[1] for request in mlflow_server.requests][2:] == [
            "registered-models/get",
            "model-versions/create",
        ]
        assert len(mlflow_server.requests) == 4

    def test_versions_are_read_page_by_page(self, mlflow_server: MlflowServer, mlflow_shelf: MlflowShelf) -> None:
        mlflow_shelf.add("churn", versions=7)
        registry = MlflowRegistry(mlflow_server.uri, versions_a_page=3)
        assert [v.version for v in registry.versions("churn")] == [7, 6, 5, 4, 3, 2, 1]
        assert len(mlflow_server.requests) == 3


@pytest.fixture
def mlflow_runs(mlflow_sqlite: str, mlflow_shelf: MlflowShelf) -> list[str]:
    """Return the ids of 1,001 runs, written past MLflow: it takes 5 ms for each."""
    first = mlflow_shelf.add_run(metrics={"auc": 0.5})
    ids = [first, *(f"{number:032x}" for number in range(1000))]
    engine = sa.create_engine(mlflow_sqlite)
    with engine.begin() as connection:
        for table, key in (("runs", "run_uuid"), ("latest_metrics", "run_uuid")):
            row = connection.execute(sa.text(f"SELECT * FROM {table}")).mappings().one()  # noqa: S608
            columns = sa.table(table, *(sa.column(name) for name in row))
            connection.execute(sa.insert(columns), [{**row, key: run_id} for run_id in ids[1:]])
    engine.dispose()
    return ids


class TestTrouble:
    @pytest.mark.parametrize("call", CALLS | OTHERS)
    def test_a_server_that_is_down_is_told_soon(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, call: str
    ) -> None:
        mlflow_server.stop()
        begun = time.monotonic()
        with pytest.raises(RegistryUnreachable, match="does not answer"):
            (CALLS | OTHERS)[call](remote)
        assert time.monotonic() - begun < 20  # at once; MLflow by itself would try for minutes

    def test_a_server_that_comes_back_is_asked_again(self, remote: MlflowRegistry, mlflow_server: MlflowServer) -> None:
        mlflow_server.stop()
        with pytest.raises(RegistryUnreachable):
            remote.model("churn")
        mlflow_server.start()
        assert remote.model("churn").name == "churn"

    def test_a_slow_server_is_given_up(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        mlflow_server.delay(60)
        with pytest.raises(RegistryUnreachable, match="did not answer in time"):
            remote.model("churn")

    @pytest.mark.parametrize("call", WRITING)
    def test_a_write_whose_answer_is_lost_is_not_sent_again(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, call: str
    ) -> None:
        mlflow_server.lose_the_next_answer()
        with pytest.raises(RegistryUnreachable):
            CALLS[call](remote)
        assert len(mlflow_server.requests) == 1

    def test_what_was_asked_may_be_done_although_the_answer_is_lost(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer
    ) -> None:
        mlflow_server.lose_the_next_answer()
        with pytest.raises(RegistryUnreachable):
            remote.transition("churn", 2, PRODUCTION, archive_existing=True)
        assert stages(remote) == {1: ARCHIVED, 2: PRODUCTION}

    @pytest.mark.parametrize("call", READING)
    def test_a_reading_whose_connection_breaks_is_made_again(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, call: str
    ) -> None:
        mlflow_server.lose_the_next_answer()
        CALLS[call](remote)
        assert len(mlflow_server.requests) == 2

    def test_runs_whose_connection_breaks_are_asked_for_again(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, mlflow_shelf: MlflowShelf
    ) -> None:
        run_id = mlflow_shelf.add_run()
        mlflow_server.lose_the_next_answer()
        assert remote.runs([run_id]).keys() == {run_id}

    def test_a_version_whose_answer_is_lost_is_not_made_twice(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, mlflow_shelf: MlflowShelf
    ) -> None:
        run_id = mlflow_shelf.add_run()
        mlflow_server.lose_the_answer_to("/model-versions/create")
        with pytest.raises(RegistryUnreachable):
            remote.register("churn", run_id, tags={})
        assert [request.rsplit("/", 1)[1] for request in mlflow_server.requests].count("create") == 1
        assert [v.version for v in remote.versions("churn") if v.run_id == run_id] == [3]

    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    def test_a_server_in_trouble_is_unreachable(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, status: int
    ) -> None:
        mlflow_server.answer(status, {"error_code": "INTERNAL_ERROR", "message": "SELECT password"})
        with pytest.raises(RegistryUnreachable, match="cannot answer now"):
            remote.model("churn")

    @pytest.mark.parametrize(
        ("status", "body", "sentence"),
        [
            (400, {"error_code": "BAD_REQUEST", "message": "[SQL: SELECT 1]"}, "MLflow refused this"),
            (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "No."}, "MLflow refused: No."),
            (401, "Who are you?", "check MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD"),
            (403, {"error_code": "PERMISSION_DENIED", "message": "Permission denied"}, "needs EDIT"),
            (403, "Invalid Host header", "--allowed-hosts"),
        ],
    )
    def test_a_refusal_says_what_to_do(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, status: int, body: str, sentence: str
    ) -> None:
        mlflow_server.answer(status, body)
        with pytest.raises(RegistryRefused, match=sentence):
            remote.transition("churn", 2, PRODUCTION, archive_existing=True)

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (404, "<html>nginx</html>"),
            (404, {"detail": "Not Found"}),
            (405, "<html>nginx</html>"),
            (200, "<html>Down for maintenance</html>"),
        ],
    )
    def test_a_proxy_that_answers_in_mlflow_s_place_is_no_refusal(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, status: int, body: str
    ) -> None:
        mlflow_server.answer(status, body)
        with pytest.raises(RegistryUnreachable, match="is not an MLflow server"):
            remote.transition("churn", 2, PRODUCTION, archive_existing=True)

    @pytest.mark.parametrize(
        "body",
        [
            "[]",
            "7",
            '{"model_versions": 7}',
            '{"model_versions": [7]}',
            '{"model_versions": [{"name": "churn"}]}',
            '{"runs": "none"}',
            '{"runs": [{"info": {"run_id": "r"}}]}',
            '{"runs": [{"info": {"run_id": "r", "experiment_id": "1"}, "data": {"metrics": [{"key": "a", "value": "?"}]'
            "}}]}",
        ],
    )
    def test_an_answer_of_another_shape_is_no_answer(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, mlflow_shelf: MlflowShelf, body: str
    ) -> None:
        runs = [mlflow_shelf.add_run(metrics={"accuracy": 0.9}) for _ in range(2)]
        remote.runs(runs)  # which experiments there are is known from now on
        mlflow_server.answer(200, body)
        with pytest.raises(RegistryUnreachable, match="is not an MLflow server"):
            remote.versions("churn") if "model_versions" in body else remote.runs(runs)

    def test_the_database_s_words_are_kept_for_the_log(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer
    ) -> None:
        mlflow_server.answer(400, {"error_code": "BAD_REQUEST", "message": "[SQL: SELECT 1]"})
        with pytest.raises(RegistryRefused) as refused:
            remote.model("churn")
        assert "SELECT" not in str(refused.value)
        assert "SELECT" in str(refused.value.__cause__)

    def test_what_the_caller_was_handling_is_not_blamed_on_the_registry(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer
    ) -> None:
        mlflow_server.answer(400, {"error_code": "BAD_REQUEST", "message": "no"})
        try:
            raise TimeoutError("something else")
        except TimeoutError:
            with pytest.raises(RegistryRefused):
                remote.model("churn")

    def test_a_password_in_the_address_is_not_told(self) -> None:
        with pytest.raises(RegistryUnreachable) as unreachable:
            MlflowRegistry(f"http://ann:secret@127.0.0.1:{free_port()}").models()
        assert "secret" not in str(unreachable.value)

    def test_an_address_of_another_kind_is_refused(self, mlflow_patience: None) -> None:
        with pytest.raises(RegistryRefused, match="is not an MLflow server"):
            MlflowRegistry("gopher://127.0.0.1").models()

    def test_a_database_in_trouble_is_unreachable(self, mlflow_sqlite: str, mlflow_shelf: MlflowShelf) -> None:
        engine = sa.create_engine(mlflow_sqlite)
        with engine.begin() as connection:
            connection.execute(sa.text("DROP TABLE registered_model_tags"))
        engine.dispose()
        with pytest.raises(RegistryUnreachable, match="cannot answer now"):
            MlflowRegistry(mlflow_sqlite).models()

    def test_an_alias_that_another_set_first_is_set_again(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer
    ) -> None:
        said = "(sqlite3.IntegrityError) UNIQUE constraint failed: registered_model_aliases.name"
        mlflow_server.answer(400, {"error_code": "BAD_REQUEST", "message": said})
        remote.set_alias("churn", "champion", 2)
        assert remote.model("churn").aliases == {"champion": 2}


class TestFiles:
    """What only real files can show."""

    @pytest.fixture
    def version(self, remote: MlflowRegistry, mlflow_shelf: MlflowShelf) -> VersionInfo:
        """Return a version without files."""
        return remote.register("churn", mlflow_shelf.add_run(), tags={})

    def test_files_that_only_the_server_reads_come_through_it(
        self, mlflow_server: MlflowServer, mlflow_shelf: MlflowShelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("_MLFLOW_SERVER_SERVE_ARTIFACTS", "true")
        monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_DESTINATION", str(tmp_path / "served"))
        monkeypatch.setattr("mlflow.server.handlers._artifact_repo", None)
        mlflow_shelf.artifacts, mlflow_shelf.served = "mlflow-artifacts:", tmp_path / "served"
        registry = MlflowRegistry(mlflow_server.uri)
        version = registry.register("churn", mlflow_shelf.add_run(models=["classifier"]), tags={})
        assert version.source.startswith("mlflow-artifacts:/")
        assert registry.package(version) is None
        mlflow_shelf.add_package(version, PACKAGE)
        mlflow_server.requests.clear()
        assert registry.package(version) == PACKAGE
        assert len(mlflow_server.requests) == 4

    @pytest.mark.parametrize("models", [[], ["model"]])
    def test_a_version_that_names_a_run_is_followed_to_its_files(
        self, remote: MlflowRegistry, mlflow_shelf: MlflowShelf, models: list[str]
    ) -> None:
        run_id = mlflow_shelf.add_run(models=models)
        mlflow_shelf.add_package(remote.register("churn", run_id, tags={}), PACKAGE)
        number = mlflow_shelf.add_version("churn", run_id=run_id, source=f"runs:/{run_id}/model")
        assert remote.package(remote.version("churn", number)) == PACKAGE

    def test_a_model_that_mlflow_2_logged_is_found(self, remote: MlflowRegistry, mlflow_shelf: MlflowShelf) -> None:
        history = json.dumps([{"artifact_path": "sklearn-model"}, {"artifact_path": "sklearn-model"}])
        run_id = mlflow_shelf.add_run(tags={"mlflow.log-model.history": history})
        assert remote.register("churn", run_id, tags={}).source.endswith(f"{run_id}/artifacts/sklearn-model")

    def test_of_several_models_of_one_name_the_ids_are_told(
        self, remote: MlflowRegistry, mlflow_shelf: MlflowShelf
    ) -> None:
        run_id = mlflow_shelf.add_run(models=["model", "model"])
        with pytest.raises(BadInput, match=r"m-[0-9a-f]{32}, m-[0-9a-f]{32}") as unclear:
            remote.register("churn", run_id, artifact="model", tags={})
        [model_id, _] = re.findall("m-[0-9a-f]{32}", str(unclear.value))
        assert model_id in remote.register("churn", run_id, artifact=model_id, tags={}).source

    def test_a_large_mlmodel_is_not_read(
        self, remote: MlflowRegistry, mlflow_shelf: MlflowShelf, version: VersionInfo
    ) -> None:
        mlflow_shelf.add_package(version, PACKAGE)
        (Path(version.source) / "MLmodel").write_bytes(b"#" * 1_000_001)
        with pytest.raises(RegistryRefused, match=r"cannot be read \(MLmodel is larger than 1 MB\)"):
            remote.package(version)

    def test_what_is_no_mlmodel_is_said_to_be_none(
        self, remote: MlflowRegistry, mlflow_shelf: MlflowShelf, version: VersionInfo
    ) -> None:
        mlflow_shelf.add_package(version, PACKAGE)
        (Path(version.source) / "MLmodel").write_text("!!python/object:os.system []")
        with pytest.raises(RegistryRefused, match=r"cannot be read \(its MLmodel cannot be understood\)"):
            remote.package(version)

    @pytest.mark.parametrize(
        "place",
        ["http://evil.example/x", "mlflow-artifacts://evil.example/x", "https://127.0.0.1@evil.example/api/2.0/x"],
    )
    def test_our_password_is_not_sent_to_another_server(self, place: str) -> None:
        with pytest.raises(RegistryRefused, match=r"cannot be read .they lie on a server that is not the one"):
            read_package(place, "http://127.0.0.1:5000", 1)

    def test_a_store_without_its_library_is_named(self, mlflow_patience: None) -> None:
        with pytest.raises(RegistryRefused, match=r"The model's files cannot be read \("):
            read_package("gs://bucket/model", "http://127.0.0.1:5000", 5)

    def test_a_store_that_mlflow_does_not_know_is_refused(self) -> None:
        with pytest.raises(RegistryRefused, match=r"The model's files cannot be read \("):
            read_package("gopher://bucket/model", "http://127.0.0.1:5000", 5)

    def test_a_store_that_does_not_answer_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        never = Event()
        monkeypatch.setattr("bot.registry.mlflow_files._read", lambda *_: never.wait(30))
        with pytest.raises(RegistryUnreachable, match="they did not come in time"):
            read_package("s3://bucket/model", "http://127.0.0.1:5000", 0.05)
        never.set()

    @pytest.mark.parametrize("error", [ConnectionError("secret"), TimeoutError("secret"), ValueError("secret")])
    def test_what_a_store_raises_is_translated(self, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        def fail(*_: object) -> None:
            raise error

        monkeypatch.setattr("bot.registry.mlflow_files._read", fail)
        kind = RegistryRefused if isinstance(error, ValueError) else RegistryUnreachable
        with pytest.raises(kind, match="The model's files cannot be read") as told:
            read_package("s3://bucket/model", "http://127.0.0.1:5000", 5)
        assert "secret" not in str(told.value)


class TestMlmodel:
    def test_it_says_what_mlflow_wrote(self) -> None:
        assert package_of(mlmodel(PACKAGE).encode(), "\n# made\n".join(PACKAGE.dependencies).encode()) == PACKAGE

    @pytest.mark.parametrize(
        "text", ["", "[1, 2]", "flavors: [1]", "signature: {inputs: 'x'}", "{" * 5000, "!!python/object:os.system []"]
    )
    def test_anything_else_is_none(self, text: str) -> None:
        with pytest.raises(ValueError, match="this is no MLmodel"):
            package_of(text.encode())

    def test_columns_keep_their_order_and_nested_types_are_compact(self) -> None:
        inputs = [
            {"name": "b", "type": "long", "required": True},
            {"name": "a", "type": "array", "items": {"type": "string"}, "required": False},
            {"name": "o", "type": "object", "properties": {"x": {"type": "double", "required": True}}},
        ]
        params = [{"name": "k", "type": "integer", "default": [1], "shape": [-1]}]
        told = package_of(
            json.dumps(
                {"flavors": {}, "signature": {"inputs": json.dumps(inputs), "params": json.dumps(params)}}
            ).encode()
        ).signature
        assert told
        assert told.inputs == (
            Column(name="b", type="long"),
            Column(name="a", type='{"items":{"type":"string"},"type":"array"}', required=False),
            Column(name="o", type='{"properties":{"x":{"required":true,"type":"double"}},"type":"object"}'),
        )
        assert (told.outputs, told.params) == ((), (Column(name="k", type="integer[-1]", required=False),))


class TestSettings:
    def test_importing_a_registry_imports_no_mlflow_and_sets_nothing(self) -> None:
        check = (
            "import os, sys; before = dict(os.environ); import bot.registry.memory, bot.registry.mlflow;"
            "assert before == dict(os.environ) and 'mlflow' not in sys.modules"
        )
        assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0

    def test_a_registry_is_impatient_where_nothing_is_said(self, mlflow_patience: None) -> None:
        MlflowRegistry("http://127.0.0.1:1", timeout=3)
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "3"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"

    def test_what_the_environment_says_is_left_alone(
        self, mlflow_patience: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
        MlflowRegistry("http://127.0.0.1:1", timeout=3)
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "60"


@pytest.fixture(scope="module")
def command_line_server(mlflow_template: Path) -> Iterator[str]:
    """Run `mlflow server --workers 2` over the template's neighbour."""
    folder = Path(tempfile.mkdtemp(dir=mlflow_template.parent))
    database = folder / "server.db"
    database.write_bytes(mlflow_template.read_bytes())
    shelf = MlflowShelf(f"sqlite:///{database}")
    shelf.add("churn", versions=[PRODUCTION, NONE])
    shelf.close()
    with mlflow_subprocess(f"sqlite:///{database}", folder) as uri:
        yield uri


@pytest.mark.slow
def test_a_server_with_two_workers_is_moved_and_read_back(command_line_server: str) -> None:
    registry = MlflowRegistry(command_line_server)
    registry.transition("churn", 2, PRODUCTION, archive_existing=True)
    registry.set_alias("churn", "champion", 2)
    assert [stages(registry) for _ in range(5)] == [{1: ARCHIVED, 2: PRODUCTION}] * 5
    assert registry.model("churn").aliases == {"champion": 2}


TRAINING = """
import mlflow, numpy
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

inputs, labels = numpy.array([[0.0, 1.0], [1.0, 0.0]]), numpy.array([0, 1])
with mlflow.start_run() as run:
    mlflow.log_metric("auc", float("inf"))
    mlflow.log_input(mlflow.data.from_numpy(inputs, targets=labels), context="training")
    model = LogisticRegression().fit(inputs, labels)
    mlflow.sklearn.log_model(model, name="model", signature=infer_signature(inputs, labels))
print("run", run.info.run_id)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_model_that_mlflow_logged_is_registered_and_read(command_line_server: str) -> None:
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_TRACKING_URI": command_line_server}
    trained = subprocess.run(
        [sys.executable, "-c", TRAINING], env=os.environ | quiet, check=True, capture_output=True, text=True
    )
    run_id = trained.stdout.split("run ")[-1].strip()
    registry = MlflowRegistry(command_line_server)
    version = registry.register("fraud", run_id, tags={"semver": "1.0.0"})
    run, package = registry.runs([run_id])[run_id], registry.package(version)
    assert registry.version("fraud", 1) == version
    assert math.isnan(run.metrics["auc"])
    assert [(dataset.rows, dataset.context) for dataset in run.datasets] == [(2, "training")]
    assert package
    assert package.signature
    assert (package.flavors, package.signature.inputs) == (
        ("sklearn",),
        (Column(name="", type="tensor(float64,[-1, 2])"),),
    )
    assert any(line.startswith("scikit-learn==") for line in package.dependencies)
    assert package.size
    assert registry.estimator(version) == "LogisticRegression"


@pytest.mark.postgres
def test_a_server_that_cannot_archive_moves_first_and_archives_then(
    postgres_server: PostgresServer, mlflow_patience: None, tmp_path: Path
) -> None:
    database = postgres_server.url(postgres_server.create())
    shelf = MlflowShelf(database)
    shelf.add("churn", versions=[PRODUCTION, NONE])
    server = MlflowServer(database, tmp_path)  # with psycopg 3: mlflow#24592
    server.start()
    registry = MlflowRegistry(server.uri)
    registry.transition("churn", 2, PRODUCTION, archive_existing=True)
    told = stages(registry)
    server.close()
    shelf.close()
    assert told == {1: ARCHIVED, 2: PRODUCTION}
    assert [request.rsplit("/", 1)[1] for request in server.requests] == [
        "get",  # is it a model?
        "transition-stage",  # fails
        "transition-stage",
        "search",
        "transition-stage",
        "search",
    ]

"""Contract tests for `ExperimentTracker`: runs, metrics, monitoring runs, and packages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.core.errors import UnknownVersion
from bot.domain.registry.model import RUN_MODEL_TAG, RUN_VERSION_TAG, Dataset, ModelPackage, Signature, SignatureColumn
from bot.ports import ExperimentTracker, ModelRegistry, ReadsFiles
from bot.registry.contract.contents import RegistryContents

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
PACKAGE = ModelPackage(
    flavors=("sklearn",),
    signature=Signature(
        inputs=(
            SignatureColumn(name="age", type="long"),
            SignatureColumn(name="страна", type="string", required=False),
        ),
        outputs=(SignatureColumn(name="", type="tensor(int64,[-1, 4])"),),
        params=(SignatureColumn(name="threshold", type="double", required=False),),
    ),
    dependencies=("mlflow==3.17.2", "scikit-learn==1.9.0"),
    size=1234,
)


def _monitoring_run(contents: RegistryContents, model: str, version: str, *, deleted: bool = False) -> str:
    tags = {RUN_MODEL_TAG: model, RUN_VERSION_TAG: version}
    return contents.add_run(tags=tags, status="RUNNING", is_deleted=deleted)


class TrackerContract:
    """Tests for runs, packages, and files.

    Subclass this, and provide the fixtures `registry`, `tracker`, and `contents`. `odd_file_names` are unusual paths
    that files of a model can have.
    """

    odd_file_names: Sequence[str] = ("MLmodel", "data/deep er/вес.bin", "100% sure.txt", "a+b&c='d'.txt", ".hidden/x")

    def test_a_run_has_its_logged_facts(self, tracker: ExperimentTracker, contents: RegistryContents) -> None:
        begun, ended = datetime(2025, 3, 1, 12, 0, tzinfo=UTC), datetime(2025, 3, 1, 12, 42, tzinfo=UTC)
        run_id = contents.add_run(
            metrics={"auc": 0.93, "точность": 0.5},
            params={"depth": "7"},
            tags={"git": "abc"},
            name="bold-crow",
            user="ann",
            started_at=begun,
            ended_at=ended,
        )
        told = tracker.runs([run_id])[run_id]
        assert (told.id, told.name, told.user) == (run_id, "bold-crow", "ann")
        assert (dict(told.metrics), dict(told.params)) == ({"auc": 0.93, "точность": 0.5}, {"depth": "7"})
        assert (told.started_at, told.ended_at, told.tags["git"]) == (begun, ended, "abc")
        assert (told.status, told.is_finished, told.is_deleted) == ("FINISHED", True, False)

    def test_a_run_without_a_user_has_an_empty_user(
        self, tracker: ExperimentTracker, contents: RegistryContents
    ) -> None:
        run_id = contents.add_run()
        assert tracker.runs([run_id])[run_id].user == ""

    def test_a_running_run_is_not_finished(self, tracker: ExperimentTracker, contents: RegistryContents) -> None:
        run_id = contents.add_run(status="RUNNING")
        told = tracker.runs([run_id])[run_id]
        assert (told.status, told.is_finished, told.ended_at) == ("RUNNING", False, None)

    def test_a_run_has_its_data_sets(self, tracker: ExperimentTracker, contents: RegistryContents) -> None:
        datasets = [
            Dataset(name="customers", digest="d41d8", rows=5000, context="training"),
            Dataset(name="holdout", digest="cd98f"),
        ]
        run_id = contents.add_run(datasets=datasets)
        assert set(tracker.runs([run_id])[run_id].datasets) == set(datasets)

    def test_nan_and_infinite_metrics_of_a_run_are_nan(
        self, tracker: ExperimentTracker, contents: RegistryContents
    ) -> None:
        run_id = contents.add_run(metrics={"a": math.nan, "b": math.inf, "c": -math.inf, "auc": 0.5})
        told = tracker.runs([run_id])[run_id].metrics
        assert [name for name, value in told.items() if math.isnan(value)] == ["a", "b", "c"]
        assert told["auc"] == 0.5

    def test_a_run_can_have_hundreds_of_metrics(self, tracker: ExperimentTracker, contents: RegistryContents) -> None:
        metrics = {f"metric/{number}": number / 7 for number in range(300)}
        run_id = contents.add_run(metrics=metrics)
        assert tracker.runs([run_id])[run_id].metrics == metrics

    def test_a_deleted_run_can_be_read(self, tracker: ExperimentTracker, contents: RegistryContents) -> None:
        run_id = contents.add_run(metrics={"auc": 0.9}, is_deleted=True)
        told = tracker.runs([run_id])[run_id]
        assert (told.is_deleted, told.metrics) == (True, {"auc": 0.9})

    def test_runs_of_several_experiments_are_found_together(
        self, tracker: ExperimentTracker, contents: RegistryContents
    ) -> None:
        ids = [contents.add_run(experiment=name) for name in ("a", "b", "o'brien")]
        assert len({run.experiment for run in tracker.runs(ids).values()}) == 3

    def test_a_run_of_a_new_experiment_is_found(self, tracker: ExperimentTracker, contents: RegistryContents) -> None:
        old = contents.add_run()
        tracker.runs([old])
        new = contents.add_run(experiment="new")
        assert tracker.runs([old, new]).keys() == {old, new}

    def test_unknown_runs_are_left_out(self, tracker: ExperimentTracker, contents: RegistryContents) -> None:
        there = contents.add_run()
        assert tracker.runs(["f" * 32, there, there]).keys() == {there}

    def test_no_ids_return_no_runs(self, tracker: ExperimentTracker) -> None:
        assert tracker.runs([]) == {}

    def test_a_version_has_the_package_next_to_its_files(
        self, registry: ModelRegistry, tracker: ExperimentTracker, contents: RegistryContents
    ) -> None:
        version = registry.register_version("churn", contents.add_run(models=["classifier"]), tags={})
        contents.add_package(version, PACKAGE)
        assert tracker.package(version) == PACKAGE

    def test_a_version_of_plain_files_has_a_package(
        self, registry: ModelRegistry, tracker: ExperimentTracker, contents: RegistryContents
    ) -> None:
        version = registry.register_version("churn", contents.add_run(), tags={})
        contents.add_package(version, PACKAGE)
        assert tracker.package(registry.versions("churn")[0]) == PACKAGE

    def test_a_package_can_be_incomplete(
        self, registry: ModelRegistry, tracker: ExperimentTracker, contents: RegistryContents
    ) -> None:
        version = registry.register_version("churn", contents.add_run(), tags={})
        contents.add_package(version, ModelPackage(flavors=("python_function",)))
        assert tracker.package(version) == ModelPackage(flavors=("python_function",))

    def test_without_files_there_is_no_package(
        self, registry: ModelRegistry, tracker: ExperimentTracker, contents: RegistryContents
    ) -> None:
        version = registry.register_version("churn", contents.add_run(models=["classifier"]), tags={})
        assert tracker.package(version) is None

    def test_all_files_of_a_version_are_listed_and_read(
        self, registry: ModelRegistry, tracker: ExperimentTracker, contents: RegistryContents
    ) -> None:
        if not isinstance(tracker, ReadsFiles):
            pytest.skip("This adapter doesn't have `version_files`, which is optional.")
        version = registry.register_version("churn", contents.add_run(models=["classifier"]), tags={})
        added = {name: f"contents of {name}".encode() for name in self.odd_file_names} | {"empty": b""}
        for path, data in added.items():
            contents.add_file(version, path, data)
        files = tracker.version_files(version)
        listing = {file.path: file.size for file in files.files()}
        assert listing.keys() == added.keys()
        assert all(size in {None, len(added[path])} for path, size in listing.items())
        assert {path: b"".join(files.chunks(path)) for path in listing} == added

    def test_files_of_an_unknown_version_are_refused(
        self, registry: ModelRegistry, tracker: ExperimentTracker, contents: RegistryContents
    ) -> None:
        if not isinstance(tracker, ReadsFiles):
            pytest.skip("This adapter doesn't have `version_files`, which is optional.")
        version = registry.register_version("churn", contents.add_run(), tags={})
        contents.delete_version("churn", version.version)
        with pytest.raises(UnknownVersion):
            tracker.version_files(version)

    def test_the_newest_point_of_each_metric_has_its_time(
        self, tracker: ExperimentTracker, contents: RegistryContents
    ) -> None:
        runs = [contents.add_run(status="RUNNING") for _ in range(2)]
        for run in runs:
            contents.log_metric(run, "accuracy", 0.9, NOON)
            contents.log_metric(run, "accuracy", 0.8, NOON + timedelta(minutes=5))
            contents.log_metric(run, "f1", 0.7, NOON)
        newest = {"accuracy": (NOON + timedelta(minutes=5), 0.8), "f1": (NOON, 0.7)}
        assert tracker.latest_metrics([*runs, "unknown"]) == dict.fromkeys(runs, newest)
        assert tracker.latest_metrics(runs[:1]) == {runs[0]: newest}
        assert tracker.latest_metrics([]) == {}

    def test_values_that_are_not_finite_are_nan(self, tracker: ExperimentTracker, contents: RegistryContents) -> None:
        run = contents.add_run(metrics={"nan": math.nan, "inf": math.inf, "-inf": -math.inf})
        newest = tracker.latest_metrics([run, run])[run]
        assert [math.isnan(value) for _, value in newest.values()] == [True] * 3
        assert [math.isnan(value) for _, value in tracker.metric_history(run, "inf")] == [True]

    def test_a_deleted_run_still_has_its_latest_metrics(
        self, tracker: ExperimentTracker, contents: RegistryContents
    ) -> None:
        run = contents.add_run(metrics={"accuracy": 0.9}, is_deleted=True)
        assert tracker.latest_metrics([run, "unknown"])[run]["accuracy"][1] == 0.9

    def test_points_are_sorted_oldest_first(self, tracker: ExperimentTracker, contents: RegistryContents) -> None:
        run = contents.add_run(status="RUNNING")
        points = [(NOON + timedelta(minutes=at), at / 10) for at in range(4)]
        for at, value in [points[2], points[0], points[3], points[1]]:
            contents.log_metric(run, "accuracy", value, at)
        assert tracker.metric_history(run, "accuracy") == points
        assert tracker.metric_history(run, "f1") == []

    @pytest.mark.parametrize("run", ["0" * 32, "x' OR 1", ""])
    def test_an_unknown_run_has_no_points(self, tracker: ExperimentTracker, run: str) -> None:
        assert tracker.metric_history(run, "accuracy") == []

    def test_monitoring_runs_are_found_by_their_tags(
        self, tracker: ExperimentTracker, contents: RegistryContents
    ) -> None:
        first, again, other = (
            _monitoring_run(contents, *which) for which in [("churn", "7"), ("churn", "v7"), ("fraud", "1")]
        )
        for model, version in [("churn", "8"), ("churn", "seven"), ("else", "7")]:
            _monitoring_run(contents, model, version)
        _monitoring_run(contents, "churn", "7", deleted=True)
        contents.add_run(tags={RUN_MODEL_TAG: "churn"})
        contents.add_run(tags={RUN_VERSION_TAG: "7"})
        found = tracker.monitoring_runs({("churn", 7), ("fraud", 1), ("fraud", 2)})
        assert {pair: sorted(runs) for pair, runs in found.items()} == {
            ("churn", 7): sorted([first, again]),
            ("fraud", 1): [other],
        }
        assert {pair: sorted(runs) for pair, runs in tracker.monitoring_runs([("churn", 7)]).items()} == {
            ("churn", 7): sorted([first, again])
        }

    @pytest.mark.parametrize("name", ["o'brien", 'the "best"', "100%", "модель", "x' OR name != 'x", "a\\"])
    def test_only_the_monitoring_runs_of_an_odd_name_are_found(
        self, tracker: ExperimentTracker, contents: RegistryContents, name: str
    ) -> None:
        run = _monitoring_run(contents, name, "1")
        _monitoring_run(contents, "churn", "1")
        assert tracker.monitoring_runs([(name, 1)]) == {(name, 1): [run]}

    def test_a_version_without_monitoring_runs_has_none(self, tracker: ExperimentTracker) -> None:
        assert tracker.monitoring_runs([("churn", 7)]) == {}
        assert tracker.monitoring_runs([]) == {}

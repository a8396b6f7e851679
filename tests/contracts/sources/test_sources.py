"""Every source meets the contract: pushed readings, MLflow's training and monitoring runs, a real Prometheus."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.core.errors import LedgerUnavailable, RegistryUnreachable
from bot.domain.monitoring.readings import CheckOutcome, PushedReading
from bot.domain.registry.model import RUN_MODEL_TAG, RUN_VERSION_TAG, Stage
from bot.ledger import SqlLedger
from bot.ports import MetricSource, ModelRegistry, Query
from bot.sources.contract import SourceContract
from bot.sources.mlflow import LiveMlflowSource, MlflowSource
from bot.sources.push import PushSource
from tests.support.domain.source_answers import HOUR, MINUTE, NOON, asked
from tests.support.registry.memory import MemoryRegistry
from tests.support.registry.opened import tracker_of
from tests.support.registry.registries import RegistryContents


class TestPush(SourceContract):
    has_counts = True

    @pytest.fixture(autouse=True)
    def _parts(self, ledger: SqlLedger) -> None:
        self.ledger = ledger

    def source(self) -> MetricSource:
        return PushSource(self.ledger, "contract")

    def put(self, model: str, version: int, metric: str, value: float) -> None:
        if math.isfinite(value):  # no other is ever taken
            push(self.ledger, (datetime.now(UTC), value), model=model, version=version, metric=metric)

    def put_counts(self, model: str, version: int, count: float, total: float) -> None:
        push(self.ledger, (datetime.now(UTC), count), model=model, version=version, metric="correct", total=total)

    def counts(self, model: str) -> Query:
        return self.query(model, metric="correct")  # each reading has its total

    def break_it(self) -> MetricSource:
        self.ledger.close()
        return PushSource(SqlLedger("sqlite:////nowhere/at/all/ledger.db"), "contract")


def push(
    ledger: SqlLedger,
    *points: tuple[datetime, float],
    model: str = "churn",
    version: int = 7,
    metric: str = "accuracy",
    source: str = "contract",
    total: float | None = None,
) -> None:
    """Add readings to the ledger, as if they had been pushed."""
    with ledger.write() as tx:
        tx.add_readings(
            [
                PushedReading(
                    source=source,
                    model=model,
                    version=version,
                    metric=metric,
                    at=at,
                    value=value,
                    total=total,
                    received_at=datetime.now(UTC),
                    client="ci",
                )
                for at, value in points
            ]
        )


class TestPushedReadings:
    def test_readings_without_a_version_count_and_other_versions_do_not(self, ledger: SqlLedger) -> None:
        for version, value in ((0, 0.1), (6, 0.6), (7, 0.7)):
            push(ledger, (NOON - version * MINUTE, value), version=version)
        [answer] = PushSource(ledger, "contract").read([asked()])
        assert sorted(value for _, value, *_ in answer.points) == [0.1, 0.7]

    def test_the_window_begins_after_since_and_ends_with_until(self, ledger: SqlLedger) -> None:
        push(ledger, *((NOON - HOUR + at * HOUR / 2, float(at)) for at in range(4)))
        [answer] = PushSource(ledger, "contract").read([asked()])
        assert [value for _, value, *_ in answer.points] == [1.0, 2.0]

    def test_another_source_s_readings_are_not_its_own(self, ledger: SqlLedger) -> None:
        push(ledger, (NOON, 0.5), source="other")
        assert PushSource(ledger, "contract").read([asked()])[0].points == []

    def test_history_has_every_version_and_one_point_per_step(self, ledger: SqlLedger) -> None:
        push(ledger, *((NOON - at * MINUTE, float(at)) for at in range(10)), version=6)
        answer = PushSource(ledger, "contract").history(asked(), 5 * MINUTE)
        assert [value for _, value, *_ in answer.points] == [6.0, 1.0, 0.0]


class _OverRegistry(SourceContract):
    """The shared parts of the two sources that use a registry."""

    @pytest.fixture(autouse=True, params=["memory", "http"])
    def _parts(
        self, request: pytest.FixtureRequest, registries: Callable[[str], tuple[ModelRegistry, RegistryContents]]
    ) -> None:
        self.registry, self.backend = registries(request.param)

    def break_it(self) -> MetricSource:
        down = MemoryRegistry()
        down.is_down = True
        return type(self.source())(down, down)  # type: ignore[call-arg]


class TestMlflow(_OverRegistry):
    has_counts = True

    def source(self) -> MetricSource:
        return MlflowSource(self.registry, tracker_of(self.registry))

    def put(self, model: str, version: int, metric: str, value: float) -> None:
        self._serve(model, version, {metric: value})

    def put_counts(self, model: str, version: int, count: float, total: float) -> None:
        self._serve(model, version, {"correct": count, "predictions": total})

    def _serve(self, model: str, version: int, metrics: dict[str, float]) -> None:
        run = self.backend.add_run(metrics=metrics)
        self.backend.add_model(model, versions=version - 1)
        self.backend.add_version(model, run_id=run)
        self.registry.transition_stage(model, version, Stage.PRODUCTION, archive_existing=True)


class TestLiveMlflow(_OverRegistry):
    has_counts = True

    def source(self) -> MetricSource:
        return LiveMlflowSource(self.registry, tracker_of(self.registry))

    def put(self, model: str, version: int, metric: str, value: float) -> None:
        run = self.backend.add_run(tags={RUN_MODEL_TAG: model, RUN_VERSION_TAG: str(version)}, status="RUNNING")
        self.backend.log_metric(run, metric, value, datetime.now(UTC) - timedelta(seconds=1))

    def put_counts(self, model: str, version: int, count: float, total: float) -> None:
        run = self.backend.add_run(tags={RUN_MODEL_TAG: model, RUN_VERSION_TAG: str(version)}, status="RUNNING")
        at = datetime.now(UTC) - timedelta(seconds=1)
        for metric, value in (("correct", count), ("predictions", total)):
            self.backend.log_metric(run, metric, value, at)


class TestMlflowRuns:
    def test_two_requests_serve_any_number_of_queries(self) -> None:
        registry = MemoryRegistry()
        run = registry.add_run(metrics={"accuracy": 0.9, "f1": 0.8})
        for at in range(10):
            registry.add_model(f"m{at}")
            registry.add_version(f"m{at}", stage=Stage.PRODUCTION, run_id=run)
        queries = [asked(metric, model=f"m{at}", version=1) for at in range(10) for metric in ("accuracy", "f1")]
        answers = MlflowSource(registry, tracker_of(registry)).read(queries)
        assert [value for one in answers for _, value, *_ in one.points] == [0.9, 0.8] * 10
        assert {one.is_timeless for one in answers} == {True}
        assert registry.request_counts == {"in_production": 1, "metrics": 1}

    @pytest.mark.parametrize(
        ("stage", "why"),
        [
            (Stage.PRODUCTION, "The registry has v1 of “churn” in Production, not v7."),
            (Stage.STAGING, "The registry has no version of “churn” in Production."),
        ],
    )
    def test_another_version_in_production_is_no_data(self, stage: Stage, why: str) -> None:
        registry = MemoryRegistry()
        registry.add_model("churn")
        registry.add_version("churn", stage=stage, run_id=registry.add_run(metrics={"accuracy": 0.9}))
        [answer] = MlflowSource(registry, tracker_of(registry)).read([asked()])
        assert (answer.outcome, str(answer.why), list(answer.points)) == (CheckOutcome.NO_DATA, why, [])

    @pytest.mark.parametrize("run_id", [None, "gone"])
    def test_a_version_without_its_run_has_no_metrics(self, run_id: str | None) -> None:
        registry = MemoryRegistry()
        registry.add_model("churn")
        registry.add_version("churn", stage=Stage.PRODUCTION, run_id=run_id)
        [answer] = MlflowSource(registry, tracker_of(registry)).read([asked(version=1)])
        assert (answer.outcome, list(answer.points)) == (CheckOutcome.OK, [])

    def test_a_registry_that_is_down_fails_the_batch(self) -> None:
        registry = MemoryRegistry()
        registry.is_down = True
        for source in (MlflowSource(registry, tracker_of(registry)), LiveMlflowSource(registry, tracker_of(registry))):
            with pytest.raises(RegistryUnreachable):
                source.read([asked()])


class TestMonitoringRuns:
    @pytest.fixture
    def registry(self) -> MemoryRegistry:
        registry = MemoryRegistry()
        for _ in range(2):
            run = registry.add_run(tags={RUN_MODEL_TAG: "churn", RUN_VERSION_TAG: "7"})
            for at in range(4):
                registry.log_metric(run, "accuracy", at / 10, NOON - HOUR + at * HOUR / 2)
        return registry

    def test_points_are_from_all_runs_of_the_version_within_the_window(self, registry: MemoryRegistry) -> None:
        answers = LiveMlflowSource(registry, tracker_of(registry)).read([asked(), asked(), asked("f1")])
        assert [[value for _, value, *_ in one.points] for one in answers] == [[0.1, 0.2] * 2] * 2 + [[]]
        assert {one.is_timeless for one in answers} == {False}
        assert registry.request_counts == {"monitoring_runs": 1, "points": 4}

    def test_a_query_past_its_time_limit_is_an_error(self, registry: MemoryRegistry) -> None:
        times = iter([0.0, 1.0, 11.0])
        [answer] = LiveMlflowSource(registry, tracker_of(registry), monotonic=lambda: next(times)).read([asked()])
        assert (answer.outcome, list(answer.points)) == (CheckOutcome.ERROR, [])
        assert str(answer.why) == "MLflow didn't return the points for “accuracy” in time."

    def test_live_history_has_every_version_and_one_point_per_step(self, registry: MemoryRegistry) -> None:
        registry.add_model("churn", versions=7)
        run = registry.add_run(tags={RUN_MODEL_TAG: "churn", RUN_VERSION_TAG: "6"})
        registry.log_metric(run, "accuracy", 0.6, NOON - 40 * MINUTE)
        answer = LiveMlflowSource(registry, tracker_of(registry)).history(asked(), 10 * MINUTE)
        assert [value for _, value, *_ in answer.points] == [0.6, 0.1, 0.2]

    def test_counts_are_joined_by_the_time_at_which_a_run_logged_both(self, registry: MemoryRegistry) -> None:
        for of, minutes in (((10.0, 20.0), (15, 45)), ((30.0, 40.0), (15, 20))):
            run = registry.add_run(tags={RUN_MODEL_TAG: "churn", RUN_VERSION_TAG: "7"})
            for total, minute in zip(of, minutes, strict=True):
                registry.log_metric(run, "predictions", total, NOON - minute * MINUTE)
                registry.log_metric(run, "correct", total / 2, NOON - (15 if minute == 15 else minute + 1) * MINUTE)
        [answer] = LiveMlflowSource(registry, tracker_of(registry)).read([asked("correct", of="predictions")])
        assert [point[1:] for point in answer.points] == [(5.0, 10.0), (15.0, 30.0)]

    def test_counts_that_were_never_logged_together_say_so(self, registry: MemoryRegistry) -> None:
        run = registry.add_run(tags={RUN_MODEL_TAG: "churn", RUN_VERSION_TAG: "7"})
        for seconds, (metric, value) in enumerate({"correct": 9.0, "predictions": 10.0}.items()):
            registry.log_metric(run, metric, value, NOON - seconds * MINUTE / 60)
        [answer, nothing] = LiveMlflowSource(registry, tracker_of(registry)).read(
            [asked("correct", of="predictions"), asked("f1", of="f2")]
        )
        assert (answer.outcome, list(answer.points)) == (CheckOutcome.NO_DATA, [])
        assert str(answer.why) == (
            "“correct” and “predictions” were never logged at the same time. Log both in one call to log_metrics."
        )
        assert (nothing.outcome, list(nothing.points)) == (CheckOutcome.OK, [])

    def test_a_run_that_fails_halfway_gives_no_partial_answer(self, registry: MemoryRegistry) -> None:
        times = iter([False, False, True])
        registry.delay, registry._sleep = 1.0, lambda _: setattr(registry, "is_down", next(times))
        [answer] = LiveMlflowSource(registry, tracker_of(registry)).read([asked()])
        assert (answer.outcome, list(answer.points)) == (CheckOutcome.ERROR, [])


def test_a_ledger_that_is_down_fails_the_batch() -> None:
    with pytest.raises(LedgerUnavailable):
        PushSource(SqlLedger("sqlite:////nowhere/at/all/ledger.db"), "push").read([asked()])

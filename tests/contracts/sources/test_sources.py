"""Every source keeps the same promises: what was pushed, MLflow's training and monitoring runs, a real Prometheus."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.errors import LedgerUnavailable, RegistryUnreachable
from bot.domain.monitor_rule import MonitorRule
from bot.domain.monitors import Answer, Outcome, Pushed
from bot.domain.readings import measure
from bot.domain.registry import MODEL_TAG, VERSION_TAG, Stage
from bot.ledger import SqlLedger
from bot.ports import MetricSource, Query, Registry
from bot.registry.memory import MemoryRegistry
from bot.sources.contract import SourceContract
from bot.sources.mlflow import LiveMlflowSource, MlflowSource
from bot.sources.prometheus import PrometheusSource
from bot.sources.push import PushSource
from tests.support.network.prometheus_server import RealPrometheus, label
from tests.support.registry.registries import Shelf, free_port
from tests.support.waiting import wait_until

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def asked(
    query: str = "accuracy", *, model: str = "churn", version: int = 7, of: str | None = None, **more: timedelta
) -> Query:
    """Return a query about the hour before noon."""
    return Query(
        monitor="m1",
        source="s",
        model=model,
        version=version,
        query=query,
        of=of,
        since=NOON - HOUR,
        until=NOON,
        **more,
    )


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
        return self.query(model, metric="correct")  # each reading says what it is counted out of

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
    """Put readings into the ledger, as if they had been pushed."""
    with ledger.write() as tx:
        tx.add_readings(
            [
                Pushed(
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
    def test_those_that_do_not_say_their_version_count_and_another_s_do_not(self, ledger: SqlLedger) -> None:
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

    def test_history_has_every_version_and_one_point_each_step(self, ledger: SqlLedger) -> None:
        push(ledger, *((NOON - at * MINUTE, float(at)) for at in range(10)), version=6)
        answer = PushSource(ledger, "contract").history(asked(), 5 * MINUTE)
        assert [value for _, value, *_ in answer.points] == [6.0, 1.0, 0.0]


class _OverRegistry(SourceContract):
    """What the two sources over a registry share."""

    @pytest.fixture(autouse=True, params=["memory", "http"])
    def _parts(self, request: pytest.FixtureRequest, registries: Callable[[str], tuple[Registry, Shelf]]) -> None:
        self.registry, self.shelf = registries(request.param)

    def break_it(self) -> MetricSource:
        down = MemoryRegistry()
        down.down = True
        return type(self.source())(down)  # type: ignore[call-arg]


class TestMlflow(_OverRegistry):
    has_counts = True

    def source(self) -> MetricSource:
        return MlflowSource(self.registry)

    def put(self, model: str, version: int, metric: str, value: float) -> None:
        self._serve(model, version, {metric: value})

    def put_counts(self, model: str, version: int, count: float, total: float) -> None:
        self._serve(model, version, {"correct": count, "predictions": total})

    def _serve(self, model: str, version: int, metrics: dict[str, float]) -> None:
        run = self.shelf.add_run(metrics=metrics)
        self.shelf.add(model, versions=version - 1)
        self.shelf.add_version(model, run_id=run)
        self.registry.transition(model, version, Stage.PRODUCTION, archive_existing=True)


class TestLiveMlflow(_OverRegistry):
    has_counts = True

    def source(self) -> MetricSource:
        return LiveMlflowSource(self.registry)

    def put(self, model: str, version: int, metric: str, value: float) -> None:
        run = self.shelf.add_run(tags={MODEL_TAG: model, VERSION_TAG: str(version)}, status="RUNNING")
        self.shelf.log_metric(run, metric, value, datetime.now(UTC) - timedelta(seconds=1))

    def put_counts(self, model: str, version: int, count: float, total: float) -> None:
        run = self.shelf.add_run(tags={MODEL_TAG: model, VERSION_TAG: str(version)}, status="RUNNING")
        at = datetime.now(UTC) - timedelta(seconds=1)
        for metric, value in (("correct", count), ("predictions", total)):
            self.shelf.log_metric(run, metric, value, at)


class TestMlflowRuns:
    def test_however_many_ask_two_requests_answer(self) -> None:
        registry = MemoryRegistry()
        run = registry.add_run(metrics={"accuracy": 0.9, "f1": 0.8})
        for at in range(10):
            registry.add(f"m{at}")
            registry.add_version(f"m{at}", stage=Stage.PRODUCTION, run_id=run)
        queries = [asked(metric, model=f"m{at}", version=1) for at in range(10) for metric in ("accuracy", "f1")]
        answers = MlflowSource(registry).read(queries)
        assert [value for one in answers for _, value, *_ in one.points] == [0.9, 0.8] * 10
        assert {one.is_timeless for one in answers} == {True}
        assert registry.requests == {"in_production": 1, "metrics": 1}

    @pytest.mark.parametrize(
        ("stage", "why"),
        [
            (Stage.PRODUCTION, "The registry has v1 of “churn” in Production, and not v7."),
            (Stage.STAGING, "The registry has nothing of “churn” in Production."),
        ],
    )
    def test_of_another_version_nothing_is_told_but_that(self, stage: Stage, why: str) -> None:
        registry = MemoryRegistry()
        registry.add("churn")
        registry.add_version("churn", stage=stage, run_id=registry.add_run(metrics={"accuracy": 0.9}))
        [answer] = MlflowSource(registry).read([asked()])
        assert (answer.outcome, str(answer.why), list(answer.points)) == (Outcome.NO_DATA, why, [])

    @pytest.mark.parametrize("run_id", [None, "gone"])
    def test_a_version_without_its_run_has_no_metrics(self, run_id: str | None) -> None:
        registry = MemoryRegistry()
        registry.add("churn")
        registry.add_version("churn", stage=Stage.PRODUCTION, run_id=run_id)
        [answer] = MlflowSource(registry).read([asked(version=1)])
        assert (answer.outcome, list(answer.points)) == (Outcome.OK, [])

    def test_a_registry_that_is_down_fails_the_batch(self) -> None:
        registry = MemoryRegistry()
        registry.down = True
        for source in (MlflowSource(registry), LiveMlflowSource(registry)):
            with pytest.raises(RegistryUnreachable):
                source.read([asked()])


class TestMonitoringRuns:
    @pytest.fixture
    def registry(self) -> MemoryRegistry:
        registry = MemoryRegistry()
        for _ in range(2):
            run = registry.add_run(tags={MODEL_TAG: "churn", VERSION_TAG: "7"})
            for at in range(4):
                registry.log_metric(run, "accuracy", at / 10, NOON - HOUR + at * HOUR / 2)
        return registry

    def test_the_points_of_all_of_a_version_s_runs_within_the_window(self, registry: MemoryRegistry) -> None:
        answers = LiveMlflowSource(registry).read([asked(), asked(), asked("f1")])
        assert [[value for _, value, *_ in one.points] for one in answers] == [[0.1, 0.2] * 2] * 2 + [[]]
        assert {one.is_timeless for one in answers} == {False}
        assert registry.requests == {"monitoring_runs": 1, "points": 4}

    def test_what_cannot_be_asked_in_time_is_an_error(self, registry: MemoryRegistry) -> None:
        times = iter([0.0, 1.0, 11.0])
        [answer] = LiveMlflowSource(registry, monotonic=lambda: next(times)).read([asked()])
        assert (answer.outcome, list(answer.points)) == (Outcome.ERROR, [])
        assert str(answer.why) == "MLflow did not tell the points of “accuracy” in time."

    def test_history_is_of_every_version_one_point_each_step(self, registry: MemoryRegistry) -> None:
        registry.add("churn", versions=7)
        run = registry.add_run(tags={MODEL_TAG: "churn", VERSION_TAG: "6"})
        registry.log_metric(run, "accuracy", 0.6, NOON - 40 * MINUTE)
        answer = LiveMlflowSource(registry).history(asked(), 10 * MINUTE)
        assert [value for _, value, *_ in answer.points] == [0.6, 0.1, 0.2]

    def test_counts_are_joined_by_the_time_at_which_a_run_logged_both(self, registry: MemoryRegistry) -> None:
        for of, minutes in (((10.0, 20.0), (15, 45)), ((30.0, 40.0), (15, 20))):
            run = registry.add_run(tags={MODEL_TAG: "churn", VERSION_TAG: "7"})
            for total, minute in zip(of, minutes, strict=True):
                registry.log_metric(run, "predictions", total, NOON - minute * MINUTE)
                registry.log_metric(run, "correct", total / 2, NOON - (15 if minute == 15 else minute + 1) * MINUTE)
        [answer] = LiveMlflowSource(registry).read([asked("correct", of="predictions")])
        assert [point[1:] for point in answer.points] == [(5.0, 10.0), (15.0, 30.0)]

    def test_counts_that_were_never_logged_together_say_so(self, registry: MemoryRegistry) -> None:
        run = registry.add_run(tags={MODEL_TAG: "churn", VERSION_TAG: "7"})
        for seconds, (metric, value) in enumerate({"correct": 9.0, "predictions": 10.0}.items()):
            registry.log_metric(run, metric, value, NOON - seconds * MINUTE / 60)
        [answer, nothing] = LiveMlflowSource(registry).read([asked("correct", of="predictions"), asked("f1", of="f2")])
        assert (answer.outcome, list(answer.points)) == (Outcome.NO_DATA, [])
        assert str(answer.why) == (
            "“correct” and “predictions” were never logged at the same time. Log both with one call of log_metrics."
        )
        assert (nothing.outcome, list(nothing.points)) == (Outcome.OK, [])

    def test_one_that_fails_half_way_gives_no_half_answer(self, registry: MemoryRegistry) -> None:
        times = iter([False, False, True])
        registry.delay, registry._wait = 1.0, lambda _: setattr(registry, "down", next(times))
        [answer] = LiveMlflowSource(registry).read([asked()])
        assert (answer.outcome, list(answer.points)) == (Outcome.ERROR, [])


def test_a_ledger_that_is_away_fails_the_batch() -> None:
    with pytest.raises(LedgerUnavailable):
        PushSource(SqlLedger("sqlite:////nowhere/at/all/ledger.db"), "push").read([asked()])


class TestPrometheus(SourceContract):
    has_counts = True

    @pytest.fixture(autouse=True)
    def _parts(self, prometheus: RealPrometheus, request: pytest.FixtureRequest) -> None:
        self.prometheus, self.request = prometheus, request
        self.opened = self._open(prometheus.url)

    def _open(self, url: str) -> PrometheusSource:
        source = PrometheusSource(url)
        self.request.addfinalizer(source.close)
        return source

    def source(self) -> MetricSource:
        return self.opened

    def put(self, model: str, version: int, metric: str, value: float) -> None:
        self.prometheus.set(f'{metric}{{model="{label(model)}",version="{version}"}}', value)

    def break_it(self) -> MetricSource:
        return self._open(f"http://127.0.0.1:{free_port()}")

    def text(self, metric: str) -> str:
        return f'{metric}{{model="$model",version="$version"}}'


class TestRealPrometheus:
    """What a real Prometheus answers to what people write."""

    @pytest.fixture
    def source(self, prometheus: RealPrometheus) -> Iterator[PrometheusSource]:
        source = PrometheusSource(prometheus.url)
        yield source
        source.close()

    def ask(self, source: PrometheusSource, text: str) -> Answer:
        [answer] = source.read([recent(text)])
        return answer

    def test_a_figure_comes_with_the_time_of_the_question(
        self, prometheus: RealPrometheus, source: PrometheusSource
    ) -> None:
        prometheus.set('up_to_date{of="a"}', 0.9)
        query = recent('up_to_date{of="a"}')
        [answer] = source.read([query])
        [(at, value, *_)] = answer.points
        assert value == 0.9
        assert timedelta(0) <= query.until - at < timedelta(milliseconds=1)

    @pytest.mark.parametrize("text", ["1.5", "scalar(vector(1.5))"])
    def test_a_scalar_is_one_figure(self, source: PrometheusSource, text: str) -> None:
        assert [value for _, value, *_ in self.ask(source, text).points] == [1.5]

    @pytest.mark.parametrize("text", ["unheard_of", "vector(1) > 2", "absent(vector(1))", "unheard_of[5m]"])
    def test_an_empty_answer_is_no_point_and_no_error(self, source: PrometheusSource, text: str) -> None:
        answer = self.ask(source, text)
        assert (answer.outcome, list(answer.points)) == (Outcome.OK, [])

    @pytest.mark.parametrize(
        ("text", "value"),
        [("vector(0) / 0", math.nan), ("1 / 0", math.inf), ("-1 / 0", -math.inf)],
    )
    def test_what_is_no_number_stays_none(self, source: PrometheusSource, text: str, value: float) -> None:
        answer = self.ask(source, text)
        [(_, found, *_)] = answer.points
        assert found == pytest.approx(value, nan_ok=True)
        reading = measure(answer, RULE, since=NOON, until=datetime.now(UTC), now=datetime.now(UTC))
        assert reading.outcome is Outcome.NO_DATA

    def test_several_series_are_a_configuration_error(
        self, prometheus: RealPrometheus, source: PrometheusSource
    ) -> None:
        for at in range(3):
            prometheus.set(f'several{{at="{at}"}}', at)
        answer = self.ask(source, "several")
        assert (answer.outcome, list(answer.points)) == (Outcome.ERROR, [])
        assert str(answer.why) == "A configuration error: 3 series; write sum(…) or so, that there is one."
        assert [value for _, value, *_ in self.ask(source, "sum(several)").points] == [3.0]

    @pytest.mark.parametrize(
        "text", ["sum(", "", "rate(up)", "foo{", '"text"', "up + on(a) up{", "$model", "\x00", "x" * 2000 + "("]
    )
    def test_bad_promql_says_so_in_prometheus_s_words(self, source: PrometheusSource, text: str) -> None:
        answer = self.ask(source, text)
        assert (answer.outcome, list(answer.points)) == (Outcome.ERROR, [])
        assert str(answer.why).startswith(("A bad query: ", "A configuration error: "))
        assert len(str(answer.why)) < 250

    def test_the_other_queries_of_a_batch_do_not_suffer(self, source: PrometheusSource) -> None:
        answers = source.read([recent("sum("), recent("vector(1)"), recent("sum("), recent("vector(2)")])
        assert [one.outcome for one in answers] == [Outcome.ERROR, Outcome.OK] * 2
        assert [value for one in answers for _, value, *_ in one.points] == [1.0, 2.0]

    def test_the_points_of_a_range_in_brackets_are_its_samples(
        self, prometheus: RealPrometheus, source: PrometheusSource
    ) -> None:
        prometheus.set("samples", 4)
        answer = self.ask(source, "samples[1m]")
        assert {value for _, value, *_ in answer.points} == {4.0}

    def test_counts_of_two_queries_are_of_the_same_moment(
        self, prometheus: RealPrometheus, source: PrometheusSource
    ) -> None:
        prometheus.set('answers{was="right"}', 93)
        prometheus.set('answers{was="wrong"}', 7)
        [answer] = source.read([replace(recent('answers{was="right"}'), of="sum(answers)")])
        assert [point[1:] for point in answer.points] == [(93.0, 100.0)]
        reading = measure(answer, RULE, since=NOON, until=datetime.now(UTC), now=datetime.now(UTC))
        assert (reading.value, reading.total) == (0.93, 100.0)

    def test_the_history_of_counts_is_a_pair_each_step(self, source: PrometheusSource) -> None:
        answer = source.history(replace(recent("vector(3)"), of="vector(4)"), timedelta(minutes=5))
        assert [point[1:] for point in answer.points] == [(3.0, 4.0)] * 12

    @pytest.mark.parametrize("of", ["sum(", "several"])
    def test_counts_out_of_a_wrong_query_are_an_error(
        self, prometheus: RealPrometheus, source: PrometheusSource, of: str
    ) -> None:
        for at in range(3):
            prometheus.set(f'several{{at="{at}"}}', at)
        for text, total in (("vector(1)", of), (of, "vector(1)")):
            [answer] = source.read([replace(recent(text), of=total)])
            assert (answer.outcome, list(answer.points)) == (Outcome.ERROR, [])

    def test_history_is_a_figure_each_step_and_within_what_was_asked(
        self, prometheus: RealPrometheus, source: PrometheusSource
    ) -> None:
        query = recent("vector(1)")
        answer = source.history(query, timedelta(minutes=5))
        assert len(answer.points) == 12
        assert all(query.since < at <= query.until for at, *_ in answer.points)

    def test_history_never_asks_for_more_than_prometheus_gives(self, source: PrometheusSource) -> None:
        answer = source.history(replace(recent("vector(1)"), since=datetime.now(UTC) - timedelta(days=30)), HOUR / 3600)
        assert answer.outcome is Outcome.OK
        assert 10_000 < len(answer.points) <= 11_000

    def test_one_that_is_halted_is_given_up_in_time_and_asked_again(
        self, prometheus: RealPrometheus, source: PrometheusSource
    ) -> None:
        query = replace(recent("vector(1)"), timeout=timedelta(seconds=0.3))
        assert source.read([query])[0].outcome is Outcome.OK
        with prometheus.halted():
            answers = source.read([query, replace(query, query="vector(2)")])
        assert [(one.outcome, list(one.points)) for one in answers] == [(Outcome.ERROR, [])] * 2
        wait_until(lambda: source.read([query])[0].outcome is Outcome.OK)

    def test_a_target_that_died_has_no_points_any_more(
        self, prometheus: RealPrometheus, source: PrometheusSource
    ) -> None:
        prometheus.set("mortal", 1)
        prometheus.exporter.stop()
        try:
            wait_until(lambda: not self.ask(source, "mortal").points)
            assert self.ask(source, "mortal").outcome is Outcome.OK
        finally:
            prometheus.exporter.start()


RULE = MonitorRule(name="accuracy", source="prom", greater_than=0.8)


def recent(text: str) -> Query:
    """Return a query about the last hour."""
    return replace(asked(text), since=datetime.now(UTC) - HOUR, until=datetime.now(UTC))

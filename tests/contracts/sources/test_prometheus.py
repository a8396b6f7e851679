"""Prometheus as a source, simulated and real."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.monitoring.readings import Answer, CheckOutcome
from bot.domain.monitoring.rules.aggregation import measure
from bot.domain.policy.monitor_config import MonitorConfig
from bot.ports import MetricSource, Query
from bot.sources.contract import SourceContract
from bot.sources.prometheus import PrometheusSource
from tests.support.domain.source_answers import HOUR, NOON, asked
from tests.support.network.ports import free_port
from tests.support.network.prometheus_server import RealPrometheus, label
from tests.support.waiting import wait_until


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
    """Answers of a real Prometheus to typical queries."""

    @pytest.fixture
    def source(self, prometheus: RealPrometheus) -> Iterator[PrometheusSource]:
        source = PrometheusSource(prometheus.url)
        yield source
        source.close()

    def ask(self, source: PrometheusSource, text: str) -> Answer:
        [answer] = source.read([recent(text)])
        return answer

    def test_a_value_has_the_time_of_the_query(self, prometheus: RealPrometheus, source: PrometheusSource) -> None:
        prometheus.set('up_to_date{of="a"}', 0.9)
        query = recent('up_to_date{of="a"}')
        [answer] = source.read([query])
        [(at, value, *_)] = answer.points
        assert value == 0.9
        assert timedelta(0) <= query.until - at < timedelta(milliseconds=1)

    @pytest.mark.parametrize("text", ["1.5", "scalar(vector(1.5))"])
    def test_a_scalar_is_one_value(self, source: PrometheusSource, text: str) -> None:
        assert [value for _, value, *_ in self.ask(source, text).points] == [1.5]

    @pytest.mark.parametrize("text", ["unheard_of", "vector(1) > 2", "absent(vector(1))", "unheard_of[5m]"])
    def test_an_empty_answer_has_no_points_and_is_not_an_error(self, source: PrometheusSource, text: str) -> None:
        answer = self.ask(source, text)
        assert (answer.outcome, list(answer.points)) == (CheckOutcome.OK, [])

    @pytest.mark.parametrize(
        ("text", "value"),
        [("vector(0) / 0", math.nan), ("1 / 0", math.inf), ("-1 / 0", -math.inf)],
    )
    def test_nan_stays_nan(self, source: PrometheusSource, text: str, value: float) -> None:
        answer = self.ask(source, text)
        [(_, found, *_)] = answer.points
        assert found == pytest.approx(value, nan_ok=True)
        reading = measure(answer, RULE, since=NOON, until=datetime.now(UTC), now=datetime.now(UTC))
        assert reading.outcome is CheckOutcome.NO_DATA

    def test_several_series_are_a_configuration_error(
        self, prometheus: RealPrometheus, source: PrometheusSource
    ) -> None:
        for at in range(3):
            prometheus.set(f'several{{at="{at}"}}', at)
        answer = self.ask(source, "several")
        assert (answer.outcome, list(answer.points)) == (CheckOutcome.ERROR, [])
        assert str(answer.why) == "The query returns 3 series, not one. Aggregate them, for example with sum(…)."
        assert [value for _, value, *_ in self.ask(source, "sum(several)").points] == [3.0]

    @pytest.mark.parametrize(
        "text", ["sum(", "", "rate(up)", "foo{", '"text"', "up + on(a) up{", "$model", "\x00", "x" * 2000 + "("]
    )
    def test_bad_promql_is_reported_with_prometheus_s_message(self, source: PrometheusSource, text: str) -> None:
        answer = self.ask(source, text)
        assert (answer.outcome, list(answer.points)) == (CheckOutcome.ERROR, [])
        assert str(answer.why).startswith(("Prometheus rejected the query: ", "The query returns "))
        assert len(str(answer.why)) < 250

    def test_a_bad_query_does_not_affect_others_in_the_batch(self, source: PrometheusSource) -> None:
        answers = source.read([recent("sum("), recent("vector(1)"), recent("sum("), recent("vector(2)")])
        assert [one.outcome for one in answers] == [CheckOutcome.ERROR, CheckOutcome.OK] * 2
        assert [value for one in answers for _, value, *_ in one.points] == [1.0, 2.0]

    def test_a_range_vector_s_points_are_its_samples(
        self, prometheus: RealPrometheus, source: PrometheusSource
    ) -> None:
        prometheus.set("samples", 4)
        answer = self.ask(source, "samples[1m]")
        assert {value for _, value, *_ in answer.points} == {4.0}

    def test_counts_and_totals_have_the_same_time(self, prometheus: RealPrometheus, source: PrometheusSource) -> None:
        prometheus.set('answers{was="right"}', 93)
        prometheus.set('answers{was="wrong"}', 7)
        [answer] = source.read([replace(recent('answers{was="right"}'), of="sum(answers)")])
        assert [point[1:] for point in answer.points] == [(93.0, 100.0)]
        reading = measure(answer, RULE, since=NOON, until=datetime.now(UTC), now=datetime.now(UTC))
        assert (reading.value, reading.total) == (0.93, 100.0)

    def test_the_history_of_counts_has_a_pair_per_step(self, source: PrometheusSource) -> None:
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
            assert (answer.outcome, list(answer.points)) == (CheckOutcome.ERROR, [])

    def test_history_has_one_value_per_step_within_the_queried_time(
        self, prometheus: RealPrometheus, source: PrometheusSource
    ) -> None:
        query = recent("vector(1)")
        answer = source.history(query, timedelta(minutes=5))
        assert len(answer.points) == 12
        assert all(query.since < at <= query.until for at, *_ in answer.points)

    def test_history_never_exceeds_prometheus_s_limit(self, source: PrometheusSource) -> None:
        answer = source.history(replace(recent("vector(1)"), since=datetime.now(UTC) - timedelta(days=30)), HOUR / 3600)
        assert answer.outcome is CheckOutcome.OK
        assert 10_000 < len(answer.points) <= 11_000

    def test_a_halted_prometheus_times_out_and_is_queried_again(
        self, prometheus: RealPrometheus, source: PrometheusSource
    ) -> None:
        query = replace(recent("vector(1)"), timeout=timedelta(seconds=0.3))
        assert source.read([query])[0].outcome is CheckOutcome.OK
        with prometheus.halted():
            answers = source.read([query, replace(query, query="vector(2)")])
        assert [(one.outcome, list(one.points)) for one in answers] == [(CheckOutcome.ERROR, [])] * 2
        wait_until(lambda: source.read([query])[0].outcome is CheckOutcome.OK)

    def test_a_dead_target_has_no_points(self, prometheus: RealPrometheus, source: PrometheusSource) -> None:
        prometheus.set("mortal", 1)
        prometheus.exporter.stop()
        try:
            wait_until(lambda: not self.ask(source, "mortal").points)
            assert self.ask(source, "mortal").outcome is CheckOutcome.OK
        finally:
            prometheus.exporter.start()


RULE = MonitorConfig(name="accuracy", source="prom", greater_than=0.8)


def recent(text: str) -> Query:
    """Return a query about the last hour."""
    return replace(asked(text), since=datetime.now(UTC) - HOUR, until=datetime.now(UTC))

"""The tests that every source must pass: a plugin's tests subclass `SourceContract`, for pytest or unittest.

class TestMySource(SourceContract):
    def source(self) -> MetricSource: ...
    def put(self, model: str, version: int, metric: str, value: float) -> None: ...
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from unittest import SkipTest

from bot.domain.core.errors import Misconfigured, Unreachable
from bot.domain.monitoring.readings import Answer, CheckOutcome
from bot.ports import MetricSource, Query

_numbers = count(1)


class SourceContract:
    """The tests for a source. Subclass this, and implement `source`, `put`, and `break_it`.

    Each test uses its own models, so the tests can share a source that already has other data.
    """

    odd_names = ("o'brien", 'the "best"', "100%", "модель", "a\\", "x$model", "`tick`", "{x}")

    def source(self) -> MetricSource:
        """Return the source, the same one in every call."""
        raise NotImplementedError

    def put(self, model: str, version: int, metric: str, value: float) -> None:
        """Set a metric's current value for a model's Production version; return once it can be read.

        It's called only once for each model and metric, except to set values for versions that served earlier.
        """
        raise NotImplementedError

    has_counts = False  # whether it answers queries with `of`; True runs the tests of counts

    def put_counts(self, model: str, version: int, count: float, total: float) -> None:
        """Set the metric `correct` to `count` and the metric `predictions` to `total`, like `put`."""
        self.put(model, version, "correct", count)
        self.put(model, version, "predictions", total)

    def break_it(self) -> MetricSource:
        """Return a source like this one that can't be reached."""
        raise NotImplementedError

    def text(self, metric: str) -> str:
        """Return the `query` setting of a monitor that reads this metric for its model and version."""
        return metric

    def query(self, model: str, version: int = 7, metric: str = "accuracy") -> Query:
        """Return a query for the last hour."""
        now = datetime.now(UTC)
        return Query(
            monitor="m1",
            source="contract",
            model=model,
            version=version,
            query=self.text(metric),
            since=now - timedelta(hours=1),
            until=now,
        )

    def counts(self, model: str) -> Query:
        """Return a query for `correct` out of `predictions`."""
        return replace(self.query(model, metric="correct"), of=self.text("predictions"))

    def model(self) -> str:
        """Return a model name that no other test uses."""
        return f"model-{next(_numbers)}"

    def test_a_stored_value_is_returned(self) -> None:
        model = self.model()
        self.put(model, 7, "accuracy", 0.875)
        query = self.query(model)
        [answer] = self.source().read([query])
        assert (answer.outcome, _values(answer)) == (CheckOutcome.OK, [0.875])
        _assert_within(answer, query)

    def test_no_queries_get_no_answers(self) -> None:
        assert list(self.source().read([])) == []

    def test_answers_come_in_the_order_of_the_queries(self) -> None:
        model, other_model = self.model(), self.model()
        for name, value in ((model, 0.25), (other_model, 0.5)):
            self.put(name, 7, "accuracy", value)
        names = [other_model, model, other_model, self.model(), model]
        answers = self.source().read([self.query(name) for name in names])
        assert [_values(answer) for answer in answers] == [[0.5], [0.25], [0.5], [], [0.25]]

    def test_an_unknown_metric_has_no_points_and_is_not_an_error(self) -> None:
        model = self.model()
        self.put(model, 7, "accuracy", 0.5)
        unknown = [self.query(self.model()), self.query(model, metric="unheard_of")]
        for answer in self.source().read(unknown):
            assert answer.outcome in {CheckOutcome.OK, CheckOutcome.NO_DATA}
            assert list(answer.points) == []

    def test_another_version_s_value_is_never_returned(self) -> None:
        model = self.model()
        self.put(model, 7, "accuracy", 0.5)
        for version in (6, 8, 77):
            [answer] = self.source().read([self.query(model, version)])
            assert list(answer.points) == []
            assert answer.outcome is not CheckOutcome.FAILED

    def test_invalid_numbers_never_become_values(self) -> None:
        for value in (math.nan, math.inf, -math.inf):
            model = self.model()
            self.put(model, 7, "accuracy", value)
            [answer] = self.source().read([self.query(model)])
            assert not [value for value in _values(answer) if math.isfinite(value)]
            assert answer.outcome in {CheckOutcome.OK, CheckOutcome.NO_DATA}

    def test_odd_model_names_work(self) -> None:
        for name in self.odd_names:
            model = f"{self.model()}{name}"
            self.put(model, 7, "accuracy", 0.5)
            [answer, other] = self.source().read([self.query(model), self.query(f"{model}x")])
            assert _values(answer) == [0.5], name
            assert list(other.points) == [], name

    def test_history_is_within_the_queried_time(self) -> None:
        model = self.model()
        self.put(model, 7, "accuracy", 0.5)
        query = self.query(model)
        answer = self.source().history(query, timedelta(seconds=1))
        assert answer.outcome is CheckOutcome.OK
        assert set(_values(answer)) == {0.5}
        _assert_within(answer, query)

    def test_counts_have_their_totals(self) -> None:
        self._require_counts()
        model, other_model = self.model(), self.model()
        self.put_counts(model, 7, 93.0, 100.0)
        self.put_counts(other_model, 7, 0.0, 0.0)
        queries = [self.counts(name) for name in (model, other_model, self.model())]
        answers = self.source().read(queries)
        assert [[point[1:] for point in answer.points] for answer in answers] == [[(93.0, 100.0)], [(0.0, 0.0)], []]
        _assert_within(answers[0], queries[0])

    def test_the_history_of_counts_has_totals(self) -> None:
        self._require_counts()
        model = self.model()
        self.put_counts(model, 7, 93.0, 100.0)
        answer = self.source().history(self.counts(model), timedelta(seconds=1))
        assert {point[1:] for point in answer.points} == {(93.0, 100.0)}

    def test_a_missing_count_has_no_points_and_is_not_an_error(self) -> None:
        self._require_counts()
        model = self.model()
        self.put(model, 7, "predictions", 100.0)
        [answer] = self.source().read([self.counts(model)])
        assert answer.outcome in {CheckOutcome.OK, CheckOutcome.NO_DATA}
        assert list(answer.points) == []

    def test_a_source_that_is_down_reports_an_error_without_values(self) -> None:
        source, query = self.break_it(), self.query(self.model())
        try:
            answers = [*source.read([query, query]), source.history(query, timedelta(minutes=1))]
        except (Unreachable, Misconfigured):  # raised for the whole batch, with its own message
            return
        assert len(answers) == 3
        for answer in answers:
            assert (answer.outcome, list(answer.points)) == (CheckOutcome.ERROR, [])
            assert answer.why is not None
            assert str(answer.why)

    def _require_counts(self) -> None:
        if not self.has_counts:
            raise SkipTest("This source doesn't support counts.")


def _values(answer: Answer) -> list[float]:
    return [point[1] for point in answer.points]


def _assert_within(answer: Answer, query: Query) -> None:
    """Assert that the points have time zones and, unless they're timeless, are within the queried time range."""
    for at, *_ in answer.points:
        assert at.utcoffset() is not None
        assert answer.is_timeless or query.since < at <= query.until

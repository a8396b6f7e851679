"""A backtest replays the past as checks would have judged it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.monitoring.backtest import Backtest
from bot.domain.monitoring.readings import Answer
from bot.services.monitoring.backtests import Backtester
from tests.support.monitoring.monitoring import add_monitor, check_values
from tests.support.services.bench import Bench

STEP = timedelta(minutes=5)


def replayed(bench: Bench, values: Sequence[float], span: timedelta = timedelta(days=7), **rule: Any) -> Backtest:
    """Return the backtest of these source readings, five minutes apart, the last one now."""
    monitor = add_monitor(bench, **{"name": "m", "query": "m", "every": "5m"} | rule)
    times = [bench.clock.now() - STEP * back for back in reversed(range(len(values)))]
    bench.sources.answers["m"] = Answer(points=list(zip(times, values, strict=True)))
    return Backtester(bench.context, bench.sources).backtest(monitor, span)


def test_a_backtest_says_how_often_and_when_it_would_have_fired(served: Bench) -> None:
    found = replayed(served, [0.9] * 20 + [0.5] * 5 + [0.9] * 20 + [0.5] * 3, recover_after=3)
    now = served.clock.now()
    assert [one.at for one in found.firings] == [now - STEP * 26, now - STEP]  # the second failure in a row, each time
    assert "would have fired 2 times in 7d (covered 4 of 168 hours): on" in str(found.sentence)


def test_a_healthy_past_does_not_fire(served: Bench) -> None:
    found = replayed(served, [0.9] * 40)
    assert found.firings == []
    assert "wouldn't have fired in 7d (covered 3 of 168 hours, 40 values). Most of the time" in str(found.sentence)


def test_readings_before_the_span_do_not_count(served: Bench) -> None:
    assert replayed(served, [0.5] * 10 + [0.9] * 20, timedelta(hours=1)).firings == []


LATENCIES = [500.0 if number % 12 == 0 else 10.0 for number in range(200)]  # about 51 in each hour


@pytest.mark.parametrize(
    ("rule", "values", "fires"),
    [
        ({"aggregate": "mean", "window": "1h", "less_than": 100.0}, LATENCIES, False),
        ({"aggregate": "mean", "window": "1h", "less_than": 40.0}, LATENCIES, True),
        ({"aggregate": "last", "less_than": 100.0}, LATENCIES, True),
        ({"aggregate": "p99", "window": "1h", "less_than": 100.0}, LATENCIES, True),
        ({"aggregate": "rate", "window": "1h", "less_than": 5.0}, [300.0 * number for number in range(200)], False),
        ({"aggregate": "rate", "window": "1h", "less_than": 0.5}, [300.0 * number for number in range(200)], True),
    ],
    ids=lambda one: "-".join(str(each) for each in one.values()) if isinstance(one, dict) else "",
)
def test_readings_are_aggregated_as_in_a_check(
    served: Bench,
    rule: dict[str, Any],
    values: list[float],
    fires: bool,
) -> None:
    assert bool(replayed(served, values, greater_than=None, fail_after=1, **rule).firings) is fires


def test_the_longer_of_the_monitor_s_and_the_source_s_history_is_replayed(served: Bench) -> None:
    monitor = add_monitor(served)
    check_values(served, 0.9, 0.5, 0.5)
    served.sources.answers["accuracy"] = Answer()
    found = Backtester(served.context, served.sources).backtest(monitor, timedelta(days=1))
    assert [point[1] for point in found.points] == [0.9, 0.5, 0.5]
    assert len(found.firings) == 1


def test_the_chart_shows_the_baseline_its_bound_and_the_transitions(served: Bench) -> None:
    values = [0.9 + 0.002 * (number % 5) for number in range(3000)]
    rule: dict[str, Any] = {"rule": "blocks", "greater_than": None, "min_points": 1, "warmup": "1h"}
    found = replayed(served, values, timedelta(days=2), **rule)
    assert found.chart.bounds == pytest.approx({"fails below": 0.886, "baseline": 0.904}, abs=0.002)
    assert [label for _, label in found.chart.transitions] == ["v3", "v2", "v4"]


def test_a_backtest_without_readings_says_so(served: Bench) -> None:
    assert "(covered 0 of 168 hours). Neither the monitor nor its source has readings" in str(
        replayed(served, []).sentence
    )

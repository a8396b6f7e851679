"""A monitor's chart is a valid, legible image for any readings and names."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from matplotlib.text import Text

from bot.domain.core.actors import Person
from bot.domain.core.sentence import say
from bot.domain.monitoring.backtest import Backtest
from bot.domain.monitoring.incident import MonitorChart
from bot.domain.monitoring.monitor import Monitor, MonitorState
from bot.domain.monitoring.monitor_overview import build_monitor_chart, value_label
from bot.domain.monitoring.readings import CheckOutcome, Firing, Measurement
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.registry.metric_catalog import MetricCatalog, MetricSettings
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState
from bot.slack.core.chart_style import FAILED_COLOR, MAX_ALT_LENGTH
from bot.slack.monitoring.chart import (
    _split_bounds,
    draw_readings,
    readings_alt_text,
    readings_figure,
)
from tests.support.slack.chart_texts import cut_off_texts, overlapping_texts
from tests.support.slack.odd_names import ODD

START = datetime(2026, 5, 3, 20, tzinfo=UTC)
SIZE = (1260, 900)


def chart(values: Sequence[float], *, step: timedelta = timedelta(minutes=5), **more: Any) -> MonitorChart:
    fields = {"title": "churn: accuracy", "failed": [value < 0.85 for value in values]} | more
    return MonitorChart(times=[START + n * step for n in range(len(values))], values=values, **fields)


def size(picture: bytes) -> tuple[int, int]:
    height, width, _ = imread(BytesIO(picture), format="png").shape
    return width, height


def monitor(**fields: Any) -> Monitor:
    rule = MonitorConfig.model_validate({"name": "accuracy", "source": "push", "greater_than": 0.85} | fields)
    return Monitor(id="m1", model="churn", rule=rule, created_at=START)


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("number", [1, 2, 3, 80, 81, 500, 9000])
def test_a_chart_has_a_size_that_slack_displays_well(number: int) -> None:
    values = [0.9 + 0.05 * np.sin(n / 7) for n in range(number)]
    picture = draw_readings(chart(values, bounds={"must be above": 0.85, "hard limit": 0.8}))
    assert size(picture) == SIZE
    assert len(picture) < 500_000


def test_a_chart_has_its_own_background() -> None:
    picture = imread(BytesIO(draw_readings(chart([0.9]))), format="png")
    assert np.all(picture[[0, 0, -1, -1], [0, -1, 0, -1]] == 1)


def test_a_chart_without_readings_says_so() -> None:
    assert size(draw_readings(chart([]))) == SIZE
    assert readings_alt_text(chart([])) == "churn: accuracy: No readings yet."


@pytest.mark.parametrize("name", ODD)
def test_any_name_can_be_drawn(name: str) -> None:
    found = chart([0.9, 0.8], title=name, bounds={name: 0.85}, transitions=[(START, name)])
    assert size(draw_readings(found)) == SIZE


@pytest.mark.parametrize(
    "values",
    [
        [1e6, 1e6 + 1e-4],
        [0, 0, 0],
        [1.7e308, -1.7e308, 0],
        [5e-324, 0, 1e-320],
        [-3, -2, -1],
        [1e-200, 2e-200],
    ],
)
def test_any_readings_can_be_drawn(values: list[float]) -> None:
    found = chart(values, bounds={"must be above": 1.7e308, "hard limit": -1.7e308, "must be below": 0.0})
    assert size(draw_readings(found)) == SIZE


@pytest.mark.parametrize("step", [timedelta(), timedelta(seconds=1), timedelta(hours=7), timedelta(days=40)], ids=str)
def test_any_times_can_be_drawn(step: timedelta) -> None:
    moves = [(START + n * step, f"v{n}") for n in range(-5, 40)]
    assert size(draw_readings(chart([0.9] * 30, step=step, transitions=moves))) == SIZE


CROWDED = {"must be above": 0.85, "hard limit": 0.849, "must be below": 0.851, "baseline": 0.85}


@pytest.mark.parametrize(
    ("values", "bounds"),
    [
        ([0.9 + 0.01 * np.sin(n) for n in range(60)] + [0.7, 0.69], CROWDED),
        ([n * 1e6 for n in range(30)], {"fails below": 1e6, "baseline": 2e6, "hard limit": 1.1e6}),
        ([1e6, 1e6 + 1e-4], {}),
        ([1.7e308, -1.7e308, 0], {"must be above": 1.7e308, "hard limit": -1.7e308, "must be below": 0.0}),
        ([0.9], CROWDED),
        ([], CROWDED),
    ],
    ids=["crowded bounds", "large", "nearly equal", "extreme", "one", "none"],
)
def test_no_text_of_a_chart_overlaps_another_or_the_edge(values: list[float], bounds: dict[str, float]) -> None:
    moves = [(START + timedelta(minutes=5 * n), f"v{n}") for n in range(-3, 40)]
    found = chart(values, title="m" * 60, bounds=bounds, transitions=moves, value_label="latency_ms (ms)")
    figure = readings_figure(found)
    assert (overlapping_texts(figure), cut_off_texts(figure)) == ([], [])


@pytest.mark.parametrize("entered", [40, 49, -300], ids=["during the readings", "just before the rollback", "before"])
def test_the_version_that_failed_is_always_labeled_in_red(entered: int) -> None:
    at, restored = (START + timedelta(minutes=5 * n) for n in (entered, 50))
    found = chart([0.9] * 48 + [0.7] * 2 + [0.9] * 2, transitions=[(at, "v7"), (restored, "v6")])
    [label] = [text for text in readings_figure(found).findobj(Text) if text.get_text() == "v7"]
    assert label.get_color() == FAILED_COLOR


def test_the_value_axis_has_the_metric_and_its_unit_and_the_time_axis_its_zone() -> None:
    metrics = MetricCatalog(settings={"latency_ms": MetricSettings(unit="ms")})
    rule = monitor(name="latency", query="latency_ms", greater_than=None, less_than=100.0)
    figure = readings_figure(build_monitor_chart(rule, MonitorState(monitor="m1"), [measured(1, 45.0)], [], metrics))
    assert figure.axes[0].get_ylabel() == "latency_ms (ms)"
    assert "UTC" in figure.axes[0].get_xticklabels()[0].get_text()


def test_the_value_axis_of_a_query_has_the_monitor_s_name() -> None:
    rule = monitor(query="histogram_quantile(0.95, x)")
    assert value_label(rule.rule, MetricCatalog()) == "accuracy"


def test_gaps_failures_and_transitions_are_drawn() -> None:
    plain = draw_readings(chart([0.9, 0.91, 0.92]))
    assert draw_readings(chart([0.9, 0.91, 0.92], failed=[False, True, False])) != plain
    assert draw_readings(chart([0.9, 0.91, 0.92], transitions=[(START, "v7")])) != plain


@pytest.mark.parametrize(
    ("values", "near"),
    [
        ([0.3], ["must be above"]),  # like a version's first alert
        ([0.3, 0.31], ["must be above"]),
        ([0.1] * 40, ["must be above"]),
        ([0.900 + n % 2 / 1000 for n in range(40)], []),  # otherwise, their own variation wouldn't be visible
    ],
    ids=["one", "two", "all the same", "many"],
)
def test_a_bound_is_drawn_if_the_readings_stay_legible(values: list[float], near: list[str]) -> None:
    drawn, named = _split_bounds(chart(values, bounds={"must be above": 0.5}))
    assert list(drawn) == near
    assert set(drawn) | set(named) == {"must be above"}


def test_the_alternative_text_describes_the_chart() -> None:
    found = chart([0.9, 0.8], bounds={"must be above": 0.85}, transitions=[(START, "v7")])
    assert readings_alt_text(found) == (
        "Chart of churn: accuracy: 2 readings from 2026-05-03 20:00 to 2026-05-03 20:05 UTC, the last one 0.8; "
        "must be above 0.85. 1 failed. v7 entered Production on 2026-05-03 20:00."
    )
    assert len(readings_alt_text(chart([0.9], title="m" * 3000))) <= MAX_ALT_LENGTH


# -- charts from the ledger --------------------------------------------------------------------------------------------


def measured(number: int, value: float | None, outcome: CheckOutcome = CheckOutcome.OK) -> Measurement:
    at = START + number * timedelta(minutes=5)
    return Measurement(monitor="m1", slot=number, at=at, revision=1, version=7, move="m", outcome=outcome, value=value)


def test_a_chart_has_the_checks_with_a_value() -> None:
    checks = [measured(3, 0.8, CheckOutcome.FAILED), measured(2, None, CheckOutcome.NO_DATA), measured(1, 0.9)]
    moves = [
        Transition(
            id=f"p{version}",
            kind=TransitionKind.PROMOTION,
            model="churn",
            version=version,
            from_stage=Stage.NONE,
            target=Stage.PRODUCTION,
            expected_incumbent=None,
            actor=Person("T1", "U1"),
            intended_at=at,
            finished_at=at,
            state=TransitionState.DONE,
        )
        for version, at in ((7, START + timedelta(minutes=7)), (6, START - timedelta(days=1)))
    ]
    found = build_monitor_chart(monitor(), MonitorState(monitor="m1", bound=0.85), checks, moves, MetricCatalog())
    assert (found.values, found.failed) == ([0.9, 0.8], [False, True])
    assert found.bounds == {"must be above": 0.85}
    assert [label for _, label in found.transitions] == ["v6", "v7"]


def test_the_baseline_s_bound_and_the_hard_limit_are_both_shown() -> None:
    rule = {"greater_than": None, "rule": "blocks", "hard_limit": 0.5}
    assert build_monitor_chart(
        monitor(**rule), MonitorState(monitor="m1", bound=0.88, usual=0.91), [], [], MetricCatalog()
    ).bounds == {
        "fails below": 0.88,
        "baseline": 0.91,
        "hard limit": 0.5,
    }
    assert build_monitor_chart(
        monitor(**rule), MonitorState(monitor="m1", bound=0.5), [], [], MetricCatalog()
    ).bounds == {"hard limit": 0.5}


# -- backtests ---------------------------------------------------------------------------------------------------------


def replayed(*fired: int, **more: Any) -> Backtest:
    points = [(START + timedelta(hours=n), 0.9) for n in range(24 * 30)]
    firings = [Firing(START + timedelta(hours=n), 0.7, say("low")) for n in fired]
    fields: dict[str, Any] = {"points": points, "firings": firings, "judged_time": timedelta(hours=718)} | more
    return Backtest(monitor=monitor(), since=START, until=START + timedelta(days=30), **fields)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (replayed(), "“churn” accuracy wouldn't have fired in 30d (covered 718 of 720 hours, 720 values)."),
        (replayed(24), "would have fired once in 30d (covered 718 of 720 hours): on 2026-05-04 20:00 UTC."),
        (replayed(24, 48), "2 times in 30d (covered 718 of 720 hours): on 2026-05-04 20:00 UTC, 2026-05-05 20:00 UTC."),
        (replayed(*range(9)), "9 times in 30d (covered 718 of 720 hours): on 2026-05-03 20:00 UTC, 2026-05-03 21:00 "),
        (
            replayed(judged_time=timedelta(hours=20), why=say("The windows had no readings.")),
            "wouldn't have fired in 30d (covered 20 of 720 hours, 720 values). The windows had no readings.",
        ),
        (
            replayed(judged_time=timedelta(), why=say("There are two days.")),
            "Can't tell what “churn” accuracy would have done in 30d (covered 0 of 720 hours). There are two days.",
        ),
    ],
)
def test_a_backtest_has_a_one_sentence_summary(found: Backtest, said: str) -> None:
    assert said in str(found.sentence)


def test_a_backtest_s_chart_marks_its_firings() -> None:
    found = replayed(24, 10_000)  # the last one isn't between any values
    alt_text = readings_alt_text(found.chart, failed_label="would have fired")
    assert size(draw_readings(found.chart, failed_label="would have fired")) == SIZE
    assert "(covered 718 of 720 hours)" in alt_text
    assert "2 would have fired" in alt_text
    assert draw_readings(found.chart) != draw_readings(replayed().chart)

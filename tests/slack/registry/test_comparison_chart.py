"""The chart of a comparison: it opens, it's readable, and no metric name breaks it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread

from bot.domain.core.sentence import say
from bot.domain.registry.comparison import Comparison, compare_versions
from bot.domain.registry.metric_catalog import MetricCatalog, MetricSettings
from bot.domain.registry.model import RunInfo, Stage, VersionInfo
from bot.slack.core.chart_style import FAILED_COLOR, MAX_ALT_LENGTH, replace_missing_glyphs, tick_labels
from bot.slack.registry.comparison_chart import (
    _label_positions,
    comparison_alt_text,
    comparison_chart,
    comparison_figure,
)
from tests.support.slack.chart_texts import cut_off_texts, overlapping_texts
from tests.support.slack.odd_names import ODD

NAN = float("nan")


def compared(
    versions: int,
    metrics: list[str],
    production: int | None = None,
    *,
    model: str = "churn",
    value: Callable[[int], float] = lambda n: 0.8 + math.sin(n) / 10,
) -> Comparison:
    found = [
        VersionInfo(model=model, version=n, run_id=f"r{n}", stage=Stage.PRODUCTION if n == production else Stage.NONE)
        for n in range(1, versions + 1)
    ]
    runs = {one.run_id or "": RunInfo(id="", metrics=dict.fromkeys(metrics, value(one.version))) for one in found}
    return compare_versions(model, found, runs)


def size(picture: bytes) -> tuple[int, int]:
    height, width, _ = imread(BytesIO(picture), format="png").shape
    return width, height


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("versions", [1, 2, 99, 1000])
@pytest.mark.parametrize(("metrics", "height"), [(1, 675), (3, 1143)])
def test_the_chart_has_a_size_that_slack_shows_well(versions: int, metrics: int, height: int) -> None:
    picture = comparison_chart(compared(versions, [f"m{n}" for n in range(metrics)], production=1))
    assert size(picture) == (1260, height)
    assert len(picture) < 500_000


def test_the_chart_has_an_opaque_white_background() -> None:
    picture = imread(BytesIO(comparison_chart(compared(3, ["f1"]))), format="png")
    assert np.all(picture[[0, 0, -1, -1], [0, -1, 0, -1]] == 1)  # white and opaque


def test_six_metrics_are_drawn_and_the_rest_counted() -> None:
    assert size(comparison_chart(compared(3, [f"m{n:03}" for n in range(300)]))) == (1260, 1665)


def test_a_chart_without_metrics_says_so() -> None:
    nothing = compared(3, [])
    assert size(comparison_chart(nothing))[0] == 1260
    assert comparison_alt_text(nothing) == "churn: The runs of these versions have no metrics."


@pytest.mark.parametrize("name", ODD)
def test_no_name_breaks_the_chart(name: str) -> None:
    assert size(comparison_chart(compared(3, [name], 2, model=name)))[0] == 1260


def test_a_character_missing_from_the_font_is_a_box() -> None:
    assert replace_missing_glyphs("精度 v2 👩 e\u0301 \ue000$x$") == "□□ v2 □ e\u0301 $x$"


@pytest.mark.parametrize(
    "values",
    [
        [1e6, 1e6 + 1e-4, 1e6 + 2e-4],
        [0, 0, 0],
        [NAN, 1, NAN],
        [1.7e308, -1.7e308, 0],
        [5e-324, 0, 1e-320],
        [1e-200, 2e-200, 3e-200],
        [-3, -2, -1],
        [12_345_678, 12_345_700, 12_345_900],
    ],
)
def test_any_values_can_be_drawn(values: list[float]) -> None:
    picture = comparison_chart(compared(3, ["f1"], 1, value=lambda n: values[n - 1]))
    assert size(picture)[0] == 1260


@pytest.mark.parametrize("versions", [1, 2, 40, 300])
def test_no_text_of_a_chart_overlaps_another_or_the_edge(versions: int) -> None:
    found = compared(versions, ["f1", "latency_ms", "x" * 60, "W" * 60, "e"], max(1, versions // 2), model="m" * 60)
    blocked = {versions: say("bad"), max(1, versions - 1): say("bad")}
    figure = comparison_figure(replace(found, blocked=blocked))
    assert (overlapping_texts(figure), cut_off_texts(figure)) == ([], [])


def test_the_newest_blocked_version_is_always_labeled_in_red() -> None:
    found = replace(compared(300, ["f1"], production=151), blocked={150: say("bad")})
    [label] = [text for text in comparison_figure(found).axes[0].get_xticklabels() if text.get_text() == "v150"]
    assert label.get_color() == FAILED_COLOR


def test_the_value_axis_has_the_metric_and_its_unit() -> None:
    catalog = MetricCatalog(settings={"latency_ms": MetricSettings(unit="ms")})
    figure = comparison_figure(replace(compared(3, ["latency_ms"]), catalog=catalog))
    assert figure.axes[0].get_ylabel() == "latency_ms (ms)"


def test_gaps_are_explained_in_a_note() -> None:
    whole, gaps = compared(3, ["f1"]), compared(3, ["f1"], value=lambda n: NAN if n == 2 else 1.0)
    assert size(comparison_chart(gaps))[1] == size(comparison_chart(whole))[1] + 54  # one line more


@pytest.mark.parametrize(
    ("ticks", "labels"),
    [
        ([0.86, 0.88, 0.9], ["0.86", "0.88", "0.90"]),
        ([40.0, 45.0], ["40", "45"]),
        ([12_345_000.0, 12_346_000.0], ["12.345M", "12.346M"]),
        ([1e6, 1e6 + 1e-4], ["1M", ""]),
        ([1000.01, 1000.02], ["1,000.01", "1,000.02"]),
        ([0.0, 1e-9], ["0", "1e-9"]),
    ],
)
def test_ticks_distinguish_values(ticks: list[float], labels: list[str]) -> None:
    assert tick_labels(ticks) == labels


@pytest.mark.parametrize("versions", [1, 2, 7, 40, 41, 1000])
def test_version_labels_do_not_touch_and_production_has_one(versions: int) -> None:
    held, inches = versions // 2, 2.3
    places = _label_positions(list(range(1, versions + 1)), held, versions - 1, [], inches)
    step = inches / (versions + 0.2)
    assert held in places
    assert all((after - before) * step >= 0.3 for before, after in pairwise(places))


def test_the_alt_text_describes_the_chart() -> None:
    found = compared(7, ["f1", "latency_ms"], 5, value=lambda n: n / 10)
    assert comparison_alt_text(found) == (
        "Chart of churn, 7 versions, v1 to v7. v5 is in Production. "
        "f1 (higher is better): best v7 0.700; latency_ms (lower is better): best v1 0.100."
    )
    assert "Nothing is in Production" in comparison_alt_text(compared(1, ["f1"]))
    assert (
        len(comparison_alt_text(compared(2, [f"{n}{'x' * 200}" for n in range(9)], model="m" * 900))) <= MAX_ALT_LENGTH
    )


def test_threads_draw_concurrently_without_changing_global_settings() -> None:
    before = dict(mpl.rcParams)
    comparisons = [compared(n + 2, ["f1", f"精度 {n}"], 1) for n in range(6)]
    with ThreadPoolExecutor(4) as pool:
        pictures = list(pool.map(comparison_chart, comparisons))
    assert [size(one) for one in pictures] == [(1260, 675)] * 6
    assert dict(mpl.rcParams) == before

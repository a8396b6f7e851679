"""Comparisons of versions: the frame, the best version, and differences from Production."""

from __future__ import annotations

import csv
import io
import math
import time
from dataclasses import replace
from datetime import timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.core.errors import BadInput
from bot.domain.registry.comparison import FACT_COLUMNS, best_version, build_frame, compare_versions, to_csv
from bot.domain.registry.comparison_messages import describe_best_version, summarize_comparison
from bot.domain.registry.metric_catalog import MetricCatalog, MetricSettings
from bot.domain.registry.metric_direction import Direction, direction_of
from bot.domain.registry.model import RunInfo, Stage
from tests.support.domain.comparisons import GOLDEN, NAN, NOW, Metrics, a_version, compared, versions_with_metrics

# -- the frame ---------------------------------------------------------------------------------------------------------


def test_the_newest_version_comes_first_by_number() -> None:
    versions = [a_version(n) for n in (9, 1, 10, 2)]
    assert build_frame(versions, {})["version"].tolist() == [10, 9, 2, 1]


def test_the_frame_has_its_columns_and_types() -> None:
    versions, runs = versions_with_metrics({1: {"f1": 0.5, "auc": 1}})
    table = build_frame([replace(versions[0], tags={"semver": "1.0.0"})], runs)
    assert {name: str(kind) for name, kind in table.dtypes.items()} == {
        "version": "int64",
        "semver": "object",
        "stage": "object",
        "run_id": "object",
        "created_at": "datetime64[us, UTC]",
        "auc": "float64",
        "f1": "float64",
    }
    assert table.iloc[0].tolist() == [1, "1.0.0", "None", "run1", pd.Timestamp(NOW), 1.0, 0.5]


def test_metrics_keep_the_requested_order() -> None:
    versions, runs = versions_with_metrics({1: {"a": 1, "b": 2, "c": 3}})
    assert list(build_frame(versions, runs, ["c", "a", "c"]).columns[len(FACT_COLUMNS) :]) == ["c", "a"]


def test_missing_and_infinite_metrics_are_nan() -> None:
    versions, runs = versions_with_metrics(
        {1: {"f1": math.inf}, 2: {}, 3: {"f1": NAN}, 4: {"f1": -math.inf}, 5: {"f1": 0.0}}
    )
    assert build_frame(versions, runs)["f1"].isna().tolist() == [False, True, True, True, True]


def test_a_version_without_a_known_run_stays_in_the_frame() -> None:
    versions = [a_version(1, run_id=None, created_at=None), a_version(2, run_id="gone"), a_version(3)]
    table = build_frame(versions, {"run3": RunInfo(id="run3", metrics={"f1": 0.5})})
    assert table["version"].tolist() == [3, 2, 1]
    assert table["run_id"].tolist() == ["run3", "gone", None]
    assert table["semver"].tolist() == [None, None, None]
    assert table["f1"].tolist() == pytest.approx([0.5, NAN, NAN], nan_ok=True)
    assert pd.isna(table["created_at"].iloc[2])


def test_a_deleted_run_still_counts() -> None:
    runs = {"run1": RunInfo(id="run1", metrics={"f1": 0.5}, is_deleted=True)}
    assert build_frame([a_version(1)], runs)["f1"].tolist() == [0.5]


def test_times_are_converted_to_utc() -> None:
    tokyo = NOW.astimezone(timezone(timedelta(hours=9)))
    assert build_frame([a_version(1, created_at=tokyo)], {})["created_at"].tolist() == [pd.Timestamp(NOW)]


def test_a_metric_named_like_a_column_gets_its_own_column() -> None:
    found = compared({1: {"stage": 4.0, "version": 7.0}, 2: {"stage": 5.0}}, production=1)
    assert list(found.frame.columns) == [*FACT_COLUMNS, "metric stage", "metric version"]
    assert best_version(found, "stage").version == 2


def test_no_versions_give_an_empty_frame() -> None:
    found = compare_versions("churn", [], {})
    assert list(found.frame.columns) == list(FACT_COLUMNS)
    assert str(summarize_comparison(found)) == "“churn” has no versions to compare."


def test_a_thousand_versions_with_300_metrics_are_fast() -> None:
    versions, runs = versions_with_metrics(
        {n: {f"m{one}": n * one / 7 for one in range(300)} for n in range(1, 1001)}, production=500
    )
    began = time.process_time()
    found = compare_versions("churn", versions, runs)
    summarize_comparison(found)
    assert found.frame.shape == (1000, 305)
    assert time.process_time() - began < 1.5  # 0.06 s on an idle machine; the limit allows for a busy one


# -- directions --------------------------------------------------------------------------------------------------------


HIGHER = [
    "accuracy",
    "f1",
    "f1_score",
    "roc_auc",
    "r2",
    "precision@10",
    "mAP",
    "recall",
    "lossless",
    "uptime",
    "timeless",
    "neg_log_loss",
    "neg_mean_squared_error",
    "requests_per_second",
    "tokens_per_sec",
    "true_negative_rate",
    "log_likelihood",
    "精度",
    "_",
    "42",
]


LOWER = [
    "loss",
    "val_loss",
    "test.error",
    "train_logLoss",
    "log_loss",
    "RMSE",
    "rmse",
    "valMAE",
    "latency",
    "latency_ms",
    "latencyMs",
    "p95-latency",
    "inference time",
    "top5_error",
    "top5error",
    "training_time",
    "brier_score",
    "KL",
    "kl_divergence",
    "false_positive_rate",
    "fpr",
    "negative_log_likelihood",
    "val/neg_log_likelihood",
    "wer",
    "MAPE",
    "cost_per_request",
    "errors_per_minute",
    "memory_mb",
    "model_size",
    "perplexity",
    "cross_entropy",
]


@pytest.mark.parametrize("metric", HIGHER)
def test_higher_is_better_unless_the_name_says_otherwise(metric: str) -> None:
    assert direction_of(metric) is Direction.HIGHER


@pytest.mark.parametrize("metric", LOWER)
def test_lower_is_better_if_a_word_in_the_name_says_so(metric: str) -> None:
    assert direction_of(metric) is Direction.LOWER


def test_a_direction_in_the_policy_takes_precedence() -> None:
    overrides: dict[str, Direction | str] = {"Val_Loss": "higher", "f1": Direction.LOWER}
    assert direction_of("val_loss", overrides) is Direction.HIGHER
    assert direction_of("F1", overrides) is Direction.LOWER
    assert direction_of("loss", overrides) is Direction.LOWER


# -- comparing ---------------------------------------------------------------------------------------------------------


def test_the_best_version_and_its_difference_from_production_are_found() -> None:
    found = compared(GOLDEN, production=5)
    assert found.incumbent == 5
    assert found.best == {"auc": 5, "f1": 7, "latency_ms": 5}
    assert found.directions == {"auc": Direction.HIGHER, "f1": Direction.HIGHER, "latency_ms": Direction.LOWER}
    expected = pd.DataFrame(
        {"auc": [0.0, NAN, 0.0], "f1": [0.021, 0.013, 0.0], "latency_ms": [4.0, 7.0, 0.0]}, index=found.frame.index
    )
    pd.testing.assert_frame_equal(found.deltas, expected)


def test_metrics_are_shown_by_importance_without_empty_ones() -> None:
    catalog = MetricCatalog(settings={"latency_ms": MetricSettings()})
    metrics: dict[int, Metrics] = {1: {"acc": 0.9, "acc_n": 100, "f1": 0.8, "latency_ms": 40.0, "auc": NAN}}
    found = compared(metrics, catalog=catalog, gated=["f1", "recall"])
    assert found.shown_metrics == ("f1", "latency_ms", "acc")
    assert compared(metrics, metrics=["acc_n", "f1"]).shown_metrics == ("acc_n", "f1")


def test_a_direction_in_the_policy_changes_the_best_version() -> None:
    assert (
        compared(GOLDEN, production=5, catalog=MetricCatalog(directions={"latency_ms": "higher"})).best["latency_ms"]
        == 6
    )


def test_without_production_all_differences_are_nan() -> None:
    found = compared(GOLDEN)
    assert found.incumbent is None
    assert found.deltas.isna().all(axis=None)
    assert list(found.deltas.columns) == ["auc", "f1", "latency_ms"]


def test_the_newest_of_several_versions_in_production_is_the_incumbent() -> None:
    versions, runs = versions_with_metrics(GOLDEN)
    both = [replace(one, stage=Stage.PRODUCTION) if one.version < 7 else one for one in versions]
    assert compare_versions("churn", both, runs).incumbent == 6


def test_the_incumbent_is_added_to_the_frame() -> None:
    versions, runs = versions_with_metrics(GOLDEN, production=5)
    found = compare_versions("churn", versions[1:], runs, incumbent=versions[0])
    assert (found.versions, found.incumbent) == ([7, 6, 5], 5)


def test_the_incumbent_wins_a_tie() -> None:
    assert compared({1: {"f1": 0.3}, 2: {"f1": 0.1 + 0.2}, 3: {"f1": 0.2}}, production=1).best == {"f1": 1}
    assert compared({1: {"f1": 0.3}, 2: {"f1": 0.1 + 0.2}, 3: {"f1": 0.2}}).best == {"f1": 2}


def test_floating_point_rounding_counts_as_equal() -> None:
    found = compared({1: {"f1": 0.3}, 2: {"f1": 0.1 + 0.2}}, production=1)
    assert found.deltas["f1"].tolist() == [0.0, 0.0]


def test_an_unknown_metric_suggests_the_closest_name() -> None:
    with pytest.raises(BadInput, match=r"metric “latency”\. Did you mean latency_ms\?"):
        compared(GOLDEN, metrics=["latency"])
    with pytest.raises(BadInput, match=r"Did you mean f1\?"):
        compared(GOLDEN, metrics=["F1"])
    with pytest.raises(BadInput, match=r"Available metrics: auc, f1, latency_ms\."):
        compared(GOLDEN, metrics=["xyzzy"])
    with pytest.raises(BadInput, match="The runs of these versions have no metrics"):
        compared({1: {}}, metrics=["f1"])


def test_a_metric_that_one_version_has_can_be_requested() -> None:
    assert compared({1: {"f1": 0.5}, 2: {}}, metrics=["f1"]).best == {"f1": 1}


# -- as a file ---------------------------------------------------------------------------------------------------------


def test_the_csv_has_the_complete_frame() -> None:
    versions, runs = versions_with_metrics({9: {"f1": 0.5}, 10: {"f1": 1e-7, "auc": 0.1 + 0.2}, 11: {}}, production=9)
    odd = replace(versions[2], run_id=None, created_at=None, tags={"semver": '1,"0'})
    assert to_csv(compare_versions("churn", [*versions[:2], odd], runs)).splitlines() == [
        "version,semver,stage,run_id,created_at,auc,f1",
        '11,"1,""0",None,,,,',
        "10,,None,run10,2026-05-04T12:00:00Z,0.30000000000000004,1e-07",
        "9,,Production,run9,2026-05-04T12:00:00Z,,0.5",
    ]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1"])
def test_outside_text_never_becomes_a_formula(text: str) -> None:
    versions, runs = versions_with_metrics({1: {text: -1.0}})
    evil = replace(versions[0], tags={"semver": text})
    header, row = csv.reader(io.StringIO(to_csv(compare_versions("churn", [evil], runs))))
    assert (header[-1], row[1], row[-1]) == (f"'{text}", f"'{text}", "-1.0")


# -- generated registries ----------------------------------------------------------------------------------------------


NAMES = st.text(min_size=1, max_size=40) | st.sampled_from(
    ["{0}", "{", "%s", "`x`", "a b", "精度", "=1", *FACT_COLUMNS]
)


VALUES = st.floats() | st.sampled_from([0.0, -0.0, NAN, math.inf, 1.797e308, -1.797e308, 5e-324])


WORLDS = st.dictionaries(st.integers(1, 30), st.dictionaries(NAMES, VALUES, max_size=5), max_size=6)


@settings(deadline=None)
@given(WORLDS, st.integers(1, 30))
def test_any_versions_can_be_compared_and_summarized(metrics: dict[int, Metrics], production: int) -> None:
    found = compared(metrics, production)
    assert found.versions == sorted(metrics, reverse=True)
    assert str(summarize_comparison(found)).endswith(".")
    for metric, version in found.best.items():
        values = found.metric_values(metric) * found.directions[metric].sign
        assert values[found.versions.index(version)] == pytest.approx(np.nanmax(values), rel=1e-9, abs=0)
        assert f"v{version} (" in str(describe_best_version(best_version(found, metric)))
    assert len(list(csv.reader(io.StringIO(to_csv(found), newline="")))) == len(metrics) + 1

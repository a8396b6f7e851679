"""Comparing versions: the frame, what is best, how far it is from Production, and what is said of it."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.comparison import FACTS, Comparison, best, compare, frame, to_csv
from bot.domain.comparison_words import best_sentence, sentence
from bot.domain.directions import Direction, direction_of
from bot.domain.errors import BadInput
from bot.domain.numbers import delta, number
from bot.domain.registry import RunInfo, Stage, VersionInfo
from bot.domain.text import pack, say, unpack

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
NAN = float("nan")
Metrics = Mapping[str, float]


def a_version(number: int, stage: Stage = Stage.NONE, **changes: Any) -> VersionInfo:
    fresh = VersionInfo(model="churn", version=number, stage=stage, run_id=f"run{number}", created_at=NOW)
    return replace(fresh, **changes)


def world(found: Mapping[int, Metrics], production: int | None = None) -> tuple[list[VersionInfo], dict[str, RunInfo]]:
    """Return versions with the metrics of their runs; one of them in Production."""
    versions = [a_version(n, Stage.PRODUCTION if n == production else Stage.NONE) for n in found]
    return versions, {f"run{n}": RunInfo(id=f"run{n}", metrics=one) for n, one in found.items()}


def compared(found: Mapping[int, Metrics], production: int | None = None, **options: Any) -> Comparison:
    return compare("churn", *world(found, production), **options)


def said(metrics: Mapping[int, Metrics], production: int | None = None) -> str:
    return str(sentence(compared(metrics, production)))


# -- the frame ---------------------------------------------------------------------------------------------------------


def test_the_newest_version_comes_first_by_number() -> None:
    versions = [a_version(n) for n in (9, 1, 10, 2)]
    assert frame(versions, {})["version"].tolist() == [10, 9, 2, 1]


def test_the_frame_has_its_columns_and_types() -> None:
    versions, runs = world({1: {"f1": 0.5, "auc": 1}})
    table = frame([replace(versions[0], tags={"semver": "1.0.0"})], runs)
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


def test_metrics_stand_in_the_order_in_which_they_were_asked() -> None:
    versions, runs = world({1: {"a": 1, "b": 2, "c": 3}})
    assert list(frame(versions, runs, ["c", "a", "c"]).columns[len(FACTS) :]) == ["c", "a"]


def test_what_a_run_lacks_is_missing_and_so_is_what_is_infinite() -> None:
    versions, runs = world({1: {"f1": math.inf}, 2: {}, 3: {"f1": NAN}, 4: {"f1": -math.inf}, 5: {"f1": 0.0}})
    assert frame(versions, runs)["f1"].isna().tolist() == [False, True, True, True, True]


def test_a_version_without_a_run_or_whose_run_is_unknown_stays() -> None:
    versions = [a_version(1, run_id=None, created_at=None), a_version(2, run_id="gone"), a_version(3)]
    table = frame(versions, {"run3": RunInfo(id="run3", metrics={"f1": 0.5})})
    assert table["version"].tolist() == [3, 2, 1]
    assert table["run_id"].tolist() == ["run3", "gone", None]
    assert table["semver"].tolist() == [None, None, None]
    assert table["f1"].tolist() == pytest.approx([0.5, NAN, NAN], nan_ok=True)
    assert pd.isna(table["created_at"].iloc[2])


def test_a_run_in_the_bin_still_counts() -> None:
    runs = {"run1": RunInfo(id="run1", metrics={"f1": 0.5}, is_deleted=True)}
    assert frame([a_version(1)], runs)["f1"].tolist() == [0.5]


def test_times_of_other_zones_become_utc() -> None:
    tokyo = NOW.astimezone(timezone(timedelta(hours=9)))
    assert frame([a_version(1, created_at=tokyo)], {})["created_at"].tolist() == [pd.Timestamp(NOW)]


def test_a_metric_called_like_a_fact_hides_nothing() -> None:
    found = compared({1: {"stage": 4.0, "version": 7.0}, 2: {"stage": 5.0}}, production=1)
    assert list(found.frame.columns) == [*FACTS, "metric stage", "metric version"]
    assert best(found, "stage").version == 2


def test_nothing_to_compare_is_an_empty_frame() -> None:
    found = compare("churn", [], {})
    assert list(found.frame.columns) == list(FACTS)
    assert str(sentence(found)) == "There are no versions of “churn” to compare."


def test_a_thousand_versions_of_300_metrics_take_no_time() -> None:
    versions, runs = world({n: {f"m{one}": n * one / 7 for one in range(300)} for n in range(1, 1001)}, production=500)
    began = time.process_time()
    found = compare("churn", versions, runs)
    sentence(found)
    assert found.frame.shape == (1000, 305)
    assert time.process_time() - began < 1.5  # 0.06 s on a machine of its own; the bound is for a crowded one


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
def test_lower_is_better_where_a_word_of_the_name_says_so(metric: str) -> None:
    assert direction_of(metric) is Direction.LOWER


def test_what_the_policy_says_of_a_metric_goes_first() -> None:
    overrides: dict[str, Direction | str] = {"Val_Loss": "higher", "f1": Direction.LOWER}
    assert direction_of("val_loss", overrides) is Direction.HIGHER
    assert direction_of("F1", overrides) is Direction.LOWER
    assert direction_of("loss", overrides) is Direction.LOWER


# -- comparing ---------------------------------------------------------------------------------------------------------

GOLDEN: dict[int, Metrics] = {
    5: {"f1": 0.891, "latency_ms": 38.0, "auc": 0.9},
    6: {"f1": 0.904, "latency_ms": 45.0, "auc": NAN},
    7: {"f1": 0.912, "latency_ms": 42.0, "auc": 0.9},
}


def test_the_best_and_the_distances_to_production() -> None:
    found = compared(GOLDEN, production=5)
    assert found.incumbent == 5
    assert found.best == {"auc": 5, "f1": 7, "latency_ms": 5}
    assert found.directions == {"auc": Direction.HIGHER, "f1": Direction.HIGHER, "latency_ms": Direction.LOWER}
    expected = pd.DataFrame(
        {"auc": [0.0, NAN, 0.0], "f1": [0.021, 0.013, 0.0], "latency_ms": [4.0, 7.0, 0.0]}, index=found.frame.index
    )
    pd.testing.assert_frame_equal(found.deltas, expected)


def test_the_policy_turns_what_is_best() -> None:
    assert compared(GOLDEN, production=5, directions={"latency_ms": "higher"}).best["latency_ms"] == 6


def test_without_production_there_are_no_distances() -> None:
    found = compared(GOLDEN)
    assert found.incumbent is None
    assert found.deltas.isna().all(axis=None)
    assert list(found.deltas.columns) == ["auc", "f1", "latency_ms"]


def test_of_several_in_production_the_newest_is_the_incumbent() -> None:
    versions, runs = world(GOLDEN)
    both = [replace(one, stage=Stage.PRODUCTION) if one.version < 7 else one for one in versions]
    assert compare("churn", both, runs).incumbent == 6


def test_an_incumbent_that_was_not_asked_for_joins_the_frame() -> None:
    versions, runs = world(GOLDEN, production=5)
    found = compare("churn", versions[1:], runs, incumbent=versions[0])
    assert (found.versions, found.incumbent) == ([7, 6, 5], 5)


def test_a_tie_is_no_reason_to_change_production() -> None:
    assert compared({1: {"f1": 0.3}, 2: {"f1": 0.1 + 0.2}, 3: {"f1": 0.2}}, production=1).best == {"f1": 1}
    assert compared({1: {"f1": 0.3}, 2: {"f1": 0.1 + 0.2}, 3: {"f1": 0.2}}).best == {"f1": 2}


def test_the_rounding_of_floating_point_is_no_difference() -> None:
    found = compared({1: {"f1": 0.3}, 2: {"f1": 0.1 + 0.2}}, production=1)
    assert found.deltas["f1"].tolist() == [0.0, 0.0]


def test_a_metric_that_nobody_has_names_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"metric “latency”\. Did you mean latency_ms\?"):
        compared(GOLDEN, metrics=["latency"])
    with pytest.raises(BadInput, match=r"Did you mean f1\?"):
        compared(GOLDEN, metrics=["F1"])
    with pytest.raises(BadInput, match=r"There is: auc, f1, latency_ms\."):
        compared(GOLDEN, metrics=["xyzzy"])
    with pytest.raises(BadInput, match="No run of these versions has metrics"):
        compared({1: {}}, metrics=["f1"])


def test_a_metric_that_one_version_has_can_be_asked_for() -> None:
    assert compared({1: {"f1": 0.5}, 2: {}}, metrics=["f1"]).best == {"f1": 1}


# -- what is said ------------------------------------------------------------------------------------------------------

SAID: list[tuple[str, dict[int, Metrics], int | None]] = [
    ("v7 beats Production v5 on f1 by +0.021; worse on latency_ms by +4; the same on auc.", GOLDEN, 5),
    (
        "v7 beats Production v5 on f1 by +0.021; worse on latency_ms by +4.",
        {5: {"f1": 0.891, "latency_ms": 38}, 7: {"f1": 0.912, "latency_ms": 42}},
        5,
    ),
    ("v2 beats Production v1 on log_loss by -0.05.", {1: {"log_loss": 0.35}, 2: {"log_loss": 0.3}}, 1),
    ("v2 is worse than Production v1 on f1 by -0.1.", {1: {"f1": 0.9}, 2: {"f1": 0.8}}, 1),
    ("v2 is the same as Production v1 on auc and f1.", {1: {"f1": 0.9, "auc": 1}, 2: {"f1": 0.9, "auc": 1}}, 1),
    ("Production v2 is the newest. v1 is worse than it on f1 by -0.1.", {1: {"f1": 0.8}, 2: {"f1": 0.9}}, 2),
    ("Nothing is in Production. Best on f1: v7 (0.91).", {6: {"f1": 0.9}, 7: {"f1": 0.91}}, None),
    (
        "Nothing is in Production. Best on auc: v7 (0.9), f1: v7 (0.912) and latency_ms: v5 (38).",
        GOLDEN,
        None,
    ),
    ("Production v5 is the only version here: auc 0.9, f1 0.891 and latency_ms 38.", {5: GOLDEN[5]}, 5),
    ("v5 is the only version here, and not in Production: f1 0.891.", {5: {"f1": 0.891}}, None),
    ("No run of these versions has metrics.", {1: {}, 2: {"f1": NAN}}, 1),
    (
        "v2 beats Production v1 on auc by +0.1. f1 is missing for v2.",
        {1: {"auc": 0.8, "f1": 0.9}, 2: {"auc": 0.9}},
        1,
    ),
    (
        "v2 beats Production v1 on auc by +0.1. f1 and recall are missing for Production v1.",
        {1: {"auc": 0.8}, 2: {"auc": 0.9, "f1": 0.9, "recall": 0.5}},
        1,
    ),
    (
        "v2 and Production v1 have no metric in common. f1 is missing for v2. auc is missing for Production v1.",
        {1: {"f1": 0.9}, 2: {"auc": 0.9}},
        1,
    ),
    ("v2 has no metrics to compare with Production v1.", {1: {"f1": 0.9}, 2: {}}, 1),
    ("Production v1 has no metrics. Best on f1: v2 (0.9).", {1: {}, 2: {"f1": 0.9}}, 1),
    (
        "v2 beats Production v1 on m9 by +9, m8 by +8, m7 by +7 and 4 more; worse on error by +1.",
        {
            1: dict.fromkeys([*(f"m{n}" for n in range(3, 10)), "error"], 1.0),
            2: {**{f"m{n}": 1.0 + n for n in range(3, 10)}, "error": 2.0},
        },
        1,
    ),
    (
        "v2 beats Production v1 on a by +0.1, b by +1 and c by +10.",  # relative to their size
        {1: {"a": 0.0, "b": 9.0, "c": 1000.0}, 2: {"a": 0.1, "b": 10.0, "c": 1010.0}},
        1,
    ),
]


@pytest.mark.parametrize(("expected", "metrics", "production"), SAID)
def test_the_sentence_is_what_a_person_would_say(
    expected: str, metrics: dict[int, Metrics], production: int | None
) -> None:
    assert said(metrics, production) == expected


def test_the_sentence_travels_through_the_outbox() -> None:
    whole = sentence(compared(GOLDEN, production=5))
    assert str(unpack(pack(whole))) == str(whole)


# -- the best of one metric --------------------------------------------------------------------------------------------


def best_said(metric: str, metrics: Mapping[int, Metrics], production: int | None = None, **options: Any) -> str:
    return str(best_sentence(best(compared(metrics, production), metric, **options)))


@pytest.mark.parametrize(
    ("expected", "metric", "metrics", "production", "lowest"),
    [
        (
            "v7 (no stage) has the highest f1: 0.912, 0.021 ahead of v5 in Production. Run run7.",
            "f1",
            {5: GOLDEN[5], 7: GOLDEN[7]},
            5,
            None,
        ),
        (
            "v7 (no stage) has the highest f1: 0.912, 0.008 ahead of v6 and 0.021 ahead of v5 in Production. Run run7.",
            "f1",
            GOLDEN,
            5,
            None,
        ),
        ("v5 (Production) has the lowest latency_ms: 38, 4 ahead of v7. Run run5.", "latency_ms", GOLDEN, 5, None),
        ("v5 (Production) has the lowest f1: 0.891, 0.013 ahead of v6. Run run5.", "f1", GOLDEN, 5, True),
        ("v6 (no stage) has the highest latency_ms: 45, 3 ahead of v7. Run run6.", "latency_ms", GOLDEN, None, False),
        ("v5 (Production) has the highest auc: 0.9, level with v7. Run run5.", "auc", GOLDEN, 5, None),
        ("v7 (no stage) has the highest auc: 0.9, level with v5. Run run7.", "auc", GOLDEN, None, None),
        (
            "v2 (no stage) has the highest f1: 0.9. No other version has a value. Run run2.",
            "f1",
            {1: {}, 2: {"f1": 0.9}},
            1,
            None,
        ),
        (
            "v3 (no stage) has the highest f1: 0.9, 0.1 ahead of v2. v1 in Production has no value. Run run3.",
            "f1",
            {1: {"f1": NAN}, 2: {"f1": 0.8}, 3: {"f1": 0.9}},
            1,
            None,
        ),
    ],
)
def test_the_best_is_told_with_its_lead(
    expected: str, metric: str, metrics: dict[int, Metrics], production: int | None, lowest: bool | None
) -> None:
    assert best_said(metric, metrics, production, lowest=lowest) == expected


def test_a_winner_that_is_blocked_is_told_to_be() -> None:
    found = replace(compared({1: {"f1": 0.1}, 2: {"f1": 0.9}}), blocked={2: say("v2 is blocked.")})
    assert str(best_sentence(best(found, "f1"))).endswith("v2 is blocked.")
    assert best(found, "f1", lowest=True).blocked is None


def test_of_many_blocked_versions_the_newest_are_named_and_the_others_counted() -> None:
    metrics = {number: {"f1": number / 10} for number in range(1, 7)}
    blocked = {number: say("v{n} is blocked.", n=number) for number in range(1, 6)}
    told = str(sentence(replace(compared(metrics), blocked=blocked)))
    assert told.endswith("v5 is blocked. v4 is blocked. v3 is blocked. 2 more are blocked.")


def test_nan_never_wins() -> None:
    for lowest in (True, False, None):
        assert best(compared({1: {"f1": 0.1}, 2: {"f1": NAN}, 3: {"f1": math.inf}}), "f1", lowest=lowest).version == 1


def test_where_nobody_has_a_value_nobody_wins() -> None:
    with pytest.raises(BadInput, match="No version of “churn” has a value for f1"):
        best(compared({1: {"f1": NAN}}), "f1")
    with pytest.raises(BadInput, match=r"Did you mean f1\?"):
        best(compared({1: {"f1": 1}}), "f2")


# -- numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.020999999999999908, "0.021"),
        (0.1 + 0.2, "0.3"),
        (0.91234567, "0.9123"),
        (42.0, "42"),
        (0.0, "0"),
        (-0.0, "0"),
        (12345.678, "12,346"),
        (9999.6, "10,000"),
        (999.96, "1,000"),
        (1234567890.0, "1,234,567,890"),
        (0.0001, "0.0001"),
        (0.00001234567, "1.235e-5"),
        (1.5e-300, "1.5e-300"),
        (2.5e15, "2.5e15"),
        (NAN, "–"),
        (math.inf, "∞"),
        (-math.inf, "-∞"),
        (-0.5, "-0.5"),
        (1.7e308, "1.7e308"),
        (5e-324, "4.941e-324"),
    ],
)
def test_a_number_is_shown_as_a_person_reads_it(value: float, expected: str) -> None:
    assert number(value) == expected


@pytest.mark.parametrize(("value", "expected"), [(0.021, "+0.021"), (-4.0, "-4"), (0.0, "0"), (NAN, "–")])
def test_a_difference_has_its_sign(value: float, expected: str) -> None:
    assert delta(value) == expected


@given(st.floats(-1e307, 1e307))
def test_what_is_shown_is_the_value_in_four_digits(value: float) -> None:
    assert float(number(value).replace(",", "")) == pytest.approx(value, rel=5.1e-4, abs=0)


# -- as a file ---------------------------------------------------------------------------------------------------------


def test_the_csv_holds_the_whole_frame() -> None:
    versions, runs = world({9: {"f1": 0.5}, 10: {"f1": 1e-7, "auc": 0.1 + 0.2}, 11: {}}, production=9)
    odd = replace(versions[2], run_id=None, created_at=None, tags={"semver": '1,"0'})
    assert to_csv(compare("churn", [*versions[:2], odd], runs)).splitlines() == [
        "version,semver,stage,run_id,created_at,auc,f1",
        '11,"1,""0",None,,,,',
        "10,,None,run10,2026-05-04T12:00:00Z,0.30000000000000004,1e-07",
        "9,,Production,run9,2026-05-04T12:00:00Z,,0.5",
    ]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1"])
def test_no_text_from_outside_is_a_formula(text: str) -> None:
    versions, runs = world({1: {text: -1.0}})
    evil = replace(versions[0], tags={"semver": text})
    header, row = csv.reader(io.StringIO(to_csv(compare("churn", [evil], runs))))
    assert (header[-1], row[1], row[-1]) == (f"'{text}", f"'{text}", "-1.0")


# -- whatever a registry may hold --------------------------------------------------------------------------------------

NAMES = st.text(min_size=1, max_size=40) | st.sampled_from(["{0}", "{", "%s", "`x`", "a b", "精度", "=1", *FACTS])
VALUES = st.floats() | st.sampled_from([0.0, -0.0, NAN, math.inf, 1.797e308, -1.797e308, 5e-324])
WORLDS = st.dictionaries(st.integers(1, 30), st.dictionaries(NAMES, VALUES, max_size=5), max_size=6)


@settings(deadline=None)
@given(WORLDS, st.integers(1, 30))
def test_any_registry_can_be_compared_and_told(metrics: dict[int, Metrics], production: int) -> None:
    found = compared(metrics, production)
    assert found.versions == sorted(metrics, reverse=True)
    assert str(sentence(found)).endswith(".")
    for metric, version in found.best.items():
        values = found.values(metric) * found.directions[metric].sign
        assert values[found.versions.index(version)] == pytest.approx(np.nanmax(values), rel=1e-9, abs=0)
        assert f"v{version} (" in str(best_sentence(best(found, metric)))
    assert len(list(csv.reader(io.StringIO(to_csv(found), newline="")))) == len(metrics) + 1


def test_300_oddly_named_metrics_make_one_readable_sentence() -> None:
    names = [f"{n}% of {{all}} “`精度`” " + "x" * 200 for n in range(300)]
    text = said({1: dict.fromkeys(names, 1.0), 2: dict.fromkeys(names, 2.0)}, 1)
    assert text.endswith("… by +1 and 297 more.")
    assert len(text) < 400

"""Summaries of a comparison and of the best version."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import pack_sentence, say, unpack_sentence
from bot.domain.registry.comparison import best_version
from bot.domain.registry.comparison_messages import describe_best_version, summarize_comparison
from bot.domain.registry.metric_catalog import MetricCatalog, MetricSettings
from tests.support.domain.comparisons import GOLDEN, NAN, Metrics, compared


def said(metrics: Mapping[int, Metrics], production: int | None = None) -> str:
    return str(summarize_comparison(compared(metrics, production)))


# -- the summary -------------------------------------------------------------------------------------------------------


SAID: list[tuple[str, dict[int, Metrics], int | None]] = [
    (
        "v7 beats Production v5: f1 0.021 higher (+2.4%); worse: latency_ms 4 higher (+11%); same: auc.",
        GOLDEN,
        5,
    ),
    (
        "v7 beats Production v5: f1 0.021 higher (+2.4%); worse: latency_ms 4 higher (+11%).",
        {5: {"f1": 0.891, "latency_ms": 38}, 7: {"f1": 0.912, "latency_ms": 42}},
        5,
    ),
    ("v2 beats Production v1: log_loss 0.050 lower (−14%).", {1: {"log_loss": 0.35}, 2: {"log_loss": 0.3}}, 1),
    ("v2 is worse than Production v1: f1 0.100 lower (−11%).", {1: {"f1": 0.9}, 2: {"f1": 0.8}}, 1),
    ("v2 matches Production v1 on auc and f1.", {1: {"f1": 0.9, "auc": 1}, 2: {"f1": 0.9, "auc": 1}}, 1),
    (
        "Production v2 is the newest version. v1 is worse than it: f1 0.100 lower (−11%).",
        {1: {"f1": 0.8}, 2: {"f1": 0.9}},
        2,
    ),
    ("Nothing is in Production. Best version per metric: f1 v7 (0.910).", {6: {"f1": 0.9}, 7: {"f1": 0.91}}, None),
    (
        "Nothing is in Production. Best version per metric: auc v7 (0.900), f1 v7 (0.912), and latency_ms v5 (38).",
        GOLDEN,
        None,
    ),
    ("Production v5 is the only version compared: auc 0.900, f1 0.891, and latency_ms 38.", {5: GOLDEN[5]}, 5),
    ("v5 is the only version compared, and it isn't in Production: f1 0.891.", {5: {"f1": 0.891}}, None),
    ("The runs of these versions have no metrics.", {1: {}, 2: {"f1": NAN}}, 1),
    (
        "v2 beats Production v1: auc 0.100 higher (+12%). f1 is missing for v2.",
        {1: {"auc": 0.8, "f1": 0.9}, 2: {"auc": 0.9}},
        1,
    ),
    (
        "v2 beats Production v1: auc 0.100 higher (+12%). f1 and recall are missing for Production v1.",
        {1: {"auc": 0.8}, 2: {"auc": 0.9, "f1": 0.9, "recall": 0.5}},
        1,
    ),
    (
        "v2 and Production v1 have no metrics in common. f1 is missing for v2. auc is missing for Production v1.",
        {1: {"f1": 0.9}, 2: {"auc": 0.9}},
        1,
    ),
    ("v2 has no metrics to compare with Production v1.", {1: {"f1": 0.9}, 2: {}}, 1),
    ("Production v1 has no metrics. Best version per metric: f1 v2 (0.900).", {1: {}, 2: {"f1": 0.9}}, 1),
    (
        "v2 beats Production v1: m9 9 higher (+900%), m8 8 higher (+800%), m7 7 higher (+700%), and 4 more; "
        "worse: error 1 higher (+100%).",
        {
            1: dict.fromkeys([*(f"m{n}" for n in range(3, 10)), "error"], 1.0),
            2: {**{f"m{n}": 1.0 + n for n in range(3, 10)}, "error": 2.0},
        },
        1,
    ),
    (
        "v2 beats Production v1: a 0.100 higher, b 1 higher (+11%), and c 10 higher (+1.0%).",  # relative to their size
        {1: {"a": 0.0, "b": 9.0, "c": 1000.0}, 2: {"a": 0.1, "b": 10.0, "c": 1010.0}},
        1,
    ),
]


@pytest.mark.parametrize(("expected", "metrics", "production"), SAID)
def test_a_comparison_is_summarized_in_one_sentence(
    expected: str, metrics: dict[int, Metrics], production: int | None
) -> None:
    assert said(metrics, production) == expected


@pytest.mark.parametrize(
    ("noise", "decimals", "expected"),
    [
        (0.005, None, "v2 differs from Production v1 only within noise: f1 0.004 higher (+0.5%); same: auc."),
        (0.004, None, "v2 beats Production v1: f1 0.004 higher (+0.5%); same: auc."),
        (None, 2, "v2 beats Production v1: f1 slightly higher (+0.5%); same: auc."),
    ],
)
def test_a_difference_is_described_by_the_metric_s_settings(
    noise: float | None, decimals: int | None, expected: str
) -> None:
    catalog = MetricCatalog(settings={"f1": MetricSettings(noise=noise, decimals=decimals)})
    metrics: dict[int, Metrics] = {1: {"f1": 0.8, "auc": 0.9}, 2: {"f1": 0.804, "auc": 0.9}}
    assert str(summarize_comparison(compared(metrics, 1, catalog=catalog))) == expected


def test_a_difference_has_the_metric_s_unit() -> None:
    catalog = MetricCatalog(settings={"latency_ms": MetricSettings(unit="ms")})
    found = compared(GOLDEN, 5, catalog=catalog)
    assert "latency_ms 4 ms higher (+11%)" in str(summarize_comparison(found))
    assert "latency_ms: 38 ms, 4 ms ahead of v7" in str(describe_best_version(best_version(found, "latency_ms")))


def test_a_summary_survives_the_outbox() -> None:
    whole = summarize_comparison(compared(GOLDEN, production=5))
    assert str(unpack_sentence(pack_sentence(whole))) == str(whole)


# -- the best of one metric --------------------------------------------------------------------------------------------


def best_said(metric: str, metrics: Mapping[int, Metrics], production: int | None = None, **options: Any) -> str:
    return str(describe_best_version(best_version(compared(metrics, production), metric, **options)))


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
        ("v5 (Production) has the highest auc: 0.900, tied with v7. Run run5.", "auc", GOLDEN, 5, None),
        ("v7 (no stage) has the highest auc: 0.900, tied with v5. Run run7.", "auc", GOLDEN, None, None),
        (
            "v2 (no stage) has the highest f1: 0.900. No other version has a value. Run run2.",
            "f1",
            {1: {}, 2: {"f1": 0.9}},
            1,
            None,
        ),
        (
            "v3 (no stage) has the highest f1: 0.900, 0.100 ahead of v2. v1 in Production has no value. Run run3.",
            "f1",
            {1: {"f1": NAN}, 2: {"f1": 0.8}, 3: {"f1": 0.9}},
            1,
            None,
        ),
    ],
)
def test_the_best_version_is_described_with_its_lead(
    expected: str, metric: str, metrics: dict[int, Metrics], production: int | None, lowest: bool | None
) -> None:
    assert best_said(metric, metrics, production, lowest=lowest) == expected


def test_a_blocked_winner_is_marked_as_blocked() -> None:
    found = replace(compared({1: {"f1": 0.1}, 2: {"f1": 0.9}}), blocked={2: say("v2 is blocked.")})
    assert str(describe_best_version(best_version(found, "f1"))).endswith("v2 is blocked.")
    assert best_version(found, "f1", lowest=True).blocked is None


def test_the_newest_blocked_versions_are_named_and_the_rest_counted() -> None:
    metrics = {number: {"f1": number / 10} for number in range(1, 7)}
    blocked = {number: say("v{n} is blocked.", n=number) for number in range(1, 6)}
    told = str(summarize_comparison(replace(compared(metrics), blocked=blocked)))
    assert told.endswith("v5 is blocked. v4 is blocked. v3 is blocked. 2 more are blocked.")


def test_nan_never_wins() -> None:
    for lowest in (True, False, None):
        assert (
            best_version(compared({1: {"f1": 0.1}, 2: {"f1": NAN}, 3: {"f1": math.inf}}), "f1", lowest=lowest).version
            == 1
        )


def test_without_values_there_is_no_winner() -> None:
    with pytest.raises(BadInput, match="No version of “churn” has a value for f1"):
        best_version(compared({1: {"f1": NAN}}), "f1")
    with pytest.raises(BadInput, match=r"Did you mean f1\?"):
        best_version(compared({1: {"f1": 1}}), "f2")


# -- generated registries ----------------------------------------------------------------------------------------------


def test_300_oddly_named_metrics_make_one_readable_sentence() -> None:
    names = [f"{n}% of {{all}} “`精度`” " + "x" * 200 for n in range(300)]
    text = said({1: dict.fromkeys(names, 1.0), 2: dict.fromkeys(names, 2.0)}, 1)
    assert text.endswith("… 1 higher (+100%), and 297 more.")
    assert len(text) < 400

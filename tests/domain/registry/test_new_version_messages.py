"""The metrics in the announcement of a new version."""

from __future__ import annotations

import pytest

from bot.domain.registry.metric_catalog import MetricCatalog, MetricSettings
from bot.domain.registry.new_version_messages import describe_new_metrics

CATALOG = MetricCatalog(
    settings={
        "f1": MetricSettings(decimals=3, noise=0.005),
        "latency_ms": MetricSettings(unit="ms", decimals=0, direction="lower"),
    },
    directions={"latency_ms": "lower"},
)


@pytest.mark.parametrize(
    ("metrics", "before", "line"),
    [
        (
            {"latency_ms": 45.0, "f1": 0.93},
            {"latency_ms": 40.0, "f1": 0.9},
            "Compared with v3 in Production: f1 0.930 (+3.3%, better), latency_ms 45 ms (+12%, worse)",
        ),
        ({"f1": 0.902}, {"f1": 0.9}, "Compared with v3 in Production: f1 0.902 (within noise)"),
        ({"f1": 0.9}, {"f1": 0.9}, "Compared with v3 in Production: f1 0.900 (same)"),
        ({"f1": 0.9, "auc": 0.8}, {"f1": 0.8}, "Compared with v3 in Production: f1 0.900 (+12%, better), auc 0.800"),
        ({"f1": 0.9}, {}, "f1 0.900"),
        (dict.fromkeys("edcba", 1.0), {}, "a 1, b 1, c 1, d 1"),
    ],
)
def test_the_most_important_metrics_are_compared_with_production(
    metrics: dict[str, float], before: dict[str, float], line: str
) -> None:
    assert str(describe_new_metrics(CATALOG, metrics, 3, before)) == line


def test_without_metrics_there_is_no_line() -> None:
    assert describe_new_metrics(CATALOG, {}, 3, {"f1": 0.9}) is None

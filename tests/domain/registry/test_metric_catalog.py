"""How metrics are shown, compared, and ordered, according to the policy."""

from __future__ import annotations

import math
from typing import Any

import pytest

from bot.domain.core.errors import WrongPolicy
from bot.domain.policy.parser import validate_policy
from bot.domain.registry.metric_catalog import ChangeOutcome, MetricCatalog, MetricChange, MetricSettings, total_of
from bot.domain.registry.metric_direction import Direction


def catalog(**settings: dict[str, Any]) -> MetricCatalog:
    return MetricCatalog(settings={name: MetricSettings(**one) for name, one in settings.items()})


def change(value: float, was: float, name: str = "f1", **metrics: float) -> MetricChange:
    found = MetricCatalog().compare(name, {name: value} | metrics, {name: was})
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.9123, "0.912"),
        (1.0, "1"),
        (0.05, "0.050"),
        (3.14159, "3.14"),
        (42.42, "42.4"),
        (1234.5, "1,234"),
        (200.0, "200"),
        (-0.5, "−0.500"),
        (0.00042, "0.00042"),
        (4.2e-9, "4.2e−9"),
        (math.nan, "–"),
        (math.inf, "∞"),
    ],
)
def test_a_value_has_a_sensible_number_of_decimals(value: float, shown: str) -> None:
    assert MetricCatalog().format_value("anything", value) == shown


@pytest.mark.parametrize(
    ("value", "other", "shown"), [(1.0, 0.95, "1.000"), (0.91234, 0.91236, "0.9123"), (0.5, 0.5, "0.500")]
)
def test_two_values_shown_together_can_be_told_apart(value: float, other: float, shown: str) -> None:
    assert MetricCatalog().format_value("anything", value, other) == shown


def test_the_policy_sets_unit_and_decimals() -> None:
    metrics = catalog(latency_ms={"unit": "ms", "decimals": 0}, share={"unit": "%", "decimals": 1})
    assert metrics.format_value("latency_ms", 41.7) == "42 ms"
    assert metrics.format_value("LATENCY_MS", 41.7) == "42 ms"
    assert metrics.format_value("share", 12.0) == "12.0%"
    assert metrics.format_value("latency_ms", math.nan) == "–"


def test_a_change_is_shown_in_percent_or_else_in_the_metric_s_unit() -> None:
    metrics = catalog(latency_ms={"unit": "ms", "decimals": 0})
    shown = [
        metrics.format_change(found)
        for new, old in [(38.0, 48.0), (45.0, 0.0), (10.29, 10.0), (100.0, 1.0), (48.0, 48.0), (48.001, 48.0)]
        if (found := metrics.compare("latency_ms", {"latency_ms": new}, {"latency_ms": old}))
    ]
    assert shown == ["−21%", "+45 ms", "+2.9%", "+99 ms", "0 ms", "0 ms"]


@pytest.mark.parametrize(
    ("value", "was", "outcome"),
    [
        (0.9, 0.8, ChangeOutcome.BETTER),
        (0.8, 0.9, ChangeOutcome.WORSE),
        (0.1 + 0.2, 0.3, ChangeOutcome.SAME),
    ],
)
def test_a_change_is_better_or_worse(value: float, was: float, outcome: ChangeOutcome) -> None:
    assert change(value, was).outcome is outcome


def test_lower_is_better_if_the_name_or_the_policy_says_so() -> None:
    assert change(40.0, 48.0, "latency_ms").outcome is ChangeOutcome.BETTER
    policy = validate_policy({"models": {}, "metrics": {"Churned": {"direction": "lower"}}})
    assert policy.metrics_for("churn").direction("churned") is Direction.LOWER


def test_a_difference_below_the_configured_noise_is_noise() -> None:
    metrics = catalog(f1={"noise": 0.005})
    outcomes = [
        found.outcome for new in (0.904, 0.905, 0.896) if (found := metrics.compare("f1", {"f1": new}, {"f1": 0.9}))
    ]
    assert outcomes == [ChangeOutcome.NOISE, ChangeOutcome.BETTER, ChangeOutcome.NOISE]


def test_the_noise_of_a_proportion_follows_from_the_logged_number_of_examples() -> None:
    found = change(0.5, 0.6, "recall", recall_n=100)
    assert found.noise == pytest.approx(0.05)  # √(0.5 · 0.5 / 100)
    assert change(0.5, 0.54, "recall", recall_count=100).outcome is ChangeOutcome.NOISE
    assert change(0.5, 0.54, "recall").noise is None
    assert change(5.0, 5.4, "recall", recall_n=100).noise is None  # not a proportion


def test_the_examples_of_an_accuracy_can_be_logged_by_mlflow_evaluate() -> None:
    assert total_of("accuracy_score", {"accuracy_score": 0.9, "example_count": 500}) == 500
    assert total_of("roc_auc", {"roc_auc": 0.9, "example_count": 500}) is None
    assert total_of("accuracy", {"accuracy": 0.9, "accuracy_n": 0}) is None


def test_a_metric_that_either_version_lacks_is_not_compared() -> None:
    assert MetricCatalog().compare("f1", {"f1": 0.9}, {}) is None
    assert MetricCatalog().compare("f1", {"f1": math.nan}, {"f1": 0.9}) is None


def test_metrics_with_gates_come_first_then_those_in_the_policy() -> None:
    metrics = catalog(latency_ms={}, f1={})
    found = {"accuracy": 0.9, "accuracy_n": 100, "auc": 0.9, "f1": 0.9, "latency_ms": 40.0, "recall": 0.8}
    assert metrics.by_importance(found, gated=["recall", "missing"]) == [
        "recall",
        "latency_ms",
        "f1",
        "accuracy",
        "auc",
    ]


def test_a_pattern_s_settings_complete_those_of_the_file() -> None:
    policy = validate_policy(
        {
            "models": {"churn*": {"metrics": {"F1": {"noise": 0.01}, "mrr": {"decimals": 2}}}},
            "metrics": {"latency": {"unit": "ms"}, "f1": {"decimals": 3, "direction": "higher"}},
            "directions": {"mrr": "lower"},
        }
    )
    metrics = policy.metrics_for("churn-eu")
    assert list(metrics.settings) == ["f1", "mrr", "latency"]
    assert metrics.settings["f1"] == MetricSettings(decimals=3, direction="higher", noise=0.01)
    assert metrics.directions == {"f1": "higher", "mrr": "lower"}
    assert list(policy.metrics_for("other").settings) == ["latency", "f1"]


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"decimal": 2}, "metrics.f1.decimal"),
        ({"decimals": 2.5}, "metrics.f1.decimals"),
        ({"decimals": -1}, "metrics.f1.decimals"),
        ({"noise": -0.1}, "metrics.f1.noise"),
        ({"direction": "up"}, "metrics.f1.direction"),
        ({"unit": "x" * 13}, "metrics.f1.unit"),
    ],
)
def test_an_error_in_a_metric_s_settings_names_its_path(settings: dict[str, Any], path: str) -> None:
    with pytest.raises(WrongPolicy, match=path):
        validate_policy({"models": {}, "metrics": {"f1": settings}})

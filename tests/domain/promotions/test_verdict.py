"""The verdict names anything against a request first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.domain.promotions.request import RequestSnapshot, pack_snapshot, unpack_snapshot
from bot.domain.promotions.verdict import by_importance, verdict
from bot.domain.registry.metric_catalog import MetricCatalog
from tests.support.slack.card_examples import (
    BETTER,
    CardExample,
    a_churn_request,
    a_policy,
    a_snapshot,
    faulty_examples,
    good_examples,
)

FAULTY = {
    "a gate failed on noise": "❌ 1 of 4 gates fails: f1 0.884, needs ≥ 0.886 (the miss is within noise)",
    "breaks callers": "⚠️ breaks callers · no gates · f1 +2.9%",
    "a blocked version": "❌ 1 of 5 gates fails: blocked, rolled back on 2026-05-04 (Accuracy fell",
    "latency doubled": "4 of 4 gates pass · ⚠️ latency_ms +104%, worse · f1 +2.9%",
    "a frozen model": "✅ 4 of 4 gates pass",  # the card's headline says that Production is frozen
    "a quorum half met": "✅ 4 of 4 gates pass · f1 +2.9%",
    "posted before an upgrade": "❌ 2 of 4 gates fail: f1 0.83, needs ≥ 0.85;",
    "a reported value far above the measured one": "⚠️ f1 reported as 0.950, measured 0.874 · 2 of 2 gates pass",
    "a gain within noise, and a bigger model": ("4 of 4 gates pass · ⚠️ size_mb +150%, worse · f1 +0.3%, within noise"),
    "failed gates overridden": "🔶 1 of 4 gates fails, overridden by @U0BOB: latency_ms 131 ms, needs ≤ 120 ms",
}


def shown(seen: RequestSnapshot | None, **policy: Any) -> str:
    return str(verdict(a_churn_request(seen), a_policy(**policy).metrics_for("churn")))


@pytest.mark.parametrize("example", faulty_examples(), ids=lambda example: example.name)
def test_a_fault_comes_first(example: CardExample) -> None:
    assert str(verdict(example.request, example.metrics)).startswith(FAULTY[example.name])


@pytest.mark.parametrize("example", good_examples(), ids=lambda example: example.name)
def test_only_a_request_without_faults_gets_a_check_mark(example: CardExample) -> None:
    assert str(verdict(example.request, example.metrics)).startswith("✅ 4 of 4 gates pass · ")


def test_a_miss_beyond_the_noise_is_not_excused() -> None:
    assert shown(a_snapshot(BETTER | {"f1": 0.87})).startswith("❌ 1 of 4 gates fails: f1 0.870, needs ≥ 0.886 · ")


def test_a_miss_that_the_decimals_would_hide_is_shown_exactly() -> None:
    assert "latency_ms 120.4, needs ≤ 120" in shown(a_snapshot(BETTER | {"latency_ms": 120.4}))


def test_more_than_two_failed_gates_are_counted() -> None:
    seen = a_snapshot({"f1": 0.1, "latency_ms": 500.0})
    assert "; 1 more" in shown(seen)


def test_a_gate_that_passes_on_a_reported_value_is_named() -> None:
    gates = [{"metric": "recall", "at_least": 0.8}]
    seen = a_snapshot(BETTER, validation={"recall": 0.9}, policy=a_policy(gates=gates))
    assert "1 of 1 gate passes (1 based on a reported value)" in shown(seen)


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (None, "⚠️ No gate results: an older release opened this request"),
        (a_snapshot(BETTER, against={}), "⚠️ no key metrics in common with v6"),
        (RequestSnapshot(), "no gates · ⚠️ no metrics logged"),
    ],
)
def test_missing_facts_are_named(seen: RequestSnapshot | None, says: str) -> None:
    assert shown(seen).endswith(says)


def test_metrics_with_gates_come_first_then_the_policy_s_then_those_that_changed_most() -> None:
    seen = a_snapshot(
        {"a": 1010.0, "b": 2.0, "c": 1.0, "auc": 0.9, "latency_ms": 40.0, "f1": 0.9},
        against={"a": 1000.0, "b": 1.0, "latency_ms": 41.0},
    )
    assert by_importance(seen, a_policy().metrics_for("churn")) == ["f1", "latency_ms", "auc", "b", "a", "c"]


def test_the_value_that_a_failed_metric_needs_survives_the_ledger() -> None:
    seen = a_snapshot(BETTER | {"f1": 0.87})
    assert unpack_snapshot(pack_snapshot(seen)) == seen
    assert [gate.limit for gate in seen.gates if not gate.passed] == [0.886]
    assert all(set(gate) <= {"name", "bound", "value", "passed", "note"} for gate in _passed(seen))


def _passed(seen: RequestSnapshot) -> list[dict[str, Any]]:
    return [gate for gate in pack_snapshot(seen)["gates"] if gate["passed"]]


def test_outside_text_stays_a_value() -> None:
    name = "{0} <!channel>"
    seen = replace(a_snapshot({name: 1.0}, against={name: 2.0}), gates=())
    assert f"⚠️ {name} −50%, worse" in str(verdict(a_churn_request(seen), MetricCatalog()))

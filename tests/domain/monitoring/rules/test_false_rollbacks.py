"""The false rollbacks to expect from armed monitors."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from scipy.stats import beta

from bot.domain.core.actors import Person
from bot.domain.monitoring import messages as monitor_messages
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.rules import false_rollbacks
from bot.domain.monitoring.rules.false_rollbacks import (
    FALSE_ROLLBACKS_PER_MONTH,
    estimate_false_rollbacks,
    expected_per_month,
)
from bot.domain.policy.monitor_config import MonitorConfig
from tests.support.paths import ROOT

NOW = datetime(2026, 5, 4, tzinfo=UTC)
PAGE = ROOT / "docs" / "reference/rule-benchmarks.md"
LIGHT = ("plain", "daily swing", "late labels")  # months whose shocks have no heavy tails


def a_rule(**fields: Any) -> MonitorConfig:
    return MonitorConfig(**{"name": "accuracy", "source": "push", "action": "auto", **fields})


def monitors(*rules: MonitorConfig) -> list[Monitor]:
    """Return monitors of the policy file, so that `action: auto` is armed."""
    return [Monitor(id=f"m{at}", model="churn", rule=rule, created_at=NOW) for at, rule in enumerate(rules)]


def sentence(*rules: MonitorConfig) -> str:
    found = estimate_false_rollbacks(monitors(*rules))
    assert found is not None
    return str(monitor_messages.false_rollback_sentence(found))


# -- rates from the docs -----------------------------------------------------------------------------------------------


def figures(part: str) -> tuple[int, list[dict[str, str]]]:
    """Return how many months of each kind a part of the page has, and the part's first table by column."""
    text = PAGE.read_text(encoding="utf-8").partition(f"<!-- figures: {part} -->")[2].partition("<!-- end -->")[0]
    months = re.search(r"([\d,]+) months of each kind", text)
    assert months is not None
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text[text.index("\n|") + 1 :].split("\n\n")[0].splitlines()
    ]
    return int(months[1].replace(",", "")), [dict(zip(head, row, strict=True)) for row in rows]


def bound(acts: int, months: int) -> float:
    """Return the upper end of the one-sided 95% confidence interval of Clopper and Pearson."""
    return float(beta.ppf(0.95, acts + 1, months - acts))


@pytest.mark.parametrize("rule", ["blocks", "sequential"])
def test_no_rate_is_below_the_one_in_the_docs(rule: str) -> None:
    months, rows = figures("harder")
    found = [row[f"`{rule}`: false rollbacks"] for row in rows if row["φ"] == "0.7" and row["months"] in LIGHT]
    assert len(found) == len(LIGHT)
    assert max(bound(int(acts.split()[0]), months) for acts in found) <= FALSE_ROLLBACKS_PER_MONTH[rule]


def test_no_rate_of_the_default_is_below_its_goals_in_the_docs() -> None:
    months, rows = figures("aims")
    found = [
        row["false rollbacks"] for row in rows if row["months"].endswith("φ = 0.7") and "tails" not in row["months"]
    ]
    assert len(found) == 6
    assert max(bound(int(acts.split()[0]), months) for acts in found) <= FALSE_ROLLBACKS_PER_MONTH["default"]


# -- one monitor -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["default", "blocks", "sequential"])
def test_a_rule_with_the_simulated_settings_has_its_rate(rule: str) -> None:
    assert expected_per_month(a_rule(rule=rule)) == FALSE_ROLLBACKS_PER_MONTH[rule]


@pytest.mark.parametrize(
    "fields",
    [
        {"fail_after": 3},
        {"sigma": 4},
        {"window": "2h"},
        {"min_effect": "3%"},
        {"hard_limit": 0.5},
        {"rule": "sequential", "alpha": 0.001},
        {"rule": "sequential", "window": "10m"},
    ],
)
def test_settings_that_act_no_sooner_have_the_same_rate(fields: dict[str, Any]) -> None:
    rule = a_rule(**fields)
    assert expected_per_month(rule) == FALSE_ROLLBACKS_PER_MONTH[str(rule.rule)]


@pytest.mark.parametrize(
    "fields",
    [
        {"fail_after": 1},
        {"sigma": 2.9},
        {"window": "30m"},
        {"min_effect": "1%"},
        {"min_effect": "0.5 abs"},
        {"min_effect": "10% of error"},
        {"rule": "sequential", "alpha": 0.02},
        {"greater_than": 0.85},
    ],
)
def test_settings_that_act_sooner_have_no_rate(fields: dict[str, Any]) -> None:
    assert expected_per_month(a_rule(**fields)) is None


# -- all armed monitors ------------------------------------------------------------------------------------------------


def test_rates_add_up() -> None:
    found = estimate_false_rollbacks(monitors(a_rule(), a_rule(rule="blocks"), a_rule(rule="sequential")))
    assert found is not None
    assert (found.armed, found.counted) == (3, 3)
    assert found.per_month == pytest.approx(sum(FALSE_ROLLBACKS_PER_MONTH.values()))


def test_only_armed_monitors_count() -> None:
    armed, asks, paused, disarmed = monitors(a_rule(), a_rule(action="ask"), a_rule(), a_rule())
    paused = replace(paused, is_paused=True)
    disarmed = replace(disarmed, created_by=Person("T1", "UBOB"))  # added in Slack, and not armed yet
    assert estimate_false_rollbacks([armed, asks, paused, disarmed]) == estimate_false_rollbacks([armed])
    assert estimate_false_rollbacks([asks, paused, disarmed]) is None


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (
            [{}],
            "1 monitor is armed. Based on simulations, expect at most 0.002 false rollbacks a month "
            "(docs/explanation/statistics.md).",
        ),
        (
            [{}, {"hard_limit": 0.5}, {"greater_than": 0.85}],
            "3 monitors are armed. Based on simulations, expect at most 0.004 false rollbacks a month "
            "(docs/explanation/statistics.md). "
            "Not counted: 1 threshold and 1 hard limit.",
        ),
        (
            [{}, *[{"greater_than": 0.85, "hard_limit": 0.5}] * 2, {"sigma": 1}],
            "4 monitors are armed. Based on simulations, expect at most 0.002 false rollbacks a month "
            "(docs/explanation/statistics.md). "
            "Not counted: 2 thresholds, 2 hard limits, and 1 monitor with looser settings.",
        ),
        (
            [{"greater_than": 0.85}],
            "1 monitor is armed. Backtest it to see how often it would roll back for no reason.",
        ),
        (
            [{"greater_than": 0.85}, {"window": "10m"}],
            "2 monitors are armed. Backtest them to see how often they would roll back for no reason.",
        ),
    ],
)
def test_the_estimate_is_explained(rules: list[dict[str, Any]], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(false_rollbacks, "FALSE_ROLLBACKS_PER_MONTH", {"default": 0.002})
    assert sentence(*(a_rule(**fields) for fields in rules)) == said

"""A version in Production compared with a policy that doesn't apply yet."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bot.domain.policy.policy import TargetRule
from bot.domain.promotions.gates import GateFacts
from bot.domain.promotions.holder_gates import check_holder
from bot.domain.registry.assessment import HolderGates
from bot.domain.registry.model import Stage, VersionInfo
from bot.domain.registry.model_card import ModelCard


def check(*gates: dict[str, Any], are_files_read: bool = True, **facts: Any) -> HolderGates:
    version = VersionInfo(model="churn", version=3, stage=Stage.PRODUCTION)
    usual: dict[str, Any] = {
        "metrics": {"f1": 0.8},
        "missing": ModelCard(model_name="churn", version=3, stage="Production").missing(),
    }
    rule = TargetRule.model_validate({"gates": list(gates)})
    found = GateFacts(version=version, now=datetime.now(UTC), **(usual | facts))
    return check_holder(rule, found, are_files_read=are_files_read)


def test_a_gate_that_the_version_passes_is_not_listed() -> None:
    assert check({"metric": "f1", "at_least": 0.7}, {"signature": "compatible"}) == HolderGates(has_rule=True)


def test_a_failed_gate_says_why() -> None:
    assert [str(one) for one in check({"metric": "f1", "at_least": 0.9}).failed] == ["f1 is 0.8, required: ≥ 0.9"]


def test_the_version_is_not_compared_with_itself() -> None:
    assert check({"metric": "f1", "not_worse_than_incumbent_by": 0.01}).failed == ()


def test_a_missing_metric_fails_even_without_an_incumbent() -> None:
    assert len(check({"metric": "auc", "not_worse_than_incumbent_by": 0.01}).failed) == 1


def test_a_model_without_a_rule_is_reported() -> None:
    facts = GateFacts(version=VersionInfo(model="churn", version=3, stage=Stage.PRODUCTION), now=datetime.now(UTC))
    assert check_holder(None, facts, are_files_read=True) == HolderGates(has_rule=False)


@pytest.mark.parametrize(
    "gate",
    [{"in_staging_for": "24h"}, {"not_blocked": True}, {"metric": "validation_auc", "at_least": 0.5}],
)
def test_a_gate_that_needs_more_than_the_registry_does_not_fail(gate: dict[str, Any]) -> None:
    found = check(gate)
    assert (found.failed, len(found.unchecked)) == ((), 1)


@pytest.mark.parametrize("gate", [{"signature": "compatible"}, {"card": ["owner", "framework"]}])
def test_a_gate_about_files_that_were_not_read_does_not_fail(gate: dict[str, Any]) -> None:
    found = check(gate, are_files_read=False)
    assert (found.failed, len(found.unchecked)) == ((), 1)


def test_other_card_fields_are_checked_without_files() -> None:
    assert len(check({"card": ["owner"]}, are_files_read=False).failed) == 1


def test_a_run_s_own_metric_can_stand_for_a_reported_result() -> None:
    gate = {"metric": "validation_auc", "at_least": 0.5}
    assert check(gate, metrics={"validation_auc": 0.6}) == HolderGates(has_rule=True)

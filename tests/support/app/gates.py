"""A running bot whose policy has gates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.domain.policy.parser import validate_policy
from bot.domain.policy.policy import Policy
from bot.domain.registry.model import Stage
from tests.support.app.app_fixture import POLICY
from tests.support.registry.memory import MemoryRegistry

GATES: list[Mapping[str, Any]] = [
    {"metric": "accuracy", "at_least": 0.85},
    {"metric": "latency_ms", "not_worse_than_incumbent_by": 5},
]


def policy_with(**production: Any) -> Policy:
    """Return the tests' policy with additions to the rule for Production."""
    models = {"*": POLICY["models"]["*"] | {"production": {"approvers": ["lead"], "expires_after": "24h"} | production}}
    return validate_policy(POLICY | {"models": models})


def registry_with_metrics() -> MemoryRegistry:
    """Return a registry with v3 in Production, a better v4, and a v5 that fails the gates."""
    registry = MemoryRegistry()
    registry.add_model("churn", versions=[Stage.ARCHIVED, Stage.NONE])
    figures = {3: (0.88, 20.0), 4: (0.91, 22.0), 5: (0.80, 60.0)}
    for number, (accuracy, latency) in figures.items():
        registry.add_run(f"run{number}", metrics={"accuracy": accuracy, "latency_ms": latency})
        registry.add_version("churn", stage=Stage.PRODUCTION if number == 3 else Stage.NONE, run_id=f"run{number}")
    registry.set_alias("churn", "champion", 3)
    return registry

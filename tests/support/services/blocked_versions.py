"""A version that was rolled back, and its unblocking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from bot.domain.commands.parser import build_command
from bot.domain.commands.rollbacks import Unblock
from bot.domain.policy.parser import validate_policy
from bot.domain.promotions.request import Request
from tests.support.services.bench import BOB, POLICY, Bench
from tests.support.services.rollbacks import ROLL_BACK

REQUEST_AGAIN = "promote churn 4 production"


def set_production_rule(bench: Bench, *gates: Mapping[str, Any], **production: Any) -> None:
    """Apply these gates and this rule to Production of every model."""
    stages = {
        "staging": {"approvers": ["lead"]},
        "production": {"approvers": ["lead"], "gates": list(gates)} | production,
    }
    bench.context.active_policy.replace(validate_policy(POLICY | {"models": {"*": stages}}), "edited")


@pytest.fixture
def bad(served: Bench) -> Bench:
    """Return a bench whose v4 was rolled back, so v2 is in Production again."""
    served.do(ROLL_BACK, BOB)
    served.clock.advance(hours=1)
    return served


def unblock(bench: Bench, version: int = 4) -> None:
    command = build_command(Unblock, {"model": "churn", "version": str(version), "reason": "it was the feature store"})
    bench.execute(BOB, command)


def failed_gates(request: Request) -> list[str]:
    return [gate.name for gate in request.seen.failed_gates] if request.seen else []

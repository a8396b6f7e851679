"""Policies with a different rule for Production."""

from __future__ import annotations

from bot.domain.policy.parser import validate_policy
from tests.support.services.bench import POLICY, Bench


def with_production_rule(
    bench: Bench, production: dict[str, object], roles: dict[str, list[str]] | None = None
) -> Bench:
    """Return the bench with a different rule for Production."""
    models = POLICY["models"] | {"*": {"production": production}}
    bench.context.active_policy.replace(
        validate_policy(POLICY | {"models": models, "roles": roles or POLICY["roles"]}), "another"
    )
    return bench

"""Notices about a valid policy: what's likely not intended."""

from __future__ import annotations

from bot.domain.policy.policy import Policy, shadowed_patterns, unsigned_endpoints
from bot.domain.promotions.approvers import rules_unmeetable_for_approvers

UNMEETABLE_RULE = "This rule can't be met: {}."


def policy_notices(policy: Policy) -> list[str]:
    """Return what is right and worth knowing."""
    kinds = (
        ("Only people who aren't approvers can request here: {}.", rules_unmeetable_for_approvers(policy)),
        ("Events go out unsigned for want of a secret_env: {}.", unsigned_endpoints(policy)),
        ("This pattern holds for no model, since another one wins wherever it matches: {}.", shadowed_patterns(policy)),
    )
    return [text.format(subject) for text, subjects in kinds for subject in subjects]

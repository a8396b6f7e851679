"""TODO handlers.doctor.policy_notices"""

from __future__ import annotations

from bot.domain.policy.policy import Policy, beaten_patterns, unsigned_endpoints
from bot.domain.promotions.approvers import rules_for_others

UNMEETABLE = "This rule can't be met: {}."


def notices(policy: Policy) -> list[str]:
    """Return what is right and worth knowing."""
    kinds = (
        ("Only people who aren't approvers can request here: {}.", rules_for_others(policy)),
        ("Events go out unsigned for want of a secret_env: {}.", unsigned_endpoints(policy)),
        ("This pattern holds for no model, since another one wins wherever it matches: {}.", beaten_patterns(policy)),
    )
    return [text.format(one) for text, found in kinds for one in found]

"""Notices about a valid policy: rules that are probably unintended."""

from __future__ import annotations

from bot.domain.policy.model_patterns import shadowed_patterns
from bot.domain.policy.policy import Policy, unsigned_endpoints
from bot.domain.promotions.approvers import rules_unmeetable_for_approvers

UNMEETABLE_RULE = "This rule can't be met: {}."


def policy_notices(policy: Policy) -> list[str]:
    """Return the notices, one sentence each."""
    kinds = (
        (
            "Approvers can't request promotions here, because they can't approve their own: {}.",
            rules_unmeetable_for_approvers(policy),
        ),
        ("Events are sent unsigned, because secret_env isn't set: {}.", unsigned_endpoints(policy)),
        (
            "This pattern never applies, because another one takes precedence for every match: {}.",
            shadowed_patterns(policy.models),
        ),
    )
    return [text.format(subject) for text, subjects in kinds for subject in subjects]

"""Read what the policy says about a model."""

from __future__ import annotations

from bot.domain.core.sentence import Sentence
from bot.domain.policy.freezes import active_freeze
from bot.domain.policy.messages import describe_rules
from bot.services.core.context import Context


class PolicyQueries:
    """Reads the active policy, and the freezes that go with it."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def policy_summary(self, model: str) -> list[Sentence]:
        """Return the rules for a model in sentences, and whether its Production is frozen now."""
        policy = self._context.policy
        lines = describe_rules(policy, model, self._context.active_policy.revision)
        with self._context.ledger.read() as reader:
            freeze = active_freeze(model, reader.freezes(), policy, self._context.clock.now())
        return lines + ([freeze.description] if freeze else [])

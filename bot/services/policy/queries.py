"""Read what the policy says about a model."""

from __future__ import annotations

from functools import partial

from bot.domain.commands.policy import ShowPolicy
from bot.domain.core.sentence import Sentence
from bot.domain.policy.freezes import active_freeze
from bot.domain.policy.messages import describe_rules
from bot.services.core.commands import QueryHandlers
from bot.services.core.context import Context


def policy_queries(context: Context) -> QueryHandlers:
    """Return the handlers for queries about the policy."""
    return {ShowPolicy: partial(_summarize_policy, context)}


def _summarize_policy(context: Context, command: ShowPolicy) -> list[Sentence]:
    """Return a model's rules and its Production freeze, if any, as sentences."""
    policy = context.policy
    lines = describe_rules(policy, command.model, context.active_policy.revision)
    with context.ledger.read() as reader:
        freeze = active_freeze(command.model, reader.freezes(), policy, context.clock.now())
    return lines + ([freeze.description] if freeze else [])

"""Compares a version that's already in Production with a policy that doesn't apply yet."""

from __future__ import annotations

from bot.domain.core.sentence import Code, Sentence, say
from bot.domain.policy.gate_config import (
    VALIDATION_PREFIX,
    CardGate,
    Gate,
    InStagingGate,
    MetricGate,
    NotBlockedGate,
    SignatureGate,
)
from bot.domain.policy.policy import TargetRule
from bot.domain.promotions.gates import GateFacts, check_gates, describe_gate_result
from bot.domain.registry.assessment import HolderGates
from bot.domain.registry.model_card import CARD_FIELDS_FROM_FILES


def check_holder(rule: TargetRule | None, facts: GateFacts, *, are_files_read: bool) -> HolderGates:
    """Return which of the rule's gates a version fails, and why others can't be checked.

    A gate can't be checked if it needs Registrar's ledger, a result that the requester reports, or files that weren't
    read (`are_files_read`). `facts` has no incumbent, because the version is the incumbent. `rule` is None if the
    policy has none.
    """
    if rule is None:
        return HolderGates(has_rule=False)
    reasons = [(gate, _why_unchecked(gate, facts, are_files_read=are_files_read)) for gate in rule.gates]
    results = check_gates([gate for gate, reason in reasons if reason is None], facts)
    return HolderGates(
        has_rule=True,
        failed=tuple(describe_gate_result(result) for result in results if not result.passed),
        unchecked=tuple(reason for _, reason in reasons if reason),
    )


def _why_unchecked(gate: Gate, facts: GateFacts, *, are_files_read: bool) -> Sentence | None:
    """Return why a gate can't be checked, or None if it can."""
    match gate:
        case InStagingGate():
            return say("{gate}: only Registrar's ledger has the time in Staging", gate=Code("in_staging_for"))
        case NotBlockedGate():
            return say("{gate}: only Registrar's ledger has blocks", gate=Code("not_blocked"))
        case MetricGate(metric=metric) if metric.startswith(VALIDATION_PREFIX) and metric not in facts.metrics:
            return say("{gate}: the requester reports this result", gate=Code(metric))
        case SignatureGate() if not are_files_read:
            return say("{gate}: the model's files weren't read", gate=Code("signature"))
        case CardGate(card=fields) if not are_files_read and CARD_FIELDS_FROM_FILES.intersection(fields):
            return say("{gate}: the model's files weren't read", gate=Code("card"))
        case _:
            return None

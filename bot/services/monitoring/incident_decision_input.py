"""Collects from the ledger what the decision about a failing monitor depends on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bot.domain.audit.events import EventTag
from bot.domain.core.actors import Automation
from bot.domain.monitoring.incident import ONE_DAY
from bot.domain.monitoring.incident_decision import DecisionInput
from bot.domain.monitoring.monitor import Monitor
from bot.domain.policy.freezes import active_freeze
from bot.domain.policy.policy import Policy
from bot.domain.registry.model import TARGET_STAGES, Stage
from bot.domain.rollbacks.rollback import ServingPeriod, last_good_version, rollback_targets, serving_periods
from bot.domain.transitions import restore_messages
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState
from bot.ports import LedgerReader as Ledger
from bot.ports import LedgerTransaction
from bot.services.monitoring.checks import CheckResult
from bot.services.rollbacks.rollbacks import MAX_TRANSITIONS

MAX_RESETS = 100  # latest resets of circuit breakers that are read


def build_decision_input(
    tx: LedgerTransaction, policy: Policy, result: CheckResult, has_common_cause: bool
) -> DecisionInput:
    """Return what `decide` needs to know about a failing monitor, read in the transaction that records the decision.

    `has_common_cause`: many monitors of its source fail together.
    """
    model, now, term = result.monitor.model, result.at, result.term
    assert term is not None
    transitions = tx.transitions(model, stage=Stage.PRODUCTION, limit=MAX_TRANSITIONS)
    served = serving_periods(transitions)
    finish_times = [
        transition.finished_at
        for transition in transitions
        if transition.kind is TransitionKind.ROLLBACK and transition.state is TransitionState.DONE
    ]
    recent_rollbacks = _counted_rollbacks(tx, now)
    requests = filter(None, (tx.open_request(model, stage) for stage in TARGET_STAGES))
    target = rollback_target(tx, result.monitor, served, now)
    nearest = next(iter(rollback_targets(served, _blocked_versions(tx, model), tx.registry_snapshot(model))), None)
    return DecisionInput(
        monitor=result.monitor,
        model=model,
        version=term.version,
        transition_id=term.transition_id,
        now=now,
        serving_transition_id=served[0].started_by.id if served and served[0].until is None else None,
        last_rollback_at=next(filter(None, finish_times), None),
        auto_rollbacks_of_model=sum(transition.model == model for transition in recent_rollbacks),
        auto_rollbacks_of_all=len(recent_rollbacks),
        max_auto_rollbacks=policy.max_auto,
        breaker=next((breaker for breaker in tx.tripped_breakers() if breaker.model in {"", model}), None),
        freeze=active_freeze(model, tx.freezes(), policy, now),
        open_request=next((request.id for request in requests), None),
        hold_reason=restore_messages.automation_stopped_reason() if tx.active_hold() else None,
        target=target,
        skipped_target=nearest if nearest != target else None,
        has_common_cause=has_common_cause,
    )


def rollback_target(reader: Ledger, monitor: Monitor, served: Sequence[ServingPeriod], now: datetime) -> int | None:
    """Return the version that a monitor would roll back to; None if there is none.

    `served` are the model's serving periods, newest first.
    """
    blocked, snapshot = _blocked_versions(reader, monitor.model), reader.registry_snapshot(monitor.model)
    return last_good_version(served, blocked, now, monitor.rule.min_served, snapshot)


def _blocked_versions(reader: Ledger, model: str) -> set[int]:
    return {block.version for block in reader.rollback_blocks(model)}


def _counted_rollbacks(reader: Ledger, now: datetime) -> list[Transition]:
    """Return the automatic rollbacks of the last day that count against the limits.

    They're done or in progress, and no admin has reset the circuit breaker since.
    """
    resets = reader.latest_audit_events(tags=(EventTag.BREAKER_RESET,), since=now - ONE_DAY, limit=MAX_RESETS)
    return [
        transition
        for transition in reader.rollbacks(now - ONE_DAY)
        if isinstance(transition.actor, Automation)
        and transition.state not in {TransitionState.STALE, TransitionState.FAILED}
        and not any(
            reset.event.model in {None, transition.model} and reset.event.at >= transition.intended_at
            for reset in resets
        )
    ]

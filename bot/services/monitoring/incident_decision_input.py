"""Collects from the ledger what the decision about a failing monitor depends on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bot.domain.audit.events import ChainedEvent, EventTag
from bot.domain.core.actors import Automation
from bot.domain.monitoring.incident import ONE_DAY
from bot.domain.monitoring.incident_decision import DecisionInput
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.state import ProductionTerm
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
    tx: LedgerTransaction, policy: Policy, result: CheckResult, term: ProductionTerm, has_common_cause: bool
) -> DecisionInput:
    """Return what `decide` needs to know about a failing monitor, read in the transaction that records the decision.

    `has_common_cause`: many monitors of its source fail together.
    """
    model, now = result.monitor.model, result.at
    transitions = tx.transitions(model, stage=Stage.PRODUCTION, limit=MAX_TRANSITIONS)
    served = serving_periods(transitions)
    recent_rollbacks = [
        transition
        for transition in tx.rollbacks(now - ONE_DAY)
        if isinstance(transition.actor, Automation) and _counts_against_limit(transition)
    ]
    resets = tx.latest_audit_events(tags=(EventTag.BREAKER_RESET,), since=now - ONE_DAY, limit=MAX_RESETS)
    recent_rollbacks = [transition for transition in recent_rollbacks if not _was_reset_since(transition, resets)]
    finish_times = [
        transition.finished_at
        for transition in transitions
        if transition.kind is TransitionKind.ROLLBACK and transition.state is TransitionState.DONE
    ]
    request = next(filter(None, (tx.open_request(model, stage) for stage in TARGET_STAGES)), None)
    tripped = [breaker for breaker in tx.tripped_breakers() if breaker.model in {"", model}]
    target, nearest = rollback_target(tx, result.monitor, served, now), _nearest_target(tx, model, served)
    return DecisionInput(
        monitor=result.monitor,
        model=model,
        version=term.version,
        transition_id=term.transition_id,
        now=now,
        serving_transition_id=served[0].started_by.id if served and served[0].until is None else None,
        last_rollback_at=next((at for at in finish_times if at), None),
        auto_rollbacks_of_model=sum(transition.model == model for transition in recent_rollbacks),
        auto_rollbacks_of_all=len(recent_rollbacks),
        max_auto_rollbacks=policy.max_auto,
        breaker=tripped[0] if tripped else None,
        freeze=active_freeze(model, tx.freezes(), policy, now),
        open_request=request.id if request else None,
        hold_reason=restore_messages.automation_stopped_reason() if tx.active_hold() else None,
        target=target,
        skipped_target=nearest if nearest != target else None,
        has_common_cause=has_common_cause,
    )


def rollback_target(reader: Ledger, monitor: Monitor, served: Sequence[ServingPeriod], now: datetime) -> int | None:
    """Return the version that a monitor would roll back to; None if there is none.

    `served` are the model's serving periods, newest first.
    """
    blocked = {block.version for block in reader.rollback_blocks(monitor.model)}
    return last_good_version(served, blocked, now, monitor.rule.min_served, reader.registry_snapshot(monitor.model))


def _nearest_target(reader: Ledger, model: str, served: Sequence[ServingPeriod]) -> int | None:
    """Return the previous version, no matter how long it served."""
    blocked = {block.version for block in reader.rollback_blocks(model)}
    return next(iter(rollback_targets(served, blocked, reader.registry_snapshot(model))), None)


def _counts_against_limit(move: Transition) -> bool:
    """Tell whether an automatic rollback counts against the limit: it's done or in progress."""
    return move.state not in {TransitionState.STALE, TransitionState.FAILED}


def _was_reset_since(move: Transition, resets: Sequence[ChainedEvent]) -> bool:
    """Tell whether an admin reset the circuit breaker after this rollback, which then no longer counts."""
    events = [reset.event for reset in resets if reset.event.model in {None, move.model}]
    return any(event.at >= move.intended_at for event in events)

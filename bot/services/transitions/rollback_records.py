"""Record what goes with a rollback, in the caller's transaction: block, tags, messages, and the incident's state."""

from __future__ import annotations

from dataclasses import replace

from bot.domain.core.actors import Automation
from bot.domain.core.sentence import Sentence, say
from bot.domain.monitoring.incident import IncidentDecision, IncidentStatus
from bot.domain.policy.freezes import active_freeze
from bot.domain.registry.model import VersionIdentity
from bot.domain.rollbacks import messages as words
from bot.domain.rollbacks import rollback as rollback_rules
from bot.domain.rollbacks.rollback import block_after_rollback, target_refusal
from bot.domain.transitions import registry_tags
from bot.domain.transitions.transition import Transition, TransitionState, transition_time
from bot.ports import LedgerReader, LedgerTransaction, MessageKind, OutboxMessage, TagUpdate
from bot.services.core.context import Context
from bot.services.core.outbox_messages import incident_message, thread_message


def rollback_ordering_key(transition: Transition) -> str:
    """Return the ordering key for messages about a rollback: that of its incident, or its own."""
    return transition.incident or transition.id


def rollback_message(transition: Transition, trigger: str, channel: str) -> OutboxMessage:
    """Return the message that redraws a person's rollback."""
    return OutboxMessage(
        key=f"rollback:{transition.id}:{trigger}", lane=transition.id, kind=MessageKind.ROLLBACK, to=channel
    )


def why_not_a_target(reader: LedgerReader, model: str, version: int) -> Sentence | None:
    """Return why a version can't be a rollback target, according to the ledger; None if it can."""
    blocked = {block.version for block in reader.rollback_blocks(model)}
    why = target_refusal(version, reader.production_entries(model, version), blocked, reader.registry_snapshot(model))
    return None if why is None else words.not_a_target_refusal(model, version, why)


def identity_when_served(reader: LedgerReader, model: str, version: int) -> VersionIdentity | None:
    """Return the identity that a version had when it served; a rollback restores only that one."""
    return rollback_rules.identity_in_production(
        reader.production_entries(model, version), reader.registry_snapshot(model)
    )


def begin_rollback(tx: LedgerTransaction, context: Context, transition: Transition) -> bool:
    """Add the transition for a rollback, with its messages; return False if it already exists."""
    if not tx.add_transition(transition):
        return False
    channel = context.policy.channel_for(transition.model)
    if not transition.incident:
        tx.add_message(rollback_message(transition, "begun", channel))
    tx.add_message(
        thread_message(
            rollback_ordering_key(transition), f"{transition.id}:begun", words.rollback_started_announcement(transition)
        )
    )
    freeze = (
        None
        if isinstance(transition.actor, Automation)
        else active_freeze(transition.model, tx.freezes(), context.policy, context.clock.now())
    )
    if freeze is not None:
        tx.add_message(
            thread_message(
                rollback_ordering_key(transition),
                f"{transition.id}:frozen",
                words.rollback_despite_freeze_notice(freeze),
            )
        )
    return True


def record_end(
    tx: LedgerTransaction, context: Context, transition: Transition, decision: IncidentDecision | None
) -> None:
    """Record the results of a finished rollback; `decision` is the incident's outcome, if it isn't the default."""
    ordering_key, channel = rollback_ordering_key(transition), context.policy.channel_for(transition.model)
    if transition.state is TransitionState.DONE:
        _record_done(tx, context, transition, ordering_key)
    else:
        tx.add_message(
            thread_message(ordering_key, f"{transition.id}:ended", words.rollback_failed_announcement(transition))
        )
    if transition.incident:
        _update_incident(tx, transition, decision, channel)
    else:
        tx.add_message(rollback_message(transition, "ended", channel))


def _record_done(tx: LedgerTransaction, context: Context, transition: Transition, ordering_key: str) -> None:
    at = transition_time(transition)
    tx.add_message(
        thread_message(
            ordering_key, f"{transition.id}:moved", words.rollback_done_announcement(transition, context.champion)
        )
    )
    block = block_after_rollback(transition, context.new_id(), at)
    if block:
        tx.add_rollback_block(block)  # also if there is an older one: the version came back, or its number was reused
        tx.add_message(
            thread_message(ordering_key, f"{transition.id}:barred", words.version_blocked_announcement(transition))
        )
        tx.add_tag_update(
            TagUpdate(
                id=f"{transition.id}:out",
                model=transition.model,
                version=block.version,
                tags=registry_tags.rolled_back_tags(transition, at),
            )
        )
    tx.add_tag_update(
        TagUpdate(
            id=f"{transition.id}:in",
            model=transition.model,
            version=transition.version,
            tags=registry_tags.restored_tags(transition, at),
            lane=ordering_key,
        )
    )


def _update_incident(
    tx: LedgerTransaction, transition: Transition, decision: IncidentDecision | None, channel: str
) -> None:
    incident = tx.incident(str(transition.incident))
    if decision is None:
        status = {
            TransitionState.DONE: IncidentStatus.ROLLED_BACK,
            TransitionState.STALE: IncidentStatus.SUPERSEDED,
        }.get(transition.state, IncidentStatus.FAILED)
        decision = IncidentDecision(status, say("{why}", why=transition.why) if transition.why else None)
    tx.save_incident(replace(incident, doing=decision.status, why=decision.why))
    tx.add_message(incident_message(incident, f"{transition.id}:ended", channel))

"""Record a rollback's effects in the caller's transaction: block, tags, messages, and the incident's state."""

from __future__ import annotations

from dataclasses import replace

from bot.domain.core.actors import Automation
from bot.domain.core.sentence import MessageLink, Sentence, say
from bot.domain.monitoring.incident import IncidentDecision, IncidentStatus
from bot.domain.monitoring.reasons import Reason, reason_of
from bot.domain.policy.freezes import active_freeze
from bot.domain.registry.model import VersionIdentity
from bot.domain.rollbacks import messages as words
from bot.domain.rollbacks import rollback_targets as rollback_rules
from bot.domain.rollbacks.rollback_targets import block_after_rollback, target_refusal
from bot.domain.transitions import registry_tags
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState, transition_time
from bot.ports import LedgerReader, LedgerTransaction, MessageKind, OutboxMessage, TagUpdate
from bot.services.core.context import Context
from bot.services.core.outbox_messages import card_message, incident_message, thread_message


def progress_messages(
    reader: LedgerReader, context: Context, transition: Transition, trigger: str
) -> list[OutboxMessage]:
    """Return the outbox message, if any, that redraws a transition's own message.

    That's a request's card, an incident, or a rollback; other transitions have none. `trigger` makes its key unique.
    """
    channel = context.policy.channel_for(transition.model)
    if transition.request:
        return [card_message(reader.request(transition.request), trigger, channel)]
    if transition.incident:
        return [incident_message(reader.incident(transition.incident), f"{transition.id}:{trigger}", channel)]
    if transition.kind is not TransitionKind.ROLLBACK:
        return []
    key = f"rollback:{transition.id}:{trigger}"
    return [OutboxMessage(key=key, lane=transition.id, kind=MessageKind.ROLLBACK, to=channel)]


def progress_link(transition: Transition, channel: str) -> MessageLink:
    """Return a link to the message in `channel` that shows a rollback's progress: its own, or its incident's."""
    return MessageLink(
        transition.incident or transition.id, channel, "See the message", posted_by=f"rollback:{transition.id}:begun"
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
    """Add the transition for a rollback, with its message; return False if it already exists.

    For an incident, a person's rollback is announced in the thread, and a monitor's by the incident's own messages.
    """
    if not tx.add_transition(transition):
        return False
    if not transition.incident:
        tx.add_message(*progress_messages(tx, context, transition, "begun"))
    elif not isinstance(transition.actor, Automation):
        freeze = active_freeze(transition.model, tx.freezes(), context.policy, context.clock.now())
        started = words.rollback_started_announcement(transition, freeze)
        tx.add_message(thread_message(transition.incident, f"{transition.id}:begun", started))
    return True


def record_end(
    tx: LedgerTransaction, context: Context, transition: Transition, decision: IncidentDecision | None
) -> None:
    """Record the results of a finished rollback; `decision` is the incident's outcome, if it isn't the default."""
    if transition.state is TransitionState.DONE:
        _record_done(tx, context, transition)
    else:
        failed = words.rollback_failed_announcement(transition)
        tx.add_message(thread_message(transition.incident or transition.id, f"{transition.id}:ended", failed))
    if transition.incident:
        _update_incident(tx, transition, decision)
    tx.add_message(*progress_messages(tx, context, transition, "ended"))


def _record_done(tx: LedgerTransaction, context: Context, transition: Transition) -> None:
    at = transition_time(transition)
    block = block_after_rollback(transition, context.new_id(), at)
    if block:
        tx.add_rollback_block(block)  # also if there is an older one: the version came back, or its number was reused
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
        )
    )


def _update_incident(tx: LedgerTransaction, transition: Transition, decision: IncidentDecision | None) -> None:
    incident = tx.incident(str(transition.incident))
    if decision is None:
        status = {
            TransitionState.DONE: IncidentStatus.ROLLED_BACK,
            TransitionState.STALE: IncidentStatus.SUPERSEDED,
        }.get(transition.state, IncidentStatus.FAILED)
        skipped = incident.why if reason_of(incident.why) == Reason.TARGET_SKIPPED else None
        decision = IncidentDecision(status, say("{why}", why=transition.why) if transition.why else skipped)
    tx.save_incident(replace(incident, doing=decision.status, why=decision.why))

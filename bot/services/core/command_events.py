"""Audit events about commands."""

from __future__ import annotations

from datetime import datetime

from bot.domain.audit.events import Event, EventTag
from bot.domain.commands.promotions import Promote
from bot.ports import QueuedCommand


def _is_promotion(queued: QueuedCommand) -> bool:
    return str(queued.command.get("verb", Promote.verb)) == Promote.verb


def submitted_tag(queued: QueuedCommand) -> EventTag:
    """Return the tag of the event about a submission."""
    return EventTag.PROMOTION_REQUESTED if _is_promotion(queued) else EventTag.REGISTRY_CHANGE_REQUESTED


def refused_tag(queued: QueuedCommand) -> EventTag:
    """Return the tag of the event about a refusal."""
    return EventTag.PROMOTION_REFUSED if _is_promotion(queued) else EventTag.REGISTRY_CHANGE_REFUSED


def command_event(
    queued: QueuedCommand, tag: EventTag, now: datetime, *, origin: str, why: str = "", **evidence: object
) -> Event:
    """Return an audit event about a command; `evidence` is added to its arguments, without empty values."""
    model = queued.command.get("model")
    return Event(
        at=now,
        actor=queued.caller,
        tag=tag,
        subject=f"ask:{queued.id}",
        model=str(model) if model else None,
        why=why,
        origin=origin,
        evidence=queued.command | {key: value for key, value in evidence.items() if value},
    )

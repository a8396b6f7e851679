"""TODO bot.services.core.command_events"""

from __future__ import annotations

from datetime import datetime

from bot.domain.audit.events import Event, Tag
from bot.domain.commands.requests import Promote
from bot.ports import Ask


def _is_promotion(ask: Ask) -> bool:
    return str(ask.command.get("verb", Promote.verb)) == Promote.verb


def _asked(ask: Ask) -> Tag:
    return Tag.ASKED if _is_promotion(ask) else Tag.COMMANDED


def _refused(ask: Ask) -> Tag:
    return Tag.ASK_REFUSED if _is_promotion(ask) else Tag.COMMAND_REFUSED


def _event(ask: Ask, tag: Tag, now: datetime, *, origin: str, why: str = "", **more: object) -> Event:
    """Return the event of an ask; `more` is evidence beside the command, where there is any."""
    model = ask.command.get("model")
    return Event(
        at=now,
        actor=ask.caller,
        tag=tag,
        subject=f"ask:{ask.id}",
        model=str(model) if model else None,
        why=why,
        origin=origin,
        evidence=ask.command | {key: value for key, value in more.items() if value},
    )

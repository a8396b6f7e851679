"""Find the Slack thread for news about the version in Production."""

from __future__ import annotations

from bot.domain.registry.model import Stage
from bot.domain.rollbacks.rollback import serving_periods
from bot.ports import LedgerReader
from bot.services.core.outbox_messages import ordering_key_of

MAX_TRANSITIONS = 40  # of Production: enough to tell which version serves now


def production_thread(reader: LedgerReader, model: str) -> str | None:
    """Return the ordering key of the message about how the present version got into Production.

    None if nothing is in Production, or if Slack has no such message.
    """
    served = serving_periods(reader.transitions(model, stage=Stage.PRODUCTION, limit=MAX_TRANSITIONS))
    if not served or served[0].until is not None:
        return None
    ordering_key = ordering_key_of(served[0].started_by)
    return ordering_key if reader.message_ref(ordering_key) is not None else None

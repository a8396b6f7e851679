"""Where news about the version in Production belongs in Slack."""

from __future__ import annotations

from bot.domain.registry.model import Stage
from bot.domain.rollbacks.rollback import stretches
from bot.ports import Reading
from bot.services.core.outbox_messages import lane_of

MOVES = 40  # of Production: enough to tell which version serves now


def thread_of(reading: Reading, model: str) -> str | None:
    """Return the lane of the message about how the present version got into Production.

    None if nothing is in Production, or if Slack has no such message.
    """
    served = stretches(reading.moves(model, stage=Stage.PRODUCTION, most=MOVES))
    if not served or served[0].until is not None:
        return None
    lane = lane_of(served[0].began)
    return lane if reading.posting(lane) is not None else None

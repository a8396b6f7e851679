"""`Answer` and `Outcome`, which source plugins for 0.2 import from here. Kept for one release; use bot.sources."""

from bot.domain.monitoring.readings import Answer
from bot.domain.monitoring.readings import CheckOutcome as Outcome

__all__ = ["Answer", "Outcome"]

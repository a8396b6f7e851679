"""`Answer` and `Outcome`, for source plugins of 0.2 that import them here. Kept for one release; use bot.sources."""

from bot.domain.monitoring.readings import Answer
from bot.domain.monitoring.readings import CheckOutcome as Outcome

__all__ = ["Answer", "Outcome"]

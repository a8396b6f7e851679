"""Where source plugins of 0.2 import `Answer` and `Outcome` from. Kept for one release; use bot.sources."""

from bot.domain.monitoring.readings import Answer
from bot.domain.monitoring.readings import CheckOutcome as Outcome

__all__ = ["Answer", "Outcome"]

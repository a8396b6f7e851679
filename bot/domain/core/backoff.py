"""How long to wait before the next attempt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays between attempts: `first`, doubled with each further failure, up to `limit`."""

    first: timedelta
    limit: timedelta

    def delay(self, failures: int) -> timedelta:
        """Return how long to wait after this many consecutive failures; 0 counts as 1."""
        doublings = min(max(failures, 1) - 1, 16)
        return min(self.first * (1 << doublings), self.limit)

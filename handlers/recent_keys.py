"""Recently seen keys, to recognize duplicate deliveries and log lines."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable


class RecentKeys:
    """A thread-safe set of at most `limit` keys, each kept for `seconds` as measured by the clock `now`."""

    def __init__(self, seconds: float, now: Callable[[], float], limit: int | None = None) -> None:
        self._seconds = seconds
        self._now = now
        self._limit = limit
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def is_new(self, key: str) -> bool:
        """Remember a key, and return whether it's new. If the set is full, return False without remembering it."""
        now = self._now()
        with self._lock:
            while self._seen and next(iter(self._seen.values())) <= now - self._seconds:
                self._seen.popitem(last=False)
            if key in self._seen or len(self._seen) == self._limit:
                return False
            self._seen[key] = now
        return True

    def has(self, key: str) -> bool:
        """Return whether a key is remembered, as of the last call to `is_new`."""
        with self._lock:
            return key in self._seen

"""Slack's rate tiers, enforced when asked for."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from localslack.errors import SlackError

# Calls a minute, by tier: https://docs.slack.dev/apis/web-api/rate-limits
TIERS = {1: 1, 2: 20, 3: 50, 4: 100}
# chat.postMessage: about one a second in each channel.
SPECIAL = 5


class Limits:
    """A sliding window per method, and per channel where Slack counts so."""

    def __init__(self, now: Callable[[], float], *, enforced: bool) -> None:
        self._now = now
        self._enforced = enforced
        self._past: dict[tuple[str, str], deque[float]] = {}

    def count(self, method: str, tier: int, channel: str) -> None:
        """Count a call; raises ratelimited (HTTP 429 with Retry-After) when it is one too many."""
        if not self._enforced:
            return
        most, window = (1, 1.0) if tier == SPECIAL else (TIERS[tier], 60.0)
        past = self._past.setdefault((method, channel if tier == SPECIAL else ""), deque())
        now = self._now()
        while past and past[0] <= now - window:
            past.popleft()
        if len(past) >= most:
            after = math.ceil(past[0] + window - now)
            raise SlackError("ratelimited", status=429, headers={"Retry-After": str(max(1, after))})
        past.append(now)

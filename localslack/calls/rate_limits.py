"""Slack's rate tiers, enforced unless switched off."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from localslack.core.errors import SlackError

# Calls a minute, by tier: https://docs.slack.dev/apis/web-api/rate-limits
CALLS_PER_MINUTE = {1: 1, 2: 20, 3: 50, 4: 100}
# chat.postMessage: about one a second in each channel. Slack doesn't say which bursts it tolerates; here, none.
SPECIAL_TIER = 5


class RateLimiter:
    """A sliding window per method, and per channel where Slack counts so.

    speed: how many of the workspace's seconds pass in one, so that tests needn't wait for real minutes.
    """

    def __init__(self, now: Callable[[], float], *, enforced: bool, speed: float) -> None:
        self._now = now
        self._enforced = enforced
        self._speed = speed
        self._call_times: dict[tuple[str, str], deque[float]] = {}

    def count(self, method: str, tier: int, channel: str) -> None:
        """Count a call; raises ratelimited (HTTP 429 with Retry-After) when it is one too many."""
        if not self._enforced:
            return
        most, seconds = (1, 1.0) if tier == SPECIAL_TIER else (CALLS_PER_MINUTE[tier], 60.0)
        window = seconds / self._speed
        past = self._call_times.setdefault((method, channel if tier == SPECIAL_TIER else ""), deque())
        now = self._now()
        while past and past[0] <= now - window:
            past.popleft()
        if len(past) >= most:
            after = math.ceil(past[0] + window - now)
            raise SlackError("ratelimited", status=429, headers={"Retry-After": str(max(1, after))})
        past.append(now)

    def clear(self) -> None:
        """Forget the calls counted so far."""
        self._call_times.clear()

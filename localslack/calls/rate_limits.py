"""Slack's rate tiers."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from localslack.core.errors import SlackError

# Calls per minute, by tier: https://docs.slack.dev/apis/web-api/rate-limits
CALLS_PER_MINUTE = {1: 1, 2: 20, 3: 50, 4: 100}
# chat.postMessage: about one per second in each channel. Slack doesn't document which bursts it allows; none here.
SPECIAL_TIER = 5


class RateLimiter:
    """Counts each method's calls in a sliding window; like Slack, counts chat.postMessage for each channel.

    speed: how many times faster than real time the window moves, so that tests don't wait for minutes.
    """

    def __init__(self, now: Callable[[], float], *, enforced: bool, speed: float) -> None:
        self._now = now
        self._enforced = enforced
        self._speed = speed
        self._call_times: dict[tuple[str, str], deque[float]] = {}

    def count(self, method: str, tier: int, channel: str) -> None:
        """Count a call. Raises ratelimited (HTTP 429 with Retry-After) if it exceeds the limit."""
        if not self._enforced:
            return
        max_calls, seconds = (1, 1.0) if tier == SPECIAL_TIER else (CALLS_PER_MINUTE[tier], 60.0)
        window = seconds / self._speed
        recent_calls = self._call_times.setdefault((method, channel if tier == SPECIAL_TIER else ""), deque())
        now = self._now()
        while recent_calls and recent_calls[0] <= now - window:
            recent_calls.popleft()
        if len(recent_calls) >= max_calls:
            retry_after = math.ceil(recent_calls[0] + window - now)
            raise SlackError("ratelimited", status=429, headers={"Retry-After": str(max(1, retry_after))})
        recent_calls.append(now)

    def clear(self) -> None:
        """Reset all counts."""
        self._call_times.clear()

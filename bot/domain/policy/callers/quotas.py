"""Quotas: how often a person or an API client can do the most expensive work."""

from __future__ import annotations

import math
import threading
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field

from bot.domain.core.durations import format_duration
from bot.domain.core.errors import QuotaExceeded
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Sentence, say
from bot.domain.core.strict_model import StrictModel

HOUR = timedelta(hours=1)

Quota = Literal["comparisons", "backtests", "api_calls", "agent_requests", "evidence_reports"]
_Limit = Annotated[int, Field(ge=0, le=1_000_000, strict=True)]


class Quotas(StrictModel):
    """How many times an hour each person and API client can do something; 0 means never."""

    comparisons: _Limit = 120  # `compare`, `best`, and `validate`, which read many runs
    backtests: _Limit = 20  # `monitor backtest`, which reads a long series
    api_calls: _Limit = 36_000  # calls of the HTTP API, including those that push readings, and of MCP tools
    agent_requests: _Limit = 60  # promotions and monitors that an agent asks for
    evidence_reports: _Limit = 20  # reports for an auditor that an agent reads


class QuotaMeter:
    """A usage counter based on the generic cell rate algorithm (GCRA, ITU-T I.371), with one timestamp per quota.

    Each caller has their own quotas. A quota of 60 allows 60 uses at once; after that, another one becomes available
    every minute. Quotas that are full again aren't stored. Thread-safe.
    """

    def __init__(self) -> None:
        self._full_at: dict[tuple[str, Quota], datetime] = {}  # when the whole quota is available again
        self._refused_at: dict[tuple[str, Quota], datetime] = {}  # when a refusal was last reported as new
        self._lock = threading.Lock()

    def spend(self, caller: str, quota: Quota, quotas: Quotas, now: datetime) -> None:
        """Count a use by the actor with this ID. Raises QuotaExceeded, marked as new at most once an hour."""
        key, limit = (caller, quota), int(getattr(quotas, quota))
        with self._lock:
            wait = self._use(key, limit, now)
            if not wait:
                return
            is_new = now - self._refused_at.get(key, now - HOUR) >= HOUR
            if is_new:
                self._refused_at[key] = now
        raise QuotaExceeded(_refusal(quota, limit, wait), retry_after=wait, is_new=is_new)

    def _use(self, key: tuple[str, Quota], limit: int, now: datetime) -> timedelta:
        """Count a use and return zero, or return the time until the next use is allowed."""
        if not limit:
            return HOUR
        full_at = min(self._full_at.get(key, now), now + HOUR)  # the clock can be set back
        full_at = max(full_at, now) + HOUR / limit
        if full_at > now + HOUR:
            return timedelta(seconds=math.ceil((full_at - now - HOUR).total_seconds()))
        if key not in self._full_at:
            self._forget_old(now)
        self._full_at[key] = full_at
        return timedelta(0)

    def _forget_old(self, now: datetime) -> None:
        self._full_at = {key: at for key, at in self._full_at.items() if at > now}
        self._refused_at = {key: at for key, at in self._refused_at.items() if now - at < HOUR}


def _refusal(quota: Quota, limit: int, wait: timedelta) -> Sentence:
    use = _NOUNS[quota]
    if not limit:
        return say("The policy doesn't allow {use}s.", use=use)
    return say(
        "You've reached the limit of {quota} an hour. Try again in {wait}.",
        quota=pluralize(limit, use),
        wait=format_duration(wait),
    )


_NOUNS: dict[Quota, str] = {
    "comparisons": "comparison",
    "backtests": "backtest",
    "api_calls": "API call",
    "agent_requests": "agent request",
    "evidence_reports": "evidence report",
}

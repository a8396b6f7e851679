"""When the blocks of a term begin and end."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

from bot.domain.policy.monitor_config import MonitorConfig


def last_block(rule: MonitorConfig, since: datetime, now: datetime) -> tuple[datetime, datetime] | None:
    """Return the start and end of the last complete block of a term that began at `since`; None before the first.

    Blocks begin with the term and again with each period: a day, or as many whole days as a block needs. What is left
    of a period that is no whole number of blocks belongs to none.
    """
    count = count_complete_blocks(rule, since, now)
    return block_bounds(rule, since, count - 1) if count else None


def count_complete_blocks(rule: MonitorConfig, since: datetime, now: datetime) -> int:
    """Return how many blocks of a term have ended by `now`."""
    period, per_period = _block_period(rule)
    complete, rest = divmod(max(now - since, timedelta()), period)
    return complete * per_period + min(rest // rule.window, per_period)


def block_bounds(rule: MonitorConfig, since: datetime, number: int) -> tuple[datetime, datetime]:
    """Return the start and end of a term's block, counted from 0."""
    period, per_period = _block_period(rule)
    begin = since + number // per_period * period + number % per_period * rule.window
    return begin, begin + rule.window


def _block_period(rule: MonitorConfig) -> tuple[timedelta, int]:
    """Return the period after which blocks repeat, and how many whole blocks it has."""
    return _cached_block_period(rule.window, rule.baseline_day)


@lru_cache(maxsize=4096)
def _cached_block_period(window: timedelta, day: timedelta) -> tuple[timedelta, int]:
    period = -(-window // day) * day
    return period, period // window

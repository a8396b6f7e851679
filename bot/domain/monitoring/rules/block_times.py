"""TODO bot.domain.monitoring.rules.block_times"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

from bot.domain.policy.monitor_config import MonitorRule


def last_block(rule: MonitorRule, since: datetime, now: datetime) -> tuple[datetime, datetime] | None:
    """Return the begin and the end of the last complete block of a term that began at `since`; None before the first.

    Blocks begin with the term and again with each period: a day, or as many whole days as a block needs. What is left
    of a period that is no whole number of blocks belongs to none.
    """
    count = _complete(rule, since, now)
    return _block(rule, since, count - 1) if count else None


def _complete(rule: MonitorRule, since: datetime, now: datetime) -> int:
    """Return how many blocks of a term have ended by `now`."""
    period, per_period = _period(rule)
    whole, rest = divmod(max(now - since, timedelta()), period)
    return whole * per_period + min(rest // rule.window, per_period)


def _block(rule: MonitorRule, since: datetime, number: int) -> tuple[datetime, datetime]:
    """Return the begin and the end of a term's block, counted from 0."""
    period, per_period = _period(rule)
    begin = since + number // per_period * period + number % per_period * rule.window
    return begin, begin + rule.window


def _period(rule: MonitorRule) -> tuple[timedelta, int]:
    """Return after how long the same block comes again, and how many whole blocks there are in that time."""
    return _period_of(rule.window, rule.day)


@lru_cache(maxsize=4096)
def _period_of(window: timedelta, day: timedelta) -> tuple[timedelta, int]:
    period = -(-window // day) * day
    return period, period // window

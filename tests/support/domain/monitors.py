"""A monitor."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bot.domain.monitoring.monitor import Monitor
from bot.domain.policy.monitor_config import MonitorConfig

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


def a_monitor(**rule: Any) -> Monitor:
    """Return an armed monitor of the policy file."""
    fields = {"name": "accuracy", "source": "push", "greater_than": 0.85, "action": "auto"} | rule
    return Monitor(id="m", model="churn", rule=MonitorConfig(**fields), created_at=NOW - timedelta(days=9))


HOURS = timedelta(hours=1)

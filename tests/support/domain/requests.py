"""A request to promote."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bot.domain.core.actors import Person
from bot.domain.promotions.request import Request
from bot.domain.registry.model import Stage

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


REQUEST = Request(
    id="r4k7q",
    model="churn",
    version=7,
    from_stage=Stage.STAGING,
    target=Stage.PRODUCTION,
    incumbent=5,
    requester=Person("T1", "U1"),
    reason="",
    required=1,
    opened_at=NOW,
    expires_at=NOW + timedelta(days=1),
)

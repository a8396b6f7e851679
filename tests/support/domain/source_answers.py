"""Questions to a source, and readings for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bot.ports import Query

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def asked(
    query: str = "accuracy", *, model: str = "churn", version: int = 7, of: str | None = None, **more: timedelta
) -> Query:
    """Return a query about the hour before noon."""
    return Query(
        monitor="m1",
        source="s",
        model=model,
        version=version,
        query=query,
        of=of,
        since=NOON - HOUR,
        until=NOON,
        **more,
    )

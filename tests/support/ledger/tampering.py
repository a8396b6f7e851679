"""Helpers to tamper with an audit log."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Person
from bot.ledger import SqlLedger

NOW = datetime.now(UTC)


VOTE = Event(
    at=NOW,
    actor=Person("T1", "U1BOB"),
    tag=EventTag.VOTED,
    subject="r4k7q",
    model="churn",
    origin="slack",
    why="better f1",
    evidence={"choice": "approve", "version": 4, "target": "Production"},
)


def keep(ledger: SqlLedger, *events: Event) -> None:
    """Add the events to the audit log."""
    with ledger.write() as tx:
        for event in events:
            tx.add_audit_event(event)


def tamper(home: Path, *statements: str) -> None:
    """Change the audit log, as someone with write access to the file could."""
    with closing(sqlite3.connect(home / "ledger.db")) as connection, connection:
        for act in ("update", "delete", "replace"):
            connection.execute(f"DROP TRIGGER IF EXISTS audit_events_no_{act}")
        for statement in statements:
            connection.execute(statement)

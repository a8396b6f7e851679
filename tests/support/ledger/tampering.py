"""An audit log that somebody tampered with."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.domain.events import Event, Tag
from bot.domain.people import Person
from bot.ledger import SqlLedger

NOW = datetime.now(UTC)


@pytest.fixture
def home(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home with a ledger that has no event yet."""
    folder = tmp_path / ".registrar"
    folder.mkdir()
    (folder / "ledger.db").write_bytes(sqlite_template.read_bytes())
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def ledger(home: Path) -> Iterator[SqlLedger]:
    """Return the ledger, to write into it."""
    with closing(SqlLedger(f"sqlite:///{home / 'ledger.db'}")) as opened:
        yield opened


VOTE = Event(
    at=NOW,
    actor=Person("T1", "U1BOB"),
    tag=Tag.VOTED,
    subject="r4k7q",
    model="churn",
    origin="slack",
    why="better f1",
    evidence={"choice": "approve", "version": 4, "target": "Production"},
)


def keep(ledger: SqlLedger, *events: Event) -> None:
    """Write the events into the audit."""
    with ledger.write() as tx:
        for event in events:
            tx.append(event)


def tamper(home: Path, *statements: str) -> None:
    """Change the audit as somebody does who can write to the file."""
    with closing(sqlite3.connect(home / "ledger.db")) as connection, connection:
        for act in ("update", "delete", "replace"):
            connection.execute(f"DROP TRIGGER IF EXISTS audit_events_no_{act}")
        for statement in statements:
            connection.execute(statement)

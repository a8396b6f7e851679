"""Tables for the audit log."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, Table, Text

from bot.ledger.tables.base import BigIntegerKey, metadata
from bot.ledger.tables.column_types import StorableText, UtcDateTime

# No foreign key refers to an audit row, so no cascade can delete one. `body` is what is hashed; the columns before it
# are copies for queries. Triggers, created in a migration, reject UPDATE and DELETE.
audit_events = Table(
    "audit_events",
    metadata,
    Column("number", BigIntegerKey, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("tag", Text, nullable=False),
    Column("model", StorableText),
    Column("body", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one"), primary_key=True, autoincrement=False),
    Column("number", BigIntegerKey, nullable=False),
    Column("hash", Text, nullable=False),
)

Index("audit_by_model", audit_events.c.model, audit_events.c.number)
Index("audit_by_time", audit_events.c.at, audit_events.c.number)
Index("audit_by_tag", audit_events.c.tag, audit_events.c.number)
Index("audit_by_actor", audit_events.c.actor, audit_events.c.number)

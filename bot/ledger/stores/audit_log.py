"""Rows about the audit log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Connection, Select, literal, select

from bot.domain.audit.events import ChainedEvent, ChainHead, Event, EventTag
from bot.ledger.audit_chain import MIN_NUMBER, AuditRecord
from bot.ledger.stores import audit_pages, row_mapping, statements
from bot.ledger.stores.base import NO_OPERATOR_IDS, SqlReadStore, SqlWriteStore
from bot.ledger.tables import audit_events, audit_head


class AuditLogQueries(SqlReadStore):
    """Reads the audit log."""

    def audit_events(self, *, model: str | None = None, after_number: int = 0, limit: int = 1000) -> list[ChainedEvent]:
        """Return audit events in the order of the chain, oldest first."""
        query = _audit_events_after(after_number, limit)
        if model is not None:
            query = query.where(audit_events.c.model == model)
        return [row_mapping.to_link(row, self._operator_ids) for row in self._fetch_rows(query)]

    def latest_audit_events(
        self,
        *,
        model: str | None = None,
        tags: Sequence[EventTag] = (),
        since: datetime | None = None,
        before_number: int | None = None,
        limit: int = 50,
    ) -> list[ChainedEvent]:
        """Return audit events, newest first."""
        page, values = audit_pages.page_filter(model=model, tags=tags, since=since, before=before_number, limit=limit)
        rows = self._connection.execute(audit_pages.select_events(page, self._connection.dialect.name), values)
        return [row_mapping.to_link(row, self._operator_ids) for row in rows.mappings()]

    def audit_head(self) -> ChainHead:
        """Return the number and hash of the last event in the audit chain.

        If somebody has deleted the head, return one with number 0 and no hash.
        """
        row = self._connection.execute(select(audit_head)).mappings().first()
        return row_mapping.from_row(ChainHead, row) if row else ChainHead(0, "")

    def audit_records(
        self,
        *,
        model: str | None = None,
        since: datetime | None = None,
        after_number: int = MIN_NUMBER,
        limit: int = 1000,
    ) -> list[AuditRecord]:
        """Return audit rows as they are stored, oldest first, including rows that don't hold a valid event.

        The default of `after_number` is below every number, since rows could have been inserted before the first one.
        """
        number = audit_events.c.number
        query = statements.select_records(self._connection.dialect.name).where(
            number > literal(after_number, BigInteger)
        )
        query = query.order_by(number).limit(limit)
        if model is not None:
            query = query.where(audit_events.c.model == model)
        if since is not None:
            query = query.where(audit_events.c.at >= since)
        return [AuditRecord._make(row) for row in self._connection.execute(query)]

    def latest_audit_records(
        self,
        *,
        model: str | None = None,
        actor: str | None = None,
        tag: str | None = None,
        since: datetime | None = None,
        before_number: int | None = None,
        limit: int = 50,
    ) -> list[AuditRecord]:
        """Return audit rows as they are stored, newest first, including rows that don't hold a valid event.

        `model`, `actor`, `tag`: only rows with this stored text. `since`: only rows at or after this time.
        `before_number`: only rows before this number.
        """
        tags = [] if tag is None else [tag]
        page, values = audit_pages.page_filter(
            model=model, actor=actor, tags=tags, since=since, before=before_number, limit=limit
        )
        rows = self._connection.execute(audit_pages.select_records(page, self._connection.dialect.name), values)
        return [AuditRecord._make(row) for row in rows]


class AuditLogStore(SqlWriteStore, AuditLogQueries):
    """Writes the audit log."""

    def __init__(self, connection: Connection, operator_ids: Mapping[str, str] = NO_OPERATOR_IDS) -> None:
        super().__init__(connection, operator_ids)
        self._pending_events: list[Event] = []

    def add_audit_event(self, event: Event) -> None:
        """Add an event to the audit chain. Raises ValueError or TypeError if its evidence isn't JSON."""
        # Raise here for an event that can't be stored, while the caller is on the stack.
        self._pending_events.append(row_mapping.storable_event(event))

    def append_audit(self) -> list[Event]:
        """Append the transaction's events to the chain, and return them.

        Every transaction waits for the lock on the head, so this comes last.
        """
        events = self._pending_events
        if not events:
            return []
        head = row_mapping.from_row(
            ChainHead, self._connection.execute(statements.select_head_for_update()).mappings().one()
        )
        rows = []
        for event in events:
            rows.append(row_mapping.to_audit_row(event, head))
            head = ChainHead(rows[-1]["number"], rows[-1]["hash"])
        self._connection.execute(statements.insert_events(), rows)
        self._connection.execute(statements.update_head(), row_mapping.to_row(head))
        self._pending_events = []
        return events


def _audit_events_after(number: int, limit: int) -> Select[Any]:
    return select(audit_events).where(audit_events.c.number > number).order_by(audit_events.c.number).limit(limit)

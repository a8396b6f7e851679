"""Stores for the audit log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, literal, select, update

from bot.domain.audit import audit_chain
from bot.domain.audit.audit_chain import MIN_NUMBER, AuditRecord, ChainFault
from bot.domain.audit.events import (
    ChainedEvent,
    ChainHead,
    Event,
    EventTag,
    canonical_json,
    canonical_time,
    chained_hash,
    parse_canonical_json,
)
from bot.domain.core.actors import Operator, actor_id, parse_actor
from bot.ledger.stores import audit_pages
from bot.ledger.stores.base import SqlReadStore, SqlWriteStore, to_row
from bot.ledger.tables import audit_events, audit_head
from bot.ledger.tables.column_types import is_storable_json, storable, storable_data
from bot.ports.audit_log import AuditLogReader, AuditLogWriter

_TEXT_FIELDS = ("subject", "model", "before", "after", "why", "origin", "evidence")
_SELECT_HEAD = select(audit_head)
_SELECT_HEAD_FOR_UPDATE = select(audit_head.c.number, audit_head.c.hash).with_for_update()
_INSERT_EVENTS = audit_events.insert()
_UPDATE_HEAD = update(audit_head)


class AuditLogQueries(SqlReadStore, AuditLogReader):
    """Reads the audit log; see the port."""

    def audit_events(self, *, model: str | None = None, after_number: int = 0, limit: int = 1000) -> list[ChainedEvent]:
        number = audit_events.c.number
        query = select(*audit_pages.EVENT_COLUMNS).where(number > after_number).order_by(number).limit(limit)
        return self._to_events(query if model is None else query.where(audit_events.c.model == model))

    def latest_audit_events(
        self,
        *,
        model: str | None = None,
        tags: Sequence[EventTag] = (),
        since: datetime | None = None,
        before_number: int | None = None,
        limit: int = 50,
    ) -> list[ChainedEvent]:
        page, values = audit_pages.page_filter(model=model, tags=tags, since=since, before=before_number, limit=limit)
        return self._to_events(audit_pages.select_events(page, self._dialect), values)

    def audit_head(self) -> ChainHead:
        return self._find(ChainHead, _SELECT_HEAD) or ChainHead(0, "")  # someone deleted the head

    def audit_records(
        self,
        *,
        model: str | None = None,
        since: datetime | None = None,
        after_number: int = MIN_NUMBER,
        limit: int = 1000,
    ) -> list[AuditRecord]:
        # The default of `after_number` is below every number, since someone could have inserted rows before the first.
        number = audit_events.c.number
        query = audit_pages.select_stored(self._dialect).where(number > literal(after_number, BigInteger))
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
        """Return audit rows as they're stored, newest first, including rows without a valid event.

        `model`, `actor`, `tag`: only rows with this stored text. `since`: only rows at or after this time.
        `before_number`: only rows before this number.
        """
        tags = [] if tag is None else [tag]
        page, values = audit_pages.page_filter(
            model=model, actor=actor, tags=tags, since=since, before=before_number, limit=limit
        )
        rows = self._connection.execute(audit_pages.select_records(page, self._dialect), values)
        return [AuditRecord._make(row) for row in rows]

    def verify_audit(self) -> tuple[ChainHead, ChainFault | None]:
        """Return the head of the audit chain, and the first fault in the entire chain, or None."""
        head = self.audit_head()
        records = audit_chain.stream_records(lambda after: self.audit_records(after_number=after))
        return head, audit_chain.verify(records, head)

    def _to_events(self, query: Any, values: Mapping[str, Any] | None = None) -> list[ChainedEvent]:
        """Return the query's audit rows as events in the chain, with operators' Slack IDs."""
        chained = []
        for number, body, previous, own_hash in self._connection.execute(query, values or {}).all():
            event = parse_canonical_json(body)
            if self._operator_ids and isinstance(event.actor, Operator):
                name = event.actor.name
                event = replace(event, actor=Operator(name, self._operator_ids.get(name, "")))
            chained.append(ChainedEvent(number=number, event=event, previous=previous, hash=own_hash))
        return chained


class AuditLogStore(SqlWriteStore, AuditLogQueries, AuditLogWriter):
    """Writes the audit log; see the port."""

    def add_audit_event(self, event: Event) -> None:
        # This raises for an event that can't be stored, while the caller is still on the stack.
        if not is_storable_json(canonical_json(event, 0)):
            texts = {name: storable_data(getattr(event, name)) for name in _TEXT_FIELDS}
            event = replace(event, actor=parse_actor(storable(actor_id(event.actor))), **texts)
        self._pending_events.append(event)

    def append_audit(self) -> list[ChainedEvent]:
        # This comes last, because every other transaction waits for the lock on the head.
        events, self._pending_events = self._pending_events, []
        if events:
            head = ChainHead(*self._connection.execute(_SELECT_HEAD_FOR_UPDATE).one())
            rows = []
            for event in events:
                record = to_audit_record(event, head)
                rows.append({**record._asdict(), "at": event.at})
                self._chained_events.append(
                    ChainedEvent(number=record.number, event=event, previous=head.hash, hash=record.hash)
                )
                head = ChainHead(record.number, record.hash)
            self._connection.execute(_INSERT_EVENTS, rows)
            self._connection.execute(_UPDATE_HEAD, to_row(head))
        return self._chained_events


def to_audit_record(event: Event, previous: ChainHead) -> AuditRecord:
    """Return the audit row for an event that can be stored and that follows `previous`."""
    number = previous.number + 1
    body = canonical_json(event, number)
    return AuditRecord(
        number=number,
        at=canonical_time(event.at),
        actor=actor_id(event.actor),
        tag=event.tag.value,
        model=event.model,
        body=body,
        previous=previous.hash,
        hash=chained_hash(previous.hash, body),
    )

"""The part of the ledger about the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from bot.domain.audit.events import ChainedEvent, ChainHead, Event, EventTag


class AuditLogReader(Protocol):
    """Reads the audit log."""

    def audit_events(self, *, model: str | None = None, after_number: int = 0, limit: int = 1000) -> list[ChainedEvent]:
        """Return audit events as they stand in the chain, oldest first."""
        ...

    def latest_audit_events(
        self,
        *,
        model: str | None = None,
        tags: Sequence[EventTag] = (),
        since: datetime | None = None,
        before_number: int | None = None,
        limit: int = 50,
    ) -> list[ChainedEvent]:
        """Return audit events, newest first: of a model, of these tags, since a time, before a number."""
        ...

    def audit_head(self) -> ChainHead:
        """Return where the audit chain ends."""
        ...


class AuditLogWriter(AuditLogReader, Protocol):
    """Changes the audit log."""

    def add_audit_event(self, event: Event) -> None:
        """Add an event to the audit chain."""
        ...

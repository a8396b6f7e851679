"""Ledger ports for the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from bot.domain.audit.audit_chain import MIN_NUMBER, AuditRecord
from bot.domain.audit.events import ChainedEvent, ChainHead, Event, EventTag


class AuditLogReader(Protocol):
    """Reads the audit log."""

    def audit_events(self, *, model: str | None = None, after_number: int = 0, limit: int = 1000) -> list[ChainedEvent]:
        """Return audit events in chain order, oldest first.

        `model`: only events about this model. `after_number`: only events after the one with this number. `limit`: the
        maximum number to return.
        """

    def latest_audit_events(
        self,
        *,
        model: str | None = None,
        tags: Sequence[EventTag] = (),
        since: datetime | None = None,
        before_number: int | None = None,
        limit: int = 50,
    ) -> list[ChainedEvent]:
        """Return audit events, newest first.

        `model`: only events about this model. `tags`: only events with one of these tags; empty means any. `since`:
        only events at or after this time. `before_number`: only events before the one with this number. `limit`: the
        maximum number to return.
        """

    def audit_records(
        self,
        *,
        model: str | None = None,
        since: datetime | None = None,
        after_number: int = MIN_NUMBER,
        limit: int = 1000,
    ) -> list[AuditRecord]:
        """Return audit rows as they're stored, oldest first, including rows without a valid event.

        `model`: only events about this model. `since`: only events at or after this time. `after_number`: only events
        after the one with this number. `limit`: the maximum number to return.
        """

    def audit_head(self) -> ChainHead:
        """Return the number and hash of the last event in the audit chain."""


class AuditLogWriter(AuditLogReader, Protocol):
    """Changes the audit log."""

    def add_audit_event(self, event: Event) -> None:
        """Add an event to the audit chain. Raises ValueError or TypeError if its evidence isn't JSON."""

    def append_audit(self) -> list[ChainedEvent]:
        """Append the pending events to the chain; return all of this transaction's events, with their hashes.

        Pending events are those added since the last call. If there are any, other transactions wait for this one to
        end before they append theirs. The ledger calls this again before it commits.
        """

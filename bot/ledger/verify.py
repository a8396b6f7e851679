"""Verifies the audit chain of a whole ledger, before a backup or a copy is reported as done."""

from __future__ import annotations

from bot.domain.audit.events import ChainHead
from bot.ledger import audit_chain
from bot.ledger.audit_chain import ChainFault
from bot.ledger.stores.reader import SqlLedgerReader


def verify_ledger(reader: SqlLedgerReader) -> tuple[ChainHead, ChainFault | None]:
    """Return the head of the audit chain, and the first fault in it, or None."""
    head = reader.audit_head()
    return head, audit_chain.verify(
        audit_chain.stream_records(lambda after: reader.audit_records(after_number=after)), head
    )

"""Whether a ledger's audit is whole, page by page: what moves or copies a ledger looks before it says that it did."""

from __future__ import annotations

from bot.domain.audit.events import Head
from bot.ledger import audit_chain
from bot.ledger.audit_chain import Fault
from bot.ledger.stores.reader import SqlReading


def look(reading: SqlReading) -> tuple[Head, Fault | None]:
    """Return where the audit chain ends, and the first row that is not whole, or None."""
    head = reading.head()
    return head, audit_chain.verify(audit_chain.stream(lambda after: reading.records(after=after)), head)

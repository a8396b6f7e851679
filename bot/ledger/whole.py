"""Whether a ledger's audit is whole, page by page: what moves or copies a ledger looks before it says that it did."""

from __future__ import annotations

from bot.domain.events import Head
from bot.ledger import audit
from bot.ledger.audit import Fault
from bot.ledger.reading import SqlReading


def look(reading: SqlReading) -> tuple[Head, Fault | None]:
    """Return where the audit chain ends, and the first row that is not whole, or None."""
    head = reading.head()
    return head, audit.verify(audit.stream(lambda after: reading.records(after=after)), head)

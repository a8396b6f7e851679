"""Whether a ledger's audit is whole, page by page: what moves or copies a ledger looks before it says that it did."""

from __future__ import annotations

from bot.domain.audit.events import ChainHead
from bot.ledger import audit_chain
from bot.ledger.audit_chain import ChainFault
from bot.ledger.stores.reader import SqlLedgerReader


def verify_ledger(reader: SqlLedgerReader) -> tuple[ChainHead, ChainFault | None]:
    """Return where the audit chain ends, and the first row that is not whole, or None."""
    head = reader.audit_head()
    return head, audit_chain.verify(
        audit_chain.stream_records(lambda after: reader.audit_records(after_number=after)), head
    )

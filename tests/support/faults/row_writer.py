"""Changes of several rows each: `python -m tests.support.faults.row_writer URL PREFIX` writes them until killed.

It imports little, since it's started often. Before a change, it prints `begin` and the ID, and `done` and the ID when
it's acknowledged.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

from bot.domain.audit.events import EventTag
from bot.domain.core.actors import Person
from bot.domain.promotions.request import Request
from bot.domain.registry.model import Stage
from bot.ledger import SqlLedger
from bot.services.core.outbox_messages import card_message, request_event

ALICE = Person("T0LOCAL", "U0ALICE")


def write_rows(ledger: SqlLedger, name: str) -> None:
    """Write a request, its event, and its message in one transaction. Raises LedgerUnavailable."""
    now = datetime.now(UTC)
    request = Request(
        id=name,
        model=f"m-{name}",
        version=4,
        from_stage=Stage.NONE,
        target=Stage.PRODUCTION,
        incumbent=3,
        requester=ALICE,
        reason="why " * 50,
        required=1,
        opened_at=now,
        expires_at=now + timedelta(hours=1),
    )
    with ledger.write() as tx:
        tx.add_request(request)
        tx.add_audit_event(request_event(request, EventTag.REQUEST_OPENED, ALICE, now))
        tx.add_message(card_message(request, "opened", "#ml-models"))


def main() -> None:
    """Make changes until the process is killed."""
    ledger, prefix, count = SqlLedger(sys.argv[1], timeout=10), sys.argv[2], 0
    while True:
        count += 1
        print(f"begin {prefix}-{count}", flush=True)
        write_rows(ledger, f"{prefix}-{count}")
        print(f"done {prefix}-{count}", flush=True)


if __name__ == "__main__":
    main()

"""Changes by many threads, the reported result of each, and whether the ledger agrees."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bot.domain.audit.events import EventTag
from bot.domain.core.errors import LedgerUnavailable
from bot.ledger import SqlLedger
from tests.support.app.harness import audit_links, is_chain_intact
from tests.support.faults.row_writer import write_rows

NOTHING = "nothing was recorded"


@dataclass
class WriteReport:
    """The reported result of each change: recorded, not recorded, or unknown."""

    done: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    unforeseen: list[str] = field(default_factory=list)

    def change(self, ledger: SqlLedger, name: str) -> bool:
        """Make a change and keep its reported result; return whether it was done."""
        try:
            write_rows(ledger, name)
        except LedgerUnavailable as error:
            (self.refused if NOTHING in str(error) else self.unsure).add(name)
            return False
        except Exception as error:
            self.unforeseen.append(repr(error))
            return False
        self.done.add(name)
        return True

    @property
    def number(self) -> int:
        """The number of changes that were tried."""
        return len(self.done) + len(self.refused) + len(self.unsure) + len(self.unforeseen)


def mismatches(ledger: SqlLedger, said: WriteReport) -> Iterator[str]:
    """Yield differences between the ledger and the reported results, and half-done changes."""
    there = event_ids(ledger)
    with ledger.read() as reading:
        notes = {note.lane for note in reading.due_messages(datetime.now(UTC) + timedelta(days=1), limit=1_000_000)}
    events = {link.event.subject for link in audit_links(ledger, EventTag.REQUEST_OPENED)}
    if not there == events == notes:
        yield f"half-done: {len(there)} requests, {len(events)} events, {len(notes)} notes"
    if lost := said.done - there:
        yield f"acknowledged but lost: {sorted(lost)}"
    if kept := said.refused & there:
        yield f"reported as not recorded, but recorded: {sorted(kept)}"
    if strange := there - said.done - said.unsure:
        yield f"recorded for an unknown reason: {sorted(strange)}"
    if said.unforeseen:
        yield f"unexpected: {said.unforeseen[:3]}"
    if not is_chain_intact(ledger):
        yield "the audit chain is broken"


def event_ids(ledger: SqlLedger) -> set[str]:
    """Return the recorded changes."""
    with ledger.read() as reading:
        return {request.id for request in reading.requests(limit=1_000_000)}


@contextmanager
def write_concurrently(ledger: SqlLedger, threads: int = 4) -> Iterator[WriteReport]:
    """Make changes on several threads until the block ends."""
    said, over = WriteReport(), threading.Event()

    def work(number: int) -> None:
        count = 0
        while not over.is_set():
            count += 1
            if not said.change(ledger, f"t{number}-{count}"):
                over.wait(0.05)  # don't retry a thousand times a second after a refusal

    workers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield said
    finally:
        over.set()
        for worker in workers:
            worker.join(60)

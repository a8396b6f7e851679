"""Verifying the audit log, compared with only reading the rows and only computing their hashes."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from benchmarks.pages import paging
from benchmarks.report import Report
from benchmarks.ways import Way, in_turns
from bot.domain.audit import audit_chain
from bot.domain.audit.audit_chain import AuditRecord
from bot.domain.audit.events import chained_hash
from bot.ledger.database import SqlLedger
from tests.support.ledger.bulk_data import add_many_events

EVENTS, ROUNDS, AIM = 100_000, 5, 5.0  # the aim in seconds


def auditing(folder: Path) -> Report:
    """Return the tables of verifying the audit log and of its pages."""
    verified, pages = verifying(folder), paging(folder)
    return Report(f"{verified.text}\n\n{pages.text}", {**verified.figures, **pages.figures})


def verifying(folder: Path) -> Report:
    """Return the table of verifying this many events."""
    url = f"sqlite:///{folder / 'ledger.db'}"
    with closing(SqlLedger(url)) as ledger:
        ledger.migrate()
        add_many_events(url, EVENTS)
        records = _read(ledger)
        ways: dict[str, Way] = {
            "read": lambda: _read(ledger),
            "hash": lambda: _hash(records),
            "verify": lambda: _verify(ledger),
        }
        taken = in_turns(ways, ROUNDS)
    ratio = taken["verify"] / (taken["read"] + taken["hash"])
    is_met = "met" if taken["verify"] < AIM else "not met"
    text = "\n".join(
        [
            f"| {EVENTS:,} events | seconds |",
            "|---|---|",
            f"| reading the rows only | {taken['read']:.2f} |",
            f"| computing the hashes only | {taken['hash']:.2f} |",
            f"| `audit verify` | {taken['verify']:.2f}, {ratio:.1f} × both (aim < {AIM:.0f} s: {is_met}) |",
        ]
    )
    return Report(text, {"audit verify ÷ reading and hashing": ratio})


def _read(ledger: SqlLedger) -> list[AuditRecord]:
    with ledger.read() as reading:
        return list(audit_chain.stream_records(lambda after: reading.audit_records(after_number=after)))


def _hash(records: list[AuditRecord]) -> None:
    for record in records:
        chained_hash(record.previous, record.body)


def _verify(ledger: SqlLedger) -> None:
    with ledger.read() as reading:
        fault = audit_chain.verify(
            audit_chain.stream_records(lambda after: reading.audit_records(after_number=after)), reading.audit_head()
        )
    assert fault is None

"""Verification of the stored audit chain. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from bot.domain.audit.anchors import AnchoredHead
from bot.domain.audit.events import CHAIN_START, ChainHead, chained_hash
from bot.domain.core.sentence import Sentence, say

COPIED_COLUMNS = ("number", "at", "actor", "tag", "model")  # columns that repeat what the record's body contains
MIN_NUMBER = -(2**62)  # below every number that a row can have


class AuditRecord(NamedTuple):
    """An audit row. `body` is the event as it was hashed; the fields before it are copies for queries.

    `at` is the same text as in the body. The class is a tuple because 100,000 rows are read at a time.
    """

    number: int
    at: str
    actor: str
    tag: str
    model: str | None
    body: str
    previous: str
    hash: str


class ChainFaultKind(Enum):
    """How the chain was tampered with."""

    EDITED = "edited"  # a row differs from what was hashed
    MISSING = "missing"  # a row is gone from the middle
    INSERTED = "inserted"  # there's a row that Registrar didn't write
    SWAPPED = "swapped"  # a row is in another row's place
    CUT_OFF = "cut off"  # the last rows are gone
    REWRITTEN = "rewritten"  # rows and hashes were rewritten, which only an anchor reveals


@dataclass(frozen=True, slots=True)
class ChainFault:
    """The first row where the chain is broken, and what's wrong there.

    `last` is set if an anchor shows only that the broken row is somewhere from `number` to `last`.
    """

    number: int
    kind: ChainFaultKind
    why: str
    last: int | None = None


def describe_fault(fault: ChainFault) -> Sentence:
    """Return a description of a fault."""
    description = (
        _DESCRIPTIONS[fault.kind] if fault.number or fault.kind is not ChainFaultKind.EDITED else "the head was edited"
    )
    return say(
        "The audit log was altered: " + description + ". {why}.",
        n=fault.number,
        last=fault.last,
        why=fault.why[:1].upper() + fault.why[1:],
    )


def advice(fault: ChainFault) -> Sentence:
    """Return what to do about a fault."""
    last_sound = fault.number - 1
    intact_part = say(" Events up to {sound} are intact.", sound=last_sound) if last_sound > 0 else ""
    return say(
        "Copy the database before anyone repairs it, and find out who else can write to it. "
        "Compare the events from {n} onward with a backup or an export.{before}",
        n=fault.number,
        before=intact_part,
    )


_DESCRIPTIONS = {
    ChainFaultKind.EDITED: "event {n} was edited",
    ChainFaultKind.MISSING: "event {n} is missing",
    ChainFaultKind.INSERTED: "event {n} was inserted",
    ChainFaultKind.SWAPPED: "event {n} was swapped",
    ChainFaultKind.CUT_OFF: "it was cut off before event {n}",
    ChainFaultKind.REWRITTEN: "it was rewritten, starting at one of the events {n} to {last}",
}


def stream_records(fetch_page: Callable[[int], Sequence[AuditRecord]]) -> Iterator[AuditRecord]:
    """Yield all records. `fetch_page` takes a number and returns the next records after it, or none at the end."""
    after = MIN_NUMBER
    while records := fetch_page(after):
        yield from records
        after = records[-1].number


def verify(
    records: Iterable[AuditRecord],
    head: ChainHead,
    start: ChainHead = CHAIN_START,
    anchors: Iterable[AnchoredHead] = (),
) -> ChainFault | None:
    """Return the first fault in the records after `start`, or None if they form an unbroken chain to `head`.

    `anchors` are earlier heads that were recorded elsewhere, sorted by number. Only they can reveal that someone
    rewrote every row and the head.
    """
    remaining, last, previous = iter(records), start, start
    anchor_comparison = _AnchorComparison(anchors, start)
    for record in remaining:
        if not _is_next(record, last):
            return _diagnose(record, remaining, last, previous, head)
        previous, last = last, ChainHead(record.number, record.hash)
        if fault := anchor_comparison.find_mismatch(last):
            return fault
        if last.number == head.number and last.hash != head.hash:
            return ChainFault(last.number, ChainFaultKind.EDITED, "its hash differs from the head's")
    return _check_end(last, head) or anchor_comparison.find_missing(last)


class _AnchorComparison:
    """A record-by-record comparison of the chain with the anchors."""

    def __init__(self, anchors: Iterable[AnchoredHead], after: ChainHead) -> None:
        self._remaining = [anchor for anchor in anchors if anchor.number > after.number][::-1]
        self._last_matching = after.number  # the last number that an anchor confirms

    def find_mismatch(self, last: ChainHead) -> ChainFault | None:
        """Return a fault if an anchor with this number has a different hash; otherwise, return None."""
        while self._remaining and self._remaining[-1].number == last.number:
            anchor = self._remaining.pop()
            if anchor.hash != last.hash:
                why = f"the hash of event {anchor.number} differs from the one anchored at {anchor.at:%F %T}"
                first = min(self._last_matching + 1, anchor.number)
                return ChainFault(first, ChainFaultKind.REWRITTEN, why, anchor.number)
            self._last_matching = anchor.number
        return None

    def find_missing(self, last: ChainHead) -> ChainFault | None:
        """Return a fault if an anchor's number is past the end of the chain; otherwise, return None."""
        if not self._remaining:
            return None
        anchor = self._remaining[-1]
        why = f"the chain ends here, but event {anchor.number} was anchored at {anchor.at:%F %T}"
        return ChainFault(last.number + 1, ChainFaultKind.CUT_OFF, why)


def _check_end(last: ChainHead, head: ChainHead) -> ChainFault | None:
    if last == head:
        return None
    if _is_integer(head.number) and last.number < head.number:
        why = f"the chain ends here, but its head is event {head.number}"
        return ChainFault(last.number + 1, ChainFaultKind.CUT_OFF, why)
    if _is_integer(head.number) and last.number > head.number:
        why = f"it comes after the head, which is event {head.number}"
        return ChainFault(head.number + 1, ChainFaultKind.INSERTED, why)
    return ChainFault(last.number, ChainFaultKind.EDITED, "the head differs from the chain's last event")


# -- a row ------------------------------------------------------------------------------------------------------------


def _is_next(record: AuditRecord, last: ChainHead) -> bool:
    return (
        record.number == last.number + 1
        and record.previous == last.hash
        and record.hash == chained_hash(record.previous, record.body)
        and record[: len(COPIED_COLUMNS)] == columns_from_body(record.body)
    )


def columns_from_body(body: str) -> tuple[Any, ...] | None:
    """Return the values that the columns must have; None if the body isn't an event, even if its hash matches."""
    try:
        fields = json.loads(body)
        return tuple(fields[name] for name in COPIED_COLUMNS)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


# -- diagnosis ---------------------------------------------------------------------------------------------------------


def _diagnose(
    record: AuditRecord, following: Iterable[AuditRecord], last: ChainHead, previous: ChainHead, head: ChainHead
) -> ChainFault:
    """Return the fault at the first record that doesn't follow `last`. `previous` is the head before `last`.

    The row that should follow is identified by its previous hash, wherever it is now.
    """
    expected = last.number + 1
    if record.number < expected:
        return ChainFault(record.number, ChainFaultKind.INSERTED, "Registrar never assigns this number")
    if _is_integer(head.number) and record.number > head.number >= last.number:
        return ChainFault(
            record.number, ChainFaultKind.INSERTED, f"it comes after the head, which is event {head.number}"
        )
    found_at = next((later.number for later in following if later.previous == last.hash), None)
    if record.previous == last.hash:
        return _diagnose_next(record, expected, found_at)
    if record.number == expected and record.hash == chained_hash(last.hash, record.body):
        return ChainFault(
            expected, ChainFaultKind.EDITED, "its previous hash was edited, so it doesn't follow the previous event"
        )
    if found_at is not None:
        return _diagnose_displaced(record, expected, found_at)
    return _diagnose_without_successor(record, last, previous)


def _diagnose_next(record: AuditRecord, expected: int, found_at: int | None) -> ChainFault:
    """Return the fault in a row that has the right previous hash."""
    if record.number != expected:
        return ChainFault(expected, ChainFaultKind.SWAPPED, f"its row is stored as event {record.number}")
    if found_at is not None:
        return ChainFault(
            expected,
            ChainFaultKind.INSERTED,
            f"the row that follows event {expected - 1} is stored as event {found_at}",
        )
    if record.hash != chained_hash(record.previous, record.body):
        return ChainFault(expected, ChainFaultKind.EDITED, "its text doesn't match its hash")
    columns = columns_from_body(record.body)
    if columns is None:
        return ChainFault(expected, ChainFaultKind.EDITED, "its text isn't an event, although it matches its hash")
    wrong = [name for name, stored, told in zip(COPIED_COLUMNS, record, columns, strict=False) if stored != told]
    return ChainFault(expected, ChainFaultKind.EDITED, f"these columns differ from its text: {', '.join(wrong)}")


def _diagnose_displaced(record: AuditRecord, expected: int, found_at: int) -> ChainFault:
    """Return the fault when a row has taken the place of another one, which is now at number `found_at`."""
    if record.number != expected:
        return ChainFault(expected, ChainFaultKind.SWAPPED, f"its row is stored as event {found_at}")
    if _number_from_body(record) == found_at:
        return ChainFault(
            expected, ChainFaultKind.SWAPPED, f"its row is stored as event {found_at}, and that event's row is here"
        )
    return ChainFault(
        expected, ChainFaultKind.INSERTED, f"the row that follows event {expected - 1} is stored as event {found_at}"
    )


def _diagnose_without_successor(record: AuditRecord, last: ChainHead, previous: ChainHead) -> ChainFault:
    """Return the fault when no row follows the last good one."""
    expected, number = last.number + 1, _number_from_body(record)
    if record.number != expected:
        return ChainFault(expected, ChainFaultKind.MISSING, f"event {last.number} is followed by event {record.number}")
    if record.hash != chained_hash(record.previous, record.body):
        return ChainFault(
            expected, ChainFaultKind.EDITED, "it doesn't follow the previous event, and its text doesn't match its hash"
        )
    if record.previous == previous.hash and last != CHAIN_START:
        why = f"the next row follows event {previous.number}"
        return ChainFault(last.number, ChainFaultKind.INSERTED, why)
    if number is not None and number > expected:
        return ChainFault(expected, ChainFaultKind.MISSING, f"the row in its place was event {number}")
    if last == CHAIN_START:
        return ChainFault(expected, ChainFaultKind.EDITED, "it's the first event, but it follows another one")
    why = f"its text and its hash aren't the ones that event {expected} followed"
    return ChainFault(last.number, ChainFaultKind.EDITED, why)


def _number_from_body(record: AuditRecord) -> int | None:
    columns = columns_from_body(record.body)
    return columns[0] if columns and _is_integer(columns[0]) else None


def _is_integer(value: object) -> bool:
    return type(value) is int

"""Verifies the audit chain as it is stored. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from bot.domain.audit.anchors import AnchoredHead
from bot.domain.audit.events import CHAIN_START, ChainHead, chained_hash
from bot.domain.core.sentence import Sentence, say

COPIED_COLUMNS = ("number", "at", "actor", "tag", "model")  # columns of a record that repeat what its body holds
MIN_NUMBER = -(2**62)  # below every number that a row can have


class AuditRecord(NamedTuple):
    """An audit row. `body` is the event as it was hashed; the fields before it are copies for queries.

    `at` is the text that the body has. This is a tuple because 100,000 of them are read at a time.
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
    INSERTED = "inserted"  # there is a row that Registrar did not write
    SWAPPED = "swapped"  # a row is in the place of another one
    CUT_OFF = "cut off"  # the last rows are gone
    REWRITTEN = "rewritten"  # rows and hashes were rewritten, which only an anchor reveals


@dataclass(frozen=True, slots=True)
class ChainFault:
    """The first row at which the chain is broken, and what is wrong there.

    `last` is set if an anchor only shows that it's one of the rows from `number` to `last`.
    """

    number: int
    kind: ChainFaultKind
    why: str
    last: int | None = None


def describe_fault(fault: ChainFault) -> Sentence:
    """Describe a fault."""
    description = (
        _DESCRIPTIONS[fault.kind] if fault.number or fault.kind is not ChainFaultKind.EDITED else "the head was edited"
    )
    return say(
        "The audit is not whole: " + description + ". {why}.",
        n=fault.number,
        last=fault.last,
        why=fault.why[:1].upper() + fault.why[1:],
    )


def advice(fault: ChainFault) -> Sentence:
    """Return what to do about a fault."""
    last_sound = fault.number - 1
    intact_part = say(" Up to number {sound} the chain holds.", sound=last_sound) if last_sound > 0 else ""
    return say(
        "Copy the database as it is before anybody mends it, compare it from number {n} on with a backup or an "
        "export, and find out who can write to it beside the bot.{before}",
        n=fault.number,
        before=intact_part,
    )


_DESCRIPTIONS = {
    ChainFaultKind.EDITED: "number {n} was edited",
    ChainFaultKind.MISSING: "number {n} is missing",
    ChainFaultKind.INSERTED: "number {n} was inserted",
    ChainFaultKind.SWAPPED: "number {n} was swapped",
    ChainFaultKind.CUT_OFF: "it was cut off before number {n}",
    ChainFaultKind.REWRITTEN: "it was rewritten, the earliest change being to one of the numbers {n} to {last}",
}


def stream_records(fetch_page: Callable[[int], Sequence[AuditRecord]]) -> Iterator[AuditRecord]:
    """Yield all records. `fetch_page` returns the next ones after a number, and none at the end."""
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
    """Return the first fault of the records that follow `start`, or None if they lead to `head` unbroken.

    `anchors`: earlier heads that were stored elsewhere, in the order of their numbers. Only they reveal that someone
    has rewritten every row and the head.
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
            return ChainFault(last.number, ChainFaultKind.EDITED, "its hash is not the one that the head has")
    return _check_end(last, head) or anchor_comparison.find_missing(last)


class _AnchorComparison:
    """Compares the chain with the anchors, record by record."""

    def __init__(self, anchors: Iterable[AnchoredHead], after: ChainHead) -> None:
        self._remaining = [anchor for anchor in anchors if anchor.number > after.number][::-1]
        self._last_matching = after.number  # the last number that an anchor confirms

    def find_mismatch(self, last: ChainHead) -> ChainFault | None:
        """Return the fault if an anchor with this number has a different hash."""
        while self._remaining and self._remaining[-1].number == last.number:
            anchor = self._remaining.pop()
            if anchor.hash != last.hash:
                why = f"the hash of number {anchor.number} is not the one that was anchored at {anchor.at:%F %T}"
                first = min(self._last_matching + 1, anchor.number)
                return ChainFault(first, ChainFaultKind.REWRITTEN, why, anchor.number)
            self._last_matching = anchor.number
        return None

    def find_missing(self, last: ChainHead) -> ChainFault | None:
        """Return the fault if an anchor has a later number than the end of the chain."""
        if not self._remaining:
            return None
        anchor = self._remaining[-1]
        why = f"the chain ends here, and number {anchor.number} was anchored at {anchor.at:%F %T}"
        return ChainFault(last.number + 1, ChainFaultKind.CUT_OFF, why)


def _check_end(last: ChainHead, head: ChainHead) -> ChainFault | None:
    if last == head:
        return None
    if _is_integer(head.number) and last.number < head.number:
        why = f"the chain ends here, and its head is number {head.number}"
        return ChainFault(last.number + 1, ChainFaultKind.CUT_OFF, why)
    if _is_integer(head.number) and last.number > head.number:
        why = f"it stands after the head, which is number {head.number}"
        return ChainFault(head.number + 1, ChainFaultKind.INSERTED, why)
    return ChainFault(last.number, ChainFaultKind.EDITED, "the head does not say what the chain ends with")


# -- a row ------------------------------------------------------------------------------------------------------------


def _is_next(record: AuditRecord, last: ChainHead) -> bool:
    return (
        record.number == last.number + 1
        and record.previous == last.hash
        and record.hash == chained_hash(record.previous, record.body)
        and record[: len(COPIED_COLUMNS)] == _columns_from_body(record.body)
    )


def _columns_from_body(body: str) -> tuple[Any, ...] | None:
    """Return what the columns must hold, or None if the body isn't an event, even if its hash is right."""
    try:
        fields = json.loads(body)
        return tuple(fields[name] for name in COPIED_COLUMNS)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


# -- what is wrong -----------------------------------------------------------------------------------------------------


def _diagnose(
    record: AuditRecord, following: Iterable[AuditRecord], last: ChainHead, previous: ChainHead, head: ChainHead
) -> ChainFault:
    """Return the fault at the first record that doesn't follow `last`. `previous` is what `last` followed.

    The row that should follow is identified by its previous hash, wherever it is now.
    """
    expected = last.number + 1
    if record.number < expected:
        return ChainFault(record.number, ChainFaultKind.INSERTED, "its number is one that Registrar never gives")
    if _is_integer(head.number) and record.number > head.number >= last.number:
        return ChainFault(
            record.number, ChainFaultKind.INSERTED, f"it stands after the head, which is number {head.number}"
        )
    found_at = next((later.number for later in following if later.previous == last.hash), None)
    if record.previous == last.hash:
        return _diagnose_next(record, expected, found_at)
    if record.number == expected and record.hash == chained_hash(last.hash, record.body):
        return ChainFault(
            expected, ChainFaultKind.EDITED, "the hash before it was edited: it does not follow the event before it"
        )
    if found_at is not None:
        return _diagnose_displaced(record, expected, found_at)
    return _diagnose_without_successor(record, last, previous)


def _diagnose_next(record: AuditRecord, expected: int, found_at: int | None) -> ChainFault:
    """Return the fault of a row with the right previous hash."""
    if record.number != expected:
        return ChainFault(expected, ChainFaultKind.SWAPPED, f"its row stands as number {record.number}")
    if found_at is not None:
        return ChainFault(
            expected, ChainFaultKind.INSERTED, f"the row that follows number {expected - 1} stands as number {found_at}"
        )
    if record.hash != chained_hash(record.previous, record.body):
        return ChainFault(expected, ChainFaultKind.EDITED, "its text is not the one that was hashed")
    columns = _columns_from_body(record.body)
    if columns is None:
        return ChainFault(expected, ChainFaultKind.EDITED, "its text is no event, though its hash was made of it")
    wrong = [name for name, stored, told in zip(COPIED_COLUMNS, record, columns, strict=False) if stored != told]
    return ChainFault(expected, ChainFaultKind.EDITED, f"its columns do not say what its text says: {', '.join(wrong)}")


def _diagnose_displaced(record: AuditRecord, expected: int, found_at: int) -> ChainFault:
    """Return the fault of a row in the place of another one, which is at number `found_at`."""
    if record.number != expected:
        return ChainFault(expected, ChainFaultKind.SWAPPED, f"its row stands as number {found_at}")
    if _number_from_body(record) == found_at:
        return ChainFault(
            expected, ChainFaultKind.SWAPPED, f"its row stands as number {found_at}, and the row of that number here"
        )
    return ChainFault(
        expected, ChainFaultKind.INSERTED, f"the row that follows number {expected - 1} stands as number {found_at}"
    )


def _diagnose_without_successor(record: AuditRecord, last: ChainHead, previous: ChainHead) -> ChainFault:
    """Return the fault if no row follows the last good one."""
    expected, number = last.number + 1, _number_from_body(record)
    if record.number != expected:
        return ChainFault(expected, ChainFaultKind.MISSING, f"after number {last.number} comes number {record.number}")
    if record.hash != chained_hash(record.previous, record.body):
        return ChainFault(
            expected, ChainFaultKind.EDITED, "it does not follow the event before it, nor is its text what was hashed"
        )
    if record.previous == previous.hash and last != CHAIN_START:
        why = f"the row that stands behind it follows number {previous.number}"
        return ChainFault(last.number, ChainFaultKind.INSERTED, why)
    if number is not None and number > expected:
        return ChainFault(expected, ChainFaultKind.MISSING, f"in its place stands what was number {number}")
    if last == CHAIN_START:
        return ChainFault(expected, ChainFaultKind.EDITED, "it is the first, and follows another event")
    why = f"its text and its hash are not those that number {expected} followed"
    return ChainFault(last.number, ChainFaultKind.EDITED, why)


def _number_from_body(record: AuditRecord) -> int | None:
    columns = _columns_from_body(record.body)
    return columns[0] if columns and _is_integer(columns[0]) else None


def _is_integer(value: object) -> bool:
    return type(value) is int

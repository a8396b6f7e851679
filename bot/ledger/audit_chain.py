"""The audit chain as it is stored, and whether it is whole. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from bot.domain.audit.anchors import AnchoredHead
from bot.domain.audit.events import START, Head, chain
from bot.domain.core.sentence import Say, say

COLUMNS = ("number", "at", "actor", "tag", "model")  # of a record, which its body says too
LOWEST = -(2**62)  # below every number that a row can have


class Record(NamedTuple):
    """One audit row. `body` is the event as it was hashed; the fields before it are copies for queries.

    `at` is the text that the body has. A tuple, since a hundred thousand of them are read at a time.
    """

    number: int
    at: str
    actor: str
    tag: str
    model: str | None
    body: str
    previous: str
    hash: str


class FaultKind(Enum):
    """What was done to the chain."""

    EDITED = "edited"  # a row does not say what was hashed
    MISSING = "missing"  # a row is gone from the middle
    INSERTED = "inserted"  # a row stands there that Registrar did not write
    SWAPPED = "swapped"  # a row stands where another one did
    CUT_OFF = "cut off"  # the last rows are gone
    REWRITTEN = "rewritten"  # rows and hashes were made anew, and only an anchor knows


@dataclass(frozen=True, slots=True)
class Fault:
    """The first row where the chain is not whole, and what is wrong there.

    `last` is set where an anchor tells only that it is one of the rows from `number` to `last`.
    """

    number: int
    kind: FaultKind
    why: str
    last: int | None = None


def told(fault: Fault) -> Say:
    """Return what is wrong, as a person reads it."""
    what = _WHAT[fault.kind] if fault.number or fault.kind is not FaultKind.EDITED else "the head was edited"
    return say(
        "The audit is not whole: " + what + ". {why}.",
        n=fault.number,
        last=fault.last,
        why=fault.why[:1].upper() + fault.why[1:],
    )


def advice(fault: Fault) -> Say:
    """Return what to do about it."""
    sound = fault.number - 1
    before = say(" Up to number {sound} the chain holds.", sound=sound) if sound > 0 else ""
    return say(
        "Copy the database as it is before anybody mends it, compare it from number {n} on with a backup or an "
        "export, and find out who can write to it beside the bot.{before}",
        n=fault.number,
        before=before,
    )


_WHAT = {
    FaultKind.EDITED: "number {n} was edited",
    FaultKind.MISSING: "number {n} is missing",
    FaultKind.INSERTED: "number {n} was inserted",
    FaultKind.SWAPPED: "number {n} was swapped",
    FaultKind.CUT_OFF: "it was cut off before number {n}",
    FaultKind.REWRITTEN: "it was rewritten, the earliest change being to one of the numbers {n} to {last}",
}


def stream(page: Callable[[int], Sequence[Record]]) -> Iterator[Record]:
    """Yield all records, page by page: `page` returns the next ones after a number, and none at the end."""
    after = LOWEST
    while records := page(after):
        yield from records
        after = records[-1].number


def verify(
    records: Iterable[Record], head: Head, after: Head = START, anchors: Iterable[AnchoredHead] = ()
) -> Fault | None:
    """Return the first fault of the records that follow `after`, or None where they lead to `head` unbroken.

    `anchors` (by number) are heads that were written down elsewhere. Whoever can rewrite every row and the head can
    only be found out by them.
    """
    rest, last, before = iter(records), after, after
    known = _Anchors(anchors, after)
    for record in rest:
        if not _follows(record, last):
            return _find_out(record, rest, last, before, head)
        before, last = last, Head(record.number, record.hash)
        if fault := known.contradict(last):
            return fault
        if last.number == head.number and last.hash != head.hash:
            return Fault(last.number, FaultKind.EDITED, "its hash is not the one that the head has")
    return _wrong_end(last, head) or known.missed(last)


class _Anchors:
    """The anchors, compared one after the other while the chain passes."""

    def __init__(self, anchors: Iterable[AnchoredHead], after: Head) -> None:
        self._coming = [anchor for anchor in anchors if anchor.number > after.number][::-1]
        self._agreed = after.number  # the last number of which an anchor says that it is right

    def contradict(self, last: Head) -> Fault | None:
        """Return the fault where an anchor of this number has another hash."""
        while self._coming and self._coming[-1].number == last.number:
            anchor = self._coming.pop()
            if anchor.hash != last.hash:
                why = f"the hash of number {anchor.number} is not the one that was anchored at {anchor.at:%F %T}"
                first = min(self._agreed + 1, anchor.number)
                return Fault(first, FaultKind.REWRITTEN, why, anchor.number)
            self._agreed = anchor.number
        return None

    def missed(self, last: Head) -> Fault | None:
        """Return the fault where an anchor is of a later number than the chain's last."""
        if not self._coming:
            return None
        anchor = self._coming[-1]
        why = f"the chain ends here, and number {anchor.number} was anchored at {anchor.at:%F %T}"
        return Fault(last.number + 1, FaultKind.CUT_OFF, why)


def _wrong_end(last: Head, head: Head) -> Fault | None:
    if last == head:
        return None
    if _is_number(head.number) and last.number < head.number:
        why = f"the chain ends here, and its head is number {head.number}"
        return Fault(last.number + 1, FaultKind.CUT_OFF, why)
    if _is_number(head.number) and last.number > head.number:
        why = f"it stands after the head, which is number {head.number}"
        return Fault(head.number + 1, FaultKind.INSERTED, why)
    return Fault(last.number, FaultKind.EDITED, "the head does not say what the chain ends with")


# -- a row ------------------------------------------------------------------------------------------------------------


def _follows(record: Record, last: Head) -> bool:
    return (
        record.number == last.number + 1
        and record.previous == last.hash
        and record.hash == chain(record.previous, record.body)
        and record[: len(COLUMNS)] == _meant(record.body)
    )


def _meant(body: str) -> tuple[Any, ...] | None:
    """Return what the columns have to hold, or None for what is no event, though its hash may be right."""
    try:
        fields = json.loads(body)
        return tuple(fields[name] for name in COLUMNS)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


# -- what was done to it -----------------------------------------------------------------------------------------------


def _find_out(record: Record, rest: Iterable[Record], last: Head, before: Head, head: Head) -> Fault:
    """Return what was done to the first record that does not follow `last`. `before` is what `last` followed.

    The row that ought to follow is known by the hash before it, wherever it stands now.
    """
    due = last.number + 1
    if record.number < due:
        return Fault(record.number, FaultKind.INSERTED, "its number is one that Registrar never gives")
    if _is_number(head.number) and record.number > head.number >= last.number:
        return Fault(record.number, FaultKind.INSERTED, f"it stands after the head, which is number {head.number}")
    place = next((one.number for one in rest if one.previous == last.hash), None)
    if record.previous == last.hash:
        return _edited_or_inserted(record, due, place)
    if record.number == due and record.hash == chain(last.hash, record.body):
        return Fault(due, FaultKind.EDITED, "the hash before it was edited: it does not follow the event before it")
    if place is not None:
        return _displaced(record, due, place)
    return _without_the_rightful(record, last, before)


def _edited_or_inserted(record: Record, due: int, place: int | None) -> Fault:
    """Return the fault of a row that says to follow the event before it."""
    if record.number != due:
        return Fault(due, FaultKind.SWAPPED, f"its row stands as number {record.number}")
    if place is not None:
        return Fault(due, FaultKind.INSERTED, f"the row that follows number {due - 1} stands as number {place}")
    if record.hash != chain(record.previous, record.body):
        return Fault(due, FaultKind.EDITED, "its text is not the one that was hashed")
    meant = _meant(record.body)
    if meant is None:
        return Fault(due, FaultKind.EDITED, "its text is no event, though its hash was made of it")
    wrong = [name for name, told, said in zip(COLUMNS, record, meant, strict=False) if told != said]
    return Fault(due, FaultKind.EDITED, f"its columns do not say what its text says: {', '.join(wrong)}")


def _displaced(record: Record, due: int, place: int) -> Fault:
    """Return the fault of a row that stands where another one belongs, which stands at `place` now."""
    if record.number != due:
        return Fault(due, FaultKind.SWAPPED, f"its row stands as number {place}")
    if _meant_number(record) == place:
        return Fault(due, FaultKind.SWAPPED, f"its row stands as number {place}, and the row of that number here")
    return Fault(due, FaultKind.INSERTED, f"the row that follows number {due - 1} stands as number {place}")


def _without_the_rightful(record: Record, last: Head, before: Head) -> Fault:
    """Return the fault where no row follows the last good one."""
    due, said = last.number + 1, _meant_number(record)
    if record.number != due:
        return Fault(due, FaultKind.MISSING, f"after number {last.number} comes number {record.number}")
    if record.hash != chain(record.previous, record.body):
        return Fault(due, FaultKind.EDITED, "it does not follow the event before it, nor is its text what was hashed")
    if record.previous == before.hash and last != START:
        why = f"the row that stands behind it follows number {before.number}"
        return Fault(last.number, FaultKind.INSERTED, why)
    if said is not None and said > due:
        return Fault(due, FaultKind.MISSING, f"in its place stands what was number {said}")
    if last == START:
        return Fault(due, FaultKind.EDITED, "it is the first, and follows another event")
    why = f"its text and its hash are not those that number {due} followed"
    return Fault(last.number, FaultKind.EDITED, why)


def _meant_number(record: Record) -> int | None:
    meant = _meant(record.body)
    return meant[0] if meant and _is_number(meant[0]) else None


def _is_number(value: object) -> bool:
    return type(value) is int

"""The audit chain check for reports: unlike `audit_chain.verify`, it continues after a fault, to find all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bot.domain.audit.anchors import AnchoredHead
from bot.domain.audit.audit_chain import COPIED_COLUMNS, AuditRecord, columns_from_body
from bot.domain.audit.events import CHAIN_START, ChainHead, chained_hash
from bot.domain.evidence.controls import ExceptionKind


class LogFault(NamedTuple):
    """A fault at one event, or from `number` to `last`; `what` is missing, inserted, edited, cut off, or rewritten."""

    kind: ExceptionKind
    what: str
    number: int
    last: int


class ChainCheck:
    """A check that takes rows in chain order. `anchors` are sorted by number."""

    def __init__(self, anchors: Iterable[AnchoredHead] = ()) -> None:
        self._last = CHAIN_START
        self._remaining = list(anchors)[::-1]
        self._is_rewritten = False

    def faults(self, record: AuditRecord) -> Iterator[LogFault]:
        """Yield the faults that the next row reveals."""
        number, expected = record.number, self._last.number + 1
        if number > expected:
            yield LogFault(ExceptionKind.NUMBERING_GAP, "missing", expected, number - 1)
        is_sound = record.hash == chained_hash(record.previous, record.body)
        if number < expected:
            yield LogFault(ExceptionKind.CHAIN_FAULT, "inserted", number, number)
        elif not is_sound or record[: len(COPIED_COLUMNS)] != columns_from_body(record.body):
            yield LogFault(ExceptionKind.CHAIN_FAULT, "edited", number, number)
        elif number == expected and record.previous != self._last.hash:
            yield LogFault(ExceptionKind.CHAIN_FAULT, "edited", max(1, number - 1), number)
        self._last = ChainHead(number, record.hash)
        yield from self._compare_anchors()

    def _compare_anchors(self) -> Iterator[LogFault]:
        """Yield a fault for the first anchor that differs; later anchors differ for the same reason."""
        while self._remaining and self._remaining[-1].number <= self._last.number:
            anchor = self._remaining.pop()
            is_other = anchor.number == self._last.number and anchor.hash != self._last.hash
            if is_other and not self._is_rewritten:
                self._is_rewritten = True
                yield LogFault(ExceptionKind.ANCHOR_MISMATCH, "rewritten", anchor.number, anchor.number)

    def faults_at_end(self, head: ChainHead) -> Iterator[LogFault]:
        """Yield the faults at the end of the chain. `head` is the stored head."""
        last = self._last
        if last.number != head.number:
            what = "cut off" if last.number < head.number else "inserted"
            first, end = sorted((last.number, head.number))
            yield LogFault(ExceptionKind.CHAIN_FAULT, what, first + 1, end)
        elif last != head and last.number:
            yield LogFault(ExceptionKind.CHAIN_FAULT, "edited", last.number, last.number)
        if self._remaining and self._remaining[0].number > max(head.number, last.number):
            yield LogFault(ExceptionKind.ANCHOR_MISMATCH, "cut off", last.number + 1, self._remaining[0].number)

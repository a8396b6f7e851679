"""The audit chain as it is stored, and whether it is whole. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bot.domain.events import GENESIS, chain


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One audit row. `body` is the event as it was hashed; the fields before it are copies for queries."""

    number: int
    at: datetime
    actor: str
    tag: str
    model: str | None
    body: str
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class Head:
    """Where the chain ends: the last event's number and hash."""

    number: int
    hash: str


START = Head(0, GENESIS)


@dataclass(frozen=True, slots=True)
class Fault:
    """The first place where the chain is not whole, and what is wrong there."""

    number: int
    why: str


def verify(records: Iterable[Record], head: Head, after: Head = START) -> Fault | None:
    """Return the first fault of the records that follow `after`, or None where they lead to `head` unbroken.

    `head` is the ledger's own or one that was anchored elsewhere. Whoever can rewrite every row and the head
    can only be found out by an anchor.
    """
    last = after
    for record in records:
        if why := _fault(record, last):
            return Fault(last.number + 1, why)
        last = Head(record.number, record.hash)
        if last.number == head.number and last.hash != head.hash:
            return Fault(last.number, "its hash is not the one that the head has")
    return None if last == head else _wrong_end(last, head)


def _wrong_end(last: Head, head: Head) -> Fault:
    if last.number < head.number:
        return Fault(last.number + 1, f"the chain is cut off here; its head is number {head.number}")
    return Fault(head.number + 1, f"there are events after the head, which is number {head.number}")


def _fault(record: Record, last: Head) -> str | None:
    if record.number != last.number + 1:
        return f"it is missing: after number {last.number} comes number {record.number}"
    if record.previous != last.hash:
        return "it does not follow the event before it"
    if record.hash != chain(record.previous, record.body):
        return "its text was edited"
    if _told(record) != _meant(record.body):
        return "its columns do not say what its text says"
    return None


def _told(record: Record) -> tuple[Any, ...]:
    return record.number, record.at, record.actor, record.tag, record.model


def _meant(body: str) -> tuple[Any, ...] | None:
    try:
        fields = json.loads(body)
        at = datetime.fromisoformat(fields["at"]).astimezone(UTC)
    except (ValueError, KeyError, TypeError):  # whoever wrote this hashed it, but it is no event
        return None
    return fields["number"], at, fields["actor"], fields["tag"], fields["model"]

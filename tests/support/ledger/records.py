"""Records of a ledger, and helpers to write and read them."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from bot.domain.audit import audit_chain
from bot.domain.audit.anchors import AnchoredHead
from bot.domain.audit.audit_chain import ChainFault
from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Person
from bot.domain.core.sentence import say
from bot.domain.monitoring.readings import CheckOutcome, Measurement
from bot.domain.policy.freezes import Freeze
from bot.domain.promotions.request import Request
from bot.domain.promotions.votes import Vote, VoteChoice
from bot.domain.registry.model import Stage
from bot.domain.transitions.restores import Hold, HoldKind
from bot.domain.transitions.transition import Transition, TransitionKind
from bot.ledger import SqlLedger
from bot.ledger.engines import parse_url
from bot.ports import Claim, MessageKind, OutboxMessage, QueuedCommand

T = TypeVar("T")

NOW = datetime(2026, 5, 4, 12, 30, 15, 123456, tzinfo=UTC)


SOON, LATER = NOW + timedelta(minutes=1), NOW + timedelta(hours=1)


ALICE, BOB = Person("T1", "U1ALICE"), Person("T1", "U2BOB")


_ids = itertools.count(1)


def slot_claims(slots: Mapping[tuple[str, int], datetime], owner: str, now: datetime) -> dict[tuple[str, int], Claim]:
    """Return an owner's claims on checks, each with its own end time."""
    return {slot: Claim(owner, now, until) for slot, until in slots.items()}


def a_request(**changes: Any) -> Request:
    request = Request(
        id=f"r{next(_ids)}",
        model="churn",
        version=7,
        from_stage=Stage.STAGING,
        target=Stage.PRODUCTION,
        incumbent=5,
        requester=ALICE,
        reason="better f1",
        required=2,
        opened_at=NOW,
        expires_at=LATER,
    )
    return replace(request, **changes)


def a_vote(request: Request, voter: Person = BOB, **changes: Any) -> Vote:
    return replace(Vote(request=request.id, voter=voter, choice=VoteChoice.APPROVE, reason="", at=NOW), **changes)


def a_transition(**changes: Any) -> Transition:
    move = Transition(
        id=f"m{next(_ids)}",
        kind=TransitionKind.PROMOTION,
        model="churn",
        version=7,
        from_stage=Stage.STAGING,
        target=Stage.PRODUCTION,
        expected_incumbent=5,
        actor=ALICE,
        intended_at=NOW,
    )
    return replace(move, **changes)


def a_command(**changes: Any) -> QueuedCommand:
    ask = QueuedCommand(id=f"a{next(_ids)}", caller=ALICE, command={"verb": "promote"}, where="C1", at=NOW)
    return replace(ask, **changes)


def a_message(key: str, lane: str = "r1", **changes: Any) -> OutboxMessage:
    return replace(OutboxMessage(key=key, lane=lane, kind=MessageKind.THREAD_REPLY, to="C1", created_at=NOW), **changes)


def an_event(**changes: Any) -> Event:
    event = Event(at=NOW, actor=ALICE, tag=EventTag.REQUEST_OPENED, subject="r1", model="churn", evidence={"f1": 0.91})
    return replace(event, **changes)


def save(ledger: SqlLedger, *things: Request | Vote | Transition | QueuedCommand | OutboxMessage | Event) -> None:
    """Insert the records in one transaction."""
    with ledger.write() as w:
        add: dict[type, Callable[[Any], object]] = {
            Request: w.add_request,
            Vote: w.add_vote,
            Transition: w.add_transition,
            QueuedCommand: w.add_queued_command,
            OutboxMessage: w.add_message,
            Event: w.add_audit_event,
        }
        for thing in things:
            add[type(thing)](thing)


def due(ledger: SqlLedger, now: datetime = NOW, most: int = 100) -> list[str]:
    with ledger.read() as r:
        return [note.key for note in r.due_messages(now, most)]


def fault(ledger: SqlLedger, anchors: Sequence[AnchoredHead] = ()) -> ChainFault | None:
    with ledger.read() as r:
        return audit_chain.verify(r.audit_records(), r.audit_head(), anchors=anchors)


def run_concurrently(count: int, work: Callable[[int], T]) -> list[T]:
    """Run the function on many threads that start together; return their results."""
    gate = threading.Barrier(count)

    def one(number: int) -> T:
        gate.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@contextmanager
def opened(url: str, **options: Any) -> Iterator[SqlLedger]:
    with closing(SqlLedger(url, **options)) as ledger:
        yield ledger


@contextmanager
def raw(url: str) -> Iterator[Any]:
    """Yield a connection that bypasses the ledger, in one transaction."""
    with create_engine(parse_url(url), poolclass=NullPool).begin() as connection:
        yield connection


class PlannedError(Exception):
    pass


def a_freeze(**changes: Any) -> Freeze:
    return replace(Freeze(id=f"f{next(_ids)}", model="churn", by=ALICE, reason="audit", at=NOW), **changes)


def a_measurement(monitor: str, slot: int) -> Measurement:
    return Measurement(
        monitor=monitor, slot=slot, at=NOW, revision=1, version=3, move="m1", outcome=CheckOutcome.OK, value=0.9
    )


def a_hold(**changes: Any) -> Hold:
    hold = Hold(id=f"h{next(_ids)}", kind=HoldKind.LEDGER_RESTORED, at=NOW, lines=(say("{n} tags", n=2),), keys=("k",))
    return replace(hold, **changes)

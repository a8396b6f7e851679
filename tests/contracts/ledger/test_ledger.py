"""What every ledger does, on SQLite and on PostgreSQL."""

from __future__ import annotations

import itertools
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from math import inf
from pathlib import Path
from typing import Any, TypeVar

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from bot.domain.anchors import AnchoredHead
from bot.domain.approvals import Choice, Request, RequestState, Vote
from bot.domain.baselines import Points, summarize
from bot.domain.errors import AlreadyDecided, AlreadyOpen, LedgerUnavailable, Misconfigured, UnknownRequest
from bot.domain.events import GENESIS, START, Event, Head, Tag, chain
from bot.domain.evidence import GateResult, Seen
from bot.domain.freezes import Freeze
from bot.domain.monitor_rule import MonitorRule
from bot.domain.monitors import FrozenBaseline, Measurement, Monitor, Outcome, Standing
from bot.domain.moves import UNFINISHED, Move, MoveKind, MoveState
from bot.domain.people import Actor, Automation, Client, Operator, Person
from bot.domain.registry import Stage
from bot.domain.restores import Hold, HoldKind
from bot.domain.serving import Serving, ServingState
from bot.domain.text import say
from bot.ledger import SqlLedger, audit, rows
from bot.ledger.audit import Fault, FaultKind
from bot.ledger.engines import parse_url
from bot.ledger.tables import metadata
from bot.ports import Ask, AskState, Batch, Copy, Held, Ledger, Note, NoteKind, Posting, Progress, Unobserved, Waiting
from tests.support.ledger.bulk_data import add_many_events
from tests.support.paths import OLD_LEDGER, ROOT

pytestmark = pytest.mark.usefixtures("migrates_itself")

pytest_plugins = ("tests.support.ledger.ledgers",)

NOW = datetime(2026, 5, 4, 12, 30, 15, 123456, tzinfo=UTC)
SOON, LATER = NOW + timedelta(minutes=1), NOW + timedelta(hours=1)
ALICE, BOB = Person("T1", "U1ALICE"), Person("T1", "U2BOB")

T = TypeVar("T")
_ids = itertools.count(1)


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
    return replace(Vote(request=request.id, voter=voter, choice=Choice.APPROVE, reason="", at=NOW), **changes)


def a_move(**changes: Any) -> Move:
    move = Move(
        id=f"m{next(_ids)}",
        kind=MoveKind.PROMOTION,
        model="churn",
        version=7,
        from_stage=Stage.STAGING,
        target=Stage.PRODUCTION,
        expected_incumbent=5,
        actor=ALICE,
        intended_at=NOW,
    )
    return replace(move, **changes)


def an_ask(**changes: Any) -> Ask:
    ask = Ask(id=f"a{next(_ids)}", caller=ALICE, command={"verb": "promote"}, where="C1", at=NOW)
    return replace(ask, **changes)


def a_note(key: str, lane: str = "r1", **changes: Any) -> Note:
    return replace(Note(key=key, lane=lane, kind=NoteKind.NEWS, to="C1", created_at=NOW), **changes)


def an_event(**changes: Any) -> Event:
    event = Event(at=NOW, actor=ALICE, tag=Tag.OPENED, subject="r1", model="churn", evidence={"f1": 0.91})
    return replace(event, **changes)


def save(ledger: SqlLedger, *things: Request | Vote | Move | Ask | Note | Event) -> None:
    """Insert each, all in one transaction."""
    with ledger.write() as w:
        add: dict[type, Callable[[Any], object]] = {
            Request: w.add_request,
            Vote: w.add_vote,
            Move: w.add_move,
            Ask: w.add_ask,
            Note: w.add_note,
            Event: w.append,
        }
        for thing in things:
            add[type(thing)](thing)


def claim(ledger: SqlLedger, owner: str = "one", now: datetime = NOW, model: str = "churn") -> Move | None:
    with ledger.write() as w:
        return w.claim_move(model, owner, now, now + timedelta(minutes=1))


def due(ledger: SqlLedger, now: datetime = NOW, most: int = 100) -> list[str]:
    with ledger.read() as r:
        return [note.key for note in r.due_notes(now, most)]


def fault(ledger: SqlLedger, anchors: Sequence[AnchoredHead] = ()) -> Fault | None:
    with ledger.read() as r:
        return audit.verify(r.records(), r.head(), anchors=anchors)


def at_once(count: int, work: Callable[[int], T]) -> list[T]:
    """Do the same on many threads that start together; return what each returned."""
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
    """Give a connection past the ledger, in one transaction."""
    with create_engine(parse_url(url), poolclass=NullPool).begin() as connection:
        yield connection


def tamper(url: str, *statements: str) -> None:
    """Change audit rows as somebody with the database's password could."""
    with raw(url) as connection:
        if connection.dialect.name == "sqlite":
            for act in ("update", "delete", "replace"):
                connection.execute(text(f"DROP TRIGGER audit_events_no_{act}"))
        else:
            connection.execute(text("SET session_replication_role = replica"))
        for statement in statements:
            connection.execute(text(statement))


class Oops(Exception):
    pass


# Transactions


def test_a_ledger_is_what_the_services_ask_for(ledger: SqlLedger) -> None:
    plug: Ledger = ledger
    with plug.read() as reading:
        assert reading.requests() == []


def test_change_event_and_note_vanish_together_when_the_block_raises(ledger: SqlLedger) -> None:
    def begin_and_fail() -> None:
        with ledger.write() as w:
            w.add_request(a_request())
            w.append(an_event())
            w.add_note(a_note("k"))
            raise Oops

    with pytest.raises(Oops):
        begin_and_fail()
    with ledger.read() as r:
        assert (r.requests(), r.links(), r.due_notes(NOW)) == ([], [], [])
        assert r.head() == START


def test_a_refusal_inside_the_block_passes_through_and_rolls_back(ledger: SqlLedger) -> None:
    def begin_and_refuse() -> None:
        with ledger.write() as w:
            w.add_request(a_request())
            raise AlreadyDecided("somebody was faster")

    with pytest.raises(AlreadyDecided, match="somebody was faster"):
        begin_and_refuse()
    with ledger.read() as r:
        assert r.requests() == []


def test_a_transaction_goes_on_after_a_refusal_that_was_caught(ledger: SqlLedger) -> None:
    save(ledger, a_request(id="first"))
    with ledger.write() as w:
        with pytest.raises(AlreadyOpen):
            w.add_request(a_request())
        w.append(an_event(tag=Tag.ASK_REFUSED))
    with ledger.read() as r:
        assert [link.event.tag for link in r.links()] == [Tag.ASK_REFUSED]


def test_a_reading_sees_one_moment_and_waits_for_no_writer(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        w.add_request(a_request(id="r"))
        with ledger.read() as r:
            assert r.requests() == []
    with ledger.read() as r:
        before = r.requests()
        save(ledger, a_request(target=Stage.STAGING))
        assert r.requests() == before


def test_a_write_within_a_write_is_told_at_once(ledger: SqlLedger) -> None:
    with ledger.write(), pytest.raises(RuntimeError, match="writing already"), ledger.write():
        pass


def test_writers_queue_in_the_order_in_which_they_came() -> None:
    from bot.ledger.turns import Turns

    turns, order, came = Turns(1), [], threading.Semaphore(0)
    turns.take(1)

    def work(number: int) -> None:
        came.release()
        turns.take(10)
        order.append(number)
        turns.give()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for number, thread in enumerate(threads):
        thread.start()
        came.acquire()
        while len(turns._waiting) <= number:  # the instant between "I come" and standing in the queue
            pass
    turns.give()
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


# Requests


def test_a_second_open_request_is_refused_with_the_first_ones_id(ledger: SqlLedger) -> None:
    save(ledger, a_request(id="abc"))
    with pytest.raises(AlreadyOpen) as refused:
        save(ledger, a_request(version=8))
    assert str(refused.value) == (
        "Request abc for v7 of “churn” in Production is still open: approve abc, or cancel abc first."
    )


def test_where_the_first_is_approved_nobody_is_told_to_cancel_it(ledger: SqlLedger) -> None:
    save(ledger, a_request(id="abc", state=RequestState.APPROVED))
    with pytest.raises(AlreadyOpen, match="is approved and being made"):
        save(ledger, a_request())


def test_another_target_another_model_or_an_ended_request_is_not_in_the_way(ledger: SqlLedger) -> None:
    save(ledger, a_request(state=RequestState.DONE), a_request(state=RequestState.REJECTED))
    save(ledger, a_request(), a_request(target=Stage.STAGING), a_request(model="fraud"))


def test_of_many_that_ask_at_once_one_is_opened(ledger: SqlLedger) -> None:
    def ask(_: int) -> bool:
        try:
            save(ledger, a_request(), an_event())
        except AlreadyOpen:
            return False
        return True

    assert sorted(at_once(8, ask)) == [False] * 7 + [True]
    with ledger.read() as r:
        assert (len(r.requests()), len(r.links())) == (1, 1)


def test_an_unknown_request_is_told_by_name(ledger: SqlLedger) -> None:
    with ledger.read() as r, pytest.raises(UnknownRequest, match="no request “zzz”"):
        r.request("zzz")
    with ledger.write() as w, pytest.raises(UnknownRequest):
        w.lock_request("z\0")
    with ledger.write() as w, pytest.raises(UnknownRequest):
        w.save_request(a_request())


def test_requests_come_newest_first_by_model_and_state(ledger: SqlLedger) -> None:
    old = a_request(state=RequestState.DONE, opened_at=NOW - timedelta(days=1))
    new, twin = a_request(), a_request(target=Stage.STAGING)
    other = a_request(model="fraud", opened_at=SOON)
    save(ledger, new, twin, old, other)
    with ledger.read() as r:
        assert r.requests() == [other, twin, new, old]
        assert r.requests(model="churn", most=2) == [twin, new]
        assert r.requests(states=[RequestState.DONE]) == [old]
        assert r.requests(model="churn", states=[RequestState.PENDING, RequestState.DONE]) == [twin, new, old]


def test_the_open_request_is_found_until_it_ends(ledger: SqlLedger) -> None:
    request = a_request()
    save(ledger, request)
    with ledger.write() as w:
        assert w.open_request("churn", Stage.PRODUCTION) == request
        assert w.open_request("churn", Stage.STAGING) is None
        w.save_request(request.become(RequestState.CANCELLED))
        assert w.open_request("churn", Stage.PRODUCTION) is None


def test_a_pending_request_expires_at_its_time_to_the_microsecond(ledger: SqlLedger) -> None:
    save(ledger, a_request(id="p"), a_request(id="d", model="fraud", state=RequestState.APPROVED))
    with ledger.read() as r:
        assert r.expired(LATER - timedelta(microseconds=1)) == []
        assert r.expired(LATER) == ["p"]


def test_a_locked_request_makes_others_wait_so_no_change_is_lost(ledger: SqlLedger) -> None:
    save(ledger, a_request(id="r", outcome="0"))

    def count(_: int) -> None:
        for _ in range(3):
            with ledger.write() as w:
                request = w.lock_request("r")
                w.save_request(replace(request, outcome=str(int(request.outcome) + 1)))

    at_once(6, count)
    with ledger.read() as r:
        assert r.request("r").outcome == "18"


def test_two_simultaneous_votes_never_leave_a_request_pending(ledger: SqlLedger) -> None:
    def vote(person: int) -> bool:
        with ledger.write() as w:
            request = w.lock_request("r")
            w.add_vote(a_vote(request, Person("T1", f"U{person}")))
            return len(w.votes("r")) == request.required

    save(ledger, a_request(id="r"))
    assert sorted(at_once(2, vote)) == [False, True]


def test_one_person_has_one_vote_in_the_order_of_casting(ledger: SqlLedger) -> None:
    request = a_request()
    save(ledger, request)
    first, other = a_vote(request), a_vote(request, Person("T2", BOB.user), at=NOW - timedelta(days=1))
    with ledger.write() as w:
        assert w.add_vote(first)
        assert not w.add_vote(replace(first, choice=Choice.REJECT, reason="no"))
        assert w.add_vote(other)
    with ledger.read() as r:
        assert r.votes(request.id) == [first, other]


# Moves


def test_a_move_is_added_once(ledger: SqlLedger) -> None:
    move = a_move()
    with ledger.write() as w:
        assert w.add_move(move)
        assert not w.add_move(replace(move, version=8))
    with ledger.read() as r:
        assert r.move(move.id) == move
        with pytest.raises(KeyError):
            r.move("no such move")


def test_moves_come_newest_first(ledger: SqlLedger) -> None:
    first, second = a_move(), a_move(target=Stage.STAGING)
    clock_was_set_back = a_move(intended_at=NOW - timedelta(days=9), state=MoveState.DONE)
    save(ledger, first, second, clock_was_set_back, a_move(model="fraud"))
    with ledger.read() as r:
        assert r.moves("churn") == [clock_was_set_back, second, first]
        assert r.moves("churn", stage=Stage.PRODUCTION, most=1) == [clock_was_set_back]
        assert r.moves("churn", stage=Stage.ARCHIVED) == []
        assert r.models_with_moves(UNFINISHED) == ["churn", "fraud"]
        assert r.models_with_moves([MoveState.DONE]) == ["churn"]


def test_what_put_a_version_into_production_is_found_however_long_ago(ledger: SqlLedger) -> None:
    done = {"state": MoveState.DONE, "finished_at": NOW}
    entered = a_move(**done)
    others = [
        a_move(version=8, **done),
        a_move(model="fraud", **done),
        a_move(target=Stage.STAGING, **done),
        a_move(from_stage=Stage.PRODUCTION, target=Stage.ARCHIVED, **done),
        a_move(state=MoveState.STALE),
        a_move(),
    ]
    with ledger.write() as tx:
        for move in [entered, *others]:
            tx.add_move(move)
    with ledger.read() as reading:
        assert reading.entries("churn", 7) == [entered]


def test_earlier_moves_come_before_all_that_are_there_page_by_page(ledger: SqlLedger) -> None:
    done = {"state": MoveState.DONE, "finished_at": NOW}
    there, *earlier = (a_move(version=version, **done) for version in (9, 3, 4, 1, 2))
    later = a_move(version=10, **done)
    with ledger.write() as tx:
        tx.add_move(there)
        tx.add_earlier(earlier[:2])
        tx.add_earlier(earlier[2:])
        tx.add_move(later)
    with ledger.read() as reading:
        found = reading.moves("churn", stage=Stage.PRODUCTION)
        assert [move.version for move in found] == [10, 9, 4, 3, 2, 1]
        page = reading.moves("churn", before=found[2].id, most=2)
        assert [move.version for move in page] == [3, 2]
        first = reading.first_move("churn", Stage.PRODUCTION)
        assert first is not None
        assert first.version == 1


def test_earlier_moves_fit_into_a_ledger_without_any(ledger: SqlLedger) -> None:
    with ledger.write() as tx:
        tx.add_earlier([a_move(version=1), a_move(version=2)])
        tx.add_move(a_move(version=3))
    with ledger.read() as reading:
        assert [move.version for move in reading.moves("churn")] == [3, 2, 1]


def test_the_oldest_due_move_is_claimed_and_the_model_is_held(ledger: SqlLedger) -> None:
    old, new = a_move(), a_move(intended_at=NOW - timedelta(hours=1))  # the clock was set back in between
    save(ledger, old, new)
    taken = claim(ledger)
    assert taken == replace(old, state=MoveState.EXECUTING, attempts=1)
    assert claim(ledger, "two") is None
    with ledger.write() as w:
        assert w.owners() == ["one"]
        w.finish_move(replace(old, attempts=1, state=MoveState.DONE, finished_at=NOW))
        assert w.owners() == []
    following = claim(ledger, "two")
    assert following is not None
    assert following.id == new.id


def test_there_is_nothing_to_claim_for_an_idle_model(ledger: SqlLedger) -> None:
    save(ledger, a_move(state=MoveState.DONE), a_move(model="fraud"))
    assert claim(ledger) is None


def test_of_twenty_that_claim_at_once_one_gets_a_move(ledger: SqlLedger) -> None:
    save(ledger, a_move(id="oldest"), a_move(), a_move())
    won = [move.id for move in at_once(20, lambda number: claim(ledger, f"o{number}")) if move]
    assert won == ["oldest"]


@pytest.mark.postgres
def test_a_claim_that_meets_another_one_leaves_the_transaction_whole(postgres_url: str) -> None:
    with opened(postgres_url) as one, opened(postgres_url) as two:
        save(one, a_move(), a_move())
        began = threading.Event()

        def second() -> Move | None:
            with two.write() as w:
                w.append(an_event())
                began.set()
                move = w.claim_move("churn", "two", NOW, SOON)
                w.owners()  # the transaction can still be used
                return move

        with ThreadPoolExecutor(1) as pool, one.write() as w:
            assert w.claim_move("churn", "one", NOW, SOON)
            other = pool.submit(second)
            began.wait()
            _wait_until_somebody_waits(postgres_url)
        assert other.result() is None
        with one.read() as r:
            assert len(r.links()) == 1


def _wait_until_somebody_waits(url: str) -> None:
    with raw(url) as connection:
        while not connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
            pass


def test_a_lease_that_is_over_is_taken_over_before_anything_else(ledger: SqlLedger) -> None:
    stuck = a_move()
    save(ledger, stuck)
    claim(ledger, "one")
    save(ledger, a_move(intended_at=NOW - timedelta(days=1)))
    assert claim(ledger, "two", SOON - timedelta(microseconds=1)) is None
    taken = claim(ledger, "two", SOON)
    assert taken == replace(stuck, state=MoveState.EXECUTING, attempts=2)


def test_whoever_was_taken_over_cannot_finish_the_move(ledger: SqlLedger) -> None:
    save(ledger, a_move(id="m"))
    slow = claim(ledger, "slow")
    fast = claim(ledger, "fast", LATER)
    assert slow
    assert fast
    with ledger.write() as w:
        w.finish_move(replace(fast, state=MoveState.DONE))
    with pytest.raises(AlreadyDecided, match="Move m was taken over and is done now"), ledger.write() as w:
        w.finish_move(replace(slow, state=MoveState.FAILED))
    with ledger.write() as w, pytest.raises(KeyError):
        w.finish_move(a_move())


def test_the_leases_of_one_who_is_gone_end_at_once(ledger: SqlLedger) -> None:
    save(ledger, a_move(), a_move(model="fraud"))
    claim(ledger, "gone")
    claim(ledger, "here", model="fraud")
    with ledger.write() as w:
        w.disown("gone")
        assert w.owners() == ["here"]
    assert claim(ledger, "two") is not None
    assert claim(ledger, "two", model="fraud") is None


def test_a_move_that_was_given_back_waits_for_its_time(ledger: SqlLedger) -> None:
    save(ledger, a_move(id="m"))
    taken = claim(ledger)
    assert taken is not None
    with ledger.write() as w:
        assert w.release_move(taken, SOON)
        assert w.move("m").state is MoveState.INTENDED
        assert w.owners() == []
    assert claim(ledger, "two", SOON - timedelta(microseconds=1)) is None
    again = claim(ledger, "two", SOON)
    assert again is not None
    assert again.attempts == 2


def test_a_move_that_waits_lets_a_later_one_go_first(ledger: SqlLedger) -> None:
    save(ledger, a_move(id="waits", intended_at=NOW - timedelta(days=1)), a_move(id="due"))
    waits = claim(ledger)
    assert waits is not None
    with ledger.write() as w:
        w.release_move(waits, LATER)
    taken = claim(ledger)
    assert taken is not None
    assert taken.id == "due"


def test_a_finished_move_cannot_be_given_back(ledger: SqlLedger) -> None:
    done = a_move(state=MoveState.DONE, finished_at=NOW)
    save(ledger, done)
    with ledger.write() as w:
        assert not w.release_move(done, NOW)
        assert w.move(done.id) == done


def test_a_move_keeps_when_it_first_began_however_it_goes_on(ledger: SqlLedger) -> None:
    save(ledger, a_move(id="m"))
    taken = claim(ledger)
    assert taken is not None
    with ledger.write() as w:
        assert w.begin_move(taken, NOW)
        assert w.begin_move(taken, LATER)
        assert w.move("m").began_at == NOW
        w.release_move(taken, SOON)
    again = claim(ledger, "two", SOON)
    assert again is not None
    with ledger.write() as w:
        w.finish_move(replace(again, state=MoveState.DONE, finished_at=SOON, began_at=None))
        assert w.move("m").began_at == NOW


def test_a_move_that_was_taken_over_does_not_begin(ledger: SqlLedger) -> None:
    save(ledger, a_move(id="m"))
    taken = claim(ledger)
    assert taken is not None
    with ledger.write() as w:
        assert not w.begin_move(replace(taken, attempts=taken.attempts - 1), NOW)
        w.release_move(taken, SOON)
        assert not w.begin_move(taken, NOW)
        assert w.move("m").began_at is None


# Asks


def test_an_ask_waits_for_its_time_and_comes_in_order(ledger: SqlLedger) -> None:
    late, early = an_ask(id="late"), an_ask(id="early", at=NOW - timedelta(hours=1))
    save(ledger, late, early, an_ask(not_before=SOON), an_ask(state=AskState.DRAFT))
    with ledger.read() as r:
        assert r.waiting_asks(NOW) == ["early", "late"]
        assert len(r.waiting_asks(SOON)) == 3


def test_an_ask_is_saved_with_the_request_that_came_of_it(ledger: SqlLedger) -> None:
    ask, request = an_ask(), a_request()
    save(ledger, ask)
    became = replace(ask, state=AskState.OPENED, request=request.id, attempts=2, not_before=SOON)
    with ledger.write() as w:
        w.add_request(request)
        w.save_ask(became)
    with ledger.read() as r:
        assert r.ask(ask.id) == became
        assert r.waiting_asks(LATER) == []
        with pytest.raises(KeyError):
            r.ask("nothing")
    with ledger.write() as w, pytest.raises(KeyError):
        w.save_ask(an_ask())


# The outbox


def test_lanes_take_turns_and_keep_their_order(ledger: SqlLedger) -> None:
    save(ledger, *(a_note(f"a{n}", "a") for n in (1, 2, 3)), a_note("b1", "b"), a_note("c1", "c"), a_note("b2", "b"))
    assert due(ledger) == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert due(ledger, most=2) == ["a1", "b1"]


def test_a_note_that_waits_holds_up_its_own_lane_only(ledger: SqlLedger) -> None:
    save(ledger, a_note("a1", "a"), a_note("a2", "a"), a_note("a3", "a"), a_note("b1", "b"))
    with ledger.write() as w:
        w.postpone(w.due_notes(NOW)[2], SOON, "Slack said: later")  # a2
    assert due(ledger) == ["a1", "b1"]
    assert due(ledger, SOON) == ["a1", "b1", "a2", "a3"]


def test_notes_of_some_kinds_can_be_asked_for_alone(ledger: SqlLedger) -> None:
    save(ledger, a_note("a1", "a"), a_note("e1", "e", kind=NoteKind.EVENT), a_note("e2", "e", kind=NoteKind.EVENT))
    with ledger.read() as r:
        assert [note.key for note in r.due_notes(NOW, kinds={NoteKind.EVENT})] == ["e1", "e2"]
        assert [note.key for note in r.due_notes(NOW, kinds=set(NoteKind) - {NoteKind.EVENT})] == ["a1"]
        assert r.due_notes(NOW, kinds={NoteKind.EVENT}, to="nobody") == []
        assert r.waited_for(NoteKind.EVENT) == [r.due_notes(NOW, kinds={NoteKind.EVENT})[0].to]
        assert r.waited_for(NoteKind.NOTICE) == []
    assert due(ledger) == ["a1", "e1", "e2"]


def test_a_key_is_taken_for_ever(ledger: SqlLedger) -> None:
    save(ledger, a_note("k", data={"was": "first"}))
    save(ledger, a_note("k", data={"was": "second"}))
    with ledger.write() as w:
        (note,) = w.due_notes(NOW)
        assert note.data == {"was": "first"}
        w.delivered(note, None)
    save(ledger, a_note("k"))
    assert due(ledger) == []


def test_a_delivery_that_began_is_remembered_and_nobody_elses_until_its_lease_is_over(ledger: SqlLedger) -> None:
    save(ledger, a_note("k"), a_note("behind it"))
    with ledger.write() as w:
        fresh, _ = w.due_notes(NOW)
        taken = w.claim_note(fresh, "one", NOW, SOON)
        assert taken == replace(fresh, attempts=1, claimed_until=SOON)
        assert w.claim_note(fresh, "two", NOW, SOON) is None
        assert w.due_notes(NOW) == []
    with ledger.write() as w:
        left, _ = w.due_notes(SOON)
        assert left == replace(fresh, was_tried=True, attempts=1, claimed_until=SOON)
        assert w.claim_note(left, "two", SOON, LATER) == replace(left, attempts=2, claimed_until=LATER)


def test_whoever_was_overtaken_writes_no_end_of_a_note(ledger: SqlLedger) -> None:
    save(ledger, a_note("k"))
    with ledger.write() as w:
        (fresh,) = w.due_notes(NOW)
        mine = w.claim_note(fresh, "one", NOW, SOON)
        assert mine is not None
        theirs = w.claim_note(mine, "two", SOON, LATER)
        assert theirs is not None
        assert not any([w.delivered(mine, Posting("C1", "1")), w.postpone(mine, LATER, ""), w.drop(mine, "")])
        assert (w.is_waiting(mine), w.posting_of(mine)) == (True, None)
        assert w.delivered(theirs, Posting("C1", "2"))
        assert (w.is_waiting(mine), w.posting_of(mine)) == (False, Posting("C1", "2"))


def test_the_notes_of_a_process_that_is_gone_are_free_at_once(ledger: SqlLedger) -> None:
    save(ledger, a_note("k"))
    with ledger.write() as w:
        w.claim_note(w.due_notes(NOW)[0], "gone", NOW, LATER)
        assert (w.owners(), w.due_notes(NOW)) == (["gone"], [])
        w.disown("gone")
        assert (w.owners(), [note.key for note in w.due_notes(NOW)]) == ([], ["k"])


def test_a_name_is_leased_to_one_at_a_time(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        assert w.take_lease("churn", "one", NOW, SOON)
        assert w.take_lease("churn", "one", NOW, SOON)
        assert not w.take_lease("churn", "two", NOW, SOON)
        assert w.take_lease("other", "two", NOW, SOON)
        w.give_lease("churn", "two")
        assert not w.take_lease("churn", "two", NOW, SOON)
        w.give_lease("churn", "one")
        assert w.take_lease("churn", "two", NOW, SOON)
        assert w.take_lease("churn", "one", LATER, LATER)


def test_what_a_transaction_locks_by_name_another_one_waits_for(ledger: SqlLedger, ledger_url: str) -> None:
    if ledger_url.startswith("sqlite"):
        pytest.skip("SQLite has one writer at a time")
    with ledger.write() as one:
        one.lock("policy")
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(_is_free, ledger, "policy").result() is False
            assert pool.submit(_is_free, ledger, "other").result() is True
    assert _is_free(ledger, "policy")


def _is_free(ledger: SqlLedger, name: str) -> bool:
    with ledger.write() as w:
        return w.is_free(name)


def test_a_delivered_card_is_found_by_its_lane_and_all_else_by_its_key(ledger: SqlLedger) -> None:
    cards = [a_note(key, "lane", kind=NoteKind.CARD) for key in ("card", "again")]
    save(ledger, *cards, a_note("news", "lane"), a_note("silent", "lane"))
    with ledger.write() as w:
        card, again, news, silent = w.due_notes(NOW)
        w.delivered(card, Posting("C1", "1.0"))
        w.delivered(again, Posting("C1", "2.0"))  # somebody had deleted the first one
        w.delivered(news, Posting("C1", "3.0"))
        w.delivered(silent, None)
    with ledger.read() as r:
        assert r.posting("lane") == Posting("C1", "2.0")
        assert r.posting("news") == Posting("C1", "3.0")
        assert r.posting("silent") is None
        assert r.due_notes(NOW) == []


def test_registrar_looks_for_a_lost_message_and_not_for_a_refused_one(ledger: SqlLedger) -> None:
    save(ledger, a_note("k"))
    with ledger.write() as w:
        mine = w.claim_note(w.due_notes(NOW)[0], "one", NOW, SOON)
        assert mine is not None
        w.postpone(mine, SOON, "ratelimited")
        [again] = w.due_notes(SOON)
        assert not again.was_tried
        w.postpone(replace(again, was_tried=True), LATER, "reset")
        assert [note.was_tried for note in w.due_notes(LATER)] == [True]


def test_the_progress_of_a_note_includes_the_reason(ledger: SqlLedger) -> None:
    save(ledger, a_note("a", "a"), a_note("b", "b"), a_note("c", "c"))
    with ledger.write() as w:
        one, two, three = w.due_notes(NOW)
        w.postpone(one, SOON, "not_in_channel")
        w.postpone(one, LATER)
        w.drop(two, "restricted_action")
        assert w.progress(one) == Progress(is_waiting=True, why="not_in_channel", not_before=LATER)
        assert w.progress(two) == Progress(is_waiting=False, why="restricted_action")
        assert w.progress(three) == Progress(is_waiting=True)
        assert w.progress(a_note("d")) is None


def test_the_first_note_that_has_to_wait_says_when_to_look_again(ledger: SqlLedger) -> None:
    save(ledger, a_note("a", "a"), a_note("b", "b"), a_note("c", "c"), a_note("e", "e", kind=NoteKind.EVENT))
    with ledger.write() as w:
        assert w.next_note(NOW, kinds=set(NoteKind)) is None
        for note, until in zip(w.due_notes(NOW), (LATER, SOON, NOW, SOON), strict=True):
            w.postpone(note, until)
        assert w.next_note(NOW, kinds=set(NoteKind)) == SOON
        assert w.next_note(SOON, kinds=set(NoteKind)) == LATER
        assert w.next_note(SOON, kinds={NoteKind.EVENT}) is None


SECOND = timedelta(seconds=1)


def test_messages_in_a_channel_take_turns_and_other_channels_have_their_own(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        assert w.take_turn("C1", SECOND, NOW) == NOW
        assert w.take_turn("C1", SECOND, NOW) == NOW + SECOND
        assert w.take_turn("C2", SECOND, NOW) == NOW
    with ledger.write() as w:
        assert w.take_turn("C1", SECOND, NOW) == NOW + SECOND
        assert w.take_turn("C1", SECOND, NOW + SECOND) == NOW + SECOND
        assert w.take_turn("C1", SECOND, LATER) == LATER


def test_a_channel_rests_for_the_longest_time_given(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        w.take_turn("C1", SECOND, NOW)
        w.rest("C1", SOON)
        w.rest("C1", NOW)
        assert w.take_turn("C1", SECOND, NOW) == SOON


def test_a_clock_that_was_ahead_closes_no_channel(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        w.take_turn("C1", SECOND, NOW + timedelta(hours=3))
        assert [w.take_turn("C1", SECOND, NOW) for _ in range(2)] == [NOW, NOW + SECOND]


def test_only_one_of_two_processes_gets_a_turn(ledger: SqlLedger, ledger_url: str) -> None:
    with closing(SqlLedger(ledger_url, patience=20)) as other, ThreadPoolExecutor(2) as pool:
        found = list(pool.map(_turn_in, [ledger, other]))
    assert sorted(found) == [NOW, NOW + SECOND]


def _turn_in(ledger: SqlLedger) -> datetime:
    with ledger.write() as w:
        return w.take_turn("C1", SECOND, NOW)


def test_a_dropped_note_lets_its_lane_go_on(ledger: SqlLedger) -> None:
    save(ledger, a_note("k1"), a_note("k2"))
    with ledger.write() as w:
        w.drop(w.due_notes(NOW)[0], "channel_not_found")
    assert due(ledger) == ["k2"]


# Round trips

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
NUMBERS = st.integers(1, 2**31 - 1)
TIMES = st.datetimes(
    datetime(1, 1, 2),  # noqa: DTZ001 - hypothesis wants its limits without a zone
    datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(-timedelta(hours=8))]),
)
IDS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=9)
PEOPLE = st.builds(Person, IDS, IDS)
ACTORS: st.SearchStrategy[Actor] = st.one_of(
    PEOPLE, *(st.builds(kind, WORDS) for kind in (Automation, Client, Operator))
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
DATA = st.dictionaries(WORDS, JSON, max_size=3)
STAGES = st.sampled_from(Stage)
REQUESTS = st.builds(
    Request,
    id=WORDS,
    model=WORDS,
    version=NUMBERS,
    from_stage=STAGES,
    target=STAGES,
    incumbent=st.none() | NUMBERS,
    requester=ACTORS,
    reason=WORDS,
    required=NUMBERS,
    opened_at=TIMES,
    expires_at=TIMES,
    keep_existing=st.booleans(),
    semver=st.none() | WORDS,
    state=st.sampled_from(RequestState),
    decided_at=st.none() | TIMES,
    decided_by=st.none() | ACTORS,
    outcome=WORDS,
)
MOVES = st.builds(
    Move,
    id=WORDS,
    kind=st.sampled_from(MoveKind),
    model=WORDS,
    version=NUMBERS,
    from_stage=STAGES,
    target=STAGES,
    expected_incumbent=st.none() | NUMBERS,
    actor=ACTORS,
    intended_at=TIMES,
    request=st.none(),
    keep_existing=st.booleans(),
    state=st.sampled_from(MoveState),
    attempts=NUMBERS,
    finished_at=st.none() | TIMES,
    why=WORDS,
)
ASKS = st.builds(
    Ask,
    id=WORDS,
    caller=ACTORS,
    command=DATA,
    where=WORDS,
    at=TIMES,
    state=st.sampled_from(AskState),
    request=st.none(),
    attempts=NUMBERS,
    not_before=st.none() | TIMES,
)
EVENTS = st.builds(
    Event,
    at=TIMES,
    actor=ACTORS,
    tag=st.sampled_from(Tag),
    subject=WORDS,
    model=st.none() | WORDS,
    before=st.none() | WORDS,
    after=st.none() | WORDS,
    why=WORDS,
    origin=WORDS,
    evidence=DATA,
)

many = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@many
@given(request=REQUESTS, move=MOVES, ask=ASKS, voter=PEOPLE, words=WORDS, data=DATA, at=TIMES)
def test_every_field_comes_back_as_it_went_in(
    ledger: SqlLedger, request: Request, move: Move, ask: Ask, voter: Person, words: str, data: Any, at: datetime
) -> None:
    vote = Vote(request=request.id, voter=voter, choice=Choice.REJECT, reason=words, at=at)
    note = Note(key=words, lane=words, kind=NoteKind.DIRECT, to=words, data=data, attempts=3, created_at=at)
    with suppress(Oops), ledger.write() as w:
        w.add_request(request)
        w.add_move(replace(move, request=request.id))
        w.add_ask(replace(ask, request=request.id))
        w.add_vote(vote)
        w.add_note(note)
        assert w.request(request.id) == request
        assert w.move(move.id) == replace(move, request=request.id)
        assert w.ask(ask.id) == replace(ask, request=request.id)
        assert w.votes(request.id) == [vote]
        assert [replace(each, number=0) for each in w.due_notes(NOW)] == [note]
        raise Oops  # so that the next example finds an empty ledger


@many
@given(events=st.lists(EVENTS, min_size=1, max_size=3))
def test_events_come_back_as_they_went_in_and_the_chain_is_whole(ledger: SqlLedger, events: list[Event]) -> None:
    with ledger.read() as r:
        before = r.head().number
    save(ledger, *events)
    with ledger.read() as r:
        assert [link.event for link in r.links(after=before)] == events
    assert fault(ledger) is None


def test_what_no_database_can_hold_is_replaced_and_told_alike_by_both(ledger: SqlLedger) -> None:
    bad, good = "a\0b\ud800c", "a\ufffdb\ufffdc"
    save(ledger, a_request(id="r", reason=bad), an_ask(id="a", command={bad: "x\0\ud800"}))
    save(ledger, an_event(why=bad, model=bad, actor=Operator(bad), evidence={"typed": "x\0\ud800"}))
    with ledger.read() as r:
        assert r.request("r").reason == good
        assert r.ask("a").command == {good: "x\ufffd\ufffd"}
        (link,) = r.links(model=bad)
        assert (link.event.actor, link.event.evidence["typed"]) == (Operator(good), "x\ufffd\ufffd")
    assert fault(ledger) is None


def test_a_time_without_its_zone_is_refused(ledger: SqlLedger) -> None:
    with pytest.raises(Exception, match="without its zone"):
        save(ledger, a_request(opened_at=NOW.replace(tzinfo=None)))


def test_a_measurement_that_is_no_number_is_refused_where_it_is_appended(ledger: SqlLedger) -> None:
    with ledger.write() as w, pytest.raises(ValueError, match="JSON"):
        w.append(an_event(evidence={"f1": float("nan")}))


# The audit


def test_events_of_one_transaction_stand_in_order_and_are_read_in_pages(ledger: SqlLedger) -> None:
    save(ledger, an_event(subject="1"), an_event(subject="2", model="fraud"))
    save(ledger, an_event(subject="3"))
    with ledger.read() as r:
        assert [link.event.subject for link in r.links()] == ["1", "2", "3"]
        assert [link.number for link in r.links(model="churn")] == [1, 3]
        assert [link.number for link in r.links(after=1, most=1)] == [2]
        first, second = r.links(most=2)
        assert second.previous == first.hash


def test_many_writers_make_one_chain(ledger: SqlLedger) -> None:
    at_once(10, lambda number: save(ledger, an_event(subject=str(number)), an_event(subject="again")))
    with ledger.read() as r:
        assert [link.number for link in r.links()] == list(range(1, 21))
    assert fault(ledger) is None


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_events SET body = 'x' WHERE number = 1", "DELETE FROM audit_events"]
)
def test_the_database_refuses_to_change_the_audit(ledger: SqlLedger, ledger_url: str, statement: str) -> None:
    save(ledger, an_event())
    _assert_is_refused(statement, ledger_url)
    assert fault(ledger) is None


def test_sqlite_refuses_to_replace_an_event(sqlite_url: str) -> None:
    with opened(sqlite_url) as ledger:
        save(ledger, an_event())
    _assert_is_refused("INSERT OR REPLACE INTO audit_events SELECT * FROM audit_events", sqlite_url)


@pytest.mark.postgres
def test_postgresql_refuses_to_empty_the_audit(postgres_url: str) -> None:
    _assert_is_refused("TRUNCATE audit_events", postgres_url)


def _assert_is_refused(statement: str, url: str) -> None:
    with pytest.raises(DBAPIError, match="never changed"), raw(url) as connection:
        connection.execute(text(statement))


COPY = "INSERT INTO audit_events SELECT {number}, at, actor, tag, model, body, {previous}, hash FROM audit_events"
MAKE_ROOM = [  # before number 3; on PostgreSQL a row at a time would stand in another one's way
    "UPDATE audit_events SET number = -number WHERE number >= 3",
    "UPDATE audit_events SET number = 1 - number WHERE number < 0",
]
CLOSE_UP = [
    "UPDATE audit_events SET number = -number WHERE number > 3",
    "UPDATE audit_events SET number = -1 - number WHERE number < 0",
]


def swap(one: int, other: int) -> list[str]:
    return [renumber(one, -one), renumber(other, one), renumber(-one, other)]


def renumber(number: int, to: int) -> str:
    return f"UPDATE audit_events SET number = {to} WHERE number = {number}"  # noqa: S608


def forged(number: int, previous: str, **changes: Any) -> str:
    """Return the statement that inserts a row whose hash is right."""
    row = rows.record(an_event(**changes), Head(number - 1, previous))
    values = ", ".join(f"'{value}'" for value in row._replace(at=row.at[:26].replace("T", " "))[1:])
    values = values.replace(":", r"\:")  # a colon is SQLAlchemy's
    return f"INSERT INTO audit_events VALUES ({number}, {values})"  # noqa: S608


@pytest.mark.parametrize(
    ("statements", "number", "kind", "why"),
    [
        (["UPDATE audit_events SET body = replace(body, 'U1', 'U2') WHERE number = 3"], 3, "edited", "text"),
        (["UPDATE audit_events SET hash = previous WHERE number = 3"], 3, "edited", "text"),
        (["UPDATE audit_events SET model = 'fraud' WHERE number = 3"], 3, "edited", "columns do not say .*: model"),
        (["UPDATE audit_events SET at = '1999-01-01 00:00:00.000000' WHERE number = 3"], 3, "edited", ": at"),
        (["UPDATE audit_events SET previous = hash WHERE number = 2"], 2, "edited", "does not follow"),
        (["UPDATE audit_events SET previous = hash WHERE number = 1"], 1, "edited", "does not follow"),
        (["DELETE FROM audit_events WHERE number = 3"], 3, "missing", "comes number 4"),
        (["DELETE FROM audit_events WHERE number = 1"], 1, "missing", "comes number 2"),
        (["DELETE FROM audit_events WHERE number = 3", *CLOSE_UP], 3, "missing", "what was number 4"),
        (["DELETE FROM audit_events WHERE number > 4"], 5, "cut off", "head is number 5"),
        (["DELETE FROM audit_events"], 1, "cut off", "head is number 5"),
        ([COPY.format(number=6, previous="hash") + " WHERE number = 5"], 6, "inserted", "after the head"),
        ([COPY.format(number=-1, previous="hash") + " WHERE number = 5"], -1, "inserted", "never gives"),
        ([*MAKE_ROOM, COPY.format(number=3, previous="previous") + " WHERE number = 2"], 3, "inserted", "number 4"),
        ([*MAKE_ROOM, COPY.format(number=3, previous="hash") + " WHERE number = 2"], 3, "inserted", "number 4"),
        (swap(2, 3), 2, "swapped", "stands as number 3"),
        (swap(2, 5), 2, "swapped", "stands as number 5"),
        ([renumber(3, 9)], 3, "swapped", "stands as number 9"),
        (["UPDATE audit_head SET number = 4"], 4, "edited", "not the one that the head has"),
        (
            ["UPDATE audit_head SET number = 4, hash = (SELECT hash FROM audit_events WHERE number = 4)"],
            5,
            "inserted",
            "after the head",
        ),
        (["UPDATE audit_head SET hash = 'x'"], 5, "edited", "head"),
        (["DELETE FROM audit_head"], 1, "inserted", "after the head"),
    ],
)
def test_tampering_is_found_where_it_was_done(
    ledger: SqlLedger, ledger_url: str, statements: Sequence[str], number: int, kind: str, why: str
) -> None:
    save(ledger, *(an_event(subject=str(n)) for n in range(5)))
    assert fault(ledger) is None
    tamper(ledger_url, *statements)
    found = fault(ledger)
    assert found is not None
    assert (found.number, found.kind.value) == (number, kind)
    assert re.search(why, found.why)


def test_a_row_with_a_right_hash_that_was_put_between_two_is_found(ledger: SqlLedger, ledger_url: str) -> None:
    save(ledger, *(an_event(subject=str(n)) for n in range(5)))
    with ledger.read() as r:
        second = r.records()[1]
    tamper(ledger_url, *MAKE_ROOM, forged(3, second.hash, subject="forged"))
    found = fault(ledger)
    assert found is not None
    assert (found.number, found.kind) == (3, FaultKind.INSERTED)


def test_a_row_that_was_edited_with_its_hash_is_found_by_the_one_behind_it(ledger: SqlLedger, ledger_url: str) -> None:
    save(ledger, *(an_event(subject=str(n)) for n in range(5)))
    with ledger.read() as r:
        second = r.records()[1]
    tamper(ledger_url, "DELETE FROM audit_events WHERE number = 3", forged(3, second.hash, subject="forged"))
    found = fault(ledger)
    assert found is not None
    assert (found.number, found.kind) == (3, FaultKind.EDITED)


def test_a_text_that_is_no_event_is_found_though_its_hash_is_right(ledger: SqlLedger, ledger_url: str) -> None:
    save(ledger, an_event())
    right = chain(GENESIS, "x")
    tamper(ledger_url, f"UPDATE audit_events SET body = 'x', hash = '{right}'")  # noqa: S608
    assert fault(ledger) == Fault(1, FaultKind.EDITED, "its text is no event, though its hash was made of it")


def test_a_time_that_is_none_is_found_like_any_other_edit(sqlite_url: str) -> None:
    with opened(sqlite_url) as ledger:
        save(ledger, an_event(), an_event())
        tamper(sqlite_url, "UPDATE audit_events SET at = 'yesterday' WHERE number = 2")
        found = fault(ledger)
        assert found is not None
        assert (found.number, found.kind) == (2, FaultKind.EDITED)


# Anchors


def anchored(ledger: SqlLedger) -> AnchoredHead:
    """Return the head as somebody writes it down elsewhere."""
    with ledger.read() as r:
        return AnchoredHead(at=NOW, number=r.head().number, hash=r.head().hash)


def rewrite(ledger: SqlLedger, url: str, before: int, why: str) -> None:
    """Make every row from that number on anew, with right hashes and a right head, as a clever somebody does."""
    with ledger.read() as r:
        links = r.links()
    kept = Head(links[before - 2].number, links[before - 2].hash) if before > 1 else START
    tamper(
        url,
        f"DELETE FROM audit_events WHERE number >= {before}",  # noqa: S608
        f"UPDATE audit_head SET number = {kept.number}, hash = '{kept.hash}'",  # noqa: S608
    )
    save(ledger, *(replace(link.event, why=why) for link in links[before - 1 :]))


def test_a_chain_that_agrees_with_its_anchors_is_whole(ledger: SqlLedger) -> None:
    save(ledger, an_event(), an_event())
    first = anchored(ledger)
    save(ledger, an_event())
    assert fault(ledger, anchors=[first, anchored(ledger)]) is None


def test_a_chain_that_was_rewritten_whole_is_found_by_an_anchor(ledger: SqlLedger, ledger_url: str) -> None:
    save(ledger, an_event(), an_event())
    anchor = anchored(ledger)
    rewrite(ledger, ledger_url, 1, why="forged")
    assert fault(ledger) is None
    found = fault(ledger, anchors=[anchor])
    assert found is not None
    assert (found.kind, found.number, found.last) == (FaultKind.REWRITTEN, 1, 2)


def test_a_chain_rewritten_from_a_row_on_is_found_behind_the_last_anchor_that_agrees(
    ledger: SqlLedger, ledger_url: str
) -> None:
    anchors = []
    for _ in range(4):
        save(ledger, an_event(), an_event(), an_event())
        anchors.append(anchored(ledger))
    rewrite(ledger, ledger_url, 8, why="forged")
    assert fault(ledger) is None
    found = fault(ledger, anchors=anchors)
    assert found is not None
    assert (found.kind, found.number, found.last) == (FaultKind.REWRITTEN, 7, 9)


def test_an_end_that_was_cut_off_together_with_the_head_is_found_by_an_anchor(
    ledger: SqlLedger, ledger_url: str
) -> None:
    save(ledger, *(an_event() for _ in range(5)))
    anchor = anchored(ledger)
    tamper(
        ledger_url,
        "DELETE FROM audit_events WHERE number > 3",
        "UPDATE audit_head SET number = 3, hash = (SELECT hash FROM audit_events WHERE number = 3)",
    )
    assert fault(ledger) is None
    found = fault(ledger, anchors=[anchor])
    assert found is not None
    assert (found.kind, found.number) == (FaultKind.CUT_OFF, 4)


def test_of_two_anchors_of_one_number_both_have_to_agree(ledger: SqlLedger) -> None:
    save(ledger, an_event(), an_event())
    right = anchored(ledger)
    wrong = right.model_copy(update={"hash": "0" * 64})
    assert fault(ledger, anchors=[right, right]) is None
    found = fault(ledger, anchors=[right, wrong])
    assert found is not None
    assert (found.number, found.last) == (2, 2)


@pytest.mark.slow
def test_a_hundred_thousand_events_are_verified(sqlite_url: str) -> None:
    add_many_events(sqlite_url, 100_000)
    with opened(sqlite_url) as ledger:
        with ledger.read() as r:
            assert audit.verify(audit.stream(lambda after: r.records(after=after)), r.head()) is None
        tamper(sqlite_url, "UPDATE audit_events SET actor = 'slack:T1/U2' WHERE number = 99999")
        with ledger.read() as r:
            found = audit.verify(audit.stream(lambda after: r.records(after=after)), r.head())
    assert found is not None
    assert found.number == 99_999


def test_a_chain_is_verified_from_an_anchor_onwards(ledger: SqlLedger) -> None:
    save(ledger, an_event())
    with ledger.read() as r:
        anchor = r.head()
    save(ledger, an_event())
    with ledger.read() as r:
        assert audit.verify(r.records(after=anchor.number), r.head(), anchor) is None


# Troubles

KIND = "nothing was recorded; try again in a moment"


def test_a_write_that_cannot_begin_in_time_is_told_kindly(ledger: SqlLedger, ledger_url: str) -> None:
    save(ledger, a_request(id="r"))
    with opened(ledger_url, patience=0.05) as hasty, ledger.write() as w:
        w.lock_request("r")
        with pytest.raises(LedgerUnavailable, match=KIND) as told, hasty.write() as w2:
            w2.lock_request("r")
        assert told.value.__cause__ is not None


def test_a_write_that_waits_too_long_in_our_own_queue_is_told_kindly(sqlite_url: str) -> None:
    with opened(sqlite_url, patience=0.05) as ledger, ThreadPoolExecutor(1) as pool, ledger.write():
        waiting = pool.submit(save, ledger, a_request())
        with pytest.raises(LedgerUnavailable, match="is busy, so nothing was recorded"):
            waiting.result()


def test_after_a_busy_time_everything_works_again(ledger: SqlLedger, ledger_url: str) -> None:
    save(ledger, a_request(id="r"))
    with opened(ledger_url, patience=0.05) as hasty:
        with ledger.write() as w:
            w.lock_request("r")
            with pytest.raises(LedgerUnavailable), hasty.write() as w2:
                w2.lock_request("r")
        with hasty.write() as w2:
            assert w2.lock_request("r").id == "r"


def test_too_many_readers_are_told_kindly(ledger_url: str) -> None:
    with opened(ledger_url, patience=0.05, connections=1) as ledger, ledger.read() as r:
        r.head()
        with pytest.raises(LedgerUnavailable, match="try again"), ledger.read():
            pass


def test_another_program_that_holds_sqlites_lock_is_told_kindly(sqlite_url: str, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    with closing(other), opened(sqlite_url, patience=0.05) as ledger:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnavailable, match="nothing was recorded"), ledger.write():
            pytest.fail("it must not begin")
        with ledger.read() as r:
            assert r.requests() == []
        other.execute("ROLLBACK")
        save(ledger, a_request())


def test_a_file_that_cannot_be_written_is_told_kindly(sqlite_url: str, tmp_path: Path) -> None:
    with opened(f"sqlite:///file:{tmp_path}/ledger.db?mode=ro&uri=true") as ledger:
        with pytest.raises(LedgerUnavailable, match="nothing was recorded"):
            save(ledger, a_request())
        with ledger.read() as r:
            assert r.requests() == []


def test_a_full_disk_is_told_kindly_and_nothing_is_left_behind(sqlite_url: str) -> None:
    def fill(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # SQLite takes that for as many as there are

    event.listen(Engine, "connect", fill)
    try:
        with opened(sqlite_url) as ledger:
            with pytest.raises(LedgerUnavailable) as told:
                save(ledger, a_request(), a_request(model="fraud", reason="long " * 9_999))
            with ledger.read() as r:
                assert r.requests() == []
    finally:
        event.remove(Engine, "connect", fill)
    assert "full" in str(told.value.__cause__)


def test_a_file_that_is_no_database_is_told_kindly(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("Dear diary, today I am not a database. " * 100)
    with opened(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        with pytest.raises(LedgerUnavailable):
            ledger.migrate()
        with pytest.raises(LedgerUnavailable), ledger.read() as r:
            r.requests()


def test_a_folder_that_cannot_be_made_is_told_kindly(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with opened(f"sqlite:///{tmp_path}/file/ledger.db") as ledger, pytest.raises(LedgerUnavailable, match="folder"):
        ledger.migrate()


@pytest.mark.postgres
def test_a_postgresql_that_is_not_there_is_told_kindly(tmp_path: Path) -> None:
    with opened(f"postgresql://registrar@/registrar?host={tmp_path}", patience=0.2) as ledger:
        with pytest.raises(LedgerUnavailable, match="nothing was recorded"):
            ledger.migrate()
        with pytest.raises(LedgerUnavailable, match="nothing was recorded"):
            save(ledger, a_request())
        with pytest.raises(LedgerUnavailable, match="does not answer; try again"), ledger.read():
            pass


@pytest.mark.postgres
def test_a_connection_that_breaks_rolls_back_and_the_next_write_works(
    break_connections: Callable[[], None], postgres_url: str
) -> None:
    def begin_and_break() -> None:
        with ledger.write() as w:
            w.add_request(a_request())
            break_connections()
            w.requests()

    with opened(postgres_url) as ledger:
        with pytest.raises(LedgerUnavailable, match=KIND):
            begin_and_break()
        save(ledger, a_request())
        break_connections()  # idle ones, too: they are tried before they are used
        with ledger.read() as r:
            assert len(r.requests()) == 1


@pytest.mark.postgres
def test_a_commit_that_nobody_confirmed_is_not_told_as_undone(
    break_connections: Callable[[], None], postgres_url: str
) -> None:
    def begin_and_break() -> None:
        with opened(postgres_url) as ledger, ledger.write() as w:
            w.add_request(a_request())
            break_connections()

    with pytest.raises(LedgerUnavailable, match="it may be recorded; look before"):
        begin_and_break()


@pytest.mark.parametrize("url", ["mysql://somewhere/db", "no url", "sqlite://", "sqlite:///:memory:"])
def test_a_url_that_is_none_of_ours_is_told(url: str) -> None:
    with pytest.raises(Misconfigured):
        SqlLedger(url)


def test_a_postgresql_url_may_be_written_in_every_usual_way() -> None:
    for scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        assert parse_url(f"{scheme}://me@host/db").drivername == "postgresql+psycopg"


# Migrations


def test_the_file_and_its_folder_are_for_our_eyes_only(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/home/ledger.db") as ledger:
        ledger.migrate()
        save(ledger, a_request())
        home = tmp_path / "home"
        assert home.stat().st_mode & 0o777 == 0o700
        assert {file.stat().st_mode & 0o777 for file in home.iterdir()} == {0o600}


def test_a_file_is_served_by_one_process_and_by_the_next_when_that_has_ended(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/home/ledger.db"
    with opened(url) as second:
        with opened(url) as first:
            first.serve_alone()
            with pytest.raises(Misconfigured, match="Another Registrar serves the ledger"):
                second.serve_alone()
        second.serve_alone()


@pytest.mark.postgres
def test_postgres_is_served_by_several(postgres_url: str) -> None:
    with opened(postgres_url) as one, opened(postgres_url) as two:
        one.serve_alone()
        two.serve_alone()
        assert (one.is_file, two.is_file) == (False, False)


def test_migrating_again_changes_nothing(ledger: SqlLedger) -> None:
    save(ledger, a_request(), an_event())
    ledger.migrate()
    assert fault(ledger) is None


def test_the_migrations_make_the_tables_that_the_program_uses(ledger: SqlLedger, ledger_url: str) -> None:
    def is_ours(name: str | None, *_: object) -> bool:
        return not (name or "").startswith("procrastinate_")  # the queue's tables are its own affair

    with raw(ledger_url) as connection:
        context = MigrationContext.configure(connection, opts={"include_name": is_ours})
        assert compare_metadata(context, metadata) == []


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new/ledger.db"
    return str(request.getfixturevalue("empty_postgres_url"))


def test_two_processes_that_start_at_once_both_migrate(empty_url: str) -> None:
    program = (
        "import sys; from bot.ledger import SqlLedger; ledger = SqlLedger(sys.argv[1]); "
        "print('ready', flush=True); input(); ledger.migrate()"
    )
    with _started(program, empty_url) as one, _started(program, empty_url) as two:
        for process in (one, two):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        results = [process.communicate("go\n") for process in (one, two)]
    assert [one.returncode, two.returncode] == [0, 0], results
    with opened(empty_url) as ledger:
        save(ledger, a_request(), an_event())


def _started(program: str, url: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", program, url], cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )


def test_a_ledger_of_a_newer_registrar_is_left_alone(ledger: SqlLedger, ledger_url: str) -> None:
    with raw(ledger_url) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Misconfigured, match="newer Registrar"):
        ledger.migrate()


def test_a_ledger_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    file = tmp_path / "old.db"
    with closing(sqlite3.connect(file)) as old:
        old.executescript(OLD_LEDGER.read_text(encoding="utf-8"))
    with opened(f"sqlite:///{file}") as ledger:
        ledger.migrate()
        _assert_the_old_story_is_there(ledger)
        save(ledger, an_event())
        assert fault(ledger) is None


def _assert_the_old_story_is_there(ledger: SqlLedger) -> None:
    with ledger.read() as r:
        done, waiting = r.request("k7qm2a"), r.request("p3xw9d")
        assert (done.state, done.decided_by, done.semver) == (RequestState.DONE, ALICE, "2.1.0")
        assert (waiting.state, waiting.reason) == (RequestState.PENDING, "“Größer”, it's 10% better 🚀")
        assert [vote.voter for vote in r.votes(done.id)] == [ALICE, BOB]
        assert [move.state for move in r.moves("churn")] == [MoveState.DONE]
        assert r.ask("a1").request == done.id
        assert [note.key for note in r.due_notes(LATER)] == ["p3xw9d:card"]
        assert r.posting("k7qm2a") == Posting("C1", "1777000000.000100")
        assert [link.event.tag for link in r.links()] == [Tag.ASKED, Tag.OPENED, Tag.VOTED, Tag.VOTED, Tag.MOVED]


# What a request was opened on, freezes, votes taken back, the audit from its end


def a_freeze(**changes: Any) -> Freeze:
    return replace(Freeze(id=f"f{next(_ids)}", model="churn", by=ALICE, reason="audit", at=NOW), **changes)


def test_what_a_request_was_opened_on_comes_back_equal(ledger: SqlLedger) -> None:
    gate = GateResult(name="accuracy “große”", bound="≥ 0.85", value="0.9", passed=False, note="theirs")
    seen = Seen(
        metrics={"f1": 0.1}, against={"f1": 1e-300}, validation={"a/b": 1.0}, gates=(gate,), rule="r", policy="p"
    )
    request = a_request(seen=seen, overridden_by=BOB, override_reason="because", reminded=3)
    save(ledger, request)
    with ledger.read() as r:
        assert r.request(request.id) == request


def test_a_request_of_somebody_is_found_by_who_asked(ledger: SqlLedger) -> None:
    save(ledger, a_request(), a_request(model="fraud", requester=BOB))
    with ledger.read() as r:
        assert [one.model for one in r.requests(requester=BOB)] == ["fraud"]


def test_a_vote_that_was_taken_back_is_gone_and_can_be_cast_again(ledger: SqlLedger) -> None:
    request = a_request()
    save(ledger, request, a_vote(request), a_vote(request, ALICE))
    with ledger.write() as w:
        assert w.take_vote(request.id, BOB)
        assert not w.take_vote(request.id, BOB)
        assert [vote.voter for vote in w.votes(request.id)] == [ALICE]
        assert w.add_vote(a_vote(request))


def test_a_vote_that_lapsed_says_by_which_rule_and_no_other_does(ledger: SqlLedger) -> None:
    request = a_request()
    save(ledger, request, a_vote(request), a_vote(request, ALICE))
    with ledger.write() as w:
        w.save_vote(replace(a_vote(request), lapsed="deactivated"))
        assert {vote.voter: vote.lapsed for vote in w.votes(request.id)} == {BOB: "deactivated", ALICE: ""}


def test_freezes_that_nobody_has_lifted_are_told_oldest_first(ledger: SqlLedger) -> None:
    first, second, lifted = a_freeze(until=SOON), a_freeze(model=None), a_freeze()
    with ledger.write() as w:
        for freeze in (first, second, lifted):
            w.add_freeze(freeze)
        w.save_freeze(replace(lifted, lifted_at=NOW, lifted_by=BOB))
    with ledger.read() as r:
        assert r.freezes() == [first, second]


def test_the_audit_is_told_from_its_end(ledger: SqlLedger) -> None:
    for number in range(4):
        save(ledger, an_event(subject=f"s{number}", at=NOW + timedelta(minutes=number)))
    save(ledger, an_event(model="fraud", tag=Tag.MOVED, at=LATER))

    def subjects(**how: Any) -> list[str]:
        with ledger.read() as r:
            return [link.event.subject for link in r.latest(**how)]

    assert subjects(model="churn") == ["s3", "s2", "s1", "s0"]
    assert subjects(model="churn", before=3, most=1) == ["s1"]
    assert subjects(model="churn", since=NOW + timedelta(minutes=2)) == ["s3", "s2"]
    assert subjects(tags=[Tag.MOVED, Tag.STALE]) == ["r1"]


# What is not finished


def test_the_backlog_counts_what_is_open_and_since_when(ledger: SqlLedger) -> None:
    earlier = NOW - timedelta(hours=2)
    ended, twin = a_request(state=RequestState.DONE, opened_at=earlier), a_request(target=Stage.STAGING)
    save(
        ledger,
        ended,
        a_request(opened_at=earlier),
        twin,
        a_request(model="fraud", state=RequestState.APPROVED),
        a_move(),
        a_move(state=MoveState.DONE),
        an_ask(),
        an_ask(at=earlier),
        an_ask(state=AskState.DONE),
        a_note("k1"),
        a_note("k2", created_at=earlier),
        a_note("e", "e", kind=NoteKind.EVENT),
        an_event(),
    )
    with ledger.read() as r:
        found = r.backlog(NOW)
    assert found.requests == {RequestState.PENDING: Waiting(2, earlier), RequestState.APPROVED: Waiting(1, NOW)}
    assert found.moves == {MoveState.INTENDED: Waiting(1, NOW)}
    assert found.asks == Waiting(2, earlier)
    assert found.notes == {NoteKind.NEWS: Waiting(2, earlier), NoteKind.EVENT: Waiting(1, NOW)}
    assert (found.copies, found.breakers, found.events) == (0, 0, 1)


def test_where_nothing_is_open_there_is_no_backlog(ledger: SqlLedger) -> None:
    with ledger.read() as r:
        found = r.backlog(NOW)
    assert (found.requests, found.notes, found.incidents, found.monitors) == ({}, {}, {}, {})
    assert (found.asks, found.overdue, found.events) == (Waiting(), Waiting(), 0)


# Whoever watches


class Watcher(Unobserved):
    """Writes down what was committed, and may break."""

    def __init__(self, error: Exception | None = None) -> None:
        self.heard: list[list[Tag]] = []
        self._error = error

    def committed(self, events: Sequence[Event]) -> None:
        self.heard.append([one.tag for one in events])
        if self._error:
            raise self._error


def test_who_watches_hears_of_what_was_committed_and_of_nothing_else(ledger_url: str) -> None:
    watcher = Watcher()
    with opened(ledger_url, patience=20, observer=watcher) as ledger:
        with suppress(Oops), ledger.write() as w:
            w.append(an_event())
            raise Oops
        save(ledger, a_request())
        save(ledger, an_event(), an_event(tag=Tag.VOTED))
    assert watcher.heard == [[Tag.OPENED, Tag.VOTED]]


def test_what_was_committed_stands_whatever_happens_to_who_watches(
    ledger_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(ledger_url, patience=20, observer=Watcher(Oops())) as ledger:
        save(ledger, an_event())
        with ledger.read() as r:
            assert r.head().number == 1
    assert "could not be counted" in caplog.text


# Checks


def test_checks_are_taken_by_one_and_by_another_when_the_claim_is_over(ledger: SqlLedger) -> None:
    one, other = ("m1", 1), ("m2", 1)
    with ledger.write() as w:
        assert w.claim_slots({one: SOON, other: LATER}, "one", NOW) == {one, other}
        assert w.claim_slots({one: SOON}, "two", NOW) == set()
    with ledger.write() as w:
        assert w.claim_slots({one: LATER, other: LATER, ("m3", 1): LATER}, "two", SOON + MOMENT) == {one, ("m3", 1)}
        assert w.finish_slots([a_measurement(*one), a_measurement(*other)], "one") == {other}
        assert w.finish_slots([a_measurement(*one), a_measurement("m9", 1)], "two") == {one}
        assert w.claim_slots({one: LATER}, "one", LATER + MOMENT) == set()


def test_a_monitor_that_is_being_checked_is_not_due(ledger: SqlLedger) -> None:
    monitor = a_monitor()
    with ledger.write() as w:
        w.add_monitor(monitor)
        w.save_standing(Standing(monitor=monitor.id, slot=3, next_at=NOW))
        assert [due.id for due, _ in w.due_monitors(NOW)] == [monitor.id]
        w.claim_slots({(monitor.id, 4): SOON}, "one", NOW)
        assert w.due_monitors(NOW) == []
        assert [due.id for due, _ in w.due_monitors(SOON + MOMENT)] == [monitor.id]


def test_of_a_batch_those_are_made_whose_claim_holds(ledger: SqlLedger) -> None:
    mine, lapsed, done = (a_monitor(name, name) for name in ("mine", "lapsed", "done"))
    with ledger.write() as w:
        for monitor in (mine, lapsed, done):
            w.add_monitor(monitor)
            w.save_standing(Standing(monitor=monitor.id, next_at=NOW))
        w.claim_slots({("mine", 1): LATER, ("lapsed", 1): NOW, ("done", 1): LATER}, "one", NOW)
        w.finish_slots([a_measurement("done", 1)], "one")
        batch = Batch("push", "one", (("mine", 1), ("lapsed", 1), ("done", 1)))
        assert [monitor.id for monitor, _ in w.claimed(batch, SOON)] == ["mine"]
        assert w.claimed(replace(batch, owner="two"), SOON) == []


def test_the_checks_of_a_process_that_is_gone_are_free_at_once_where_nobody_else_makes_them(ledger: SqlLedger) -> None:
    names = ("begun", "made", "theirs")
    with ledger.write() as w:
        for name in names:
            w.add_monitor(a_monitor(name, name))
            w.save_standing(Standing(monitor=name, next_at=NOW))
        w.claim_slots({("begun", 1): LATER, ("made", 1): LATER}, "gone", NOW)
        w.claim_slots({("theirs", 1): LATER}, "here", NOW)
        w.finish_slots([a_measurement("made", 1)], "gone")
        w.save_standing(Standing(monitor="made", slot=1, next_at=LATER))
        assert (w.owners(), w.due_monitors(NOW)) == (["gone", "here"] if ledger.is_file else [], [])
        w.disown("gone")
        assert w.owners() == (["here"] if ledger.is_file else [])
        assert [due.id for due, _ in w.due_monitors(NOW)] == (["begun"] if ledger.is_file else [])
        if not ledger.is_file:
            return
        assert w.claim_slots({("begun", 1): LATER, ("made", 1): LATER}, "two", NOW) == {("begun", 1)}
        assert w.finish_slots([a_measurement("begun", 1)], "gone") == set()


MOMENT = timedelta(microseconds=1)


def a_monitor(number: str = "m1", name: str = "accuracy") -> Monitor:
    rule = MonitorRule(name=name, source="push", greater_than=0.85)
    return Monitor(id=number, model="churn", created_at=NOW, rule=rule)


def a_measurement(monitor: str, slot: int) -> Measurement:
    return Measurement(
        monitor=monitor, slot=slot, at=NOW, revision=1, version=3, move="m1", outcome=Outcome.OK, value=0.9
    )


def test_what_a_standing_knows_is_read_as_it_was_written(ledger: SqlLedger) -> None:
    known = Standing(monitor="m1", failed_at=NOW, evidence=(0.1 + 0.2, -1.5, inf, -inf))
    with ledger.write() as w:
        w.save_standings([known, Standing(monitor="m2")])
    with ledger.read() as r:
        assert (r.standing("m1"), r.standing("m2")) == (known, Standing(monitor="m2"))


# Frozen baselines


def a_baseline(monitor: str, since: datetime, until: datetime) -> FrozenBaseline:
    """Return one of two readings: most of its figures are no numbers."""
    points = Points.of([since.timestamp(), until.timestamp()], [0.9, 0.91])
    summary = summarize(points, start=until.timestamp(), window=3600.0, history=7 * 86_400.0)
    return FrozenBaseline(
        monitor=monitor, move="m1", key="1 blocks", since=since, until=until, made_at=NOW, summary=summary
    )


def test_a_frozen_baseline_is_read_as_it_was_written_and_a_later_one_takes_its_place(ledger: SqlLedger) -> None:
    first, second = (a_baseline("m1", NOW - timedelta(days=days), NOW) for days in (1, 2))
    for one in (first, second):
        with ledger.write() as w:
            w.save_baselines([one])
            w.save_baselines([])
        with ledger.read() as r:
            assert repr(r.baselines(["m1"])["m1"]) == repr(one)  # NaN equals nothing, not even itself
            assert r.baselines(["m2"]) == {}


def test_a_baseline_of_a_version_s_own_days_is_kept_beside_the_frozen_one(ledger: SqlLedger) -> None:
    frozen, own = (a_baseline("m1", NOW - timedelta(days=days), NOW) for days in (2, 1))
    with ledger.write() as w:
        w.save_baselines([frozen])
        w.save_baselines([own], own=True)
    with ledger.read() as r:
        assert repr(r.baselines(["m1", "m2"])) == repr({"m1": frozen})
        assert repr(r.baselines(["m1", "m2"], own=True)) == repr({"m1": own})
        assert r.baselines([]) == {}


def test_the_sweep_keeps_the_checks_of_each_baseline_until_its_monitor_is_removed(ledger: SqlLedger) -> None:
    old = [NOW - timedelta(days=days) for days in (3, 2, 1)]
    with ledger.write() as w:
        w.add_monitor(a_monitor())
        w.claim_slots({(monitor, slot): SOON for monitor in ("m1", "m2") for slot in (1, 2, 3)}, "one", NOW)
        w.finish_slots(
            [replace(a_measurement(monitor, slot), at=old[slot - 1]) for monitor in ("m1", "m2") for slot in (1, 2, 3)],
            "one",
        )
        w.save_baselines([a_baseline("m1", old[1], old[2])])
        assert w.sweep(measurements=NOW, readings=NOW) == 4
    with ledger.read() as r:
        assert [one.at for one in r.checks(a_monitor(), since=NOW - timedelta(days=9), until=NOW)] == old[1:]
        assert r.measurements("m2") == []
    with ledger.write() as w:
        w.save_monitor(replace(a_monitor(), removed_at=NOW))
        assert w.sweep(measurements=NOW, readings=NOW) == 2
        assert w.baselines(["m1"]) == {}


# What a hold covers


def a_hold(**changes: Any) -> Hold:
    hold = Hold(id=f"h{next(_ids)}", kind=HoldKind.LEDGER_RESTORED, at=NOW, lines=(say("{n} tags", n=2),), keys=("k",))
    return replace(hold, **changes)


def test_a_hold_covers_what_was_waiting_and_nothing_that_comes_later(ledger: SqlLedger) -> None:
    old, new = a_request(), a_request(model="fraud")
    with ledger.write() as w:
        w.add_request(old)
        w.add_move(a_move(id="old"))
        w.add_ask(an_ask(id="old"))
        w.add_copy(Copy(id="old", model="churn", version=7, tags={"approver": "U1"}))
        assert w.add_hold(a_hold())
        w.add_request(new)
        w.add_move(a_move(id="new"))
        w.add_ask(an_ask(id="new"))
        w.add_copy(Copy(id="behind", model="churn", version=7))
        w.add_copy(Copy(id="new", model="churn", version=8))
        held = w.held()
        assert [[one.id for one in each] for each in (held.moves, held.asks, held.requests, held.copies)] == [
            ["old"],
            ["old"],
            [old.id],
            ["old"],
        ]
        assert (w.is_held(old.id), w.is_held(new.id)) == (True, False)
        claimed = w.claim_move("churn", "one", NOW, SOON)
        assert claimed is not None
        assert claimed.id == "new"
        assert w.waiting_asks(NOW) == ["new"]
        assert not w.claim_ask("old", NOW, SOON)
        assert [one.id for one in w.due_copies(NOW)] == ["new"]
        assert not w.claim_copy(held.copies[0], NOW, SOON)


def test_one_hold_is_active_at_a_time_and_can_be_widened_and_lifted(ledger: SqlLedger) -> None:
    hold = a_hold()
    with ledger.write() as w:
        assert w.add_hold(hold)
        assert not w.add_hold(a_hold())
        w.add_copy(Copy(id="later", model="churn", version=7))
        assert w.held().copies == []
        wider = replace(hold, keys=("k", "l"))
        w.save_hold(wider, widen=True)
        assert [one.id for one in w.held().copies] == ["later"]
    with ledger.write() as w:
        assert w.hold() == wider
        lifted = replace(wider, lifted_at=SOON, lifted_by=BOB, outcome="accepted")
        w.save_hold(lifted)
        assert (w.hold(), w.held(), w.holds()) == (None, Held(moves=[], asks=[], requests=[], copies=[]), [lifted])
        assert [one.id for one in w.due_copies(NOW)] == ["later"]


def test_held_tag_updates_can_be_dropped(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        w.add_copy(Copy(id="old", model="churn", version=7))
        assert w.models_waiting() == ["churn"]
        w.add_hold(a_hold())
        w.add_copy(Copy(id="new", model="churn", version=7))
        w.drop_copies("done since")
        assert [one.id for one in w.due_copies(NOW)] == ["new"]
        assert [one.id for one in w.copies("churn")] == ["old", "new"]


def test_what_is_to_be_written_to_one_version_is_found_from_a_number_on(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        assert w.first_unwritten("churn") == 0
        for name, model, version in [("a", "churn", 7), ("b", "churn", 8), ("c", "fraud", 7), ("d", "churn", 7)]:
            w.add_copy(Copy(id=name, model=model, version=version))
        a, b, d = w.copies("churn")
        assert w.first_unwritten("churn") == a.number
        w.copied(a)
        assert w.first_unwritten("churn") == b.number
        assert [one.id for one in w.copies("churn", version=7)] == ["a", "d"]
        assert [one.id for one in w.copies("churn", version=7, since=b.number)] == ["d"]
        w.copied(b)
        w.copied(d)
        assert w.first_unwritten("churn") == d.number + 1


def test_an_operator_is_read_with_the_slack_id_that_is_known_of_them(ledger: SqlLedger) -> None:
    request = a_request(requester=Operator("ann"))
    with ledger.write() as w:
        w.add_request(request)
        w.append(an_event(actor=Operator("ann")))

    def users() -> list[str]:
        with ledger.read() as r:
            actors = [r.request(request.id).requester, *(link.event.actor for link in r.links())]
        return [actor.user for actor in actors if isinstance(actor, Operator)]

    assert users() == ["", ""]
    ledger.recognize(lambda: {"ann": "UANN"})
    assert users() == ["UANN", "UANN"]
    ledger.recognize(lambda: {"bob": "UBOB"})
    assert users() == ["", ""]


# Speed: no query reads a whole table


def test_every_question_has_an_index(sqlite_url: str, tmp_path: Path) -> None:
    asked: list[tuple[str, Any]] = []

    def listen(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: Any) -> None:
        asked.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        with opened(sqlite_url) as ledger:
            _ask_everything(ledger)
            _ask_about_holds(ledger)
    finally:
        event.remove(Engine, "before_cursor_execute", listen)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        questions = [(s, p) for s, p in asked if s.startswith(("SELECT", "WITH", "UPDATE"))]
        scans = [
            (line[3], statement)
            for statement, parameters in questions
            for line in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            if _is_full_scan(line[3])
        ]
    assert len(questions) > 25
    assert scans == []


def _is_full_scan(step: str) -> bool:
    scan = re.match(r"SCAN (?:TABLE )?(\w+)(?! .*USING)", step)
    return scan is not None and scan[1] in set(metadata.tables) - {"audit_head", "leases"}  # which have a row or two


def _ask_everything(ledger: SqlLedger) -> None:
    request, move = a_request(), a_move()
    with ledger.write() as w:
        w.add_request(request)
        w.save_request(w.lock_request(request.id))
        w.add_vote(a_vote(request))
        w.add_move(move)
        w.claim_move("churn", "one", NOW, SOON)
        w.release_move(replace(move, attempts=1), NOW)
        w.finish_move(replace(move, attempts=1))
        w.disown("one")
        w.owners()
        w.add_note(a_note("k"))
        (note,) = w.due_notes(NOW)
        w.claim_note(note, "one", NOW, SOON)
        w.postpone(note, SOON, "")
        w.delivered(note, Posting("C1", "1"))
        w.append(an_event())
        w.backlog(NOW)
        w.take_lease("register:churn", "one", NOW, SOON)
        w.give_lease("register:churn", "one")
        w.claim_slots({("m1", 1): SOON}, "one", NOW)
        w.finish_slots([a_measurement("m1", 1)], "one")
        w.take_vote(request.id, BOB)
        freeze = a_freeze()
        w.add_freeze(freeze)
        w.save_freeze(freeze)
    with ledger.read() as r:
        r.freezes()
        r.claimed(Batch("push", "one", (("m1", 1),)), NOW)
        r.readings("push", [("churn", "accuracy")], since=NOW, until=SOON)
        r.is_waiting(note)
        r.posting_of(note)
        r.latest(model="churn", before=7)
        r.latest(tags=[Tag.MOVED], since=NOW)
        r.requests()
        r.requests(requester=ALICE)
        r.requests(model="churn")
        r.requests(states=[RequestState.DONE])
        r.requests(model="churn", states=[RequestState.DONE])
        r.open_request("churn", Stage.PRODUCTION)
        r.expired(NOW)
        r.votes(request.id)
        r.moves("churn")
        r.moves("churn", stage=Stage.PRODUCTION)
        r.models_with_moves(UNFINISHED)
        r.waiting_asks(NOW)
        r.posting("k")
        r.links(after=3)
        r.links(model="churn", after=3)
        r.records()


def _ask_about_holds(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        w.add_hold(a_hold())
        w.claim_move("churn", "one", NOW, SOON)
        w.is_held("r1")
        w.copies("churn")
        w.copies("churn", version=7, since=3)
        w.first_unwritten("churn")


# The serving side


def a_serving(**changes: Any) -> Serving:
    serving = Serving(
        move="m1",
        model="churn",
        version=7,
        lane="r1",
        asked_at=NOW,
        next_at=SOON,
        deadline=LATER,
    )
    return replace(serving, **changes)


def test_a_question_is_due_when_its_time_has_come(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        assert w.save_serving(a_serving())
        assert w.save_serving(a_serving(move="m2", asked_at=SOON, next_at=LATER))
    with ledger.read() as r:
        assert r.due_servings(NOW) == []
        assert r.due_servings(SOON) == [a_serving()]
        assert [one.move for one in r.due_servings(LATER)] == ["m1", "m2"]
        assert r.serving("m1") == a_serving()
        assert r.serving("nothing") is None
        latest = r.serving_of("churn")
        assert latest is not None
        assert latest.move == "m2"


def test_a_question_is_asked_by_one_at_a_time(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        w.save_serving(a_serving())
    with ledger.write() as w:
        assert w.claim_serving(a_serving(), LATER)
    with ledger.write() as w:
        assert not w.claim_serving(a_serving(), LATER)  # it was read before somebody else took it
        assert w.due_servings(SOON) == []
        assert [one.move for one in w.due_servings(LATER)] == ["m1"]


@pytest.mark.parametrize("end", [state for state in ServingState if state is not ServingState.ASKED])
def test_a_question_has_one_end(ledger: SqlLedger, end: ServingState) -> None:
    with ledger.write() as w:
        w.save_serving(a_serving())
        assert w.save_serving(a_serving(seen="6"))
        assert w.save_serving(a_serving(state=end))
        assert not w.save_serving(a_serving(state=ServingState.CONFIRMED, seen="7"))
        assert not w.save_serving(a_serving())
        assert not w.claim_serving(a_serving(), LATER)
        assert w.serving("m1") == a_serving(state=end)
        assert w.due_servings(LATER) == []

"""Commands and messages that wait in every ledger, and the backlog that they are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from bot.domain.promotions.request import RequestState
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import MoveState
from bot.ledger import SqlLedger
from bot.ports import AskState, NoteKind, Posting, Progress, Waiting
from tests.support.ledger.records import (
    LATER,
    NOW,
    SOON,
    a_command,
    a_message,
    a_request,
    a_transition,
    an_event,
    due,
    save,
)

pytestmark = pytest.mark.usefixtures("migrates_itself")

pytest_plugins = ("tests.support.ledger.ledgers",)


# Asks


def test_an_ask_waits_for_its_time_and_comes_in_order(ledger: SqlLedger) -> None:
    late, early = a_command(id="late"), a_command(id="early", at=NOW - timedelta(hours=1))
    save(ledger, late, early, a_command(not_before=SOON), a_command(state=AskState.DRAFT))
    with ledger.read() as r:
        assert r.waiting_asks(NOW) == ["early", "late"]
        assert len(r.waiting_asks(SOON)) == 3


def test_an_ask_is_saved_with_the_request_that_came_of_it(ledger: SqlLedger) -> None:
    ask, request = a_command(), a_request()
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
        w.save_ask(a_command())


# The outbox


def test_lanes_take_turns_and_keep_their_order(ledger: SqlLedger) -> None:
    save(
        ledger,
        *(a_message(f"a{n}", "a") for n in (1, 2, 3)),
        a_message("b1", "b"),
        a_message("c1", "c"),
        a_message("b2", "b"),
    )
    assert due(ledger) == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert due(ledger, most=2) == ["a1", "b1"]


def test_a_note_that_waits_holds_up_its_own_lane_only(ledger: SqlLedger) -> None:
    save(ledger, a_message("a1", "a"), a_message("a2", "a"), a_message("a3", "a"), a_message("b1", "b"))
    with ledger.write() as w:
        w.postpone(w.due_notes(NOW)[2], SOON, "Slack said: later")  # a2
    assert due(ledger) == ["a1", "b1"]
    assert due(ledger, SOON) == ["a1", "b1", "a2", "a3"]


def test_notes_of_some_kinds_can_be_asked_for_alone(ledger: SqlLedger) -> None:
    save(
        ledger,
        a_message("a1", "a"),
        a_message("e1", "e", kind=NoteKind.EVENT),
        a_message("e2", "e", kind=NoteKind.EVENT),
    )
    with ledger.read() as r:
        assert [note.key for note in r.due_notes(NOW, kinds={NoteKind.EVENT})] == ["e1", "e2"]
        assert [note.key for note in r.due_notes(NOW, kinds=set(NoteKind) - {NoteKind.EVENT})] == ["a1"]
        assert r.due_notes(NOW, kinds={NoteKind.EVENT}, to="nobody") == []
        assert r.waited_for(NoteKind.EVENT) == [r.due_notes(NOW, kinds={NoteKind.EVENT})[0].to]
        assert r.waited_for(NoteKind.NOTICE) == []
    assert due(ledger) == ["a1", "e1", "e2"]


def test_a_key_is_taken_for_ever(ledger: SqlLedger) -> None:
    save(ledger, a_message("k", data={"was": "first"}))
    save(ledger, a_message("k", data={"was": "second"}))
    with ledger.write() as w:
        (note,) = w.due_notes(NOW)
        assert note.data == {"was": "first"}
        w.delivered(note, None)
    save(ledger, a_message("k"))
    assert due(ledger) == []


def test_a_delivery_that_began_is_remembered_and_nobody_elses_until_its_lease_is_over(ledger: SqlLedger) -> None:
    save(ledger, a_message("k"), a_message("behind it"))
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
    save(ledger, a_message("k"))
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
    save(ledger, a_message("k"))
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
    cards = [a_message(key, "lane", kind=NoteKind.CARD) for key in ("card", "again")]
    save(ledger, *cards, a_message("news", "lane"), a_message("silent", "lane"))
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
    save(ledger, a_message("k"))
    with ledger.write() as w:
        mine = w.claim_note(w.due_notes(NOW)[0], "one", NOW, SOON)
        assert mine is not None
        w.postpone(mine, SOON, "ratelimited")
        [again] = w.due_notes(SOON)
        assert not again.was_tried
        w.postpone(replace(again, was_tried=True), LATER, "reset")
        assert [note.was_tried for note in w.due_notes(LATER)] == [True]


def test_the_progress_of_a_note_includes_the_reason(ledger: SqlLedger) -> None:
    save(ledger, a_message("a", "a"), a_message("b", "b"), a_message("c", "c"))
    with ledger.write() as w:
        one, two, three = w.due_notes(NOW)
        w.postpone(one, SOON, "not_in_channel")
        w.postpone(one, LATER)
        w.drop(two, "restricted_action")
        assert w.progress(one) == Progress(is_waiting=True, why="not_in_channel", not_before=LATER)
        assert w.progress(two) == Progress(is_waiting=False, why="restricted_action")
        assert w.progress(three) == Progress(is_waiting=True)
        assert w.progress(a_message("d")) is None


def test_the_first_note_that_has_to_wait_says_when_to_look_again(ledger: SqlLedger) -> None:
    save(
        ledger, a_message("a", "a"), a_message("b", "b"), a_message("c", "c"), a_message("e", "e", kind=NoteKind.EVENT)
    )
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
    save(ledger, a_message("k1"), a_message("k2"))
    with ledger.write() as w:
        w.drop(w.due_notes(NOW)[0], "channel_not_found")
    assert due(ledger) == ["k2"]


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
        a_transition(),
        a_transition(state=MoveState.DONE),
        a_command(),
        a_command(at=earlier),
        a_command(state=AskState.DONE),
        a_message("k1"),
        a_message("k2", created_at=earlier),
        a_message("e", "e", kind=NoteKind.EVENT),
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

"""Queued commands, messages, and the backlog, in every ledger."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from bot.domain.core.agent import Agent
from bot.domain.promotions.request import RequestState
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import TransitionState
from bot.ledger import SqlLedger
from bot.ports import Claim, DeliveryProgress, MessageKind, MessageRef, PendingCount, QueuedCommandState
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
    opened,
    run_concurrently,
    save,
)

pytestmark = pytest.mark.usefixtures("migrates_itself")

pytest_plugins = ("tests.support.ledger.ledgers",)


# Queued commands


def test_a_queued_command_is_due_at_its_time_and_in_order(ledger: SqlLedger) -> None:
    late, early = a_command(id="late"), a_command(id="early", at=NOW - timedelta(hours=1))
    save(ledger, late, early, a_command(not_before=SOON), a_command(state=QueuedCommandState.DRAFT))
    with ledger.read() as r:
        assert r.due_command_ids(NOW) == ["early", "late"]
        assert len(r.due_command_ids(SOON)) == 3


def test_a_queued_command_is_saved_with_its_request(ledger: SqlLedger) -> None:
    ask, request = a_command(), a_request()
    save(ledger, ask)
    became = replace(ask, state=QueuedCommandState.OPENED, request=request.id, attempts=2, not_before=SOON)
    with ledger.write() as w:
        w.add_request(request)
        w.save_queued_command(became)
    with ledger.read() as r:
        assert r.queued_command(ask.id) == became
        assert r.due_command_ids(LATER) == []
        with pytest.raises(KeyError):
            r.queued_command("nothing")
    with ledger.write() as w, pytest.raises(KeyError):
        w.save_queued_command(a_command())


def test_only_an_undecided_draft_of_an_agent_is_an_open_proposal(ledger: SqlLedger) -> None:
    agent = Agent(name="claude-code")
    draft, other = (a_command(state=QueuedCommandState.DRAFT, agent=agent) for _ in range(2))
    save(ledger, draft, other, a_command(state=QueuedCommandState.DRAFT), a_command(agent=agent))
    with ledger.read() as r:
        assert r.open_proposals() == [draft, other]
    with ledger.write() as w:
        w.save_queued_command(replace(draft, state=QueuedCommandState.DONE))
        assert w.open_proposals() == [other]


# Nonces


def test_a_nonce_is_used_once_in_each_scope(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        assert w.add_nonce("client:ci", "n1", SOON)
    with ledger.write() as w:
        assert not w.add_nonce("client:ci", "n1", LATER)
        assert w.add_nonce("client:ci", "N1", SOON)
        assert w.add_nonce("client:serve", "n1", SOON)


def test_one_of_several_processes_uses_a_nonce(ledger: SqlLedger, ledger_url: str) -> None:
    def use(number: int) -> bool:
        with opened(ledger_url, timeout=20) as process, process.write() as w:
            return w.add_nonce("client:ci", "n1", SOON)

    assert sorted(run_concurrently(4, use)) == [False, False, False, True]


def test_only_expired_nonces_are_deleted(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        w.add_nonce("client:ci", "n1", SOON)
        assert w.purge(measurements_before=NOW, readings_before=NOW, now=SOON) == 0
        assert w.purge(measurements_before=NOW, readings_before=NOW, now=LATER) == 1
        assert w.add_nonce("client:ci", "n1", LATER)


# The outbox


def test_ordering_keys_take_turns_and_keep_their_order(ledger: SqlLedger) -> None:
    save(
        ledger,
        *(a_message(f"a{n}", "a") for n in (1, 2, 3)),
        a_message("b1", "b"),
        a_message("c1", "c"),
        a_message("b2", "b"),
    )
    assert due(ledger) == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert due(ledger, most=2) == ["a1", "b1"]


def test_a_postponed_message_only_delays_its_own_ordering_key(ledger: SqlLedger) -> None:
    save(ledger, a_message("a1", "a"), a_message("a2", "a"), a_message("a3", "a"), a_message("b1", "b"))
    with ledger.write() as w:
        w.postpone_message(w.due_messages(NOW)[2], SOON, "Slack said: later")  # a2
    assert due(ledger) == ["a1", "b1"]
    assert due(ledger, SOON) == ["a1", "b1", "a2", "a3"]


def test_messages_can_be_filtered_by_kind(ledger: SqlLedger) -> None:
    save(
        ledger,
        a_message("a1", "a"),
        a_message("e1", "e", kind=MessageKind.EVENT),
        a_message("e2", "e", kind=MessageKind.EVENT),
    )
    with ledger.read() as r:
        assert [note.key for note in r.due_messages(NOW, kinds={MessageKind.EVENT})] == ["e1", "e2"]
        assert [note.key for note in r.due_messages(NOW, kinds=set(MessageKind) - {MessageKind.EVENT})] == ["a1"]
        assert r.due_messages(NOW, kinds={MessageKind.EVENT}, recipient="nobody") == []
        assert r.pending_recipients(MessageKind.EVENT) == [r.due_messages(NOW, kinds={MessageKind.EVENT})[0].to]
        assert r.pending_recipients(MessageKind.NOTICE) == []
    assert due(ledger) == ["a1", "e1", "e2"]


def test_a_message_key_is_never_reused(ledger: SqlLedger) -> None:
    save(ledger, a_message("k", data={"was": "first"}))
    save(ledger, a_message("k", data={"was": "second"}))
    with ledger.write() as w:
        (note,) = w.due_messages(NOW)
        assert note.data == {"was": "first"}
        w.mark_delivered(note, None)
    save(ledger, a_message("k"))
    assert due(ledger) == []


def test_a_claimed_message_is_marked_as_tried_and_locked_until_its_claim_expires(ledger: SqlLedger) -> None:
    save(ledger, a_message("k"), a_message("behind it"))
    with ledger.write() as w:
        fresh, _ = w.due_messages(NOW)
        taken = w.claim_message(fresh, Claim("one", NOW, SOON))
        assert taken == replace(fresh, attempts=1, claimed_until=SOON)
        assert w.claim_message(fresh, Claim("two", NOW, SOON)) is None
        assert w.due_messages(NOW) == []
    with ledger.write() as w:
        left, _ = w.due_messages(SOON)
        assert left == replace(fresh, was_tried=True, attempts=1, claimed_until=SOON)
        assert w.claim_message(left, Claim("two", SOON, LATER)) == replace(left, attempts=2, claimed_until=LATER)


def test_a_process_that_lost_its_claim_cannot_finish_a_message(ledger: SqlLedger) -> None:
    save(ledger, a_message("k"))
    with ledger.write() as w:
        (fresh,) = w.due_messages(NOW)
        mine = w.claim_message(fresh, Claim("one", NOW, SOON))
        assert mine is not None
        theirs = w.claim_message(mine, Claim("two", SOON, LATER))
        assert theirs is not None
        assert not any(
            [
                w.mark_delivered(mine, MessageRef("C1", "1")),
                w.postpone_message(mine, LATER, ""),
                w.discard_message(mine, ""),
            ]
        )
        assert (w.is_pending(mine.key), w.message_ref(mine.ref_key)) == (True, None)
        assert w.mark_delivered(theirs, MessageRef("C1", "2"))
        assert (w.is_pending(mine.key), w.message_ref(mine.ref_key)) == (False, MessageRef("C1", "2"))


def test_a_dead_processs_messages_are_released_at_once(ledger: SqlLedger) -> None:
    save(ledger, a_message("k"))
    with ledger.write() as w:
        w.claim_message(w.due_messages(NOW)[0], Claim("gone", NOW, LATER))
        assert (w.lease_owners(), w.due_messages(NOW)) == (["gone"], [])
        w.release_leases("gone")
        assert (w.lease_owners(), [note.key for note in w.due_messages(NOW)]) == ([], ["k"])


def test_a_lease_has_one_owner_at_a_time(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        assert w.acquire_lease("churn", Claim("one", NOW, SOON))
        assert w.acquire_lease("churn", Claim("one", NOW, SOON))
        assert not w.acquire_lease("churn", Claim("two", NOW, SOON))
        assert w.acquire_lease("other", Claim("two", NOW, SOON))
        w.release_lease("churn", "two")
        assert not w.acquire_lease("churn", Claim("two", NOW, SOON))
        w.release_lease("churn", "one")
        assert w.acquire_lease("churn", Claim("two", NOW, SOON))
        assert not w.acquire_lease("churn", Claim("one", SOON, LATER))
        assert w.acquire_lease("churn", Claim("one", LATER, LATER))


def test_a_named_lock_makes_other_transactions_wait(ledger: SqlLedger, ledger_url: str) -> None:
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
        return w.try_lock(name)


def test_a_delivered_card_is_found_by_ordering_key_and_others_by_key(ledger: SqlLedger) -> None:
    cards = [a_message(key, "lane", kind=MessageKind.CARD) for key in ("card", "again")]
    save(ledger, *cards, a_message("news", "lane"), a_message("silent", "lane"))
    with ledger.write() as w:
        card, again, news, silent = w.due_messages(NOW)
        w.mark_delivered(card, MessageRef("C1", "1.0"))
        w.mark_delivered(again, MessageRef("C1", "2.0"))  # someone deleted the first one
        w.mark_delivered(news, MessageRef("C1", "3.0"))
        w.mark_delivered(silent, None)
    with ledger.read() as r:
        assert r.message_ref("lane") == MessageRef("C1", "2.0")
        assert r.message_ref("news") == MessageRef("C1", "3.0")
        assert r.message_ref("silent") is None
        refs = {"lane": MessageRef("C1", "2.0"), "news": MessageRef("C1", "3.0")}
        assert r.message_refs(["lane", "news", "silent"]) == refs
        assert r.due_messages(NOW) == []


def test_registrar_searches_for_a_lost_message_but_not_a_refused_one(ledger: SqlLedger) -> None:
    save(ledger, a_message("k"))
    with ledger.write() as w:
        mine = w.claim_message(w.due_messages(NOW)[0], Claim("one", NOW, SOON))
        assert mine is not None
        w.postpone_message(mine, SOON, "ratelimited")
        [again] = w.due_messages(SOON)
        assert not again.was_tried
        w.postpone_message(replace(again, was_tried=True), LATER, "reset")
        assert [note.was_tried for note in w.due_messages(LATER)] == [True]


def test_delivery_progress_includes_the_reason(ledger: SqlLedger) -> None:
    save(ledger, a_message("a", "a"), a_message("b", "b"), a_message("c", "c"))
    with ledger.write() as w:
        one, two, three = w.due_messages(NOW)
        w.postpone_message(one, SOON, "not_in_channel")
        w.postpone_message(one, LATER)
        w.discard_message(two, "restricted_action")
        assert w.delivery_progress(one.key) == DeliveryProgress(is_waiting=True, why="not_in_channel", not_before=LATER)
        assert w.delivery_progress(two.key) == DeliveryProgress(is_waiting=False, why="restricted_action")
        assert w.delivery_progress(three.key) == DeliveryProgress(is_waiting=True)
        assert w.delivery_progress(a_message("d").key) is None


def test_the_next_postponed_message_sets_the_next_delivery_time(ledger: SqlLedger) -> None:
    save(
        ledger,
        a_message("a", "a"),
        a_message("b", "b"),
        a_message("c", "c"),
        a_message("e", "e", kind=MessageKind.EVENT),
    )
    with ledger.write() as w:
        assert w.next_message_due_at(NOW, kinds=set(MessageKind)) is None
        for note, until in zip(w.due_messages(NOW), (LATER, SOON, NOW, SOON), strict=True):
            w.postpone_message(note, until)
        assert w.next_message_due_at(NOW, kinds=set(MessageKind)) == SOON
        assert w.next_message_due_at(SOON, kinds=set(MessageKind)) == LATER
        assert w.next_message_due_at(SOON, kinds={MessageKind.EVENT}) is None


SECOND = timedelta(seconds=1)


def test_each_channel_has_its_own_turns(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        assert w.take_channel_turn("C1", SECOND, NOW) == NOW
        assert w.take_channel_turn("C1", SECOND, NOW) == NOW + SECOND
        assert w.take_channel_turn("C2", SECOND, NOW) == NOW
    with ledger.write() as w:
        assert w.take_channel_turn("C1", SECOND, NOW) == NOW + SECOND
        assert w.take_channel_turn("C1", SECOND, NOW + SECOND) == NOW + SECOND
        assert w.take_channel_turn("C1", SECOND, LATER) == LATER


def test_the_longest_delay_of_a_channel_applies(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        w.take_channel_turn("C1", SECOND, NOW)
        w.delay_channel("C1", SOON)
        w.delay_channel("C1", NOW)
        assert w.take_channel_turn("C1", SECOND, NOW) == SOON


def test_a_clock_that_was_ahead_does_not_block_a_channel(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        w.take_channel_turn("C1", SECOND, NOW + timedelta(hours=3))
        assert [w.take_channel_turn("C1", SECOND, NOW) for _ in range(2)] == [NOW, NOW + SECOND]


def test_only_one_of_two_processes_gets_a_turn(ledger: SqlLedger, ledger_url: str) -> None:
    with closing(SqlLedger(ledger_url, timeout=20)) as other, ThreadPoolExecutor(2) as pool:
        found = list(pool.map(_turn_in, [ledger, other]))
    assert sorted(found) == [NOW, NOW + SECOND]


def _turn_in(ledger: SqlLedger) -> datetime:
    with ledger.write() as w:
        return w.take_channel_turn("C1", SECOND, NOW)


def test_a_discarded_message_unblocks_its_ordering_key(ledger: SqlLedger) -> None:
    save(ledger, a_message("k1"), a_message("k2"))
    with ledger.write() as w:
        w.discard_message(w.due_messages(NOW)[0], "channel_not_found")
    assert due(ledger) == ["k2"]


# The backlog


def test_the_backlog_counts_unfinished_work_and_its_age(ledger: SqlLedger) -> None:
    earlier = NOW - timedelta(hours=2)
    ended, twin = a_request(state=RequestState.DONE, opened_at=earlier), a_request(target=Stage.STAGING)
    save(
        ledger,
        ended,
        a_request(opened_at=earlier),
        twin,
        a_request(model="fraud", state=RequestState.APPROVED),
        a_transition(),
        a_transition(state=TransitionState.DONE),
        a_command(),
        a_command(at=earlier),
        a_command(state=QueuedCommandState.DONE),
        a_message("k1"),
        a_message("k2", created_at=earlier),
        a_message("e", "e", kind=MessageKind.EVENT),
        an_event(),
    )
    with ledger.read() as r:
        found = r.backlog(NOW)
    assert found.requests == {
        RequestState.PENDING: PendingCount(2, earlier),
        RequestState.APPROVED: PendingCount(1, NOW),
    }
    assert found.transitions == {TransitionState.INTENDED: PendingCount(1, NOW)}
    assert found.commands == PendingCount(2, earlier)
    assert found.messages == {
        MessageKind.THREAD_REPLY: PendingCount(2, earlier),
        MessageKind.EVENT: PendingCount(1, NOW),
    }
    assert (found.tag_updates, found.tripped_breakers, found.audit_events) == (0, 0, 1)


def test_the_backlog_is_empty_without_unfinished_work(ledger: SqlLedger) -> None:
    with ledger.read() as r:
        found = r.backlog(NOW)
    assert (found.requests, found.messages, found.incidents, found.monitors) == ({}, {}, {}, {})
    assert (found.commands, found.overdue_checks, found.audit_events) == (PendingCount(), PendingCount(), 0)

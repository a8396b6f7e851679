"""Pacing in a channel: one message a second, in order, and channels don't wait for each other."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.core.errors import LedgerUnavailable
from bot.ports import MessageKind, OutboxMessage
from bot.services.core.outbox import Outbox
from tests.support.services.bench import Bench
from tests.support.services.fake_notifier import DELIVERED, FakeNotifier
from tests.support.services.outbox import UNKNOWN, later, put

PACE = timedelta(seconds=1)


@pytest.fixture
def paced(bench: Bench, fake_notifier: FakeNotifier) -> Outbox:
    """Return an outbox that waits a second between two messages in a channel."""
    return Outbox(bench.context, fake_notifier, min_interval=PACE)


def put_said(bench: Bench, *keys: str, to: str = "C1") -> None:
    """Put sentences for a channel into the outbox, each with its own ordering key."""
    with bench.ledger.write() as tx:
        for key in keys:
            tx.add_message(OutboxMessage(key=key, lane=key, kind=MessageKind.CHANNEL_MESSAGE, to=to))


def test_messages_in_a_channel_are_paced_and_in_order(bench: Bench, paced: Outbox, fake_notifier: FakeNotifier) -> None:
    put_said(bench, "a", "b", "c")
    told = []
    for _ in range(4):
        paced.deliver()
        paced.deliver()
        told.append("".join(fake_notifier.keys))
        bench.clock.advance(seconds=1)
    assert told == ["a", "ab", "abc", "abc"]


def test_a_busy_channel_does_not_hold_up_another(bench: Bench, paced: Outbox, fake_notifier: FakeNotifier) -> None:
    put_said(bench, "a", "b")
    put_said(bench, "x", to="C2")
    paced.deliver()
    assert sorted(fake_notifier.keys) == ["a", "x"]


def test_hundreds_of_messages_for_a_busy_channel_do_not_delay_others(
    bench: Bench, paced: Outbox, fake_notifier: FakeNotifier
) -> None:
    paced.take_turn("C1")
    put_said(bench, *(f"a{number}" for number in range(150)))
    put_said(bench, "x", to="C2")
    paced.deliver()
    assert fake_notifier.keys == ["x"]


def test_a_busy_channel_does_not_hold_up_an_edit(bench: Bench, paced: Outbox, fake_notifier: FakeNotifier) -> None:
    put(bench, "r1/opened", kind=MessageKind.CARD)
    paced.deliver()
    put_said(bench, "a")
    put(bench, "r1/done", kind=MessageKind.CARD)
    paced.deliver()
    assert fake_notifier.keys == ["r1/opened", "r1/done"]


@pytest.mark.parametrize("kind", [MessageKind.INCIDENT, MessageKind.ROLLBACK], ids=lambda kind: str(kind.value))
def test_urgent_messages_go_before_a_burst(
    bench: Bench, paced: Outbox, fake_notifier: FakeNotifier, kind: MessageKind
) -> None:
    put_said(bench, *(f"a{number}" for number in range(50)))
    paced.deliver()
    put(bench, "i1/opened", kind=kind)
    bench.clock.advance(seconds=1)
    paced.deliver()
    assert fake_notifier.keys == ["a0", "i1/opened"]


def test_thread_replies_count_toward_their_channel(bench: Bench, paced: Outbox, fake_notifier: FakeNotifier) -> None:
    put(bench, "r1/opened", kind=MessageKind.CARD)
    put(bench, "r1/news")
    paced.deliver()
    assert fake_notifier.keys == ["r1/opened"]
    bench.clock.advance(seconds=1)
    paced.deliver()
    assert fake_notifier.keys == ["r1/opened", "r1/news"]


def test_waiting_for_a_turn_is_not_an_attempt(bench: Bench, paced: Outbox, fake_notifier: FakeNotifier) -> None:
    put_said(bench, "a", "b")
    paced.deliver()
    bench.clock.advance(seconds=1)
    paced.deliver()
    assert [(note.was_tried, note.attempts) for note in fake_notifier.told] == [(False, 1), (False, 1)]


def test_the_next_turn_is_counted_from_the_end_of_the_last_message(
    bench: Bench, paced: Outbox, fake_notifier: FakeNotifier
) -> None:
    fake_notifier.meanwhile = lambda: bench.clock.advance(seconds=5)
    put_said(bench, "a", "b")
    paced.deliver()
    fake_notifier.meanwhile = lambda: None
    bench.clock.advance(seconds=0.9)
    paced.deliver()
    assert fake_notifier.keys == ["a"]
    bench.clock.advance(seconds=0.1)
    paced.deliver()
    assert fake_notifier.keys == ["a", "b"]


def test_several_processes_share_the_turns_of_a_channel(
    bench: Bench, paced: Outbox, fake_notifier: FakeNotifier
) -> None:
    other = Outbox(replace(bench.context, owner="other:2:b"), fake_notifier, min_interval=PACE)
    put_said(bench, "a")
    paced.deliver()
    put_said(bench, "b")
    other.deliver()
    assert fake_notifier.keys == ["a"]
    bench.clock.advance(seconds=1)
    other.deliver()
    assert fake_notifier.keys == ["a", "b"]


def test_a_process_that_dies_in_its_turn_holds_the_channel_for_a_second(
    bench: Bench, paced: Outbox, fake_notifier: FakeNotifier
) -> None:
    def crash() -> None:
        raise KeyboardInterrupt

    put_said(bench, "a", "b")
    fake_notifier.meanwhile = crash
    with pytest.raises(KeyboardInterrupt):
        paced.deliver()
    fake_notifier.meanwhile = lambda: None
    bench.clock.advance(seconds=1)
    paced.deliver()
    assert fake_notifier.keys == ["a", "b"]


def test_a_message_outside_the_outbox_takes_a_turn(bench: Bench, paced: Outbox, fake_notifier: FakeNotifier) -> None:
    assert (paced.take_turn("C1"), paced.take_turn("C2")) == (0.0, 0.0)
    put_said(bench, "a")
    bench.clock.advance(seconds=0.5)
    paced.end_turn("C1")
    bench.clock.advance(seconds=0.5)
    paced.deliver()
    assert (fake_notifier.keys, paced.take_turn("C1")) == ([], 0.5)
    bench.clock.advance(seconds=0.5)
    paced.deliver()
    assert (fake_notifier.keys, paced.take_turn("C1")) == (["a"], 1.0)


def test_an_answer_does_not_need_a_writable_ledger(
    bench: Bench, fake_notifier: FakeNotifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    paced = Outbox(bench.context, fake_notifier, min_interval=PACE)
    assert paced.take_turn("C1") == 0.0

    def full() -> None:
        raise LedgerUnavailable("The disk is full.")

    monkeypatch.setattr(bench.ledger, "write", full)
    assert paced.take_turn("C1") == 0.0
    paced.end_turn("C1")


def test_an_idle_thread_wakes_when_a_message_is_due(bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier) -> None:
    put(bench, "r1/a")
    fake_notifier.answers["r1/a"] = [later(0.01)]
    outbox.deliver()
    outbox.wait_until_due(3600)
    bench.clock.advance(seconds=1)
    outbox.deliver()
    assert fake_notifier.keys == ["r1/a", "r1/a"]


def test_an_idle_thread_wakes_when_another_one_postpones_a_message(
    bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier
) -> None:
    rests = threading.Thread(target=outbox.wait_until_due, args=(3600,))
    rests.start()
    put(bench, "r1/a")
    fake_notifier.answers["r1/a"] = [later(0.01)]
    while rests.is_alive():  # it can't go idle yet
        outbox.deliver()
        bench.clock.advance(seconds=1)
        rests.join(0.01)
    assert fake_notifier.keys[0] == "r1/a"


def test_a_rate_limited_message_is_not_searched_for(bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier) -> None:
    put(bench, "r1/a")
    fake_notifier.answers["r1/a"] = [later(1), UNKNOWN, later(1), DELIVERED]
    for _ in range(4):
        outbox.deliver()
        bench.clock.advance(seconds=10)
    assert [note.was_tried for note in fake_notifier.told] == [False, False, True, True]

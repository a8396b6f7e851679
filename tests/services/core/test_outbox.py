"""The outbox: messages with one ordering key are in order, and ordering keys don't wait for each other."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.ports import DeliveryOutcome, DeliveryResult, MessageKind, MessageRef
from bot.services.core.outbox import Outbox
from tests.support.services.bench import Bench
from tests.support.services.fake_notifier import DELIVERED, FakeNotifier
from tests.support.services.outbox import UNKNOWN, later, put

NEVER = DeliveryResult(DeliveryOutcome.REFUSED, why="invalid_blocks")


def test_messages_with_one_ordering_key_are_delivered_in_order(
    bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier
) -> None:
    put(bench, "r1/a", "r1/b", "r1/c")
    outbox.deliver()
    assert fake_notifier.keys == ["r1/a", "r1/b", "r1/c"]


def test_a_delivered_message_is_not_sent_again(bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier) -> None:
    put(bench, "r1/a")
    outbox.deliver()
    outbox.deliver()
    assert fake_notifier.keys == ["r1/a"]


def test_a_key_is_delivered_only_once(bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier) -> None:
    for _ in range(3):
        put(bench, "r1/a")
        outbox.deliver()
    assert fake_notifier.keys == ["r1/a"]


def test_the_message_ref_is_remembered(bench: Bench, outbox: Outbox) -> None:
    put(bench, "r1/card", kind=MessageKind.CARD)
    outbox.deliver()
    with bench.ledger.read() as reading:
        assert reading.message_ref("r1") == MessageRef("C1", "1.1")


def test_more_messages_than_fit_one_round_are_delivered(
    bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier
) -> None:
    put(bench, *(f"r{number % 7}/{number}" for number in range(150)))
    outbox.deliver()
    assert len(set(fake_notifier.keys)) == 150


# kinds of messages that later ones with the same ordering key supersede
DRAWN = (MessageKind.CARD, MessageKind.NOTICE, MessageKind.ROLLBACK, MessageKind.INCIDENT)


@pytest.mark.parametrize("kind", DRAWN, ids=lambda kind: str(kind.value))
def test_only_the_last_of_several_card_updates_is_sent(
    bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier, kind: MessageKind
) -> None:
    put(bench, "r1/opened", kind=kind)
    outbox.deliver()
    put(bench, "r1/vote", "r1/approved", "r1/done", kind=kind)
    outbox.deliver()
    assert fake_notifier.keys == ["r1/opened", "r1/done"]


def test_the_first_card_is_posted_even_if_updates_follow(
    bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier
) -> None:
    put(bench, "r1/opened", kind=MessageKind.CARD)
    put(bench, "r1/news")
    put(bench, "r1/done", kind=MessageKind.CARD)
    outbox.deliver()
    assert fake_notifier.keys == ["r1/opened", "r1/news", "r1/done"]


def test_a_card_with_another_ordering_key_supersedes_nothing(
    bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier
) -> None:
    put(bench, "r1/opened", "r2/opened", kind=MessageKind.CARD)
    outbox.deliver()
    put(bench, "r1/done", "r2/done", kind=MessageKind.CARD)
    outbox.deliver()
    assert sorted(fake_notifier.keys) == ["r1/done", "r1/opened", "r2/done", "r2/opened"]


# -- failed deliveries -------------------------------------------------------------------------------------------------


def test_a_message_waits_as_long_as_slack_says(bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier) -> None:
    put(bench, "r1/a")
    fake_notifier.answers["r1/a"] = [later(30), DELIVERED]
    outbox.deliver()
    bench.clock.advance(seconds=29)
    outbox.deliver()
    assert fake_notifier.keys == ["r1/a"]
    bench.clock.advance(seconds=1)
    outbox.deliver()
    assert fake_notifier.keys == ["r1/a", "r1/a"]


def test_later_messages_with_the_same_ordering_key_wait(
    bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier
) -> None:
    put(bench, "r1/card", "r1/news")
    fake_notifier.answers["r1/card"] = [later(30), DELIVERED]
    outbox.deliver()
    assert fake_notifier.keys == ["r1/card"]
    bench.clock.advance(seconds=30)
    outbox.deliver()
    assert fake_notifier.keys == ["r1/card", "r1/card", "r1/news"]


def test_a_message_added_later_stays_behind_a_waiting_one(
    bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier
) -> None:
    put(bench, "r1/a")
    fake_notifier.answers["r1/a"] = [later(30)]
    outbox.deliver()
    put(bench, "r1/b")
    outbox.deliver()
    assert fake_notifier.keys == ["r1/a"]


def test_a_blocked_ordering_key_does_not_delay_others(
    bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier
) -> None:
    put(bench, "r1/a", "r1/b", "r2/a", "r2/b")
    fake_notifier.answers["r1/a"] = [later(3600)]
    outbox.deliver()
    assert fake_notifier.keys == ["r1/a", "r2/a", "r2/b"]


def test_a_hundred_blocked_ordering_keys_do_not_delay_others(
    bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier
) -> None:
    stuck = [f"s{number}/a" for number in range(120)]
    put(bench, *stuck, "r1/a")
    fake_notifier.answers.update({key: [later(3600)] for key in stuck})
    outbox.deliver()
    outbox.deliver()
    assert "r1/a" in fake_notifier.keys


def test_a_message_that_cannot_be_built_does_not_delay_others(
    bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier
) -> None:
    def stumble() -> None:
        fake_notifier.meanwhile = lambda: None
        raise KeyError("semver")

    put(bench, "r1/a", "r2/a")
    fake_notifier.meanwhile = stumble
    outbox.deliver()
    assert fake_notifier.keys == ["r1/a", "r2/a"]


def test_a_lost_response_is_remembered_for_a_search(bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier) -> None:
    put(bench, "r1/a")
    fake_notifier.answers["r1/a"] = [UNKNOWN, DELIVERED]
    outbox.deliver()
    bench.clock.advance(minutes=2)
    outbox.deliver()
    assert [note.was_tried for note in fake_notifier.told] == [False, True]


def test_a_crash_during_delivery_counts_as_a_lost_response(
    bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier
) -> None:
    put(bench, "r1/a")

    def crash() -> None:
        raise KeyboardInterrupt

    fake_notifier.meanwhile = crash
    with pytest.raises(KeyboardInterrupt):
        outbox.deliver()
    fake_notifier.meanwhile = lambda: None
    bench.clock.advance(seconds=31)  # the crashed process's lease has expired
    outbox.deliver()
    assert [note.was_tried for note in fake_notifier.told] == [False, True]


def test_only_one_of_two_processes_delivers_an_ordering_key(
    bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier
) -> None:
    put(bench, "r1/a", "r1/b", "r2/a")
    other = Outbox(replace(bench.context, owner="other:2:b"), fake_notifier)

    def meanwhile() -> None:
        fake_notifier.meanwhile = lambda: None
        other.deliver()

    fake_notifier.meanwhile = meanwhile
    outbox.deliver()
    assert sorted(fake_notifier.keys) == ["r1/a", "r1/b", "r2/a"]


def test_a_message_posted_after_a_takeover_is_deleted(
    bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier
) -> None:
    put(bench, "r1/a")
    other = Outbox(replace(bench.context, owner="other:2:b"), fake_notifier)

    def stopped() -> None:
        fake_notifier.meanwhile = lambda: None
        bench.clock.advance(seconds=31)
        fake_notifier.answers["r1/a"] = [DeliveryResult(DeliveryOutcome.DELIVERED, MessageRef("C1", "2.2"))]
        other.deliver()
        fake_notifier.answers["r1/a"] = [DELIVERED]

    fake_notifier.meanwhile = stopped
    outbox.deliver()
    with bench.ledger.read() as reading:
        assert reading.message_ref("r1/a") == MessageRef("C1", "2.2")
    assert fake_notifier.taken_back == [DELIVERED.message_ref]


def test_an_edited_message_is_not_deleted_after_a_takeover(
    bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier
) -> None:
    put(bench, "r1/a")
    other = Outbox(replace(bench.context, owner="other:2:b"), fake_notifier)

    def stopped() -> None:
        fake_notifier.meanwhile = lambda: None
        bench.clock.advance(seconds=31)
        other.deliver()
        fake_notifier.answers["r1/a"] = [
            DeliveryResult(DeliveryOutcome.DELIVERED, MessageRef("C1", "the incident's own message"))
        ]

    fake_notifier.meanwhile = stopped
    outbox.deliver()
    assert fake_notifier.taken_back == []


def test_a_message_that_the_other_process_found_in_slack_stays(
    bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier
) -> None:
    put(bench, "r1/a")
    other = Outbox(replace(bench.context, owner="other:2:b"), fake_notifier)

    def stopped() -> None:
        fake_notifier.meanwhile = lambda: None
        bench.clock.advance(seconds=31)
        other.deliver()

    fake_notifier.meanwhile = stopped
    outbox.deliver()
    assert (len(fake_notifier.told), fake_notifier.taken_back) == (2, [])


def test_delays_grow_up_to_two_minutes(bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier) -> None:
    put(bench, "r1/a")
    fake_notifier.answers["r1/a"] = [UNKNOWN]
    for seconds in (1, 2, 4, 8, 16, 32, 64, 120, 120):
        outbox.deliver()
        bench.clock.advance(seconds=seconds)
    assert len(fake_notifier.told) == 9


def test_a_message_is_retried_after_its_delay(bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier) -> None:
    put(bench, "r1/a")
    fake_notifier.answers["r1/a"] = [UNKNOWN]
    outbox.deliver()
    for attempts, seconds in enumerate((1, 2, 4, 8, 16, 32, 64, 120, 120), start=1):
        bench.clock.advance(seconds=seconds - 0.001)
        outbox.deliver()
        assert len(fake_notifier.told) == attempts
        bench.clock.advance(seconds=0.001)
        outbox.deliver()
        assert len(fake_notifier.told) == attempts + 1


def test_another_process_takes_over_a_message_after_thirty_seconds(
    bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier
) -> None:
    put(bench, "r1/a")
    other = Outbox(replace(bench.context, owner="other:2:b"), fake_notifier)
    given: list[int] = []

    def stopped() -> None:
        fake_notifier.meanwhile = lambda: None
        for seconds in (29.999, 0.001):
            bench.clock.advance(seconds=seconds)
            other.deliver()
            given.append(len(fake_notifier.told))

    fake_notifier.meanwhile = stopped
    outbox.deliver()
    assert given == [1, 2]


def test_a_dropped_message_is_reported_once_with_its_reason(bench: Bench, fake_notifier: FakeNotifier) -> None:
    reports: list[tuple[str, str, timedelta | None]] = []
    outbox = Outbox(
        bench.context,
        fake_notifier,
        on_give_up=lambda _tx, _it, note, why, limit: reports.append((note.key, why, limit)),
    )
    put(bench, "r1/a")
    fake_notifier.answers["r1/a"] = [NEVER]
    outbox.deliver()
    outbox.deliver()
    assert reports == [("r1/a", "invalid_blocks", None)]


def test_a_message_taken_over_in_the_meantime_is_not_reported_as_dropped(
    bench: Bench, fake_notifier: FakeNotifier
) -> None:
    reports: list[str] = []
    outbox = Outbox(
        bench.context, fake_notifier, on_give_up=lambda _tx, _it, note, _why, _limit: reports.append(note.key)
    )
    other = Outbox(replace(bench.context, owner="other:2:b"), fake_notifier)
    put(bench, "r1/a")

    def stopped() -> None:
        fake_notifier.meanwhile = lambda: None
        bench.clock.advance(seconds=31)
        other.deliver()
        fake_notifier.answers["r1/a"] = [NEVER]

    fake_notifier.meanwhile = stopped
    outbox.deliver()
    assert reports == []


def test_ordering_keys_are_delivered_in_parallel_if_allowed(bench: Bench, fake_notifier: FakeNotifier) -> None:
    both = threading.Barrier(2)
    fake_notifier.meanwhile = lambda: (both.wait(20), None)[1]
    put(bench, "r1/a", "r2/a")
    Outbox(bench.context, fake_notifier, concurrency=2).deliver()
    assert sorted(fake_notifier.keys) == ["r1/a", "r2/a"]


def test_messages_are_delivered_one_at_a_time_by_default(
    bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier
) -> None:
    threads: set[str] = set()
    fake_notifier.meanwhile = lambda: threads.add(threading.current_thread().name)
    put(bench, "r1/a", "r2/a", "r3/a")
    outbox.deliver()
    assert threads == {threading.current_thread().name}


def test_an_outage_of_hours_loses_nothing(bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier) -> None:
    put(bench, "r1/a")
    fake_notifier.answers["r1/a"] = [UNKNOWN] * 60 + [DELIVERED]
    for _ in range(61):
        outbox.deliver()
        bench.clock.advance(minutes=2)
    outbox.deliver()
    assert len(fake_notifier.told) == 61


def test_a_permanently_refused_message_is_dropped_and_the_next_one_is_sent(
    bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier
) -> None:
    put(bench, "r1/a", "r1/b")
    fake_notifier.answers["r1/a"] = [NEVER]
    outbox.deliver()
    bench.clock.advance(days=1)
    outbox.deliver()
    assert fake_notifier.keys == ["r1/a", "r1/b"]


# -- several threads ---------------------------------------------------------------------------------------------------


def test_messages_added_during_delivery_are_delivered(
    bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier
) -> None:
    put(bench, "r1/a")

    def ask_for_more() -> None:
        fake_notifier.meanwhile = lambda: None
        put(bench, "r2/b")
        threading.Thread(target=outbox.deliver).start()

    fake_notifier.meanwhile = ask_for_more
    outbox.deliver(patience=5)
    outbox.deliver(patience=5)
    assert sorted(fake_notifier.keys) == ["r1/a", "r2/b"]


def test_many_threads_deliver_everything_once(bench: Bench, outbox: Outbox, fake_notifier: FakeNotifier) -> None:
    put(bench, *(f"r{number}/a" for number in range(20)))
    threads = [threading.Thread(target=outbox.deliver, kwargs={"patience": 5}) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(fake_notifier.keys) == sorted(f"r{number}/a" for number in range(20))

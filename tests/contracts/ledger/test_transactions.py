"""Transactions of every ledger: all or nothing, in order, and what an observer hears of them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress

import pytest

from bot.domain.audit.events import CHAIN_START, Event, EventTag
from bot.domain.core.errors import AlreadyDecided, AlreadyOpen
from bot.domain.registry.model import Stage
from bot.ledger import SqlLedger
from bot.ports import Ledger, NullObserver
from tests.support.ledger.records import NOW, PlannedError, a_message, a_request, an_event, opened, save

pytestmark = pytest.mark.usefixtures("migrates_itself")

pytest_plugins = ("tests.support.ledger.ledgers",)


# Transactions


def test_a_ledger_is_what_the_services_ask_for(ledger: SqlLedger) -> None:
    plug: Ledger = ledger
    with plug.read() as reading:
        assert reading.requests() == []


def test_change_event_and_note_vanish_together_when_the_block_raises(ledger: SqlLedger) -> None:
    def begin_and_fail() -> None:
        with ledger.write() as w:
            w.add_request(a_request())
            w.add_audit_event(an_event())
            w.add_message(a_message("k"))
            raise PlannedError

    with pytest.raises(PlannedError):
        begin_and_fail()
    with ledger.read() as r:
        assert (r.requests(), r.audit_events(), r.due_messages(NOW)) == ([], [], [])
        assert r.audit_head() == CHAIN_START


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
        w.add_audit_event(an_event(tag=EventTag.PROMOTION_REFUSED))
    with ledger.read() as r:
        assert [link.event.tag for link in r.audit_events()] == [EventTag.PROMOTION_REFUSED]


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
    from bot.ledger.engines import FairSemaphore

    turns, order, came = FairSemaphore(1), [], threading.Semaphore(0)
    turns.acquire(1)

    def work(number: int) -> None:
        came.release()
        turns.acquire(10)
        order.append(number)
        turns.release()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for number, thread in enumerate(threads):
        thread.start()
        came.acquire()
        while len(turns._waiters) <= number:  # the instant between "I come" and standing in the queue
            pass
    turns.release()
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


# Whoever watches


class RecordingObserver(NullObserver):
    """Writes down what was committed, and may break."""

    def __init__(self, error: Exception | None = None) -> None:
        self.heard: list[list[EventTag]] = []
        self._error = error

    def events_committed(self, events: Sequence[Event]) -> None:
        self.heard.append([one.tag for one in events])
        if self._error:
            raise self._error


def test_who_watches_hears_of_what_was_committed_and_of_nothing_else(ledger_url: str) -> None:
    watcher = RecordingObserver()
    with opened(ledger_url, timeout=20, observer=watcher) as ledger:
        with suppress(PlannedError), ledger.write() as w:
            w.add_audit_event(an_event())
            raise PlannedError
        save(ledger, a_request())
        save(ledger, an_event(), an_event(tag=EventTag.VOTED))
    assert watcher.heard == [[EventTag.REQUEST_OPENED, EventTag.VOTED]]


def test_what_was_committed_stands_whatever_happens_to_who_watches(
    ledger_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(ledger_url, timeout=20, observer=RecordingObserver(PlannedError())) as ledger:
        save(ledger, an_event())
        with ledger.read() as r:
            assert r.audit_head().number == 1
    assert "could not be counted" in caplog.text

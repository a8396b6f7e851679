"""Transactions of every ledger: atomic, in order, and reported to the observer."""

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


def test_the_ledger_implements_the_port(ledger: SqlLedger) -> None:
    plug: Ledger = ledger
    with plug.read() as reading:
        assert reading.requests() == []


def test_an_exception_rolls_back_changes_events_and_messages(ledger: SqlLedger) -> None:
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


def test_a_refusal_in_the_block_is_raised_and_rolls_back(ledger: SqlLedger) -> None:
    def begin_and_refuse() -> None:
        with ledger.write() as w:
            w.add_request(a_request())
            raise AlreadyDecided("somebody was faster")

    with pytest.raises(AlreadyDecided, match="somebody was faster"):
        begin_and_refuse()
    with ledger.read() as r:
        assert r.requests() == []


def test_a_transaction_continues_after_a_caught_refusal(ledger: SqlLedger) -> None:
    save(ledger, a_request(id="first"))
    with ledger.write() as w:
        with pytest.raises(AlreadyOpen):
            w.add_request(a_request())
        w.add_audit_event(an_event(tag=EventTag.PROMOTION_REFUSED))
    with ledger.read() as r:
        assert [link.event.tag for link in r.audit_events()] == [EventTag.PROMOTION_REFUSED]


def test_a_read_is_a_snapshot_and_does_not_wait_for_writers(ledger: SqlLedger) -> None:
    with ledger.write() as w:
        w.add_request(a_request(id="r"))
        with ledger.read() as r:
            assert r.requests() == []
    with ledger.read() as r:
        before = r.requests()
        save(ledger, a_request(target=Stage.STAGING))
        assert r.requests() == before


def test_a_nested_write_raises_at_once(ledger: SqlLedger) -> None:
    with ledger.write(), pytest.raises(RuntimeError, match="already writing"), ledger.write():
        pass


def test_writers_queue_in_order() -> None:
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
        while len(turns._waiters) <= number:  # the instant between the event and joining the queue
            pass
    turns.release()
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


# The observer


class RecordingObserver(NullObserver):
    """Records committed events, and can fail."""

    def __init__(self, error: Exception | None = None) -> None:
        self.heard: list[list[EventTag]] = []
        self._error = error

    def events_committed(self, events: Sequence[Event]) -> None:
        self.heard.append([one.tag for one in events])
        if self._error:
            raise self._error


def test_the_observer_only_gets_committed_events(ledger_url: str) -> None:
    watcher = RecordingObserver()
    with opened(ledger_url, timeout=20, observer=watcher) as ledger:
        with suppress(PlannedError), ledger.write() as w:
            w.add_audit_event(an_event())
            raise PlannedError
        save(ledger, a_request())
        save(ledger, an_event(), an_event(tag=EventTag.VOTED))
    assert watcher.heard == [[EventTag.REQUEST_OPENED, EventTag.VOTED]]


def test_a_failing_observer_does_not_undo_a_commit(ledger_url: str, caplog: pytest.LogCaptureFixture) -> None:
    with opened(ledger_url, timeout=20, observer=RecordingObserver(PlannedError())) as ledger:
        save(ledger, an_event())
        with ledger.read() as r:
            assert r.audit_head().number == 1
    assert "can't count the committed events" in caplog.text

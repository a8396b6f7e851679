"""The queue of checks: on threads of one process, and through Procrastinate for all that share a PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from bot.domain.core.errors import LedgerUnavailable
from bot.ledger.procrastinate_dispatcher import ProcrastinateDispatcher
from bot.ports import CheckBatch, Dispatcher
from bot.services.monitoring.thread_dispatcher import ThreadDispatcher
from tests.support.faults.socket_faults import postgres_url_through, proxy_to
from tests.support.ledger.ledgers import PostgresServer
from tests.support.network.tcp_proxy import SocketFault
from tests.support.waiting import wait_until

BATCHES = [CheckBatch("push", "host:1:a", (("m1", 4), ("m2", 1))), CheckBatch("prometheus", "host:1:a", (("m3", 9),))]


class Made:
    """A handler that records the batches that it runs."""

    def __init__(self) -> None:
        self.batches: list[CheckBatch] = []
        self._lock = threading.Lock()

    def __call__(self, batch: CheckBatch) -> None:
        """Record a batch."""
        with self._lock:
            self.batches.append(batch)

    def are(self, *batches: CheckBatch) -> bool:
        """Return whether these batches ran, each one once."""
        return sorted(self.batches, key=str) == sorted(batches, key=str)


@pytest.fixture(params=["threads", pytest.param("procrastinate", marks=pytest.mark.postgres)])
def dispatcher(request: pytest.FixtureRequest) -> Iterator[Dispatcher]:
    made: Dispatcher = (
        ThreadDispatcher()
        if request.param == "threads"
        else ProcrastinateDispatcher(request.getfixturevalue("postgres_url"))
    )
    with closing(made):
        yield made


def test_a_dispatched_batch_runs_once(dispatcher: Dispatcher) -> None:
    made = Made()
    dispatcher.set_handler(made)
    dispatcher.start()
    dispatcher.dispatch(BATCHES)
    wait_until(lambda: len(made.batches) >= len(BATCHES))
    dispatcher.close()
    assert made.are(*BATCHES)


@pytest.mark.postgres
def test_a_failed_batch_does_not_stop_others(postgres_url: str) -> None:
    made = Made()

    def work(batch: CheckBatch) -> None:
        made(batch)
        if batch.source == "push":
            raise OSError("it broke")

    with closing(ProcrastinateDispatcher(postgres_url)) as queue:
        queue.set_handler(work)
        queue.start()
        queue.dispatch(BATCHES)
        wait_until(lambda: made.are(*BATCHES))
        queue.dispatch(BATCHES[1:])
        wait_until(lambda: len(made.batches) > len(BATCHES))
    assert made.are(*BATCHES, BATCHES[1])


@pytest.mark.postgres
def test_only_one_process_runs_a_batch_no_matter_who_dispatched_it(postgres_url: str) -> None:
    made, many = Made(), [CheckBatch("push", "host:1:a", ((f"m{n}", 1),)) for n in range(30)]
    with (
        closing(ProcrastinateDispatcher(postgres_url)) as ticks,
        closing(ProcrastinateDispatcher(postgres_url)) as one,
        closing(ProcrastinateDispatcher(postgres_url)) as two,
    ):
        for works in (one, two):
            works.set_handler(made)
            works.start()
        ticks.dispatch(many)
        wait_until(lambda: len(made.batches) >= len(many))
    assert made.are(*many)


@pytest.mark.postgres
def test_a_batch_dispatched_without_workers_runs_later(postgres_url: str) -> None:
    made = Made()
    with closing(ProcrastinateDispatcher(postgres_url)) as gone:
        gone.dispatch(BATCHES)
    with closing(ProcrastinateDispatcher(postgres_url)) as later:
        later.set_handler(made)
        later.start()
        wait_until(lambda: len(made.batches) >= len(BATCHES))
    assert made.are(*BATCHES)


@pytest.mark.postgres
def test_the_queue_reconnects_after_the_database_drops_connections(
    postgres_url: str, break_connections: Callable[[], None]
) -> None:
    made = Made()
    with closing(ProcrastinateDispatcher(postgres_url)) as queue:
        queue.set_handler(made)
        queue.start()
        queue.dispatch(BATCHES[:1])
        wait_until(lambda: made.are(BATCHES[0]))
        for slot in range(1, 4):
            break_connections()
            batch = CheckBatch("push", "host:1:a", (("m9", slot),))
            wait_until(lambda batch=batch: _is_dispatched(queue, batch))  # type: ignore[misc]
            assert wait_until(lambda batch=batch: batch in made.batches)  # type: ignore[misc]


@pytest.mark.postgres
def test_an_unresponsive_queue_raises_ledger_unavailable(postgres_server: PostgresServer) -> None:
    with (
        closing(ProcrastinateDispatcher(postgres_server.url("there_is_none"), timeout=0.2)) as queue,
        pytest.raises(LedgerUnavailable, match="will run later"),
    ):
        queue.dispatch(BATCHES)


@pytest.mark.postgres
@pytest.mark.parametrize("fault", [SocketFault.HALF_OPEN, SocketFault.BLACKHOLE], ids=lambda fault: fault.value)
def test_dispatch_times_out_if_the_queue_has_vanished(fault: SocketFault, postgres_url: str) -> None:
    with (
        closing(proxy_to("postgres", postgres_url)) as wire,
        closing(ProcrastinateDispatcher(postgres_url_through(postgres_url, wire), timeout=0.5)) as queue,
    ):
        queue.dispatch(BATCHES[:1])
        wire.fail(fault, times=1000)
        with pytest.raises(LedgerUnavailable, match="will run later"):
            queue.dispatch(BATCHES[1:])
        wire.mend()
        wait_until(lambda: _is_dispatched(queue, BATCHES[1]))


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("fault", [SocketFault.HALF_OPEN, SocketFault.BLACKHOLE], ids=lambda fault: fault.value)
def test_a_worker_continues_after_the_database_comes_back(fault: SocketFault, postgres_url: str) -> None:
    made = Made()
    with (
        closing(proxy_to("postgres", postgres_url)) as wire,
        closing(ProcrastinateDispatcher(postgres_url_through(postgres_url, wire), timeout=0.5)) as works,
        closing(ProcrastinateDispatcher(postgres_url)) as ticks,
    ):
        works.set_handler(made)
        works.start()
        ticks.dispatch(BATCHES[:1])
        wait_until(lambda: made.are(BATCHES[0]))
        wire.fail(fault, times=1000)
        ticks.dispatch(BATCHES[1:])
        wait_until(lambda: wire.struck)
        wire.mend()
        wait_until(lambda: len(made.batches) >= len(BATCHES))
    assert made.are(*BATCHES)


def _is_dispatched(queue: ProcrastinateDispatcher, batch: CheckBatch) -> bool:
    try:
        queue.dispatch([batch])
    except LedgerUnavailable:
        return False
    return True

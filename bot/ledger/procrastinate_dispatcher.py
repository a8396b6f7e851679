"""Batches of checks by Procrastinate, a queue of tasks in the ledger's PostgreSQL: whoever shares it makes them."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import procrastinate
import psycopg_pool
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Status
from procrastinate.types import JSONDict
from psycopg.conninfo import make_conninfo

from bot.domain.core.errors import LedgerUnavailable
from bot.ledger import engines
from bot.ledger.postgres_timeouts import Impatient, ImpatientAsync, limited
from bot.ports import Batch

log = logging.getLogger(__name__)

QUEUE = "checks"
AT_ONCE = 16  # batches that one process makes at the same time
LEAVING = 3.0  # seconds that the end of the process waits for checks under way
LOOKS_EVERY = 5.0  # seconds, beside being told: a message of PostgreSQL's may be lost with its connection
PAUSE = 1.0  # seconds until a database that went away is tried again
STALLED = 120.0  # seconds without a sign of life of its worker after which a job is thrown away
TIDIED_EVERY = 600.0  # seconds
UNHEARD = 5000  # milliseconds in which a server that is there has taken what was sent: else its connection is given up

Work = Callable[[Batch], None]


class Queue:
    """`bot.ports.Dispatcher` for several processes on one PostgreSQL.

    A job says which checks, and not what they are: who makes it reads that from the ledger, where the claims are. So a
    job that is lost, late, or made twice changes nothing: its claims lapse, and the checks are dispatched anew.
    """

    def __init__(self, url: str, *, patience: float = 2.0, at_once: int = AT_ONCE) -> None:
        """Connect to nothing yet."""
        pool: dict[str, Any] = {"conninfo": _conninfo(url, patience), "reconnect_timeout": 0}
        limit = patience + engines.MARGIN
        pool["timeout"] = limit + patience  # to find out that a kept connection leads nowhere, and for a new one
        near = procrastinate.SyncPsycopgConnector(
            min_size=0, max_size=2, connection_class=limited(Impatient, limit), **pool
        )
        far = procrastinate.PsycopgConnector(
            min_size=1, max_size=4, connection_class=limited(ImpatientAsync, limit), **pool
        )
        self._near, self._far = _app(near, self._made), _app(far, self._made)
        self._at_once = at_once
        self._work: Work = lambda batch: None
        self._is_open = False
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._serve, name="checks", daemon=True)

    def use(self, work: Work) -> None:
        """Let `work` make the batches that this process takes."""
        self._work = work

    def open(self) -> None:
        """Begin to take batches."""
        self._thread.start()

    def dispatch(self, batches: Sequence[Batch]) -> None:
        """Put these into the queue. Raises LedgerUnavailable: then it is not known whether they are made."""
        task = self._near.tasks[QUEUE]
        try:
            with self._lock:
                if not self._is_open:
                    self._near.open()
                    self._is_open = True
            task.batch_defer(*(_job(batch) for batch in batches))
        except (ConnectorException, psycopg_pool.PoolTimeout) as error:
            raise LedgerUnavailable("The queue of checks does not answer; they are made a little later.") from error

    def close(self) -> None:
        """Take nothing new, and wait a moment for what is being made."""
        if self._loop is not None and self._worker is not None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                self._loop.call_soon_threadsafe(self._worker.cancel)
        if self._thread.ident is not None:
            self._thread.join(LEAVING + 2)
        with self._lock:
            if self._is_open:
                self._near.close()
                self._is_open = False

    def _made(self, source: str, owner: str, slots: list[list[Any]]) -> None:
        self._work(Batch(source, owner, tuple((str(monitor), int(slot)) for monitor, slot in slots)))

    def _serve(self) -> None:
        """Take batches until the end, whatever the database does meanwhile."""
        with suppress(asyncio.CancelledError), asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._loop.set_default_executor(ThreadPoolExecutor(self._at_once, thread_name_prefix="checks of"))
            runner.run(self._take())

    async def _take(self) -> None:
        """Work until the end; a worker stops by itself where its connections break, and is begun anew."""
        self._worker = asyncio.current_task()
        while True:
            try:
                async with self._far.open_async():
                    await self._run()
                log.warning("the queue of checks has lost its connections, and is opened again")
            except (ConnectorException, psycopg_pool.PoolTimeout, OSError) as error:
                log.warning("the queue of checks is away: %s", error)
            await asyncio.sleep(PAUSE)

    async def _run(self) -> None:
        tidying = asyncio.create_task(self._tidy())
        try:
            await self._far.run_worker_async(
                queues=[QUEUE],
                concurrency=self._at_once,
                install_signal_handlers=False,
                delete_jobs="always",
                fetch_job_polling_interval=LOOKS_EVERY,
                shutdown_graceful_timeout=LEAVING,
            )
        finally:
            tidying.cancel()

    async def _tidy(self) -> None:
        """Now and then throw away the jobs of workers that are gone: their checks are long dispatched anew."""
        manager = self._far.job_manager
        while True:
            with suppress(ConnectorException):
                for job in await manager.get_stalled_jobs(queue=QUEUE, seconds_since_heartbeat=STALLED):
                    await manager.finish_job(job, Status.FAILED, delete_job=True)
            await asyncio.sleep(TIDIED_EVERY)


def _conninfo(url: str, patience: float) -> str:
    """Return the ledger's address as PostgreSQL's own library reads it, with the password.

    A server that is slow gives up what we would not wait for any longer.
    """
    wait = max(1, int(patience * 1000))
    made = engines.with_options(engines.parse_url(url), {"statement_timeout": wait, "lock_timeout": wait})
    _, arguments = made.get_dialect()().create_connect_args(made)
    return make_conninfo(**{**arguments, **engines.KEEP_ALIVE, "tcp_user_timeout": UNHEARD})


def _job(batch: Batch) -> JSONDict:
    return {"source": batch.source, "owner": batch.owner, "slots": [list(slot) for slot in batch.slots]}


def _app(connector: Any, made: Callable[..., None]) -> procrastinate.App:
    app = procrastinate.App(connector=connector)
    app.task(name=QUEUE, queue=QUEUE)(made)
    return app

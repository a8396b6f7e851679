"""Dispatch batches of checks through Procrastinate, a task queue in PostgreSQL, to all processes that share it."""

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
from bot.ledger.postgres_timeouts import TimeLimitedAsyncConnection, TimeLimitedConnection, with_time_limit
from bot.ports import CheckBatch

log = logging.getLogger(__name__)

QUEUE = "checks"
CONCURRENCY = 16  # batches that a process runs at the same time
SHUTDOWN_TIMEOUT = 3.0  # seconds that shutdown waits for running checks
POLLING_INTERVAL = 5.0  # seconds; notifications can be lost if their connection breaks
RECONNECT_DELAY = 1.0  # seconds
STALLED_AFTER = 120.0  # seconds without a heartbeat from its worker, after which a job is deleted
CLEANUP_INTERVAL = 600.0  # seconds
TCP_USER_TIMEOUT = 5000  # milliseconds that sent data can go unacknowledged before the connection is closed

BatchHandler = Callable[[CheckBatch], None]


class ProcrastinateDispatcher:
    """`bot.ports.Dispatcher` for several processes on one PostgreSQL database.

    A job only names its checks; the worker reads them and their claims from the ledger. It's therefore harmless if a
    job is lost, late, or run twice: its claims expire, and the checks are dispatched again.
    """

    def __init__(self, url: str, *, timeout: float = 2.0, concurrency: int = CONCURRENCY) -> None:
        """Set up the connection pools without connecting. `timeout`: seconds to wait for the database."""
        pool: dict[str, Any] = {"conninfo": _conninfo(url, timeout), "reconnect_timeout": 0}
        limit = timeout + engines.TIMEOUT_MARGIN
        pool["timeout"] = limit + timeout  # enough to detect a broken pooled connection and open a new one
        sync_connector = procrastinate.SyncPsycopgConnector(
            min_size=0, max_size=2, connection_class=with_time_limit(TimeLimitedConnection, limit), **pool
        )
        async_connector = procrastinate.PsycopgConnector(
            min_size=1, max_size=4, connection_class=with_time_limit(TimeLimitedAsyncConnection, limit), **pool
        )
        self._sync_app, self._async_app = (
            _create_app(sync_connector, self._run_job),
            _create_app(async_connector, self._run_job),
        )
        self._concurrency = concurrency
        self._handler: BatchHandler = lambda batch: None
        self._is_open = False
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run_thread, name="checks", daemon=True)

    def set_handler(self, handler: BatchHandler) -> None:
        """Set the handler for the batches that this process takes."""
        self._handler = handler

    def start(self) -> None:
        """Start taking batches."""
        self._thread.start()

    def dispatch(self, batches: Sequence[CheckBatch]) -> None:
        """Queue batches. Raises LedgerUnavailable if they might not have been queued."""
        task = self._sync_app.tasks[QUEUE]
        try:
            with self._lock:
                if not self._is_open:
                    self._sync_app.open()
                    self._is_open = True
            task.batch_defer(*(_job_arguments(batch) for batch in batches))
        except (ConnectorException, psycopg_pool.PoolTimeout) as error:
            raise LedgerUnavailable("The check queue isn't responding. The checks will run later.") from error

    def close(self) -> None:
        """Take no new batches, and wait a few seconds for those that are running."""
        if self._loop is not None and self._worker is not None:
            with suppress(RuntimeError):  # the loop has already ended
                self._loop.call_soon_threadsafe(self._worker.cancel)
        if self._thread.ident is not None:
            self._thread.join(SHUTDOWN_TIMEOUT + 2)
        with self._lock:
            if self._is_open:
                self._sync_app.close()
                self._is_open = False

    def _run_job(self, source: str, owner: str, slots: list[list[Any]]) -> None:
        self._handler(CheckBatch(source, owner, tuple((str(monitor), int(slot)) for monitor, slot in slots)))

    def _run_thread(self) -> None:
        """Run the worker until it's canceled, even while the database is down."""
        with suppress(asyncio.CancelledError), asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._loop.set_default_executor(ThreadPoolExecutor(self._concurrency, thread_name_prefix="checks of"))
            runner.run(self._run_until_cancelled())

    async def _run_until_cancelled(self) -> None:
        """Run the worker until it's canceled, and restart it when broken connections stop it."""
        self._worker = asyncio.current_task()
        while True:
            try:
                async with self._async_app.open_async():
                    await self._run_worker()
                log.warning("the queue of checks lost its connections; reopening it")
            except (ConnectorException, psycopg_pool.PoolTimeout, OSError) as error:
                log.warning("the queue of checks isn't responding: %s", error)
            await asyncio.sleep(RECONNECT_DELAY)

    async def _run_worker(self) -> None:
        cleanup = asyncio.create_task(self._delete_stalled_jobs())
        try:
            await self._async_app.run_worker_async(
                queues=[QUEUE],
                concurrency=self._concurrency,
                install_signal_handlers=False,
                delete_jobs="always",
                fetch_job_polling_interval=POLLING_INTERVAL,
                shutdown_graceful_timeout=SHUTDOWN_TIMEOUT,
            )
        finally:
            cleanup.cancel()

    async def _delete_stalled_jobs(self) -> None:
        """Periodically delete the jobs of dead workers; their checks have been dispatched again."""
        manager = self._async_app.job_manager
        while True:
            with suppress(ConnectorException):
                for job in await manager.get_stalled_jobs(queue=QUEUE, seconds_since_heartbeat=STALLED_AFTER):
                    await manager.finish_job(job, Status.FAILED, delete_job=True)
            await asyncio.sleep(CLEANUP_INTERVAL)


def _conninfo(url: str, timeout: float) -> str:
    """Return the connection string for libpq, with the password.

    Its options make a slow server abort a statement once this process stops waiting for it.
    """
    wait = max(1, int(timeout * 1000))
    url_with_options = engines.with_options(engines.parse_url(url), {"statement_timeout": wait, "lock_timeout": wait})
    _, arguments = url_with_options.get_dialect()().create_connect_args(url_with_options)
    return make_conninfo(**{**arguments, **engines.KEEP_ALIVE, "tcp_user_timeout": TCP_USER_TIMEOUT})


def _job_arguments(batch: CheckBatch) -> JSONDict:
    return {"source": batch.source, "owner": batch.owner, "slots": [list(slot) for slot in batch.slots]}


def _create_app(connector: Any, run_job: Callable[..., None]) -> procrastinate.App:
    app = procrastinate.App(connector=connector)
    app.task(name=QUEUE, queue=QUEUE)(run_job)
    return app

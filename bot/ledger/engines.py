"""SQLAlchemy engines for SQLite and PostgreSQL, and the semaphore for threads that write."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sqlalchemy import URL, Engine, NullPool, PoolProxiedConnection, StaticPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry

from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, say
from bot.version import version

TIMEOUT_MARGIN = 0.5  # seconds
# In a connection's `info`: the seconds that its next transaction waits for SQLite's lock, and how each one begins.
WAIT, _BEGIN = "wait", "begin"
PING_TIMEOUT = 0.5  # seconds; a running server answers faster, and a new connection is cheap
# In seconds, except for the count. The operating system probes the server, and gives up after 30 seconds.
KEEP_ALIVE = {"connect_timeout": 10, "keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3}


def parse_url(text: str) -> URL:
    """Parse a database URL and set Registrar's driver. Raises Misconfigured for an unsupported database."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # not chained: both can contain the password
        raise Misconfigured("Can't read the ledger's database URL.") from None
    if url.get_backend_name() in {"postgresql", "postgres"}:
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "sqlite":
        raise Misconfigured(
            say("The ledger supports SQLite and PostgreSQL, but not {it}.", it=Code(url.get_backend_name()))
        )
    if url.database in {None, "", ":memory:"}:
        raise Misconfigured(say("The ledger needs a file, such as {it}.", it=Code("sqlite:///ledger.db")))
    return url


def create_file(url: URL) -> None:
    """Create SQLite's file and folder, accessible only to this user. Raises OSError."""
    if "uri" in url.query:
        return  # an SQLite URI: whoever wrote it manages the file
    file = Path(str(url.database))
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(mode=0o600)  # SQLite creates its other files with the same mode


def file_path(url: URL) -> Path:
    """Return the path of SQLite's file."""
    name = str(url.database)
    if "uri" in url.query:
        name = unquote(name.removeprefix("file:").partition("?")[0])
    return Path(name)


def supports_several_processes(text: str) -> bool:
    """Return whether several processes can share the ledger at this URL, as on PostgreSQL. Raises Misconfigured."""
    return parse_url(text).get_backend_name() != "sqlite"


def sqlite_writer(url: URL, timeout: float) -> Engine:
    """Return an engine with one connection; each transaction takes SQLite's write lock when it begins."""
    engine = create_engine(url, pool_size=1, max_overflow=0, pool_timeout=timeout, hide_parameters=True)
    _configure_sqlite(
        engine, timeout, "BEGIN IMMEDIATE", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"
    )
    return engine


def sqlite_reader(url: URL, timeout: float, connections: int) -> Engine:
    """Return an engine whose transactions are read-only snapshots."""
    engine = create_engine(url, pool_size=connections, max_overflow=0, pool_timeout=timeout, hide_parameters=True)
    _configure_sqlite(engine, timeout, "BEGIN", "query_only = ON")
    return engine


def sqlite_on(connection: sqlite3.Connection) -> Engine:
    """Return an engine whose only connection is this one."""
    return create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)


def postgres(url: URL, timeout: float, connections: int) -> Engine:
    """Return an engine whose statements time out after `timeout` seconds."""
    wait = max(1, int(timeout * 1000))
    settings = {
        "lock_timeout": wait,
        "statement_timeout": wait,
        # Otherwise, a process that hangs or vanishes in a transaction would keep its locks, even on the audit head.
        "idle_in_transaction_session_timeout": 10_000,
    }
    engine = create_engine(
        with_options(url, settings),
        isolation_level="READ COMMITTED",
        pool_size=connections,
        max_overflow=0,
        pool_timeout=timeout,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={"connect_timeout": max(1, round(timeout))},
    )
    from bot.ledger.postgres_timeouts import set_time_limits  # noqa: PLC0415 - only PostgreSQL needs its driver

    # A running server reports the timeout itself. If nothing comes shortly after that, it's down.
    set_time_limits(engine, timeout + TIMEOUT_MARGIN, ping_limit=min(timeout, PING_TIMEOUT))
    return engine


def postgres_migrator(url: URL) -> Engine:
    """Return an engine for migrations.

    While the server is up, only `other_sessions.lock_out` limits how long the engine waits.
    """
    return create_engine(with_options(url, {}), poolclass=NullPool, hide_parameters=True, connect_args=KEEP_ALIVE)


def with_options(url: URL, settings: dict[str, int]) -> URL:
    """Return the URL with these PostgreSQL settings, the UTC time zone, and the program's name added to its own.

    libpq uses the name only if neither the URL nor PGAPPNAME sets `application_name`.
    """
    options = url.query.get("options", ())
    existing = [options] if isinstance(options, str) else list(options)
    added = [f"-c {name}={value}" for name, value in settings.items()]
    return url.update_query_dict(
        {
            "options": " ".join([*existing, *added, "-c timezone=UTC"]),
            "fallback_application_name": f"registrar {version()}",
        }
    )


def _configure_sqlite(engine: Engine, timeout: float, begin: str, *pragmas: str) -> None:
    pragmas = (f"busy_timeout = {int(timeout * 1000)}", *pragmas)

    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # turns off the driver's implicit transactions
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        record.info[_BEGIN] = begin

    # Not the engine's event "begin": an engine with any event executes each statement more slowly.
    engine.dialect.do_begin = _begin  # type: ignore[assignment, method-assign]


def _begin(connection: PoolProxiedConnection) -> None:
    if begin := connection.info.get(_BEGIN):
        driver_connection: Any = connection.driver_connection
        if (wait := connection.info.pop(WAIT, None)) is not None:
            driver_connection.execute(f"PRAGMA busy_timeout = {int(wait * 1000)}")
        driver_connection.execute(begin)


class FairSemaphore:
    """A fair semaphore that limits how many of a process's threads write at a time, first come, first served.

    SQLite has a single writer. With 90 connections competing for its lock, each retrying only occasionally, the p99
    latency was 5.5 s; with one writer at a time, it was 41 ms. On PostgreSQL, connections are scarce, and SQLAlchemy's
    pool isn't fair: 100 writers had a p99 of 2.6 s when they waited for the pool, but 0.6 s when they queued here.
    Every write ends at one row, the head of the audit chain, so a few at a time are faster than many: if 100 people
    press a button at once, they all get an answer within 1.1 s with ten writers, but within 0.8 s with five.
    """

    def __init__(self, value: int) -> None:
        self._lock = threading.Lock()
        self._free = value
        self._holders: set[int] = set()
        self._waiters: deque[threading.Event] = deque()

    def acquire(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for a turn; return whether the thread got one.

        Raises RuntimeError if the thread already has a turn, because it could end up waiting for its own.
        """
        with self._lock:
            if threading.get_ident() in self._holders:
                raise RuntimeError("this thread is already writing; a nested write would wait for itself")
            if self._free:
                self._free -= 1
                self._holders.add(threading.get_ident())
                return True
            turn = threading.Event()
            self._waiters.append(turn)
        turn.wait(timeout)
        with self._lock:
            if not turn.is_set():
                self._waiters.remove(turn)
                return False
            self._holders.add(threading.get_ident())
            return True

    def release(self) -> None:
        """End this thread's turn; the thread that has waited longest is next."""
        with self._lock:
            self._holders.remove(threading.get_ident())
            if self._waiters:
                self._waiters.popleft().set()
            else:
                self._free += 1

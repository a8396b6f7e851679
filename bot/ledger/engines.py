"""How we connect to SQLite and to PostgreSQL."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import unquote

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, say

TIMEOUT_MARGIN = 0.5  # seconds
PING_TIMEOUT = 0.5  # seconds; longer than any server needs that is there, and a connection is soon made anew
# Seconds, and how often: the system looks whether the server is there, and gives it up after half a minute.
KEEP_ALIVE = {"connect_timeout": 10, "keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3}


def parse_url(text: str) -> URL:
    """Return the database's URL with our driver. Raises Misconfigured for a database that we do not speak."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # neither is chained: both may repeat the password
        raise Misconfigured("The ledger's database URL cannot be read.") from None
    if url.get_backend_name() in {"postgresql", "postgres"}:
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "sqlite":
        raise Misconfigured(
            say("The ledger speaks SQLite and PostgreSQL, and not {it}.", it=Code(url.get_backend_name()))
        )
    if url.database in {None, "", ":memory:"}:
        raise Misconfigured(say("The ledger needs a file, such as {it}.", it=Code("sqlite:///ledger.db")))
    return url


def create_file(url: URL) -> None:
    """Create SQLite's file and folder for our eyes only. Raises OSError."""
    if "uri" in url.query:
        return  # SQLite's own form of a name: whoever writes that knows where the file is
    file = Path(str(url.database))
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(mode=0o600)  # SQLite gives the files beside it the same mode


def file_path(url: URL) -> Path:
    """Return SQLite's file."""
    name = str(url.database)
    if "uri" in url.query:
        name = unquote(name.removeprefix("file:").partition("?")[0])
    return Path(name)


def file_exists(url: URL) -> bool:
    """Tell whether SQLite's file is there: SQLite itself would make it."""
    return file_path(url).is_file()


def supports_several_processes(text: str) -> bool:
    """Tell whether several processes may serve this ledger: whether it is PostgreSQL. Raises Misconfigured."""
    return parse_url(text).get_backend_name() != "sqlite"


def sqlite_writer(url: URL, timeout: float) -> Engine:
    """Return an engine of one connection, whose transactions take SQLite's write lock when they begin."""
    engine = create_engine(url, pool_size=1, max_overflow=0, pool_timeout=timeout, hide_parameters=True)
    _configure_sqlite(
        engine, timeout, "BEGIN IMMEDIATE", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"
    )
    return engine


def sqlite_reader(url: URL, timeout: float, connections: int) -> Engine:
    """Return an engine whose transactions are snapshots and cannot write."""
    engine = create_engine(url, pool_size=connections, max_overflow=0, pool_timeout=timeout, hide_parameters=True)
    _configure_sqlite(engine, timeout, "BEGIN", "query_only = ON")
    return engine


def postgres(url: URL, timeout: float, connections: int) -> Engine:
    """Return an engine whose statements give up after `patience` seconds."""
    wait = max(1, int(timeout * 1000))
    settings = {
        "lock_timeout": wait,
        "statement_timeout": wait,
        # A process that hangs within a transaction, or that got lost, would hold what it locked: the audit's head, too.
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

    # A server that is there says itself that it took too long; a little later nobody is there.
    set_time_limits(engine, timeout + TIMEOUT_MARGIN, ping_limit=min(timeout, PING_TIMEOUT))
    return engine


def postgres_migrator(url: URL) -> Engine:
    """Return an engine for one connection that migrates: it waits as long as it takes, while the server is there."""
    return create_engine(with_options(url, {}), poolclass=NullPool, hide_parameters=True, connect_args=KEEP_ALIVE)


def with_options(url: URL, settings: dict[str, int]) -> URL:
    """Return the URL with these settings of PostgreSQL's, beside those that it has, and times in UTC."""
    given = url.query.get("options", ())
    theirs = [given] if isinstance(given, str) else list(given)
    ours = [f"-c {name}={value}" for name, value in settings.items()]
    return url.update_query_dict({"options": " ".join([*theirs, *ours, "-c timezone=UTC"])})


def _configure_sqlite(engine: Engine, timeout: float, begin: str, *pragmas: str) -> None:
    pragmas = (f"busy_timeout = {int(timeout * 1000)}", *pragmas)

    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # the driver would begin transactions where it sees fit; we say when
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        if (wait := connection.get_execution_options().get("wait")) is not None:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(wait * 1000)}")
        connection.exec_driver_sql(begin)

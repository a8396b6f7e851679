"""The ledger on SQLite and PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, inspect, text
from sqlalchemy.exc import (
    DatabaseError,
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bot.domain.errors import LedgerUnavailable, Misconfigured
from bot.domain.text import Code, Say, say
from bot.ledger import engines
from bot.ledger.reading import SqlReading
from bot.ledger.turns import Turns
from bot.ledger.writing import SqlWriting

BUSY: Final = "Registrar's ledger is busy, so nothing was recorded; try again in a moment."
SILENT: Final = "Registrar's ledger does not answer, so nothing was recorded; try again in a moment."
UNWRITABLE: Final = (
    "Registrar's ledger takes nothing new (its disk is full, or it is read-only), so nothing was recorded; "
    "tell whoever runs Registrar."
)
UNREADABLE: Final = "Registrar's ledger does not answer; try again in a moment."
UNSURE: Final = "Registrar's ledger fell silent while it was saving, so it may be recorded; look before you try again."

OUR_FAULT = (IntegrityError, DataError, ProgrammingError, NotSupportedError)  # no waiting mends these
DISK_FULL: Final = "53100"  # PostgreSQL's words
READ_ONLY: Final = "25006"
MIGRATION_LOCK: Final = 7_236_174_001  # any number; every process that migrates asks PostgreSQL for the same one
MIGRATION_PATIENCE: Final = 60.0
_ONE_MIGRATION = threading.Lock()  # Alembic's context is one for the whole process


class SqlLedger:
    """`bot.ports.Ledger` over SQLAlchemy Core. `migrate()` comes first.

    `patience` is how many seconds a transaction may wait to begin, and on PostgreSQL each of its statements
    to be answered. `connections` is how many may be open to read (SQLite), or in all (PostgreSQL).
    """

    def __init__(self, url: str, *, patience: float = 2.0, connections: int = 20) -> None:
        """Connect to nothing yet. Raises Misconfigured for a URL that is none of ours."""
        self._url = engines.parse_url(url)
        self._patience = patience
        self._is_sqlite = self._url.get_backend_name() == "sqlite"
        if self._is_sqlite:
            self._turns = Turns(1)
            self._writer = engines.sqlite_writer(self._url, patience)
            self._reader = engines.sqlite_reader(self._url, patience, connections)
        else:
            self._turns = Turns(max(1, connections // 2))  # the others are for those who read
            self._writer = engines.postgres(self._url, patience, connections)
            self._reader = self._writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def write(self) -> Iterator[SqlWriting]:
        """Open one transaction; it commits when the block ends and rolls back when it raises.

        Raises LedgerUnavailable when it cannot begin within `patience`, or when the database fails within it.
        """
        with self._turn() as wait, _kindly(SILENT), self._writer.connect() as connection:
            transaction = connection.execution_options(wait=wait).begin()
            with transaction:
                writing = SqlWriting(connection)
                yield writing
                writing.seal()
                with _kindly(SILENT, lost=UNSURE):
                    transaction.commit()

    @contextmanager
    def read(self) -> Iterator[SqlReading]:
        """Open one consistent reading. It waits for no writer. Raises LedgerUnavailable."""
        with _kindly(UNREADABLE), self._reader.connect() as connection, connection.begin():
            yield SqlReading(connection)

    def migrate(self) -> None:
        """Bring the tables up to date; of two processes that start at once the second waits.

        Raises LedgerUnavailable, and Misconfigured for a ledger that a newer Registrar has written.
        """
        with _ONE_MIGRATION, _kindly(SILENT), self._migrating() as connection:
            config = _migrations()
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                raise Misconfigured(
                    "This ledger was written by a newer Registrar; start that one, or restore an older copy."
                ) from error

    def require(self) -> None:
        """Look whether there is a ledger, of whatever version; nothing is made or changed.

        Raises Misconfigured where there is none, and LedgerUnavailable.
        """
        if self._is_sqlite and not engines.is_there(self._url):
            raise Misconfigured(_no_ledger(self._url))
        try:
            with _kindly(UNREADABLE), self._reader.connect() as connection:
                tables = inspect(connection).get_table_names()
        except LedgerUnavailable as error:
            if isinstance(error.__cause__, DatabaseError) and "not a database" in str(error.__cause__):
                raise Misconfigured(_no_ledger(self._url)) from error
            raise
        if "audit_events" not in tables:
            raise Misconfigured(_no_ledger(self._url))

    def is_current(self) -> bool:
        """Tell whether there is a ledger whose tables are up to date; nothing is made or changed.

        Raises LedgerUnavailable.
        """
        if self._is_sqlite and not engines.is_there(self._url):
            return False
        with _kindly(UNREADABLE), self._reader.connect() as connection:
            newest = ScriptDirectory.from_config(_migrations()).get_current_head()
            return MigrationContext.configure(connection).get_current_revision() == newest

    def is_known(self) -> bool:
        """Tell whether the ledger has a version that we know; one that a newer Registrar has written has not.

        Raises LedgerUnavailable.
        """
        known = {script.revision for script in ScriptDirectory.from_config(_migrations()).walk_revisions()}
        with _kindly(UNREADABLE), self._reader.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision() in known

    def close(self) -> None:
        """Close every connection."""
        self._reader.dispose()
        self._writer.dispose()

    @contextmanager
    def _turn(self) -> Iterator[float]:
        """Wait for our turn to write; give what is left of our patience for the database's own lock."""
        end = time.monotonic() + self._patience
        if not self._turns.take(self._patience):
            raise LedgerUnavailable(BUSY)
        try:
            yield max(0.0, end - time.monotonic())
        finally:
            self._turns.give()

    @contextmanager
    def _migrating(self) -> Iterator[Connection]:
        """Begin a transaction that no other process's migration runs beside."""
        if self._is_sqlite:
            _make_home(self._url)
            patient = self._writer.execution_options(wait=MIGRATION_PATIENCE)
            with patient.begin() as connection:
                yield connection
        else:
            with engines.postgres_migrator(self._url).begin() as connection:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
                yield connection


def _migrations() -> Config:
    config = Config()
    # As a resource and not as a path: it is there in a wheel, too.
    config.set_main_option("script_location", "bot.ledger:migrations")
    return config


def _no_ledger(url: URL) -> Say:
    return say("There is no ledger at {url}. {run} makes it; {home} or {database} says where it is.",
               url=Code(url.render_as_string(hide_password=True)), run=Code("registrar run"),
               home=Code("REGISTRAR_HOME"), database=Code("REGISTRAR_DATABASE_URL"))  # fmt: skip


def _make_home(url: URL) -> None:
    try:
        engines.make_home(url)
    except OSError as error:
        raise LedgerUnavailable("Registrar cannot create its ledger; look at who may write to that folder.") from error


@contextmanager
def _kindly(sentence: str, *, lost: str | None = None) -> Iterator[None]:
    """Turn the database's own troubles into LedgerUnavailable; `lost` is said where the connection broke."""
    try:
        yield
    except PoolTimeout as error:
        raise LedgerUnavailable(BUSY) from error
    except OUR_FAULT:
        raise
    except DBAPIError as error:
        if sentence == SILENT and _takes_nothing(error):
            raise LedgerUnavailable(UNWRITABLE) from error
        raise LedgerUnavailable(lost if lost and error.connection_invalidated else sentence) from error


def _takes_nothing(error: DBAPIError) -> bool:
    """Tell whether the database is there and cannot be written; waiting a moment does not mend that."""
    name, state = getattr(error.orig, "sqlite_errorname", ""), getattr(error.orig, "sqlstate", "")
    return str(name).startswith(("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR")) or state in {DISK_FULL, READ_ONLY}

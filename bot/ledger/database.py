"""The ledger on SQLite and PostgreSQL."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, inspect, text
from sqlalchemy.exc import DatabaseError, DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bot import logging_context
from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import actor_id
from bot.domain.core.errors import LedgerUnavailable, Misconfigured
from bot.domain.core.sentence import Code, Sentence, say
from bot.ledger import engines, schema
from bot.ledger.file_lock import LedgerFileLock
from bot.ledger.schema import Schema, SchemaAge
from bot.ledger.stores.reader import SqlLedgerReader
from bot.ledger.stores.transaction import SqlLedgerTransaction
from bot.ledger.write_semaphore import FairSemaphore
from bot.ports import NO_OBSERVER, Observer

log = logging.getLogger(__name__)

# What these name as the model is what somebody typed; whether there is one, nobody has looked yet.
TAGS_WITH_UNCHECKED_MODEL: Final = frozenset(
    {
        EventTag.PROMOTION_REQUESTED,
        EventTag.PROMOTION_REFUSED,
        EventTag.REGISTRY_CHANGE_REQUESTED,
        EventTag.REGISTRY_CHANGE_REFUSED,
        EventTag.PERMISSION_REFUSED,
    }
)

BUSY: Final = "Registrar's ledger is busy, so nothing was recorded; try again in a moment."
NOT_RESPONDING: Final = "Registrar's ledger does not answer, so nothing was recorded; try again in a moment."
UNWRITABLE: Final = (
    "Registrar's ledger takes nothing new (its disk is full, or it is read-only), so nothing was recorded; "
    "tell whoever runs Registrar."
)
UNREADABLE: Final = "Registrar's ledger does not answer; try again in a moment."
MAYBE_RECORDED: Final = (
    "Registrar's ledger fell silent while it was saving, so it may be recorded; look before you try again."
)

PROGRAMMING_ERRORS = (IntegrityError, DataError, ProgrammingError, NotSupportedError)  # no waiting mends these
DISK_FULL: Final = "53100"  # PostgreSQL's words
READ_ONLY: Final = "25006"
MIGRATION_LOCK: Final = 7_236_174_001  # any number; every process that migrates asks PostgreSQL for the same one
MIGRATION_TIMEOUT: Final = 60.0
_MIGRATION_MUTEX = threading.Lock()  # Alembic's context is one for the whole process


class SqlLedger:
    """`bot.ports.Ledger` over SQLAlchemy Core. `migrate()` comes first.

    `patience` is how many seconds a transaction may wait to begin, and on PostgreSQL each of its statements
    to be answered. `connections` is how many may be open to read (SQLite), or in all (PostgreSQL).
    `observer` hears of the events of each transaction once it is committed.
    """

    def __init__(
        self, url: str, *, timeout: float = 2.0, connections: int = 20, observer: Observer = NO_OBSERVER
    ) -> None:
        """Connect to nothing yet. Raises Misconfigured for a URL that is none of ours."""
        self._observer = observer
        self._url = engines.parse_url(url)
        self._timeout = timeout
        self._file_lock: LedgerFileLock | None = None
        self._read_operators: Callable[[], Mapping[str, str]] = dict
        self._is_sqlite = self._url.get_backend_name() == "sqlite"
        if self._is_sqlite:
            self._write_semaphore = FairSemaphore(1)
            self._writer = engines.sqlite_writer(self._url, timeout)
            self._reader = engines.sqlite_reader(self._url, timeout, connections)
        else:
            self._write_semaphore = FairSemaphore(
                max(1, connections // 4)
            )  # the others are for those who read: see `turns`
            self._writer = engines.postgres(self._url, timeout, connections)
            self._reader = self._writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def write(self) -> Iterator[SqlLedgerTransaction]:
        """Open one transaction; it commits when the block ends and rolls back when it raises.

        Raises LedgerUnavailable when it cannot begin within `patience`, or when the database fails within it.
        """
        with self._write_turn() as wait, _translate_errors(NOT_RESPONDING), self._writer.connect() as connection:
            transaction = connection.execution_options(wait=wait).begin()
            with transaction:
                writing = SqlLedgerTransaction(connection, self._read_operators())
                yield writing
                events = writing.append_audit()
                with _translate_errors(NOT_RESPONDING, on_disconnect=MAYBE_RECORDED):
                    transaction.commit()
        if events:
            self._report_committed(events)

    @contextmanager
    def read(self) -> Iterator[SqlLedgerReader]:
        """Open one consistent reading. It waits for no writer. Raises LedgerUnavailable."""
        with self.snapshot() as connection:
            yield SqlLedgerReader(connection, self._read_operators())

    def set_operator_ids(self, read_operators: Callable[[], Mapping[str, str]]) -> None:
        """Read every operator together with the Slack id that `operators` gives them at that moment."""
        self._read_operators = read_operators

    def migrate(self) -> None:
        """Bring the tables up to date; of two processes that start at once the second waits.

        Raises LedgerUnavailable, and Misconfigured for a ledger that a newer Registrar has written.
        """
        with _MIGRATION_MUTEX, _translate_errors(NOT_RESPONDING), self._migration_transaction() as connection:
            config = _alembic_config()
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                raise Misconfigured(schema.NEWER_MESSAGE) from error

    def prepare(self) -> None:
        """Make the ledger ready for work: SQLite's tables are brought up to date, of PostgreSQL's that is asked for.

        Several processes may be at work on PostgreSQL, so that a person says when its tables change.
        Raises LedgerUnavailable, and Misconfigured with the command to run.
        """
        if self._is_sqlite:
            self.migrate()
        else:
            self.require_current()

    def require_ledger(self) -> None:
        """Look whether there is a ledger, of whatever version; nothing is made or changed.

        Raises Misconfigured where there is none, and LedgerUnavailable.
        """
        if self._is_sqlite and not engines.file_exists(self._url):
            raise Misconfigured(_no_ledger_message(self._url))
        try:
            with _translate_errors(UNREADABLE), self._reader.connect() as connection:
                tables = inspect(connection).get_table_names()
        except LedgerUnavailable as error:
            if isinstance(error.__cause__, DatabaseError) and "not a database" in str(error.__cause__):
                raise Misconfigured(_no_ledger_message(self._url)) from error
            raise
        if "audit_events" not in tables:
            raise Misconfigured(_no_ledger_message(self._url))

    def require_current(self) -> None:
        """Look whether there is a ledger whose tables are up to date; nothing is made or changed.

        Raises Misconfigured, with the command to run, where there is none or an older one, or a newer Registrar's;
        and LedgerUnavailable.
        """
        self.require_ledger()
        found = self.schema()
        if found.age is not SchemaAge.CURRENT:
            told, mend = schema.describe_schema(found, self.address), schema.advice(found)
            raise Misconfigured(say("{told} {mend}", told=told, mend=mend) if mend else told)

    def schema(self) -> Schema:
        """Return how the tables are; nothing is made or changed. Raises LedgerUnavailable."""
        scripts = ScriptDirectory.from_config(_alembic_config())
        newest, known = str(scripts.get_current_head()), {one.revision for one in scripts.walk_revisions()}
        revision = self._schema_revision()
        if revision is None:
            return Schema(None, newest, SchemaAge.NONE)
        if revision not in known:
            return Schema(revision, newest, SchemaAge.NEWER)
        return Schema(revision, newest, SchemaAge.CURRENT if revision == newest else SchemaAge.OLDER)

    def _schema_revision(self) -> str | None:
        if self._is_sqlite and not engines.file_exists(self._url):
            return None
        with _translate_errors(UNREADABLE), self._reader.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()

    def is_current(self) -> bool:
        """Tell whether there is a ledger whose tables are up to date; nothing is made or changed.

        Raises LedgerUnavailable.
        """
        return self.schema().age is SchemaAge.CURRENT

    def is_compatible(self) -> bool:
        """Tell whether the ledger has a version that we know; one that a newer Registrar has written has not.

        Raises LedgerUnavailable.
        """
        return self.schema().age in {SchemaAge.CURRENT, SchemaAge.OLDER}

    @property
    def address(self) -> str:
        """Where it is, as people may read it: without the password."""
        return self._url.render_as_string(hide_password=True)

    @property
    def is_file(self) -> bool:
        """Whether it is a file of SQLite's."""
        return self._is_sqlite

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open one transaction that sees one moment, cannot write and waits for nobody. Raises LedgerUnavailable."""
        with _translate_errors(UNREADABLE), self._reader.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def exclusive(self) -> Iterator[Connection]:
        """Open one transaction without limits of time, beside which nobody migrates, nor writes to SQLite.

        It commits when the block ends and rolls back when it raises. Raises LedgerUnavailable.
        """
        with _translate_errors(NOT_RESPONDING), self._migration_transaction() as connection:
            yield connection

    def lock_file(self) -> None:
        """Let no other process serve a ledger that is a file, until this is closed or the process ends.

        Raises Misconfigured where one does, and LedgerUnavailable. PostgreSQL has room for several.
        """
        if self._is_sqlite:
            _create_file(self._url)
            self._file_lock = LedgerFileLock(engines.file_path(self._url))
            self._file_lock.acquire()

    @property
    def is_locked(self) -> bool:
        """Whether a process serves a ledger that is a file, this one or another."""
        return self._is_sqlite and LedgerFileLock(engines.file_path(self._url)).is_locked()

    def close(self) -> None:
        """Close every connection."""
        self._reader.dispose()
        self._writer.dispose()
        if self._file_lock is not None:
            self._file_lock.release()

    def _report_committed(self, events: Sequence[Event]) -> None:
        """Say what was committed. It stands, so nothing that goes wrong here may look as if it did not."""
        for event in events:
            is_typed = event.tag in TAGS_WITH_UNCHECKED_MODEL
            with logging_context.bound(model=None if is_typed else event.model, actor=actor_id(event.actor)):
                log.info("%s %s", event.tag.value, "" if event.tag is EventTag.PERMISSION_REFUSED else event.subject)
        try:
            self._observer.events_committed(events)
        except Exception:
            log.exception("what was committed could not be counted")

    @contextmanager
    def _write_turn(self) -> Iterator[float]:
        """Wait for our turn to write; give what is left of our patience for the database's own lock."""
        end = time.monotonic() + self._timeout
        if not self._write_semaphore.acquire(self._timeout):
            raise LedgerUnavailable(BUSY)
        try:
            yield max(0.0, end - time.monotonic())
        finally:
            self._write_semaphore.release()

    @contextmanager
    def _migration_transaction(self) -> Iterator[Connection]:
        """Begin a transaction that no other process's migration runs beside."""
        if self._is_sqlite:
            _create_file(self._url)
            patient = self._writer.execution_options(wait=MIGRATION_TIMEOUT)
            with patient.begin() as connection:
                yield connection
        else:
            with engines.postgres_migrator(self._url).begin() as connection:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
                yield connection


def _alembic_config() -> Config:
    config = Config()
    # As a resource and not as a path: it is there in a wheel, too.
    config.set_main_option("script_location", "bot.ledger:migrations")
    return config


def _no_ledger_message(url: URL) -> Sentence:
    if url.get_backend_name() != "sqlite":
        none = Schema(None, "", SchemaAge.NONE)
        told = schema.describe_schema(none, url.render_as_string(hide_password=True))
        return say("{told} {mend}", told=told, mend=schema.advice(none))
    return say(
        "There is no ledger at {url}. {run} makes it; {home} or {database} says where it is.",
        url=Code(url.render_as_string(hide_password=True)),
        run=Code("registrar run"),
        home=Code("REGISTRAR_HOME"),
        database=Code("REGISTRAR_DATABASE_URL"),
    )


def _create_file(url: URL) -> None:
    try:
        engines.create_file(url)
    except OSError as error:
        raise LedgerUnavailable("Registrar cannot create its ledger; look at who may write to that folder.") from error


@contextmanager
def _translate_errors(message: str, *, on_disconnect: str | None = None) -> Iterator[None]:
    """Turn the database's own troubles into LedgerUnavailable; `lost` is said where the connection broke."""
    try:
        yield
    except PoolTimeout as error:
        raise LedgerUnavailable(BUSY) from error
    except PROGRAMMING_ERRORS:
        raise
    except DBAPIError as error:
        if message == NOT_RESPONDING and _is_unwritable(error):
            raise LedgerUnavailable(UNWRITABLE) from error
        raise LedgerUnavailable(on_disconnect if on_disconnect and error.connection_invalidated else message) from error


def _is_unwritable(error: DBAPIError) -> bool:
    """Tell whether the database is there and cannot be written; waiting a moment does not mend that."""
    name, state = getattr(error.orig, "sqlite_errorname", ""), getattr(error.orig, "sqlstate", "")
    return str(name).startswith(("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR")) or state in {DISK_FULL, READ_ONLY}

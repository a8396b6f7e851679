"""The ledger on SQLite and PostgreSQL."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import URL, Connection, Engine, inspect, text
from sqlalchemy.event import listen
from sqlalchemy.exc import DatabaseError, DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bot import logging_context
from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import actor_id
from bot.domain.core.errors import LedgerUnavailable, LedgerUpgraded, Misconfigured
from bot.domain.core.sentence import Code, Sentence, say
from bot.ledger import engines, other_sessions, schema_check
from bot.ledger.file_lock import LedgerFileLock
from bot.ledger.file_watch import FileWatch
from bot.ledger.schema_check import Schema, SchemaAge
from bot.ledger.stores.reader import SqlLedgerReader
from bot.ledger.stores.transaction import SqlLedgerTransaction
from bot.ports import NO_OBSERVER, SYSTEM_CLOCK, Clock, Observer

if TYPE_CHECKING:  # imported where needed: it takes as long as everything else here
    from alembic.config import Config

log = logging.getLogger(__name__)

# These events' model is what a person typed, which might not exist.
TAGS_WITH_UNCHECKED_MODEL: Final = frozenset(
    {
        EventTag.PROMOTION_REQUESTED,
        EventTag.PROMOTION_REFUSED,
        EventTag.REGISTRY_CHANGE_REQUESTED,
        EventTag.REGISTRY_CHANGE_REFUSED,
        EventTag.PERMISSION_REFUSED,
    }
)

BUSY: Final = "Registrar's ledger is busy, so nothing was recorded. Try again in a moment."
NOT_RESPONDING: Final = "Registrar's ledger isn't responding, so nothing was recorded. Try again in a moment."
UNWRITABLE: Final = (
    "Registrar's ledger is read-only or its disk is full, so nothing was recorded. Tell whoever runs Registrar."
)
UNREADABLE: Final = "Registrar's ledger isn't responding. Try again in a moment."
UPGRADED: Final = (
    "Another version of Registrar upgraded the ledger, so nothing was recorded. Tell whoever runs Registrar."
)
MAYBE_RECORDED: Final = (
    "Registrar's ledger stopped responding while saving. Check whether your change was recorded before you try again."
)

PROGRAMMING_ERRORS = (IntegrityError, DataError, ProgrammingError, NotSupportedError)  # retrying doesn't fix these
DISK_FULL: Final = "53100"  # PostgreSQL's error codes
READ_ONLY: Final = "25006"
MIGRATION_TIMEOUT: Final = 60.0
_MIGRATION_MUTEX = threading.Lock()  # Alembic's context is global to the process


class SqlLedger:
    """`bot.ports.Ledger` on SQLAlchemy Core. Call `migrate()` or `prepare()` first.

    `timeout`: how many seconds a transaction can wait to begin and, on PostgreSQL, how many each statement can wait for
    an answer. `connections`: the maximum number of open connections, for reading (SQLite) or in total (PostgreSQL).
    `observer`: receives the events of each committed transaction. `clock`: supplies the time at which a message is
    added.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 2.0,
        connections: int = 20,
        observer: Observer = NO_OBSERVER,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Set up the engines without connecting. Raises Misconfigured for an unsupported URL."""
        self._observer = observer
        self._clock = clock
        self._url = engines.parse_url(url)
        self._timeout = timeout
        self._file_lock: LedgerFileLock | None = None
        self._file_watch = FileWatch()
        self._read_operators: Callable[[], Mapping[str, str]] = dict
        self._required_revision = ""  # of PostgreSQL's tables, after `require_current`
        self._upgraded: LedgerUpgraded | None = None
        self._is_sqlite = self._url.get_backend_name() == "sqlite"
        if self._is_sqlite:
            self._write_semaphore = engines.FairSemaphore(1)
            self._writer = engines.sqlite_writer(self._url, timeout)
            self._reader = engines.sqlite_reader(self._url, timeout, connections)
            self._file_watch.attach(self._writer)
        else:
            # The other connections are for readers: see FairSemaphore.
            self._write_semaphore = engines.FairSemaphore(max(1, connections // 4))
            self._writer = engines.postgres(self._url, timeout, connections)
            self._reader = self._writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            listen(self._writer, "connect", self._check_new_connection)

    @contextmanager
    def write(self) -> Iterator[SqlLedgerTransaction]:
        """Open a transaction that commits when the block ends, or rolls back if the block raises.

        Raises LedgerUnavailable if the transaction can't begin within the timeout, or if the database fails within the
        block. Raises LedgerFileGone if one of SQLite's files was deleted or replaced.
        """
        end = time.monotonic() + self._timeout
        if not self._write_semaphore.acquire(self._timeout):
            raise LedgerUnavailable(BUSY)
        try:
            with _translate_errors(NOT_RESPONDING), self._connect(self._writer) as connection:
                connection.info[engines.WAIT] = max(0.0, end - time.monotonic())  # for the database's own lock
                with connection.begin() as transaction:
                    if self._is_sqlite:
                        self._file_watch.remember(connection)
                    ledger_transaction = SqlLedgerTransaction(connection, self._read_operators(), self._clock)
                    yield ledger_transaction
                    events = [chained.event for chained in ledger_transaction.append_audit()]
                    with _translate_errors(NOT_RESPONDING, on_disconnect=MAYBE_RECORDED):
                        transaction.commit()
            self._file_watch.require_files()  # otherwise, the commit may have gone into a deleted file
        finally:
            self._write_semaphore.release()
        if events:
            self._report_committed(events)

    @contextmanager
    def read(self) -> Iterator[SqlLedgerReader]:
        """Open a consistent view of the ledger, without waiting for writers. Raises LedgerUnavailable."""
        with self.snapshot() as connection:
            yield SqlLedgerReader(connection, self._read_operators())

    def set_operator_ids(self, read_operators: Callable[[], Mapping[str, str]]) -> None:
        """Set the source of operators' Slack IDs; each transaction calls `read_operators`."""
        self._read_operators = read_operators

    def migrate(self, *, force: bool = False) -> str | None:
        """Create or upgrade the tables; return their previous revision, if any. Concurrent calls wait their turn.

        `force`: disconnect other processes from PostgreSQL. Raises LedgerUnavailable. Raises Misconfigured if a newer
        release wrote the ledger, or if existing tables would change while another process uses them.
        """
        from alembic import command  # noqa: PLC0415

        with _MIGRATION_MUTEX, self.exclusive() as connection:
            before = _read_schema(connection)
            if before.age is SchemaAge.NEWER:
                raise Misconfigured(schema_check.NEWER_MESSAGE)
            if before.age is SchemaAge.OLDER:
                self._lock_out_other_processes(connection, force=force)
            config = _alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        return before.revision

    def prepare(self) -> None:
        """Make the ledger ready for use: upgrade SQLite's tables, or require that PostgreSQL's are current.

        Several processes can share a PostgreSQL ledger, so a person decides when its tables change. Raises
        LedgerUnavailable. Raises Misconfigured, with what to do next, if the tables can't be used.
        """
        if self._is_sqlite:
            self.migrate()
        else:
            self.require_current()

    def require_ledger(self) -> None:
        """Require that a ledger exists, from any release, without creating or changing anything.

        Raises Misconfigured if there isn't one. Raises LedgerUnavailable.
        """
        if self._is_sqlite and not engines.file_path(self._url).is_file():
            raise Misconfigured(_no_ledger_message(self._url))
        try:
            with _translate_errors(UNREADABLE), self._connect(self._reader) as connection:
                tables = inspect(connection).get_table_names()
        except LedgerUnavailable as error:
            if isinstance(error.__cause__, DatabaseError) and "not a database" in str(error.__cause__):
                raise Misconfigured(_no_ledger_message(self._url)) from error
            raise
        if "audit_events" not in tables:
            raise Misconfigured(_no_ledger_message(self._url))

    def require_current(self) -> None:
        """Require that a ledger with current tables exists, without creating or changing anything.

        From then on, each new connection to PostgreSQL raises LedgerUpgraded if the tables have changed. Raises
        Misconfigured, with the command to run, if the ledger is missing or from another release. Raises
        LedgerUnavailable.
        """
        self.require_ledger()
        current_schema = self.schema()
        if current_schema.age is not SchemaAge.CURRENT:
            description = schema_check.describe_schema(current_schema, self.address)
            next_step = schema_check.advice(current_schema)
            raise Misconfigured(say("{told} {mend}", told=description, mend=next_step) if next_step else description)
        self._required_revision = current_schema.newest

    def schema(self) -> Schema:
        """Return the state of the tables, without creating or changing anything.

        Raises Misconfigured if the ledger lacks their revision. Raises LedgerUnavailable.
        """
        if self._is_sqlite and not engines.file_path(self._url).is_file():
            return _read_schema(None)
        with _translate_errors(UNREADABLE), self._connect(self._reader) as connection:
            return _read_schema(connection)

    def require_same_tables(self) -> None:
        """Raise LedgerUpgraded if a new connection has found upgraded tables. Makes no query of its own."""
        if self._upgraded:
            raise self._upgraded

    def is_current(self) -> bool:
        """Return whether the ledger exists and has current tables. Raises LedgerUnavailable."""
        return self.schema().age is SchemaAge.CURRENT

    @property
    def address(self) -> str:
        """The URL without the password."""
        return self._url.render_as_string(hide_password=True)

    @property
    def is_file(self) -> bool:
        """Whether the ledger is an SQLite file."""
        return self._is_sqlite

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open a read-only snapshot that doesn't wait for other transactions. Raises LedgerUnavailable."""
        with _translate_errors(UNREADABLE), self._connect(self._reader) as connection, connection.begin():
            yield connection

    @contextmanager
    def exclusive(self) -> Iterator[Connection]:
        """Open a transaction without a time limit that locks out migrations and, on SQLite, all other writers.

        It commits when the block ends, or rolls back if the block raises. Raises LedgerUnavailable.
        """
        with _translate_errors(NOT_RESPONDING):
            if self._is_sqlite:
                _create_file(self._url)
                with self._connect(self._writer) as connection:
                    connection.info[engines.WAIT] = MIGRATION_TIMEOUT
                    with connection.begin():
                        self._file_watch.remember(connection)
                        yield connection
            else:
                with engines.postgres_migrator(self._url).begin() as connection:
                    lock = {"key": other_sessions.MIGRATION_LOCK}
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), lock)
                    yield connection

    def lock_file(self) -> None:
        """Keep other processes from using an SQLite ledger until `close` is called or the process ends.

        Does nothing on PostgreSQL, which several processes can share. Raises Misconfigured if another process is using
        the ledger. Raises LedgerUnavailable if the ledger's file can't be created or locked.
        """
        if self._is_sqlite:
            _create_file(self._url)
            self._file_lock = LedgerFileLock(engines.file_path(self._url))
            self._file_lock.acquire()

    @property
    def is_locked(self) -> bool:
        """Whether this or another process is using an SQLite ledger."""
        return self._is_sqlite and LedgerFileLock(engines.file_path(self._url)).is_locked()

    def close(self) -> None:
        """Close every connection, and release the lock file."""
        self._reader.dispose()
        self._writer.dispose()
        if self._file_lock is not None:
            self._file_lock.release()

    def _report_committed(self, events: Sequence[Event]) -> None:
        """Log and count the committed events. An error here must not look like a failed commit."""
        for event in events:
            is_model_unchecked = event.tag in TAGS_WITH_UNCHECKED_MODEL
            with logging_context.bound(model=None if is_model_unchecked else event.model, actor=actor_id(event.actor)):
                log.info("%s %s", event.tag.value, "" if event.tag is EventTag.PERMISSION_REFUSED else event.subject)
        try:
            self._observer.events_committed(events)
        except Exception:
            log.exception("can't count the committed events")

    def _connect(self, engine: Engine) -> Connection:
        """Connect. Raises LedgerFileGone if a file is gone, because SQLite would create it again."""
        self._file_watch.require_files()
        return engine.connect()

    def _lock_out_other_processes(self, connection: Connection, *, force: bool) -> None:
        """Raise Misconfigured if another process uses the tables. On PostgreSQL, also keep others from starting to.

        `force`: disconnect the others from PostgreSQL.
        """
        if not self._is_sqlite:
            other_sessions.lock_out(connection, force=force)
        elif self._file_lock is None and self.is_locked:
            raise Misconfigured(
                say(
                    "Can't upgrade the ledger at {url} while another process uses it. Stop that process.",
                    url=Code(self.address),
                )
            )

    def _check_new_connection(self, connection: Any, record: object) -> None:
        """Check on a new PostgreSQL connection that the tables haven't changed. Raises LedgerUpgraded if they have."""
        if not self._required_revision:
            return
        with ExitStack() as on_error:
            on_error.callback(connection.close)
            found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
            if found != [(self._required_revision,)]:
                self._upgraded = LedgerUpgraded(UPGRADED)
                raise self._upgraded
            connection.rollback()
            on_error.pop_all()


def _read_schema(connection: Connection | None) -> Schema:
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    scripts = ScriptDirectory.from_config(_alembic_config())
    revision = MigrationContext.configure(connection).get_current_revision() if connection else None
    if connection and revision is None and inspect(connection).has_table("audit_events"):
        raise Misconfigured(schema_check.NO_REVISION_MESSAGE)
    newest = str(scripts.get_current_head())
    if revision is None:
        age = SchemaAge.NONE
    elif revision == newest:
        age = SchemaAge.CURRENT
    else:
        is_known = revision in {script.revision for script in scripts.walk_revisions()}
        age = SchemaAge.OLDER if is_known else SchemaAge.NEWER
    return Schema(revision, newest, age)


def _alembic_config() -> Config:
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    # A resource instead of a path, so that it also works from a wheel.
    config.set_main_option("script_location", "bot.ledger:migrations")
    return config


def _no_ledger_message(url: URL) -> Sentence:
    if url.get_backend_name() != "sqlite":
        missing_schema = Schema(None, "", SchemaAge.NONE)
        description = schema_check.describe_schema(missing_schema, url.render_as_string(hide_password=True))
        return say("{told} {mend}", told=description, mend=schema_check.advice(missing_schema))
    return say(
        "No ledger at {url}. To create it, run {run}, or set its location with {home} or {database}.",
        url=Code(url.render_as_string(hide_password=True)),
        run=Code("registrar run"),
        home=Code("REGISTRAR_HOME"),
        database=Code("REGISTRAR_DATABASE_URL"),
    )


def _create_file(url: URL) -> None:
    try:
        engines.create_file(url)
    except OSError as error:
        raise LedgerUnavailable("Can't create the ledger. Check who can write to its folder.") from error


@contextmanager
def _translate_errors(message: str, *, on_disconnect: str | None = None) -> Iterator[None]:
    """Translate database errors into LedgerUnavailable, with `on_disconnect` as the message if the connection broke."""
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
    """Return whether the database responds but can't be written to. Retrying doesn't fix that."""
    name, state = getattr(error.orig, "sqlite_errorname", ""), getattr(error.orig, "sqlstate", "")
    return str(name).startswith(("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR")) or state in {DISK_FULL, READ_ONLY}

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
from sqlalchemy.exc import (
    DatabaseError,
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bot import logging_context
from bot.domain.audit.events import Event, Tag
from bot.domain.core.actors import actor_id
from bot.domain.core.errors import LedgerUnavailable, Misconfigured
from bot.domain.core.sentence import Code, Say, say
from bot.ledger import engines, schema
from bot.ledger.file_lock import Alone
from bot.ledger.schema import Age, Schema
from bot.ledger.stores.reader import SqlReading
from bot.ledger.stores.transaction import SqlWriting
from bot.ledger.write_semaphore import Turns
from bot.ports import UNOBSERVED, Observer

log = logging.getLogger(__name__)

# What these name as the model is what somebody typed; whether there is one, nobody has looked yet.
TYPED: Final = frozenset({Tag.ASKED, Tag.ASK_REFUSED, Tag.COMMANDED, Tag.COMMAND_REFUSED, Tag.REFUSED})

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
    `observer` hears of the events of each transaction once it is committed.
    """

    def __init__(
        self, url: str, *, patience: float = 2.0, connections: int = 20, observer: Observer = UNOBSERVED
    ) -> None:
        """Connect to nothing yet. Raises Misconfigured for a URL that is none of ours."""
        self._observer = observer
        self._url = engines.parse_url(url)
        self._patience = patience
        self._alone: Alone | None = None
        self._operators: Callable[[], Mapping[str, str]] = dict
        self._is_sqlite = self._url.get_backend_name() == "sqlite"
        if self._is_sqlite:
            self._turns = Turns(1)
            self._writer = engines.sqlite_writer(self._url, patience)
            self._reader = engines.sqlite_reader(self._url, patience, connections)
        else:
            self._turns = Turns(max(1, connections // 4))  # the others are for those who read: see `turns`
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
                writing = SqlWriting(connection, self._operators())
                yield writing
                events = writing.seal()
                with _kindly(SILENT, lost=UNSURE):
                    transaction.commit()
        if events:
            self._tell(events)

    @contextmanager
    def read(self) -> Iterator[SqlReading]:
        """Open one consistent reading. It waits for no writer. Raises LedgerUnavailable."""
        with self.snapshot() as connection:
            yield SqlReading(connection, self._operators())

    def recognize(self, operators: Callable[[], Mapping[str, str]]) -> None:
        """Read every operator together with the Slack id that `operators` gives them at that moment."""
        self._operators = operators

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
                raise Misconfigured(schema.NEWER) from error

    def prepare(self) -> None:
        """Make the ledger ready for work: SQLite's tables are brought up to date, of PostgreSQL's that is asked for.

        Several processes may be at work on PostgreSQL, so that a person says when its tables change.
        Raises LedgerUnavailable, and Misconfigured with the command to run.
        """
        if self._is_sqlite:
            self.migrate()
        else:
            self.require_current()

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

    def require_current(self) -> None:
        """Look whether there is a ledger whose tables are up to date; nothing is made or changed.

        Raises Misconfigured, with the command to run, where there is none or an older one, or a newer Registrar's;
        and LedgerUnavailable.
        """
        self.require()
        found = self.schema()
        if found.age is not Age.CURRENT:
            told, mend = schema.standing(found, self.address), schema.advice(found)
            raise Misconfigured(say("{told} {mend}", told=told, mend=mend) if mend else told)

    def schema(self) -> Schema:
        """Return how the tables are; nothing is made or changed. Raises LedgerUnavailable."""
        scripts = ScriptDirectory.from_config(_migrations())
        newest, known = str(scripts.get_current_head()), {one.revision for one in scripts.walk_revisions()}
        revision = self._revision()
        if revision is None:
            return Schema(None, newest, Age.NONE)
        if revision not in known:
            return Schema(revision, newest, Age.NEWER)
        return Schema(revision, newest, Age.CURRENT if revision == newest else Age.OLDER)

    def _revision(self) -> str | None:
        if self._is_sqlite and not engines.is_there(self._url):
            return None
        with _kindly(UNREADABLE), self._reader.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()

    def is_current(self) -> bool:
        """Tell whether there is a ledger whose tables are up to date; nothing is made or changed.

        Raises LedgerUnavailable.
        """
        return self.schema().age is Age.CURRENT

    def is_known(self) -> bool:
        """Tell whether the ledger has a version that we know; one that a newer Registrar has written has not.

        Raises LedgerUnavailable.
        """
        return self.schema().age in {Age.CURRENT, Age.OLDER}

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
        with _kindly(UNREADABLE), self._reader.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def alone(self) -> Iterator[Connection]:
        """Open one transaction without limits of time, beside which nobody migrates, nor writes to SQLite.

        It commits when the block ends and rolls back when it raises. Raises LedgerUnavailable.
        """
        with _kindly(SILENT), self._migrating() as connection:
            yield connection

    def serve_alone(self) -> None:
        """Let no other process serve a ledger that is a file, until this is closed or the process ends.

        Raises Misconfigured where one does, and LedgerUnavailable. PostgreSQL has room for several.
        """
        if self._is_sqlite:
            _make_home(self._url)
            self._alone = Alone(engines.file_of(self._url))
            self._alone.take()

    @property
    def is_served(self) -> bool:
        """Whether a process serves a ledger that is a file, this one or another."""
        return self._is_sqlite and Alone(engines.file_of(self._url)).is_taken()

    def close(self) -> None:
        """Close every connection."""
        self._reader.dispose()
        self._writer.dispose()
        if self._alone is not None:
            self._alone.give()

    def _tell(self, events: Sequence[Event]) -> None:
        """Say what was committed. It stands, so nothing that goes wrong here may look as if it did not."""
        for event in events:
            is_typed = event.tag in TYPED
            with logging_context.about(model=None if is_typed else event.model, actor=actor_id(event.actor)):
                log.info("%s %s", event.tag.value, "" if event.tag is Tag.REFUSED else event.subject)
        try:
            self._observer.committed(events)
        except Exception:
            log.exception("what was committed could not be counted")

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
    if url.get_backend_name() != "sqlite":
        none = Schema(None, "", Age.NONE)
        told = schema.standing(none, url.render_as_string(hide_password=True))
        return say("{told} {mend}", told=told, mend=schema.advice(none))
    return say(
        "There is no ledger at {url}. {run} makes it; {home} or {database} says where it is.",
        url=Code(url.render_as_string(hide_password=True)),
        run=Code("registrar run"),
        home=Code("REGISTRAR_HOME"),
        database=Code("REGISTRAR_DATABASE_URL"),
    )


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

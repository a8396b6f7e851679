"""Copies of a ledger while the bot writes: SQLite's online backup, PostgreSQL's pg_dump. Each is looked through.

A copy is made beside its place and takes the name at its end, so that nobody takes a half one for a whole one.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, Engine, text

from bot.domain.audit.events import ChainHead
from bot.domain.core.errors import LedgerUnavailable, Misconfigured
from bot.domain.core.sentence import Code, say
from bot.ledger import engines, verify
from bot.ledger.audit_chain import ChainFault
from bot.ledger.stores.reader import SqlLedgerReader

SQLITE_TIMEOUT = 60.0  # seconds that SQLite may keep us waiting
PG_DUMP = "pg_dump"


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy that was made: how many bytes, where its audit ends, and the first row of it that is not whole."""

    size: int
    head: ChainHead
    fault: ChainFault | None


def back_up(url: str, file: Path) -> Backup:
    """Copy the ledger into a new file that only we may read, as it stands at one moment, and look it through.

    One whose audit is not whole is copied as well: whoever mends it needs the ledger as it was.

    Raises Misconfigured where the file is there already or cannot be written, and where there is no pg_dump; and
    LedgerUnavailable.
    """
    parsed = engines.parse_url(url)
    if file.exists():
        raise Misconfigured(say("{file} is there already; nothing was changed.", file=Code(file)))
    copy = _back_up_sqlite if parsed.get_backend_name() == "sqlite" else _back_up_postgres
    try:
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".partial", dir=file.parent)  # mode 0600
        os.close(handle)
        partial = Path(name)
        try:
            head, fault = copy(parsed, partial)
            partial.rename(file)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise Misconfigured(say("{file} cannot be written: {why}.", file=Code(file), why=error.strerror)) from error
    return Backup(file.stat().st_size, head, fault)


def _back_up_sqlite(url: URL, target: Path) -> tuple[ChainHead, ChainFault | None]:
    try:
        # In one step: it reads one moment of the ledger, and in WAL mode whoever writes meanwhile does not wait for it.
        with closing(sqlite3.connect(target)) as copy:
            _use_driver_connection(engines.sqlite_reader(url, SQLITE_TIMEOUT, 1), lambda ledger: ledger.backup(copy))
            copy.execute("PRAGMA journal_mode = DELETE")  # so that the one file is all of it
    except sqlite3.Error as error:
        raise LedgerUnavailable(say("The ledger cannot be copied: {why}.", why=error)) from error
    reader = engines.sqlite_reader(URL.create("sqlite", database=str(target)), SQLITE_TIMEOUT, 1)
    try:
        with reader.connect() as connection, connection.begin():
            return verify.verify_ledger(SqlLedgerReader(connection))
    finally:
        reader.dispose()


def _use_driver_connection(engine: Engine, action: Callable[[sqlite3.Connection], None]) -> None:
    try:
        with engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            action(driver)
    finally:
        engine.dispose()


def _back_up_postgres(url: URL, target: Path) -> tuple[ChainHead, ChainFault | None]:
    """Let pg_dump write down the very snapshot whose audit we look through: of a dump nobody can ask whether it is."""
    if shutil.which(PG_DUMP) is None:
        raise Misconfigured(
            say(
                "{tool} is not installed here. It comes with PostgreSQL's client programs, of the server's version or "
                "newer. Where it is, this does the same, the password in {name}: {command}",
                tool=Code(PG_DUMP),
                name=Code("PGPASSWORD"),
                command=Code(shlex.join(_dump_command(url, Path("FILE")))),
            )
        )
    engine = engines.postgres_migrator(url).execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    )
    try:
        with engine.connect() as connection, connection.begin():
            snapshot = str(connection.execute(text("SELECT pg_export_snapshot()")).scalar_one())
            _run_dump([*_dump_command(url, target), f"--snapshot={snapshot}"], url.password)
            return verify.verify_ledger(SqlLedgerReader(connection))
    finally:
        engine.dispose()


def _dump_command(url: URL, file: Path) -> list[str]:
    """Return the words that dump the database into a file; the password is none of them."""
    options = url.get_dialect()().create_connect_args(url)[1]
    known: dict[str, Any] = {
        name: value for name, value in options.items() if name != "password" and isinstance(value, str | int)
    }
    return [PG_DUMP, "--format=custom", f"--file={file}", f"--dbname={make_conninfo('', **known)}"]


def _run_dump(command: list[str], password: object) -> None:
    environ = {**os.environ, "LC_ALL": "C"} | ({} if password is None else {"PGPASSWORD": str(password)})
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if done.returncode:
        why = next(iter(done.stderr.strip().splitlines()[::-1]), f"it ended with {done.returncode}")
        with suppress(ValueError):
            why = why[why.index("error: ") + len("error: ") :]
        raise LedgerUnavailable(
            say("{tool} could not copy the ledger: {why}.", tool=Code(PG_DUMP), why=why.rstrip("."))
        )

"""Back up a ledger while the bot writes, with SQLite's online backup or pg_dump, and verify the copy.

A copy has a temporary name until it's complete, so that no partial copy is mistaken for a backup.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
import subprocess
import tempfile
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, text

from bot.domain.audit.audit_chain import ChainFault
from bot.domain.audit.events import ChainHead
from bot.domain.core.errors import LedgerUnavailable, Misconfigured
from bot.domain.core.sentence import Code, Sentence, say
from bot.ledger import engines
from bot.ledger.stores.reader import SqlLedgerReader

SQLITE_TIMEOUT = 60.0  # seconds to wait for SQLite's lock
PG_DUMP = "pg_dump"


@dataclass(frozen=True, slots=True)
class Backup:
    """A finished backup: its size in bytes, the head of its audit chain, and the first fault in the chain."""

    size: int
    head: ChainHead
    fault: ChainFault | None


def back_up(url: str, file: Path) -> Backup:
    """Copy the ledger as of one moment into a new file that only this user can read, and verify its audit chain.

    A ledger with a broken chain is copied, too, because repairing it requires the original.

    Raises Misconfigured if the file exists or can't be written, or if pg_dump is missing; and LedgerUnavailable.
    """
    parsed = engines.parse_url(url)
    if file.exists():
        raise Misconfigured(say("{file} already exists; nothing was changed.", file=Code(file)))
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
        raise Misconfigured(say("Can't write {file}: {why}.", file=Code(file), why=error.strerror)) from error
    return Backup(file.stat().st_size, head, fault)


def _back_up_sqlite(url: URL, target: Path) -> tuple[ChainHead, ChainFault | None]:
    source = engines.sqlite_reader(url, SQLITE_TIMEOUT, 1)
    try:
        with closing(sqlite3.connect(target)) as copy, source.connect() as connection:
            ledger = connection.connection.driver_connection
            assert isinstance(ledger, sqlite3.Connection)
            ledger.backup(copy)  # in one step, for a consistent snapshot; in WAL mode, this doesn't block writers
            copy.execute("PRAGMA journal_mode = DELETE")  # so that the backup is a single file
    except sqlite3.Error as error:
        raise LedgerUnavailable(say("Can't copy the ledger: {why}.", why=error)) from error
    finally:
        source.dispose()
    reader = engines.sqlite_reader(URL.create("sqlite", database=str(target)), SQLITE_TIMEOUT, 1)
    try:
        with reader.connect() as connection, connection.begin():
            return SqlLedgerReader(connection).verify_audit()
    finally:
        reader.dispose()


def _back_up_postgres(url: URL, target: Path) -> tuple[ChainHead, ChainFault | None]:
    """Have pg_dump dump the snapshot whose audit chain is verified, because a dump can't be queried."""
    if shutil.which(PG_DUMP) is None:
        raise Misconfigured(_not_installed_sentence(url))
    engine = engines.postgres_migrator(url).execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    )
    try:
        with engine.connect() as connection, connection.begin():
            snapshot = str(connection.execute(text("SELECT pg_export_snapshot()")).scalar_one())
            _run_dump([*_dump_command(url, target), f"--snapshot={snapshot}"], url.password)
            return SqlLedgerReader(connection).verify_audit()
    finally:
        engine.dispose()


def _not_installed_sentence(url: URL) -> Sentence:
    """Return what to install, and what to run on a machine that has it."""
    return say(
        "{tool} isn't installed here. Install PostgreSQL's client programs, the server's version or newer. "
        "Or run this where they're installed, with the password in {name}: {command}",
        tool=Code(PG_DUMP),
        name=Code("PGPASSWORD"),
        command=Code(shlex.join(_dump_command(url, Path("FILE")))),
    )


def _dump_command(url: URL, file: Path) -> list[str]:
    """Return the command that dumps the database into a file, without the password."""
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415 - only PostgreSQL needs its driver

    options = url.get_dialect()().create_connect_args(url)[1]
    parameters: dict[str, Any] = {
        name: value for name, value in options.items() if name != "password" and isinstance(value, str | int)
    }
    return [PG_DUMP, "--format=custom", f"--file={file}", f"--dbname={make_conninfo('', **parameters)}"]


def _run_dump(command: list[str], password: object) -> None:
    environ = {**os.environ, "LC_ALL": "C"} | ({} if password is None else {"PGPASSWORD": str(password)})
    result = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed command
    if result.returncode:
        why = next(iter(result.stderr.strip().splitlines()[::-1]), f"exit code {result.returncode}")
        with suppress(ValueError):
            why = why[why.index("error: ") + len("error: ") :]
        raise LedgerUnavailable(say("{tool} couldn't copy the ledger: {why}.", tool=Code(PG_DUMP), why=why.rstrip(".")))

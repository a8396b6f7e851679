"""Back up a ledger while the bot keeps writing, with SQLite's online backup or pg_dump; verify the audit chain."""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
import subprocess
import tempfile
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import URL, text

from bot.domain.audit.audit_chain import ChainFault
from bot.domain.audit.events import ChainHead
from bot.domain.core.errors import LedgerUnavailable, Misconfigured
from bot.domain.core.sentence import Code, Sentence, say
from bot.ledger import engines
from bot.ledger.backup_file import complete_file, deleted_file
from bot.ledger.stores.reader import SqlLedgerReader

SQLITE_TIMEOUT = 60.0  # seconds to wait for SQLite's lock
PG_DUMP = "pg_dump"
CHUNK = 1024 * 1024  # bytes
# In a database's header, the versions for reading and writing: 2 means that there's a write-ahead log, and 1 that
# there's none (https://sqlite.org/fileformat.html).
WAL_OFFSET, NO_WAL = 18, bytes([1, 1])


@dataclass(frozen=True, slots=True)
class Backup:
    """A finished backup: its size in bytes, the head of its audit chain, and the first fault in the chain, if any."""

    size: int
    head: ChainHead
    fault: ChainFault | None


def back_up(url: str, file: Path) -> Backup:
    """Copy a consistent snapshot of the ledger to a new file that only this user can read; verify its audit chain.

    A ledger with a broken chain is copied, too, because repairing it requires the original.

    Raises Misconfigured if the file exists or can't be written, or if pg_dump is missing or would expose a secret.
    Raises LedgerUnavailable if the ledger can't be copied.
    """
    parsed = engines.parse_url(url)
    copy = _back_up_sqlite if parsed.get_backend_name() == "sqlite" else _back_up_postgres
    try:
        if file.exists():
            raise FileExistsError
        with complete_file(file) as target:
            head, fault = copy(parsed, target, file.parent)
    except FileExistsError:
        raise Misconfigured(say("{file} already exists; nothing was changed.", file=Code(file))) from None
    except OSError as error:
        raise Misconfigured(say("Can't write {file}: {why}.", file=Code(file), why=error.strerror)) from error
    return Backup(file.stat().st_size, head, fault)


def _back_up_sqlite(url: URL, target: BinaryIO, folder: Path) -> tuple[ChainHead, ChainFault | None]:
    """Copy through a scratch file that's deleted immediately, because SQLite can write only to a path."""
    source = engines.sqlite_reader(url, SQLITE_TIMEOUT, 1)
    with ExitStack() as open_files:
        open_files.callback(source.dispose)
        try:
            with deleted_file(folder) as (scratch, path):
                open_files.enter_context(scratch)
                copy, copied = (open_files.enter_context(closing(sqlite3.connect(path))) for _ in range(2))
            copy.execute("PRAGMA journal_mode = OFF")  # a journal would have a name
            copy.execute("PRAGMA synchronous = OFF")
            with source.connect() as connection:
                ledger = connection.connection.driver_connection
                assert isinstance(ledger, sqlite3.Connection)
                ledger.backup(copy)  # in one step, for a consistent snapshot; in WAL mode, this doesn't block writers
            copy.close()
        except sqlite3.Error as error:
            raise LedgerUnavailable(say("Can't copy the ledger: {why}.", why=error)) from error
        os.pwrite(scratch.fileno(), NO_WAL, WAL_OFFSET)  # so that the backup is a single file
        with engines.sqlite_on(copied).connect() as connection:
            verified = SqlLedgerReader(connection).verify_audit()
        shutil.copyfileobj(scratch, target, CHUNK)
    return verified


def _back_up_postgres(url: URL, target: BinaryIO, _: Path) -> tuple[ChainHead, ChainFault | None]:
    """Dump a snapshot with pg_dump, and verify the audit chain in the snapshot, because a dump can't be queried."""
    if shutil.which(PG_DUMP) is None:
        raise Misconfigured(_not_installed_sentence(url))
    engine = engines.postgres_migrator(url).execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    )
    try:
        with engine.connect() as connection, connection.begin():
            snapshot = str(connection.execute(text("SELECT pg_export_snapshot()")).scalar_one())
            _run_dump(_dump_command(url, f"--snapshot={snapshot}"), url.password, target)
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
        command=Code(shlex.join(_dump_command(url, "--file=FILE"))),
    )


def _dump_command(url: URL, option: str) -> list[str]:
    """Return the command that dumps the database, without the password.

    Raises Misconfigured if the URL has another secret, because other users can see a command's arguments, and the
    password is the only secret that libpq reads from the environment.
    """
    from psycopg import pq  # noqa: PLC0415 - only PostgreSQL needs its driver
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415

    options = url.get_dialect()().create_connect_args(url)[1]
    parameters: dict[str, Any] = {
        name: value for name, value in options.items() if name != "password" and isinstance(value, str | int)
    }
    secrets = {option.keyword.decode() for option in pq.Conninfo.parse(b"") if option.dispchar == b"*"}
    if shown := secrets & parameters.keys():
        raise Misconfigured(
            say(
                "{tool} would show {secret} to other users of this machine. Move it from the ledger's URL to {file}.",
                tool=Code(PG_DUMP),
                secret=Code(min(shown)),
                file=Code("pg_service.conf"),
            )
        )
    return [PG_DUMP, "--format=custom", option, f"--dbname={make_conninfo('', **parameters)}"]


def _run_dump(command: list[str], password: object, target: BinaryIO) -> None:
    """Write the dump to `target` through a pipe, so that pg_dump ends if this process is killed."""
    environ = {**os.environ, "LC_ALL": "C"} | ({} if password is None else {"PGPASSWORD": str(password)})
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=errors) as process:  # noqa: S603 - a fixed command
            assert process.stdout is not None
            shutil.copyfileobj(process.stdout, target, CHUNK)
        if not process.returncode:
            return
        errors.seek(0)
        why = next(iter(errors.read().decode(errors="replace").strip().splitlines()[::-1]), "")
    why = why.partition("error: ")[2] or why or f"exit code {process.returncode}"
    raise LedgerUnavailable(say("{tool} couldn't copy the ledger: {why}.", tool=Code(PG_DUMP), why=why.rstrip(".")))

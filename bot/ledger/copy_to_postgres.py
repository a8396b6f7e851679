"""Copy a ledger from SQLite to PostgreSQL, every row byte for byte, in one transaction, and compare the two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, Text, TypeDecorator, column, delete, func, insert, select, table, text
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.sql.expression import TableClause

from bot.domain.audit import audit_chain
from bot.domain.audit.audit_chain import ChainFault
from bot.domain.audit.events import ChainHead
from bot.domain.core.errors import Misconfigured, Refused
from bot.domain.core.sentence import Code, say
from bot.ledger.database import SqlLedger
from bot.ledger.schema_check import SchemaAge
from bot.ledger.stores.reader import SqlLedgerReader
from bot.ledger.tables import audit_head, metadata

BATCH_SIZE = 5000  # rows in memory at a time
TABLES = tuple(metadata.sorted_tables)  # a table comes after the tables that it refers to

ProgressCallback = Callable[[str, int], None]  # takes a table's name and how many of its rows were copied so far


@dataclass(frozen=True, slots=True)
class CopyResult:
    """What was copied: the row count by table, the audit chain's head, and the first fault in the chain, if any."""

    rows: Mapping[str, int]
    head: ChainHead
    fault: ChainFault | None


def copy_ledger(
    source: SqlLedger,
    target: SqlLedger,
    *,
    force: bool = False,
    dry_run: bool = False,
    report_progress: ProgressCallback | None = None,
) -> CopyResult:
    """Copy an entire SQLite ledger into an empty PostgreSQL ledger, or copy nothing.

    Both are locked against other writers. `force`: copy even a ledger with a broken audit chain, unchanged. `dry_run`:
    copy and compare everything, then roll back; the source isn't locked, so the bot can keep writing to it.
    `report_progress`: called after each batch of rows.

    Raises Misconfigured if the two aren't on these databases or their tables aren't current. Raises Refused if a bot is
    using the source, the target isn't empty, the audit chain is broken, PostgreSQL rejects a row, or the copy differs.
    Raises LedgerUnavailable.
    """
    _require_backends(source, target)
    with source.snapshot() if dry_run else source.exclusive() as old, target.exclusive() as new:
        if not dry_run and source.is_locked:
            raise Refused(say("A bot is using the ledger at {url}. Stop it first.", url=Code(source.address)))
        verified = _verify_source(old, force=force)
        _lock_empty(new, target)
        copied = {table_to_copy.name: _copy_table(table_to_copy, old, new, report_progress) for table_to_copy in TABLES}
        _require_same(old, new, verified)
        if dry_run:
            new.rollback()
    return CopyResult(copied, *verified)


def _require_backends(source: SqlLedger, target: SqlLedger) -> None:
    if not source.is_file or target.is_file:
        raise Misconfigured(
            say(
                "This copies the SQLite ledger in the settings to the PostgreSQL database in {to}. "
                "To copy between two PostgreSQL databases, use {dump} and {restore}.",
                to=Code("--to"),
                dump=Code("registrar db backup"),
                restore=Code("pg_restore"),
            )
        )
    source.require_current()
    target_schema = target.schema()
    if target_schema.age in {SchemaAge.NONE, SchemaAge.OLDER}:
        command = f"REGISTRAR_DATABASE_URL={target.address} registrar db upgrade"
        raise Misconfigured(
            say(
                "The database at {url} doesn't have the tables that this version needs. Create them first: {command}",
                url=Code(target.address),
                command=Code(command),
            )
        )
    target.require_current()


def _verify_source(old: Connection, *, force: bool) -> tuple[ChainHead, ChainFault | None]:
    head, fault = SqlLedgerReader(old).verify_audit()
    if fault is None or force:
        return head, fault
    raise Refused(
        say(
            "{told} Nothing was copied. {advice} To copy it unchanged, add {force}.",
            told=audit_chain.describe_fault(fault),
            advice=audit_chain.advice(fault),
            force=Code("--force"),
        )
    )


def _lock_empty(new: Connection, target: SqlLedger) -> None:
    """Lock the target against other writers. Raises Refused if it isn't empty."""
    names = ", ".join(f'"{each_table.name}"' for each_table in TABLES)
    new.execute(text(f"LOCK TABLE {names} IN EXCLUSIVE MODE"))
    full = [
        each_table.name
        for each_table in TABLES
        if each_table is not audit_head and new.execute(select(_untyped(each_table)).limit(1)).first()
    ]
    if full or new.execute(select(audit_head.c.number)).scalar_one_or_none():
        raise Refused(
            say(
                "The ledger at {url} isn't empty: it has rows in {tables}. Copy into a new database that no bot has "
                "used.",
                url=Code(target.address),
                tables=[Code(name) for name in full[:3] or [audit_head.name]],
            )
        )
    new.execute(delete(audit_head))  # the migration inserts one row


def _copy_table(source_table: Table, old: Connection, new: Connection, report_progress: ProgressCallback | None) -> int:
    """Copy a table's rows in primary key order; return how many there were."""
    plain, count = _untyped(source_table), 0
    ordered = select(plain).order_by(*(plain.c[key.name] for key in source_table.primary_key))
    result = old.execution_options(yield_per=BATCH_SIZE).execute(ordered)
    for rows in result.mappings().partitions():
        try:
            new.execute(insert(plain), [dict(row) for row in rows])
        except (DataError, IntegrityError) as error:
            table, why = Code(source_table.name), str(error.orig).partition("\n")[0]
            raise Refused(
                say("Nothing was copied: PostgreSQL rejected a row of {table} ({why}).", table=table, why=why)
            ) from error
        count += len(rows)
        if report_progress:
            report_progress(source_table.name, count)
    _copy_sequence(source_table, old, new)
    return count


def _untyped(typed_table: Table) -> TableClause:
    """Return the table with its text columns as plain text, read and written without conversion."""

    def stored_type(column_type: Any) -> Any:
        is_text = isinstance(column_type, TypeDecorator) and isinstance(column_type.impl_instance, Text)
        return Text() if is_text else column_type

    return table(typed_table.name, *(column(typed.name, stored_type(typed.type)) for typed in typed_table.c))


def _copy_sequence(source_table: Table, old: Connection, new: Connection) -> None:
    """Continue the numbering where the source left off, so that no number is reused, not even a deleted row's."""
    numbers = source_table.autoincrement_column
    if numbers is None:
        return
    last = old.execute(text("SELECT seq FROM sqlite_sequence WHERE name = :name"), {"name": source_table.name}).scalar()
    if last:
        new.execute(select(func.setval(func.pg_get_serial_sequence(source_table.name, numbers.name), last)))


def _require_same(old: Connection, new: Connection, before: tuple[ChainHead, ChainFault | None]) -> None:
    """Raise Refused if the copy differs in its row counts or its audit chain."""
    count_rows = select(func.count())
    different = [
        each_table.name
        for each_table in TABLES
        if old.execute(count_rows.select_from(each_table)).scalar()
        != new.execute(count_rows.select_from(each_table)).scalar()
    ]
    if different or SqlLedgerReader(new).verify_audit() != before:
        raise Refused(
            say(
                "The copy differs in {what}, so nothing was kept. This is a bug; please report it.",
                what=[Code(name) for name in different or ["audit_events"]],
            )
        )

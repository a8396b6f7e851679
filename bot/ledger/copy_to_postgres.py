"""Moving a ledger from SQLite to PostgreSQL: every row, byte for byte, in one transaction, the audit compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Table, Text, TypeDecorator, column, delete, func, insert, select, table, text
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.sql.expression import ColumnClause, TableClause

from bot.domain.audit.events import Head
from bot.domain.core.errors import Misconfigured, Refused
from bot.domain.core.sentence import Code, say
from bot.ledger import audit_chain, verify
from bot.ledger.audit_chain import Fault
from bot.ledger.database import SqlLedger
from bot.ledger.schema import Age
from bot.ledger.stores.reader import SqlReading
from bot.ledger.tables.base import audit_head, metadata

BATCH = 5000  # rows that are in memory at a time
TABLES = tuple(metadata.sorted_tables)  # what is referred to comes before what refers to it

Tell = Callable[[str, int], None]  # hears of which table how many rows were copied so far


@dataclass(frozen=True, slots=True)
class Moved:
    """What was copied: how many rows of each table, where the audit ends, and its first row that is not whole."""

    rows: Mapping[str, int]
    head: Head
    fault: Fault | None

    @property
    def number(self) -> int:
        """How many rows there are in all."""
        return sum(self.rows.values())


def move(
    source: SqlLedger, target: SqlLedger, *, is_forced: bool = False, is_dry: bool = False, tell: Tell | None = None
) -> Moved:
    """Copy everything from a ledger on SQLite into an empty one on PostgreSQL, all of it or nothing.

    Nobody else writes to either meanwhile. `is_forced`: also an audit that is not whole, which is then just as much
    so in the copy. `is_dry`: all is done and compared, and then taken back; the bot may go on writing to the source.

    Raises Misconfigured where the two are not what they have to be, Refused where a bot serves the source, the target
    is not empty, the audit is not whole or the copy is not the same; and LedgerUnavailable.
    """
    _check_kinds(source, target)
    with source.snapshot() if is_dry else source.alone() as old, target.alone() as new:
        if not is_dry and source.is_served:
            raise Refused(say("A bot serves the ledger at {url}; stop it first.", url=Code(source.address)))
        before = _look(old, is_forced=is_forced)
        _lock_empty(new, target)
        copied = {one.name: _copy(one, old, new, tell) for one in TABLES}
        _compare(old, new, before)
        if is_dry:
            new.rollback()
    return Moved(copied, *before)


def _check_kinds(source: SqlLedger, target: SqlLedger) -> None:
    if not source.is_file or target.is_file:
        raise Misconfigured(
            say(
                "A ledger is moved from SQLite, which the settings name, to PostgreSQL, which {to} names. From one "
                "PostgreSQL to another it is moved with {dump} and {restore}.",
                to=Code("--to"),
                dump=Code("registrar db backup"),
                restore=Code("pg_restore"),
            )
        )
    source.require_current()
    found = target.schema()
    if found.age in {Age.NONE, Age.OLDER}:
        command = f"REGISTRAR_DATABASE_URL={target.address} registrar db upgrade"
        raise Misconfigured(
            say(
                "The database at {url} does not have this Registrar's tables. Make them first: {command}",
                url=Code(target.address),
                command=Code(command),
            )
        )
    target.require_current()


def _look(old: Connection, *, is_forced: bool) -> tuple[Head, Fault | None]:
    head, fault = verify.look(SqlReading(old))
    if fault is None or is_forced:
        return head, fault
    raise Refused(
        say(
            "{told} Nothing was copied. {advice} With {force} it is copied as it is.",
            told=audit_chain.told(fault),
            advice=audit_chain.advice(fault),
            force=Code("--force"),
        )
    )


def _lock_empty(new: Connection, target: SqlLedger) -> None:
    """Let nobody else write there until we are done. Raises Refused where there is anything already."""
    names = ", ".join(f'"{one.name}"' for one in TABLES)
    new.execute(text(f"LOCK TABLE {names} IN EXCLUSIVE MODE"))
    full = [one.name for one in TABLES if one is not audit_head and new.execute(select(_plain(one)).limit(1)).first()]
    if full or new.execute(select(audit_head.c.number)).scalar_one_or_none():
        raise Refused(
            say(
                "The ledger at {url} is not empty: {tables} has rows. Copy into a new database, on which no bot has "
                "run.",
                url=Code(target.address),
                tables=[Code(name) for name in full[:3] or [audit_head.name]],
            )
        )
    new.execute(delete(audit_head))  # the migration puts one row there


def _copy(one: Table, old: Connection, new: Connection, tell: Tell | None) -> int:
    """Copy a table's rows in the order of their keys; return how many."""
    plain, count = _plain(one), 0
    ordered = select(plain).order_by(*(plain.c[key.name] for key in one.primary_key))
    found = old.execution_options(yield_per=BATCH).execute(ordered)
    for rows in found.mappings().partitions():
        try:
            new.execute(insert(plain), [dict(row) for row in rows])
        except (DataError, IntegrityError) as error:
            raise Refused(
                say(
                    "PostgreSQL does not take what {table} holds: {why}. Nothing was copied.",
                    table=Code(one.name),
                    why=str(error.orig).partition("\n")[0],
                )
            ) from error
        count += len(rows)
        if tell:
            tell(one.name, count)
    _go_on_counting(one, old, new)
    return count


def _plain(one: Table) -> TableClause:
    """Return a table whose texts are read and written as they are stored, whatever they mean to us."""
    return table(one.name, *(_as_stored(each.name, each.type) for each in one.c))


def _as_stored(name: str, kind: object) -> ColumnClause[object]:
    is_text = isinstance(kind, TypeDecorator) and isinstance(kind.impl_instance, Text)
    return column(name, Text() if is_text else kind)  # type: ignore[arg-type]  # a column's type is none but these


def _go_on_counting(one: Table, old: Connection, new: Connection) -> None:
    """Let the next row get the number that it would have got: also that of a row that is gone is given to no other."""
    numbers = one.autoincrement_column
    if numbers is None:
        return
    last = old.execute(text("SELECT seq FROM sqlite_sequence WHERE name = :name"), {"name": one.name}).scalar()
    if last:
        new.execute(select(func.setval(func.pg_get_serial_sequence(one.name, numbers.name), last)))


def _compare(old: Connection, new: Connection, before: tuple[Head, Fault | None]) -> None:
    """Raise Refused where the copy is not the same: not as many rows, or another audit."""
    counted = select(func.count())
    wrong = [
        one.name
        for one in TABLES
        if old.execute(counted.select_from(one)).scalar() != new.execute(counted.select_from(one)).scalar()
    ]
    if wrong or verify.look(SqlReading(new)) != before:
        raise Refused(
            say(
                "The copy is not the same ({what}); nothing was kept. That should not be: please tell us.",
                what=[Code(name) for name in wrong or ["audit_events"]],
            )
        )

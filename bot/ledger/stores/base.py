"""The base of all stores: the connection, the conversion of rows to domain values, and frequently used statements.

Such a statement is built once, because building it takes longer than running it on SQLite.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from functools import cache
from operator import attrgetter, itemgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import (
    BindParameter,
    Column,
    Connection,
    Result,
    Row,
    Select,
    Table,
    Update,
    bindparam,
    case,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import ColumnElement

from bot.domain.audit.events import ChainedEvent, Event
from bot.domain.core.actors import Operator
from bot.ledger.tables import IS_OPEN, incidents, metadata, monitors, queued_commands, requests
from bot.ledger.tables.column_types import ActorText
from bot.ports.external import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    T = TypeVar("T", bound=DataclassInstance)

NO_OPERATOR_IDS: Mapping[str, str] = MappingProxyType({})
OUTDATED_MESSAGE = "This message is out of date, so nothing was changed."
UNCLAIMED = {"claimed_by": None, "claimed_until": None}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_NUMBER = 2**62  # above every number that a row can have
ACTOR_COLUMNS = {column.name for table in metadata.tables.values() for column in table.c if column.type is ActorText}
KEY, NOW = "b_key", "b_now"  # bound parameters; no column has these names
# The unique indexes of these tables cover only some rows.
PARTIAL_INDEXES = {
    requests: IS_OPEN,
    monitors: monitors.c.removed_at.is_(None),
    incidents: incidents.c.resolved_at.is_(None),
    queued_commands: queued_commands.c.key.is_not(None),
}
INSERTS = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class SqlReadStore:
    """Reads on one connection; the ledger begins and ends its transaction.

    `operator_ids` maps operators (users of the machine that Registrar runs on) to their Slack IDs.
    """

    locks_rows = False

    def __init__(self, connection: Connection, operator_ids: Mapping[str, str] = NO_OPERATOR_IDS) -> None:
        self._connection = connection
        self._operator_ids = operator_ids
        self._dialect = connection.dialect.name

    def _find_by_key(self, domain_type: type[T], column: Column[Any], key: str) -> T | None:
        """Return the row with this key, or None; a write transaction locks the row until the transaction ends."""
        return self._find(domain_type, select_by_key(column, for_update=self.locks_rows), {KEY: key})

    def _get(self, domain_type: type[T], column: Column[Any], key: str, not_found: Exception | None = None) -> T:
        if found := self._find_by_key(domain_type, column, key):
            return found
        raise not_found or KeyError(key)

    def _find(self, domain_type: type[T], query: Any, values: Mapping[str, Any] | None = None) -> T | None:
        result = self._connection.execute(query, values or {})
        row = result.first()
        return None if row is None else row_loader(domain_type, result, self._operator_ids)(row)

    def _list(self, domain_type: type[T], query: Any, values: Mapping[str, Any] | None = None) -> list[T]:
        result = self._connection.execute(query, values or {})
        return list(map(row_loader(domain_type, result, self._operator_ids), result.all()))

    def _fetch_column(self, query: Any, values: Mapping[str, Any] | None = None) -> list[Any]:
        return list(self._connection.execute(query, values or {}).scalars())


class SqlWriteStore(SqlReadStore):
    """Writes on one connection."""

    locks_rows = True

    def __init__(
        self, connection: Connection, operator_ids: Mapping[str, str] = NO_OPERATOR_IDS, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        super().__init__(connection, operator_ids)
        self._clock = clock
        self._pending_events: list[Event] = []  # appended to the audit log when the transaction ends
        self._chained_events: list[ChainedEvent] = []  # appended by now

    def lock(self, name: str) -> None:
        """Wait until no other transaction holds this name, and hold it until this transaction ends."""
        if self._dialect == "postgresql":  # SQLite has a single writer: this one
            self._connection.execute(select(func.pg_advisory_xact_lock(_advisory_lock_id(name))))

    def try_lock(self, name: str) -> bool:
        """Lock a name; return False at once if another transaction holds it."""
        if self._dialect == "sqlite":
            return True
        return bool(self._connection.execute(select(func.pg_try_advisory_xact_lock(_advisory_lock_id(name)))).scalar())

    def _update(self, table: Table, key: str, values: Mapping[str, Any]) -> bool:
        return self._execute(update_by_id(table), {KEY: key, **values})

    def _insert(self, table: Table, values: Mapping[str, Any], *unique: str) -> bool:
        """Insert a row; return False if a row with the same `unique` columns exists."""
        return self._connection.execute(insert_unless_present(table, unique, self._dialect), values).first() is not None

    def _execute(self, statement: Any, values: Mapping[str, Any] | None = None) -> bool:
        """Execute a statement; return whether it changed a row."""
        return self._connection.execute(statement, values or {}).rowcount > 0


def row_loader(
    domain_type: type[T], result: Result[Any], operator_ids: Mapping[str, str] = NO_OPERATOR_IDS
) -> Callable[[Row[Any]], T]:
    """Return a function that converts a row of `result` to the dataclass, ignoring other columns."""
    names, pick, actor_names = _fields_in(domain_type, tuple(result.keys()))
    if not (operator_ids and actor_names):
        return lambda row: domain_type(**dict(zip(names, pick(row), strict=True)))

    def load(row: Row[Any]) -> T:
        values = dict(zip(names, pick(row), strict=True))
        for name in actor_names:
            if isinstance(actor := values[name], Operator):
                values[name] = Operator(actor.name, operator_ids.get(actor.name, ""))
        return domain_type(**values)

    return load


def to_row(value: DataclassInstance, *, exclude: str = "") -> dict[str, Any]:
    """Return a domain value's fields as a row, without the field `exclude`."""
    names, get = _fields_except(type(value), exclude)
    return dict(zip(names, get(value), strict=True))


@cache
def _field_names(domain_type: type[DataclassInstance]) -> tuple[str, ...]:
    """Return the names of the fields. Cached, since thousands of rows have the same fields."""
    return tuple(field.name for field in fields(domain_type))


@cache
def _fields_except(
    domain_type: type[DataclassInstance], exclude: str
) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    """Return the names of the fields except `exclude`, and a function that gets their values."""
    names = tuple(name for name in _field_names(domain_type) if name != exclude)
    return names, attrgetter(*names)


@cache
def _fields_in(
    domain_type: type[DataclassInstance], columns: tuple[str, ...]
) -> tuple[tuple[str, ...], Callable[[Any], Any], list[str]]:
    """Return the field names, a function that gets their values from a row of these columns, and the actors' names."""
    names = _field_names(domain_type)
    return names, itemgetter(*map(columns.index, names)), [name for name in names if name in ACTOR_COLUMNS]


@cache
def select_by_key(column: Column[Any], *, for_update: bool = False) -> Select[Any]:
    """Return the SELECT for the row whose `column` is :b_key.

    `for_update`: lock the row; SQLite, with its single writer, ignores that.
    """
    query = select(column.table).where(column == bindparam(KEY))
    return query.with_for_update(key_share=True) if for_update else query


@cache
def update_by_id(table: Table) -> Update:
    """Return the UPDATE for the row whose `id` is :b_key; it sets the columns for which values are passed."""
    return update(table).where(table.c.id == bindparam(KEY))


@cache
def insert_unless_present(table: Table, unique: tuple[str, ...], dialect: str) -> Any:
    """Return the INSERT that returns a row, or does nothing if a row with the same `unique` columns exists."""
    insert: Any = INSERTS[dialect](table)
    partial = {"index_where": PARTIAL_INDEXES[table]} if table in PARTIAL_INDEXES else {}
    columns = [table.c[name] for name in unique]
    return insert.on_conflict_do_nothing(index_elements=columns, **partial).returning(columns[0])


@cache
def upsert(table: Table, unique: str, monotonic: str | None, dialect: str) -> Any:
    """Return the INSERT that replaces the row with the same `unique` column, but never lowers `monotonic`, if given."""
    insert: Any = INSERTS[dialect](table)
    new = {column.name: insert.excluded[column.name] for column in table.c if column.name != unique}
    if monotonic:
        new[monotonic] = case((table.c[monotonic] > new[monotonic], table.c[monotonic]), else_=new[monotonic])
    return insert.on_conflict_do_update(index_elements=[table.c[unique]], set_=new)


def is_due(time: ColumnElement[Any], now: datetime | BindParameter[Any]) -> ColumnElement[bool]:
    """Return the condition that `time` is `now` or earlier, or isn't set."""
    return or_(time.is_(None), time <= now)


def _advisory_lock_id(name: str) -> int:
    """Return the number that identifies a named lock in PostgreSQL."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)

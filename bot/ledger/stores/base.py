"""What all stores share: the connection, and how rows become domain values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeVar

from sqlalchemy import CompoundSelect, Connection, RowMapping, Select, Table, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from bot.domain.monitoring.incident import Incident, TrippedBreaker
from bot.domain.monitoring.monitor import FrozenBaseline, Monitor, MonitorState
from bot.domain.monitoring.readings import Measurement, PushedReading
from bot.domain.policy.freezes import Freeze
from bot.domain.promotions.request import Request, Vote
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.transitions.drift import DriftNotice, RegistrySnapshot
from bot.domain.transitions.restores import Hold
from bot.domain.transitions.serving_check import ServingCheck
from bot.domain.transitions.transition import Transition
from bot.ledger.stores import row_mapping, statements
from bot.ports import IdempotentCall, MessageRef, OutboxMessage, QueuedCommand, TagUpdate

NO_OPERATOR_IDS: Mapping[str, str] = MappingProxyType({})
UNCLAIMED = {"claimed_by": None, "claimed_until": None}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

T = TypeVar(
    "T",
    Request,
    Vote,
    Transition,
    QueuedCommand,
    OutboxMessage,
    MessageRef,
    RegistrySnapshot,
    DriftNotice,
    TagUpdate,
    Freeze,
    RollbackBlock,
    Monitor,
    MonitorState,
    Measurement,
    PushedReading,
    IdempotentCall,
    Incident,
    TrippedBreaker,
    ServingCheck,
    Hold,
    FrozenBaseline,
)


class SqlReadStore:
    """Reads on one connection; the ledger begins and ends its transaction.

    `operator_ids`: Slack ids by the name of the operator, a user of the machine that Registrar runs on.
    """

    def __init__(self, connection: Connection, operator_ids: Mapping[str, str] = NO_OPERATOR_IDS) -> None:
        self._connection = connection
        self._operator_ids = operator_ids

    def _select_by_key(self, table: Table, column: str) -> Select[Any]:
        """Return the select of the row whose `column` is :b_key; in a transaction that writes it locks the row."""
        return statements.select_by_key(table, column)

    def _get(self, domain_type: type[T], table: Table, key: str) -> T:
        if found := self._find(domain_type, self._select_by_key(table, "id"), key):
            return found
        raise KeyError(key)

    def _find(self, domain_type: type[T], query: Select[Any], key: str | None = None) -> T | None:
        row = self._connection.execute(query, _key_parameter(key)).mappings().first()
        return None if row is None else self._to_domain(domain_type, row)

    def _list(self, domain_type: type[T], query: Select[Any], key: str | None = None) -> list[T]:
        return [self._to_domain(domain_type, row) for row in self._fetch_rows(query, key)]

    def _to_domain(self, domain_type: type[T], row: RowMapping) -> T:
        return row_mapping.with_operator_ids(row_mapping.from_row(domain_type, row), self._operator_ids)

    def _fetch_rows(self, query: Select[Any], key: str | None = None) -> Sequence[RowMapping]:
        return self._connection.execute(query, _key_parameter(key)).mappings().all()

    def _fetch_int(self, query: Select[Any]) -> int:
        return int(self._connection.execute(query).scalar_one())

    def _fetch_column(self, query: Select[Any] | CompoundSelect[Any]) -> list[str]:
        return list(self._connection.execute(query).scalars())


class SqlWriteStore(SqlReadStore):
    """Writes on one connection."""

    def __init__(self, connection: Connection, operator_ids: Mapping[str, str] = NO_OPERATOR_IDS) -> None:
        super().__init__(connection, operator_ids)
        self._dialect = connection.dialect.name
        self._is_postgres = self._dialect == "postgresql"

    def lock(self, name: str) -> None:
        """Wait until no other transaction holds this name, and hold it until this transaction ends."""
        if self._is_postgres:  # SQLite has a single writer: this one
            self._connection.execute(select(func.pg_advisory_xact_lock(_advisory_lock_id(name))))

    def try_lock(self, name: str) -> bool:
        """Lock a name; return False at once if another transaction holds it."""
        if not self._is_postgres:
            return True
        return bool(self._connection.execute(select(func.pg_try_advisory_xact_lock(_advisory_lock_id(name)))).scalar())

    def _select_by_key(self, table: Table, column: str) -> Select[Any]:
        """Return the select that locks the row, so that nothing else changes it between reading and writing it."""
        return statements.select_for_update(table, column)

    def _update(self, table: Table, key: str, values: dict[str, Any]) -> bool:
        return self._connection.execute(statements.update_by_id(table), {statements.KEY: key, **values}).rowcount > 0

    def _insert(self, table: Table, values: dict[str, Any], *unique: str) -> bool:
        insert = statements.insert_unless_present(table, unique, self._connection.dialect.name)
        return self._connection.execute(insert, values).first() is not None

    def _execute(self, statement: Any) -> bool:
        return self._connection.execute(statement).rowcount > 0


def is_due(time: ColumnElement[Any], now: datetime) -> ColumnElement[bool]:
    """Return the condition that `time` is `now` or earlier, or isn't set."""
    return or_(time.is_(None), time <= now)


def _key_parameter(key: str | None) -> dict[str, str]:
    return {} if key is None else {statements.KEY: key}


def _advisory_lock_id(name: str) -> int:
    """Return the number that identifies a named lock in PostgreSQL."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)

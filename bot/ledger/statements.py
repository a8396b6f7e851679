"""Statements that every vote runs, made once: building one costs SQLAlchemy more than SQLite needs to run it."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Select, Table, Text, Update, bindparam, func, select, type_coerce, update
from sqlalchemy.dialects import postgresql, sqlite

from bot.ledger.tables import IS_OPEN, audit_events, audit_head, incidents, monitors, requests, votes

PARTIAL = {
    requests: IS_OPEN, monitors: monitors.c.removed_at.is_(None), incidents: incidents.c.resolved_at.is_(None),
}  # fmt: skip
KEY = "b_key"  # of a bound value; no column has this name


@cache
def one(table: Table, column: str) -> Select[Any]:
    """Return the select of the row whose `column` is :b_key."""
    return select(table).where(table.c[column] == bindparam(KEY))


@cache
def locked_request() -> Select[Any]:
    """Return the select of a request that locks its row; SQLite, whose one writer we are, leaves that out."""
    return one(requests, "id").with_for_update()


@cache
def votes_on() -> Select[Any]:
    """Return the select of the votes on request :b_key, in the order in which they were cast."""
    return one(votes, "request").order_by(votes.c.number)


@cache
def add(table: Table, unique: tuple[str, ...], dialect: str) -> Any:
    """Return the insert that does nothing where `unique` is there already, and else returns a row.

    An open request is unique among open ones only: that index is a partial one, as those of `PARTIAL` are.
    """
    insert: Any = {"sqlite": sqlite, "postgresql": postgresql}[dialect].insert(table)
    partial = {"index_where": PARTIAL[table]} if table in PARTIAL else {}
    columns = [table.c[name] for name in unique]
    return insert.on_conflict_do_nothing(index_elements=columns, **partial).returning(columns[0])


@cache
def change(table: Table) -> Update:
    """Return the update of the row whose id is :b_key; the columns are those of the values given."""
    return update(table).where(table.c.id == bindparam(KEY))


@cache
def head() -> Select[Any]:
    """Return the select of the audit chain's head that locks it."""
    return select(audit_head).with_for_update()


@cache
def move_head() -> Update:
    """Return the update of the audit chain's head."""
    return update(audit_head)


@cache
def append() -> Any:
    """Return the insert of audit events."""
    return audit_events.insert()


@cache
def records(dialect: str) -> Select[Any]:
    """Return the select of audit rows as `audit.Record` has them: the text of each column, whatever stands in it.

    A time is made the text that was hashed by the database itself: an edited one need not be a time at all.
    """
    columns = audit_events.c
    if dialect == "sqlite":
        at = func.replace(type_coerce(columns.at, Text), " ", "T", type_=Text)
    else:
        at = func.to_char(func.timezone("UTC", columns.at), 'YYYY-MM-DD"T"HH24:MI:SS.US', type_=Text)
    model = type_coerce(columns.model, Text)
    return select(
        columns.number, at.concat("+00:00"), columns.actor, columns.tag, model, columns.body, columns.previous,
        columns.hash,
    )  # fmt: skip

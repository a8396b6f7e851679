"""Rows that the active hold covers, so that nothing claims them, and rows that a new or extended hold covers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, Table, exists, func, literal, select

from bot.domain.transitions.transition import UNFINISHED_STATES
from bot.ledger.tables import (
    COMMAND_IS_WAITING,
    IS_PENDING,
    TAG_UPDATE_IS_WAITING,
    holds,
    is_in,
    queued_commands,
    requests,
    tag_updates,
    transitions,
)

IS_ACTIVE = holds.c.lifted_at.is_(None)
# A hold covers these rows of each table, up to the number in the column with the table's name.
PENDING_ROWS: dict[Table, ColumnElement[bool]] = {
    transitions: is_in(transitions.c.state, *UNFINISHED_STATES),
    queued_commands: COMMAND_IS_WAITING,
    requests: IS_PENDING,
    tag_updates: TAG_UPDATE_IS_WAITING,
}
IS_HELD: dict[Table, ColumnElement[bool]] = {
    table: exists().where(IS_ACTIVE, holds.c[table.name] >= table.c.number).correlate(table) for table in PENDING_ROWS
}
# The columns of a hold that covers every row that exists now.
CURRENT_EXTENT: dict[str, Any] = {
    table.name: func.coalesce(select(func.max(table.c.number)).scalar_subquery(), literal(0)) for table in PENDING_ROWS
}


def select_held(table: Table) -> Select[Any]:
    """Return the SELECT for the table's pending rows that the active hold covers, oldest first."""
    return select(table).where(PENDING_ROWS[table], IS_HELD[table]).order_by(table.c.number)

"""Which rows the active hold covers, so that nothing claims them, and what a new or extended hold covers."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    Table,
    Update,
    exists,
    func,
    literal,
    select,
    union,
    update,
)

from bot.domain.transitions.transition import UNFINISHED_STATES
from bot.ledger.tables import (
    COMMAND_IS_WAITING,
    IS_OPEN,
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
# A hold covers these rows of each table, up to the number in the column that has the table's name.
PENDING_ROWS: dict[Table, ColumnElement[bool]] = {
    transitions: is_in(transitions.c.state, *UNFINISHED_STATES),
    queued_commands: COMMAND_IS_WAITING,
    requests: IS_PENDING,
    tag_updates: TAG_UPDATE_IS_WAITING,
}


def is_held(table: Table) -> ColumnElement[bool]:
    """Return the condition that the active hold covers a row of the table."""
    return exists().where(IS_ACTIVE, holds.c[table.name] >= table.c.number).correlate(table)


@cache
def select_held(table: Table) -> Select[Any]:
    """Return the select of the table's pending rows that the active hold covers, oldest first."""
    return select(table).where(PENDING_ROWS[table], is_held(table)).order_by(table.c.number)


@cache
def select_models_with_pending_work() -> CompoundSelect[Any]:
    """Return the select of the models with open requests, unfinished transitions, or unwritten tag updates."""
    pending = ((requests, IS_OPEN), (transitions, PENDING_ROWS[transitions]), (tag_updates, TAG_UPDATE_IS_WAITING))
    return union(*(select(table.c.model).where(condition) for table, condition in pending))


def current_extent() -> dict[str, Any]:
    """Return the columns of a hold that covers every row that exists now."""
    return {
        table.name: func.coalesce(select(func.max(table.c.number)).scalar_subquery(), literal(0))
        for table in PENDING_ROWS
    }


@cache
def discard_held_tag_updates() -> Update:
    """Return the update that takes held tag updates off the queue."""
    return update(tag_updates).where(TAG_UPDATE_IS_WAITING, is_held(tag_updates)).values(is_done=True)

"""Holds in SQL: which rows the active hold covers, so that nothing claims them, and how it's opened and widened."""

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
# What a hold covers: of each table the rows of this kind, up to the number that the column of the table's name says.
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
    """Return the select of the waiting rows of the table that the active hold covers, oldest first."""
    return select(table).where(PENDING_ROWS[table], is_held(table)).order_by(table.c.number)


@cache
def select_models_with_pending_work() -> CompoundSelect[Any]:
    """Return the select of the models that have open requests, unfinished moves, or tags still to be written."""
    waiting = ((requests, IS_OPEN), (transitions, PENDING_ROWS[transitions]), (tag_updates, TAG_UPDATE_IS_WAITING))
    return union(*(select(table.c.model).where(condition) for table, condition in waiting))


def current_extent() -> dict[str, Any]:
    """Return what a hold covers from now on: of each table everything that's there."""
    return {
        table.name: func.coalesce(select(func.max(table.c.number)).scalar_subquery(), literal(0))
        for table in PENDING_ROWS
    }


@cache
def discard_held_tag_updates() -> Update:
    """Return the update that takes the held tag updates out of the queue."""
    return update(tag_updates).where(TAG_UPDATE_IS_WAITING, is_held(tag_updates)).values(is_done=True)

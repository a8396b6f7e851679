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

from bot.domain.transitions.transition import UNFINISHED
from bot.ledger.tables.base import (
    ASK_WAITS,
    COPY_WAITS,
    IS_OPEN,
    IS_PENDING,
    asks,
    copies,
    holds,
    is_in,
    moves,
    requests,
)

HOLDS = holds.c.lifted_at.is_(None)
# What a hold covers: of each table the rows of this kind, up to the number that the column of the table's name says.
WAITS: dict[Table, ColumnElement[bool]] = {
    moves: is_in(moves.c.state, *UNFINISHED),
    asks: ASK_WAITS,
    requests: IS_PENDING,
    copies: COPY_WAITS,
}


def is_held(table: Table) -> ColumnElement[bool]:
    """Return the condition that the active hold covers a row of the table."""
    return exists().where(HOLDS, holds.c[table.name] >= table.c.number).correlate(table)


@cache
def held(table: Table) -> Select[Any]:
    """Return the select of the waiting rows of the table that the active hold covers, oldest first."""
    return select(table).where(WAITS[table], is_held(table)).order_by(table.c.number)


@cache
def models_waiting() -> CompoundSelect[Any]:
    """Return the select of the models that have open requests, unfinished moves, or tags still to be written."""
    waiting = ((requests, IS_OPEN), (moves, WAITS[moves]), (copies, COPY_WAITS))
    return union(*(select(table.c.model).where(condition) for table, condition in waiting))


def marks() -> dict[str, Any]:
    """Return what a hold covers from now on: of each table everything that's there."""
    return {
        table.name: func.coalesce(select(func.max(table.c.number)).scalar_subquery(), literal(0)) for table in WAITS
    }


@cache
def drop_copies() -> Update:
    """Return the update that takes the held tag updates out of the queue."""
    return update(copies).where(COPY_WAITS, is_held(copies)).values(is_done=True)

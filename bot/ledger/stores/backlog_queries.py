"""What is not finished, counted. Each query goes through an index that holds only this, or over a small table."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Column, Select, Table, func, select
from sqlalchemy.sql.elements import ColumnElement

from bot.domain.transitions.transition import UNFINISHED
from bot.ledger.tables import base
from bot.ledger.tables.base import ASK_WAITS, COPY_WAITS, IS_OPEN, NOTE_WAITS


@cache
def requests() -> Select[Any]:
    """Return the select of the open requests: state, how many, when the oldest was opened."""
    mine = base.requests.c
    return _by(mine.state, mine.opened_at, IS_OPEN)


@cache
def asks() -> Select[int, Any]:
    """Return the select of what waits for the registry: how many, since when."""
    return select(func.count(), func.min(base.asks.c.at)).where(ASK_WAITS)


@cache
def moves() -> Select[Any]:
    """Return the select of the moves that have not ended: state, how many, when the oldest was intended."""
    mine = base.moves.c
    return _by(mine.state, mine.intended_at, base.is_in(mine.state, *UNFINISHED))


@cache
def notes() -> Select[Any]:
    """Return the select of the outbox: kind, how many, when the oldest was written."""
    mine = base.notes.c
    return _by(mine.kind, mine.created_at, NOTE_WAITS)


@cache
def copies() -> Select[Any]:
    """Return the select of how many writes to the registry's tags wait."""
    return _count(base.copies, COPY_WAITS)


@cache
def incidents() -> Select[Any]:
    """Return the select of the open incidents: kind, how many, when the oldest was opened."""
    mine = base.incidents.c
    return _by(mine.kind, mine.opened_at, mine.resolved_at.is_(None))


@cache
def breakers() -> Select[Any]:
    """Return the select of how many breakers are tripped."""
    return _count(base.breakers)


@cache
def monitors() -> Select[Any]:
    """Return the select of the monitors that are checked: state, how many."""
    state = base.standings.c.state
    return select(state, func.count()).select_from(_checked()).where(*_are_checked()).group_by(state)


def overdue(now: datetime) -> Select[int, Any]:
    """Return the select of the checks whose time has come: how many, since when the longest."""
    due = base.standings.c.next_at
    return select(func.count(), func.min(due)).select_from(_checked()).where(*_are_checked(), due <= now)


def _checked() -> Any:
    return base.standings.join(base.monitors, base.standings.c.monitor == base.monitors.c.id)


def _are_checked() -> tuple[ColumnElement[bool], ...]:
    return base.monitors.c.removed_at.is_(None), ~base.monitors.c.is_paused


def _by(kind: Column[Any], since: Column[Any], where: ColumnElement[bool]) -> Select[Any]:
    return select(kind, func.count(), func.min(since)).where(where).group_by(kind)


def _count(table: Table, *where: ColumnElement[bool]) -> Select[Any]:
    return select(func.count()).select_from(table).where(*where)

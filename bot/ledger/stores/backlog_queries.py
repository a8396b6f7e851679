"""What is not finished, counted. Each query goes through an index that holds only this, or over a small table."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Column, Select, Table, func, select
from sqlalchemy.sql.elements import ColumnElement

from bot.domain.transitions.transition import UNFINISHED_STATES
from bot.ledger import tables
from bot.ledger.tables import COMMAND_IS_WAITING, IS_OPEN, MESSAGE_IS_WAITING, TAG_UPDATE_IS_WAITING


@cache
def count_requests() -> Select[Any]:
    """Return the select of the open requests: state, how many, when the oldest was opened."""
    mine = tables.requests.c
    return _count_by(mine.state, mine.opened_at, IS_OPEN)


@cache
def count_commands() -> Select[int, Any]:
    """Return the select of what waits for the registry: how many, since when."""
    return select(func.count(), func.min(tables.queued_commands.c.at)).where(COMMAND_IS_WAITING)


@cache
def count_transitions() -> Select[Any]:
    """Return the select of the moves that have not ended: state, how many, when the oldest was intended."""
    mine = tables.transitions.c
    return _count_by(mine.state, mine.intended_at, tables.is_in(mine.state, *UNFINISHED_STATES))


@cache
def count_messages() -> Select[Any]:
    """Return the select of the outbox: kind, how many, when the oldest was written."""
    mine = tables.outbox_messages.c
    return _count_by(mine.kind, mine.created_at, MESSAGE_IS_WAITING)


@cache
def count_tag_updates() -> Select[Any]:
    """Return the select of how many writes to the registry's tags wait."""
    return _count(tables.tag_updates, TAG_UPDATE_IS_WAITING)


@cache
def count_incidents() -> Select[Any]:
    """Return the select of the open incidents: kind, how many, when the oldest was opened."""
    mine = tables.incidents.c
    return _count_by(mine.kind, mine.opened_at, mine.resolved_at.is_(None))


@cache
def count_tripped_breakers() -> Select[Any]:
    """Return the select of how many breakers are tripped."""
    return _count(tables.tripped_breakers)


@cache
def count_monitors() -> Select[Any]:
    """Return the select of the monitors that are checked: state, how many."""
    state = tables.monitor_states.c.state
    return select(state, func.count()).select_from(_monitors_and_states()).where(*_is_checked()).group_by(state)


def count_overdue_checks(now: datetime) -> Select[int, Any]:
    """Return the select of the checks whose time has come: how many, since when the longest."""
    due = tables.monitor_states.c.next_at
    return select(func.count(), func.min(due)).select_from(_monitors_and_states()).where(*_is_checked(), due <= now)


def _monitors_and_states() -> Any:
    return tables.monitor_states.join(tables.monitors, tables.monitor_states.c.monitor == tables.monitors.c.id)


def _is_checked() -> tuple[ColumnElement[bool], ...]:
    return tables.monitors.c.removed_at.is_(None), ~tables.monitors.c.is_paused


def _count_by(group_column: Column[Any], since: Column[Any], condition: ColumnElement[bool]) -> Select[Any]:
    return select(group_column, func.count(), func.min(since)).where(condition).group_by(group_column)


def _count(table: Table, *conditions: ColumnElement[bool]) -> Select[Any]:
    return select(func.count()).select_from(table).where(*conditions)

"""Counts of unfinished work. Each query uses an index of only the unfinished rows, or reads a small table."""

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
    """Return the select of open requests: state, count, when the oldest was opened."""
    columns = tables.requests.c
    return _count_by(columns.state, columns.opened_at, IS_OPEN)


@cache
def count_commands() -> Select[int, Any]:
    """Return the select of waiting commands: count, when the oldest was queued."""
    return select(func.count(), func.min(tables.queued_commands.c.at)).where(COMMAND_IS_WAITING)


@cache
def count_transitions() -> Select[Any]:
    """Return the select of unfinished transitions: state, count, when the oldest was intended."""
    columns = tables.transitions.c
    return _count_by(columns.state, columns.intended_at, tables.is_in(columns.state, *UNFINISHED_STATES))


@cache
def count_messages() -> Select[Any]:
    """Return the select of waiting messages: kind, count, when the oldest was added."""
    columns = tables.outbox_messages.c
    return _count_by(columns.kind, columns.created_at, MESSAGE_IS_WAITING)


@cache
def count_tag_updates() -> Select[Any]:
    """Return the select of the number of waiting tag updates."""
    return _count(tables.tag_updates, TAG_UPDATE_IS_WAITING)


@cache
def count_incidents() -> Select[Any]:
    """Return the select of open incidents: kind, count, when the oldest was opened."""
    columns = tables.incidents.c
    return _count_by(columns.kind, columns.opened_at, columns.resolved_at.is_(None))


@cache
def count_tripped_breakers() -> Select[Any]:
    """Return the select of the number of tripped breakers."""
    return _count(tables.tripped_breakers)


@cache
def count_monitors() -> Select[Any]:
    """Return the select of active monitors: state, count."""
    state = tables.monitor_states.c.state
    return select(state, func.count()).select_from(_monitors_and_states()).where(*_is_checked()).group_by(state)


def count_overdue_checks(now: datetime) -> Select[int, Any]:
    """Return the select of checks due at `now`: count, when the longest overdue one was due."""
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

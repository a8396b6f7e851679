"""Everything that can be read from the ledger."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Table, func, select
from sqlalchemy.sql.elements import ColumnElement

from bot.domain.transitions.transition import UNFINISHED_STATES
from bot.ledger.stores.audit_log import AuditLogQueries
from bot.ledger.stores.base import NOW
from bot.ledger.stores.due_work import select_due_work
from bot.ledger.stores.integrity import DigestQueries
from bot.ledger.stores.monitoring import MonitoringQueries
from bot.ledger.stores.promotions import PromotionQueries
from bot.ledger.stores.registry_state import RegistryStateQueries
from bot.ledger.stores.transitions import TransitionQueries
from bot.ledger.stores.work_queue import WorkQueueQueries
from bot.ledger.tables import (
    COMMAND_IS_WAITING,
    IS_OPEN,
    MESSAGE_IS_WAITING,
    TAG_UPDATE_IS_WAITING,
    incidents,
    is_in,
    monitor_states,
    monitors,
    outbox_messages,
    queued_commands,
    requests,
    tag_updates,
    transitions,
    tripped_breakers,
)
from bot.ports.ledger import LedgerReader
from bot.ports.records import Backlog, DueWork, PendingCount


class SqlLedgerReader(
    PromotionQueries,
    TransitionQueries,
    RegistryStateQueries,
    MonitoringQueries,
    DigestQueries,
    WorkQueueQueries,
    AuditLogQueries,
    LedgerReader,
):
    """`bot.ports.LedgerReader` on one connection."""

    def backlog(self, now: datetime) -> Backlog:
        # Each query uses an index of only the unfinished rows, or reads a small table.
        is_checked = (monitors.c.removed_at.is_(None), ~monitors.c.is_paused)
        checked = (
            select()
            .select_from(monitor_states.join(monitors, monitor_states.c.monitor == monitors.c.id))
            .where(*is_checked)
        )
        due = monitor_states.c.next_at
        state = monitor_states.c.state
        by_state = self._connection.execute(checked.add_columns(state, func.count()).group_by(state))
        return Backlog(
            requests=self._count_by(requests.c.state, requests.c.opened_at, IS_OPEN),
            commands=self._count_pending(
                select(func.count(), func.min(queued_commands.c.at)).where(COMMAND_IS_WAITING)
            ),
            transitions=self._count_by(
                transitions.c.state, transitions.c.intended_at, is_in(transitions.c.state, *UNFINISHED_STATES)
            ),
            messages=self._count_by(outbox_messages.c.kind, outbox_messages.c.created_at, MESSAGE_IS_WAITING),
            tag_updates=self._count(tag_updates, TAG_UPDATE_IS_WAITING),
            incidents=self._count_by(incidents.c.kind, incidents.c.opened_at, incidents.c.resolved_at.is_(None)),
            tripped_breakers=self._count(tripped_breakers),
            monitors={row[0]: row[1] for row in by_state},
            overdue_checks=self._count_pending(checked.add_columns(func.count(), func.min(due)).where(due <= now)),
            audit_events=self.audit_head().number,
        )

    def due_work(self, now: datetime) -> frozenset[DueWork]:
        flags = self._connection.execute(select_due_work(), {NOW: now}).one()
        return frozenset(kind for kind, is_due in zip(DueWork, flags, strict=True) if is_due)

    def _count_by(
        self, group: Column[Any], since: Column[Any], condition: ColumnElement[bool]
    ) -> dict[Any, PendingCount]:
        query = select(group, func.count(), func.min(since)).where(condition).group_by(group)
        return {kind: PendingCount(number, oldest) for kind, number, oldest in self._connection.execute(query)}

    def _count_pending(self, query: Any) -> PendingCount:
        return PendingCount(*self._connection.execute(query).one())

    def _count(self, table: Table, *conditions: ColumnElement[bool]) -> int:
        return int(self._connection.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one())

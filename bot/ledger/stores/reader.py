"""Everything that can be read from the ledger."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Select

from bot.ledger.stores import backlog_queries
from bot.ledger.stores.audit_log import AuditLogQueries
from bot.ledger.stores.monitoring import MonitoringQueries
from bot.ledger.stores.promotions import PromotionQueries
from bot.ledger.stores.registry_state import RegistryStateQueries
from bot.ledger.stores.transitions import TransitionQueries
from bot.ledger.stores.work_queue import WorkQueueQueries
from bot.ports import Backlog, PendingCount


class SqlLedgerReader(
    PromotionQueries,
    TransitionQueries,
    RegistryStateQueries,
    MonitoringQueries,
    WorkQueueQueries,
    AuditLogQueries,
):
    """`bot.ports.LedgerReader` on one connection."""

    def backlog(self, now: datetime) -> Backlog:
        """Return a count of everything that is unfinished at `now`."""
        return Backlog(
            requests=self._count_by_kind(backlog_queries.count_requests()),
            commands=self._count_pending(backlog_queries.count_commands()),
            transitions=self._count_by_kind(backlog_queries.count_transitions()),
            messages=self._count_by_kind(backlog_queries.count_messages()),
            tag_updates=self._fetch_int(backlog_queries.count_tag_updates()),
            incidents=self._count_by_kind(backlog_queries.count_incidents()),
            tripped_breakers=self._fetch_int(backlog_queries.count_tripped_breakers()),
            monitors={row[0]: row[1] for row in self._connection.execute(backlog_queries.count_monitors())},
            overdue_checks=self._count_pending(backlog_queries.count_overdue_checks(now)),
            audit_events=self.audit_head().number,
        )

    def _count_by_kind(self, query: Select[Any]) -> dict[Any, PendingCount]:
        return {kind: PendingCount(number, since) for kind, number, since in self._connection.execute(query)}

    def _count_pending(self, query: Select[int, Any]) -> PendingCount:
        number, since = self._connection.execute(query).one()
        return PendingCount(number, since)

"""Everything that one transaction can change."""

from __future__ import annotations

from bot.ledger.stores.audit_log import AuditLogStore
from bot.ledger.stores.integrity import DigestStore
from bot.ledger.stores.monitoring import MonitoringStore
from bot.ledger.stores.promotions import PromotionStore
from bot.ledger.stores.reader import SqlLedgerReader
from bot.ledger.stores.registry_state import RegistryStateStore
from bot.ledger.stores.transitions import TransitionStore
from bot.ledger.stores.work_queue import WorkQueueStore


class SqlLedgerTransaction(
    PromotionStore,
    TransitionStore,
    RegistryStateStore,
    MonitoringStore,
    DigestStore,
    WorkQueueStore,
    AuditLogStore,
    SqlLedgerReader,
):
    """`bot.ports.LedgerTransaction` on one connection. The ledger calls `append_audit` right before it commits."""

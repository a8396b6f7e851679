"""Our database, and who shares its work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from bot.ports.audit_log import AuditLogReader, AuditLogWriter
from bot.ports.monitoring import MonitoringReader, MonitoringWriter
from bot.ports.promotions import PromotionReader, PromotionWriter
from bot.ports.records import Backlog, CheckBatch
from bot.ports.registry_state import RegistryStateReader, RegistryStateWriter
from bot.ports.transitions import TransitionReader, TransitionWriter
from bot.ports.work_queue import WorkQueueReader, WorkQueueWriter


class LedgerReader(
    PromotionReader,
    TransitionReader,
    RegistryStateReader,
    MonitoringReader,
    WorkQueueReader,
    AuditLogReader,
    Protocol,
):
    """One consistent view of the ledger."""

    def backlog(self, now: datetime) -> Backlog:
        """Return what is not finished. However much has ended, it costs no more."""
        ...


class LedgerTransaction(
    PromotionWriter,
    TransitionWriter,
    RegistryStateWriter,
    MonitoringWriter,
    WorkQueueWriter,
    AuditLogWriter,
    LedgerReader,
    Protocol,
):
    """One transaction on the ledger: everything in it commits together or not at all."""


class Ledger(Protocol):
    """Our database: the truth for decisions. Opening either raises LedgerUnavailable within its time limit."""

    def write(self) -> AbstractContextManager[LedgerTransaction]:
        """Open one transaction; it commits when the block ends and rolls back when it raises."""
        ...

    def read(self) -> AbstractContextManager[LedgerReader]:
        """Open one consistent reading."""
        ...

    def set_operator_ids(self, read_operators: Callable[[], Mapping[str, str]]) -> None:
        """Read every operator together with the Slack id that `operators` gives them at that moment."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


class Dispatcher(Protocol):
    """Lets batches of checks be made by somebody: a thread of ours, or a worker on another machine."""

    def set_handler(self, handler: Callable[[CheckBatch], None]) -> None:
        """Let `work` make the batches that this process takes. It never raises, and is called for several at once."""
        ...

    def start(self) -> None:
        """Begin to take batches."""
        ...

    def dispatch(self, batches: Sequence[CheckBatch]) -> None:
        """Let these be made soon; it does not wait for them. Raises LedgerUnavailable where that is not sure."""
        ...

    def close(self) -> None:
        """Take nothing new, and wait a moment for what is being made."""
        ...

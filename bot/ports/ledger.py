"""The complete ledger, and the dispatcher that distributes its checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from bot.domain.monitoring.incident import MonitorChart
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.views import build_monitor_chart
from bot.domain.registry.model import Stage
from bot.ports.audit_log import AuditLogReader, AuditLogWriter
from bot.ports.monitoring import MonitoringReader, MonitoringWriter
from bot.ports.promotions import PromotionReader, PromotionWriter
from bot.ports.records import Backlog, CheckBatch
from bot.ports.registry_state import RegistryStateReader, RegistryStateWriter
from bot.ports.transitions import TransitionReader, TransitionWriter
from bot.ports.work_queue import WorkQueueReader, WorkQueueWriter

MAX_CHART_CHECKS = 500  # checks in a chart


class LedgerReader(
    PromotionReader,
    TransitionReader,
    RegistryStateReader,
    MonitoringReader,
    WorkQueueReader,
    AuditLogReader,
    Protocol,
):
    """A consistent view of the ledger. All times, here and in a transaction, are in UTC with their zone."""

    def backlog(self, now: datetime) -> Backlog:
        """Return a count of everything that is unfinished at `now`.

        The cost doesn't grow with finished work.
        """


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
    """The database that all decisions are based on."""

    def write(self) -> AbstractContextManager[LedgerTransaction]:
        """Open a transaction; it commits when the block ends and rolls back if it raises.

        Raises LedgerUnavailable if it can't be opened in time.
        """

    def read(self) -> AbstractContextManager[LedgerReader]:
        """Open a consistent view of the ledger. Raises LedgerUnavailable if it can't be opened in time."""

    def set_operator_ids(self, read_operators: Callable[[], Mapping[str, str]]) -> None:
        """Set the source of operators' Slack ids.

        `read_operators` returns Slack ids by operator name. Each transaction calls it, and adds the ids to operators
        that it reads from the ledger.
        """

    def close(self) -> None:
        """Close every connection."""


class Dispatcher(Protocol):
    """Runs batches of checks elsewhere: on a thread of this process, or on a worker on another machine."""

    def set_handler(self, handler: Callable[[CheckBatch], None]) -> None:
        """Set the handler of the batches that this process takes.

        `handler` must not raise; it's called from several threads at once.
        """

    def start(self) -> None:
        """Start taking batches."""

    def dispatch(self, batches: Sequence[CheckBatch]) -> None:
        """Queue batches to run soon, without waiting for them.

        Raises LedgerUnavailable if they might not have been queued.
        """

    def close(self) -> None:
        """Take no new batches, and wait a few seconds for those that are running."""


def read_monitor_chart(reader: LedgerReader, monitor: Monitor) -> MonitorChart:
    """Return the chart of a monitor's recent checks, with the transitions of Production among them."""
    return build_monitor_chart(
        monitor,
        reader.monitor_state(monitor.id),
        reader.measurements(monitor.id, from_revision=monitor.measured_from, limit=MAX_CHART_CHECKS),
        reader.transitions(monitor.model, stage=Stage.PRODUCTION),
    )

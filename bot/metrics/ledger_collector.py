"""Metrics about the ledger's backlog, read when Prometheus scrapes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from bot.domain.core.errors import LedgerUnavailable
from bot.domain.monitoring.incident import IncidentKind
from bot.domain.monitoring.state import MonitorStatus
from bot.domain.promotions.request import OPEN_STATES
from bot.domain.transitions.transition import UNFINISHED_STATES
from bot.metrics.definitions import (
    AUDIT_LENGTH,
    CHECKED_MONITORS,
    LEDGER_METRICS,
    LEDGER_UP,
    METRIC_DEFINITIONS,
    OPEN_INCIDENTS,
    OPEN_REQUESTS,
    OUTBOX,
    OUTBOX_AGE,
    OVERDUE_CHECK_AGE,
    OVERDUE_CHECKS,
    QUEUED_COMMAND_AGE,
    QUEUED_COMMANDS,
    REQUEST_AGE,
    TAG_UPDATES,
    TRANSITION_AGE,
    TRANSITIONS,
    TRIPPED_BREAKERS,
    MetricDefinition,
)
from bot.ports import Backlog, Clock, Ledger, MessageKind, PendingCount


class LedgerCollector(Collector):
    """Reads the ledger at each scrape."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return the metrics' names, without reading the ledger."""
        return [
            GaugeMetricFamily(shape.name, shape.description)
            for shape in METRIC_DEFINITIONS
            if shape.name in LEDGER_METRICS
        ]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the ledger's backlog, or only that it didn't answer."""
        now = self._clock.now()
        try:
            with self._ledger.read() as reading:
                backlog = reading.backlog(now)
        except LedgerUnavailable:
            yield _gauge(LEDGER_UP, {(): 0})
            return
        yield _gauge(LEDGER_UP, {(): 1})
        yield from _gauges(backlog, now)


def _gauges(backlog: Backlog, now: datetime) -> Iterator[GaugeMetricFamily]:
    outbox = {
        "slack": _total_except(backlog.messages, excluded=MessageKind.EVENT),
        "endpoints": backlog.messages.get(MessageKind.EVENT, PendingCount()),
    }
    requests = {state.value: backlog.requests.get(state, PendingCount()) for state in OPEN_STATES}
    transitions = {state.value: backlog.transitions.get(state, PendingCount()) for state in UNFINISHED_STATES}
    alone = {"": backlog.commands}, {"": backlog.overdue_checks}
    for number, age, waiting in (
        (OPEN_REQUESTS, REQUEST_AGE, requests),
        (TRANSITIONS, TRANSITION_AGE, transitions),
        (OUTBOX, OUTBOX_AGE, outbox),
        (QUEUED_COMMANDS, QUEUED_COMMAND_AGE, alone[0]),
        (OVERDUE_CHECKS, OVERDUE_CHECK_AGE, alone[1]),
    ):
        yield _gauge(number, {_label_values(kind): pending.number for kind, pending in waiting.items()})
        yield _gauge(age, {_label_values(kind): _oldest_seconds(pending, now) for kind, pending in waiting.items()})
    incidents = {kind.value: backlog.incidents.get(kind, PendingCount()).number for kind in IncidentKind}
    yield _gauge(OPEN_INCIDENTS, {_label_values(kind): number for kind, number in incidents.items()})
    yield _gauge(
        CHECKED_MONITORS, {_label_values(state.value): backlog.monitors.get(state, 0) for state in MonitorStatus}
    )
    for shape, alone_number in (
        (TAG_UPDATES, backlog.tag_updates),
        (TRIPPED_BREAKERS, backlog.tripped_breakers),
        (AUDIT_LENGTH, backlog.audit_events),
    ):
        yield _gauge(shape, {(): alone_number})


def _gauge(definition: MetricDefinition, values: Mapping[tuple[str, ...], float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(definition.name, definition.description, labels=[*definition.labels])
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _label_values(kind: str) -> tuple[str, ...]:
    return (kind,) if kind else ()


def _oldest_seconds(waiting: PendingCount, now: datetime) -> float:
    return max(0.0, (now - waiting.since).total_seconds()) if waiting.since else 0.0


def _total_except(by_kind: Mapping[MessageKind, PendingCount], *, excluded: MessageKind) -> PendingCount:
    counts = [waiting for kind, waiting in by_kind.items() if kind is not excluded]
    return PendingCount(
        sum(count.number for count in counts), min((count.since for count in counts if count.since), default=None)
    )

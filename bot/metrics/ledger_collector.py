"""Metrics about the ledger's backlog, read when Prometheus scrapes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from bot.domain.core.errors import LedgerUnavailable
from bot.domain.monitoring.incident import IncidentKind
from bot.domain.monitoring.monitor import MonitorStatus
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
        """Return the metrics' names and descriptions, without reading the ledger."""
        return [
            GaugeMetricFamily(shape.name, shape.description)
            for shape in METRIC_DEFINITIONS
            if shape.name in LEDGER_METRICS
        ]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield metrics for the ledger's backlog, or only the one that says that the ledger isn't responding."""
        now = self._clock.now()
        try:
            with self._ledger.read() as reading:
                backlog = reading.backlog(now)
        except LedgerUnavailable:
            yield _gauge(LEDGER_UP, {"": 0})
            return
        yield _gauge(LEDGER_UP, {"": 1})
        yield from _gauges(backlog, now)


def _gauges(backlog: Backlog, now: datetime) -> Iterator[GaugeMetricFamily]:
    for_endpoints = {MessageKind.EVENT, MessageKind.AUDIT}
    for_slack = [waiting for kind, waiting in backlog.messages.items() if kind not in for_endpoints]
    outbox = {
        "slack": PendingCount(
            sum(waiting.number for waiting in for_slack),
            min((waiting.since for waiting in for_slack if waiting.since), default=None),
        ),
        "endpoints": backlog.messages.get(MessageKind.EVENT, PendingCount()),
        "audit": backlog.messages.get(MessageKind.AUDIT, PendingCount()),
    }
    requests = {state.value: backlog.requests.get(state, PendingCount()) for state in OPEN_STATES}
    transitions = {state.value: backlog.transitions.get(state, PendingCount()) for state in UNFINISHED_STATES}
    for number, age, waiting in (
        (OPEN_REQUESTS, REQUEST_AGE, requests),
        (TRANSITIONS, TRANSITION_AGE, transitions),
        (OUTBOX, OUTBOX_AGE, outbox),
        (QUEUED_COMMANDS, QUEUED_COMMAND_AGE, {"": backlog.commands}),
        (OVERDUE_CHECKS, OVERDUE_CHECK_AGE, {"": backlog.overdue_checks}),
    ):
        yield _gauge(number, {kind: pending.number for kind, pending in waiting.items()})
        seconds = {kind: (now - (pending.since or now)).total_seconds() for kind, pending in waiting.items()}
        yield _gauge(age, {kind: max(0.0, since) for kind, since in seconds.items()})
    yield _gauge(
        OPEN_INCIDENTS, {kind.value: backlog.incidents.get(kind, PendingCount()).number for kind in IncidentKind}
    )
    yield _gauge(CHECKED_MONITORS, {state.value: backlog.monitors.get(state, 0) for state in MonitorStatus})
    yield _gauge(TAG_UPDATES, {"": backlog.tag_updates})
    yield _gauge(TRIPPED_BREAKERS, {"": backlog.tripped_breakers})
    yield _gauge(AUDIT_LENGTH, {"": backlog.audit_events})


def _gauge(definition: MetricDefinition, values: Mapping[str, float]) -> GaugeMetricFamily:
    """Return a gauge with one value per label value, or with a single value if it has no labels."""
    family = GaugeMetricFamily(definition.name, definition.description, labels=[*definition.labels])
    for label, value in values.items():
        family.add_metric([label] if definition.labels else [], value)
    return family

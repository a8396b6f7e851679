"""Metrics for Prometheus: what happened in this process, and the state of the ledger.

Events are counted as they happen, each in the process that handled it, so sum them across processes. The ledger's state
is read at each scrape, and each process reports the same one, so take the maximum. No matter what users do, a label has
few values: none contains text that people wrote, or a model's name. Otherwise, a registry with thousands of models
would create that many series of each metric; the audit log and the card say which model it was.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from bot.domain.audit.events import Event, EventTag
from bot.domain.core import errors
from bot.domain.core.actors import Automation
from bot.domain.core.errors import RegistrarError
from bot.domain.monitoring.readings import CheckOutcome
from bot.domain.promotions.votes import VoteChoice
from bot.domain.transitions.transition import TransitionKind, TransitionState
from bot.metrics.definitions import (
    BUILD_INFO,
    CHECK_DELAY_SECONDS,
    CHECKS,
    DECISION_SECONDS,
    EVENTS,
    REFUSAL_KINDS,
    REFUSALS,
    REGISTRY_ERRORS,
    REGISTRY_SECONDS,
    REQUEST_ENDS,
    ROLLBACK_CAUSES,
    ROLLBACK_ENDS,
    ROLLBACKS,
    SLACK_ERRORS,
    VOTES,
    MetricDefinition,
)
from bot.metrics.ledger_collector import LedgerCollector
from bot.ports import Clock, Ledger
from bot.version import version

OTHER_LABEL = "other"  # in place of a value that a label can't have


# -- what happened in this process -------------------------------------------------------------------------------------

# Errors are labeled with their class names, a fixed set.
_ERROR_NAMES = frozenset(
    name for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, RegistrarError)
)


# -- the ledger's state ------------------------------------------------------------------------------------------------


class PrometheusMetrics:
    """`bot.ports.Observer` that counts for Prometheus, in its own collector registry."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # unused, and they'd double the page
        self._registry = CollectorRegistry()
        self._events, self._votes = self._counter(EVENTS), self._counter(VOTES)
        self._refusals, self._rollbacks = self._counter(REFUSALS), self._counter(ROLLBACKS)
        self._checks, self._slack_errors = self._counter(CHECKS), self._counter(SLACK_ERRORS)
        self._registry_errors = self._counter(REGISTRY_ERRORS)
        self._decision, self._check_delay = self._histogram(DECISION_SECONDS), self._histogram(CHECK_DELAY_SECONDS)
        self._registry_seconds = self._histogram(REGISTRY_SECONDS)
        self._slack_error_labels, self._operation_labels = _BoundedLabels(60), _BoundedLabels(60)
        Gauge(BUILD_INFO.name, BUILD_INFO.description, [*BUILD_INFO.labels], registry=self._registry).labels(
            version()
        ).set(1)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._initialize_labels()

    def add_ledger_metrics(self, ledger: Ledger, clock: Clock) -> None:
        """Report the state of this ledger as well, read at each scrape."""
        self._registry.register(LedgerCollector(ledger, clock))

    def exposition(self) -> tuple[bytes, str]:
        """Return all metrics in Prometheus's text format, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    # -- the port ----------------------------------------------------------------------------------------------

    def events_committed(self, events: Sequence[Event]) -> None:
        """Count the audit events of one transaction."""
        for event in events:
            self._events.labels(event.tag.value).inc()
            if event.tag in REQUEST_ENDS:
                self._count_end(event)
            elif event.tag in REFUSAL_KINDS:
                error = str(event.evidence.get("error") or errors.Refused.__name__)
                self._refusals.labels(REFUSAL_KINDS[event.tag], error if error in _ERROR_NAMES else OTHER_LABEL).inc()
            elif event.tag is EventTag.VOTED:
                self._votes.labels(VoteChoice(event.evidence["choice"]).value).inc()
            elif event.tag is EventTag.VOTE_WITHDRAWN:
                self._votes.labels("withdrawn").inc()
            elif event.evidence.get("kind") == TransitionKind.ROLLBACK.value:
                cause = "automatic" if isinstance(event.actor, Automation) else "person"
                self._rollbacks.labels(cause, TransitionState(event.evidence["state"]).value).inc()

    def registry_called(self, operation: str, seconds: float, error: str = "") -> None:
        """Count one call to the registry."""
        self._registry_seconds.labels(self._operation_labels.label_for(operation)).observe(seconds)
        if error:
            self._registry_errors.labels(error if error in _ERROR_NAMES else OTHER_LABEL).inc()

    def slack_call_failed(self, code: str) -> None:
        """Count a failed Slack call."""
        self._slack_errors.labels(self._slack_error_labels.label_for(code)).inc()

    def check_finished(self, outcome: CheckOutcome, delay: timedelta | None) -> None:
        """Count a monitor's finished check."""
        self._checks.labels(outcome.value).inc()
        if delay is not None:
            self._check_delay.observe(delay.total_seconds())

    def _count_end(self, event: Event) -> None:
        """Count how long a request waited. One whose transition failed after approval was already counted."""
        opened = event.evidence.get("opened_at")
        if opened:
            waited = event.at - datetime.fromisoformat(opened)
            self._decision.labels(REQUEST_ENDS[event.tag]).observe(max(0.0, waited.total_seconds()))

    def _counter(self, definition: MetricDefinition) -> Counter:
        return Counter(definition.name, definition.description, [*definition.labels], registry=self._registry)

    def _histogram(self, definition: MetricDefinition) -> Histogram:
        return Histogram(
            definition.name,
            definition.description,
            [*definition.labels],
            registry=self._registry,
            buckets=definition.buckets,
        )

    def _initialize_labels(self) -> None:
        """Start the counters at 0, because a rate needs a sample from before the first event."""
        for choice in (*(vote.value for vote in VoteChoice), "withdrawn"):
            self._votes.labels(choice)
        for cause in ROLLBACK_CAUSES:
            for state in ROLLBACK_ENDS:
                self._rollbacks.labels(cause, state.value)
        for outcome in CheckOutcome:
            self._checks.labels(outcome.value)
        for error in (errors.RegistryUnreachable, errors.RegistryRefused):
            self._registry_errors.labels(error.__name__)
        for refusal in REFUSAL_KINDS.values():
            self._refusals.labels(refusal, errors.Refused.__name__)
        for end in REQUEST_ENDS.values():
            self._decision.labels(end)


class _BoundedLabels:
    """Limits a label to a fixed number of distinct values; any others become `other`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def label_for(self, name: str) -> str:
        """Return the name, or `other`."""
        if name in self._known:
            return name
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", name):
            return OTHER_LABEL
        with self._lock:
            if len(self._known) >= self._limit:
                return OTHER_LABEL
            self._known.add(name)
        return name

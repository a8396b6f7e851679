"""What can be measured from outside, for Prometheus: what happened in this process, and what stands in the ledger.

What happens is counted as it happens, each thing in the process that did it: over several processes, sum it up. What
stands in the ledger is read when somebody asks, and each process says the same: of several, take the highest.

A label has few values, whoever plays with us: none holds what people wrote, nor the name of a model. A registry of
thousands of models would make as many series of each of these; the audit and the card say which model it was.
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

from bot.domain.audit.events import Event, Tag
from bot.domain.core import errors
from bot.domain.core.actors import Automation
from bot.domain.core.errors import RegistrarError
from bot.domain.monitoring.readings import Outcome
from bot.domain.promotions.request import Choice
from bot.domain.transitions.transition import MoveKind, MoveState
from bot.metrics.definitions import (
    _CAUSES,
    _ENDS,
    _REFUSALS,
    _ROLLBACK_ENDS,
    BUILD,
    CHECKS,
    DECISION,
    DELAY,
    EVENTS,
    REFUSALS,
    REGISTRY,
    REGISTRY_ERRORS,
    ROLLBACKS,
    SLACK_ERRORS,
    VOTES,
    Shape,
)
from bot.metrics.ledger_collector import _Standing
from bot.ports import Clock, Ledger
from bot.version import version

OTHER = "other"  # in place of a value that no label may have


# -- what happened in this process -------------------------------------------------------------------------------------

# Errors are named by their classes, so there are only those that we wrote.
_ERRORS = frozenset(
    name for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, RegistrarError)
)


# -- what stands in the ledger -----------------------------------------------------------------------------------------


class Metrics:
    """`bot.ports.Observer` that counts for Prometheus, in a registry of its own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # when each counter began: nobody asks, and it doubles the page
        self._registry = CollectorRegistry()
        self._events, self._votes = self._counter(EVENTS), self._counter(VOTES)
        self._refusals, self._rollbacks = self._counter(REFUSALS), self._counter(ROLLBACKS)
        self._checks, self._slack_errors = self._counter(CHECKS), self._counter(SLACK_ERRORS)
        self._registry_errors = self._counter(REGISTRY_ERRORS)
        self._decision, self._delay = self._histogram(DECISION), self._histogram(DELAY)
        self._asked = self._histogram(REGISTRY)
        self._codes, self._operations = _Few(60), _Few(60)
        Gauge(BUILD.name, BUILD.means, [*BUILD.labels], registry=self._registry).labels(version()).set(1)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._begin()

    def look_at(self, ledger: Ledger, clock: Clock) -> None:
        """Read what stands in this ledger, too, whenever somebody asks."""
        self._registry.register(_Standing(ledger, clock))

    def page(self) -> tuple[bytes, str]:
        """Return everything as Prometheus reads it, and the content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    # -- the port ----------------------------------------------------------------------------------------------

    def committed(self, events: Sequence[Event]) -> None:
        """Count the audit events of one transaction."""
        for event in events:
            self._events.labels(event.tag.value).inc()
            if event.tag in _ENDS:
                self._count_end(event)
            elif event.tag in _REFUSALS:
                error = str(event.evidence.get("error") or errors.Refused.__name__)
                self._refusals.labels(_REFUSALS[event.tag], error if error in _ERRORS else OTHER).inc()
            elif event.tag is Tag.VOTED:
                self._votes.labels(Choice(event.evidence["choice"]).value).inc()
            elif event.tag is Tag.WITHDRAWN:
                self._votes.labels("withdrawn").inc()
            elif event.evidence.get("kind") == MoveKind.ROLLBACK.value:
                cause = "automatic" if isinstance(event.actor, Automation) else "person"
                self._rollbacks.labels(cause, MoveState(event.evidence["state"]).value).inc()

    def asked_registry(self, operation: str, seconds: float, error: str = "") -> None:
        """Count one question to the registry."""
        self._asked.labels(self._operations.name(operation)).observe(seconds)
        if error:
            self._registry_errors.labels(error if error in _ERRORS else OTHER).inc()

    def slack_failed(self, code: str) -> None:
        """Count a call of Slack that failed."""
        self._slack_errors.labels(self._codes.name(code)).inc()

    def checked(self, outcome: Outcome, delay: timedelta | None) -> None:
        """Count a monitor's finished check."""
        self._checks.labels(outcome.value).inc()
        if delay is not None:
            self._delay.observe(delay.total_seconds())

    def _count_end(self, event: Event) -> None:
        """Count how long a request waited. One that was approved and then moved nothing has been decided before."""
        opened = event.evidence.get("opened_at")
        if opened:
            waited = event.at - datetime.fromisoformat(opened)
            self._decision.labels(_ENDS[event.tag]).observe(max(0.0, waited.total_seconds()))

    def _counter(self, shape: Shape) -> Counter:
        return Counter(shape.name, shape.means, [*shape.labels], registry=self._registry)

    def _histogram(self, shape: Shape) -> Histogram:
        return Histogram(shape.name, shape.means, [*shape.labels], registry=self._registry, buckets=shape.buckets)

    def _begin(self) -> None:
        """Let what can be counted stand at 0: a rate can be seen only from a value on that was there before."""
        for choice in (*(one.value for one in Choice), "withdrawn"):
            self._votes.labels(choice)
        for cause in _CAUSES:
            for state in _ROLLBACK_ENDS:
                self._rollbacks.labels(cause, state.value)
        for outcome in Outcome:
            self._checks.labels(outcome.value)
        for error in (errors.RegistryUnreachable, errors.RegistryRefused):
            self._registry_errors.labels(error.__name__)
        for what in _REFUSALS.values():
            self._refusals.labels(what, errors.Refused.__name__)
        for end in _ENDS.values():
            self._decision.labels(end)


class _Few:
    """Lets so many different names through that look like one; all others are `other`, however many there are."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def name(self, text: str) -> str:
        """Return the name, or `other`."""
        if text in self._known:
            return text
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", text):
            return OTHER
        with self._lock:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(text)
        return text

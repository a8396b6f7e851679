"""What can be measured from outside, for Prometheus: what happened in this process, and what stands in the ledger.

What happens is counted as it happens, each thing in the process that did it: over several processes, sum it up. What
stands in the ledger is read when somebody asks, and each process says the same: of several, take the highest.

A label has few values, whoever plays with us: none holds what people wrote, nor the name of a model. A registry of
thousands of models would make as many series of each of these; the audit and the card say which model it was.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

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
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from bot.domain.audit.events import Event, Tag
from bot.domain.core import errors
from bot.domain.core.actors import Automation
from bot.domain.core.errors import LedgerUnavailable, RegistrarError
from bot.domain.monitoring.incident import IncidentKind
from bot.domain.monitoring.monitor import Outcome, State
from bot.domain.promotions.request import Choice, RequestState
from bot.domain.transitions.transition import UNFINISHED, MoveKind, MoveState
from bot.ports import Backlog, Clock, Ledger, NoteKind, Waiting
from bot.version import version

OPEN = tuple(state for state in RequestState if state.is_open)
OTHER = "other"  # in place of a value that no label may have
MINUTE, HOUR, DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class Shape:
    """What one metric is: docs/metrics.md is made from these. `labels` says which values each label has."""

    name: str
    type: type[Counter] | type[Gauge] | type[Histogram]
    means: str
    labels: Mapping[str, str] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()


def _values(members: Iterable[Enum]) -> str:
    return ", ".join(f"`{member.value}`" for member in members)


# -- what happened in this process -------------------------------------------------------------------------------------

_ENDS = {
    Tag.APPROVED: "approved",
    Tag.REJECTED: "rejected",
    Tag.CANCELLED: "cancelled",
    Tag.EXPIRED: "expired",
    Tag.STALE: "stale",
}
_REFUSALS = {
    Tag.ASK_REFUSED: "promotion",
    Tag.VOTE_REFUSED: "request",
    Tag.COMMAND_REFUSED: "command",
    Tag.REFUSED: "reading",
    Tag.API_REFUSED: "api",
    Tag.METRICS_REFUSED: "push",
}
_CAUSES = ("automatic", "person")
_ROLLBACK_ENDS = tuple(state for state in MoveState if state not in UNFINISHED)
# Errors are named by their classes, so there are only those that we wrote.
_ERRORS = frozenset(
    name for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, RegistrarError)
)

EVENTS: Final = Shape(
    "registrar_events_total", Counter, "Audit events that were committed.", {"tag": "those of [the audit](audit.md)"}
)
DECISION: Final = Shape(
    "registrar_decision_seconds",
    Histogram,
    "From the opening of a request to its decision, or its end without one.",
    {"end": ", ".join(f"`{end}`" for end in _ENDS.values())},
    (10, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR, 8 * HOUR, DAY, 3 * DAY, 7 * DAY),
)
VOTES: Final = Shape(
    "registrar_votes_total",
    Counter,
    "Votes; `withdrawn` are those that were taken back.",
    {"choice": f"{_values(Choice)}, `withdrawn`"},
)
REFUSALS: Final = Shape(
    "registrar_refusals_total",
    Counter,
    "What the rules or the registry's facts said no to. The sentence stands in the audit.",
    {
        "what": ", ".join(f"`{what}`" for what in _REFUSALS.values()),
        "reason": "the class of the error, such as `Refused`, `AlreadyDecided`, `GateFailed`, `UnknownVersion`",
    },
)
ROLLBACKS: Final = Shape(
    "registrar_rollbacks_total",
    Counter,
    "Rollbacks that ended: by a monitor of its own, or because a person said so.",
    {"cause": ", ".join(f"`{cause}`" for cause in _CAUSES), "end": _values(_ROLLBACK_ENDS)},
)
CHECKS: Final = Shape(
    "registrar_checks_total",
    Counter,
    "Monitors' checks that were judged and written down.",
    {"outcome": _values(Outcome)},
)
DELAY: Final = Shape(
    "registrar_check_delay_seconds",
    Histogram,
    "From when a check was due to when it was judged.",
    {},
    (0.1, 0.25, 0.5, 1, 2, 5, 10, 30, MINUTE, 5 * MINUTE),
)
SLACK_ERRORS: Final = Shape(
    "registrar_slack_errors_total",
    Counter,
    "Calls of Slack's Web API that failed.",
    {"code": "Slack's own name, such as `ratelimited`; `no_answer` where none came; `http_503` for one without a name"},
)
REGISTRY: Final = Shape(
    "registrar_registry_seconds",
    Histogram,
    "One question to MLflow, until its answer or its failure.",
    {"operation": "what MLflow's client calls it, such as `get_registered_model`"},
    (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
REGISTRY_ERRORS: Final = Shape(
    "registrar_registry_errors_total",
    Counter,
    "Questions to MLflow that failed; “no such model” is an answer.",
    {"error": "`RegistryUnreachable`: no answer, or not in time; `RegistryRefused`: it said no"},
)
BUILD: Final = Shape("registrar_build_info", Gauge, "Always 1; which version runs.", {"version": "ours"})

# -- what stands in the ledger -----------------------------------------------------------------------------------------

UP: Final = Shape("registrar_ledger_up", Gauge, "1, or 0 where the ledger did not answer: then all of it is missing.")
REQUESTS: Final = Shape("registrar_requests", Gauge, "Requests that have not ended.", {"state": _values(OPEN)})
REQUEST_AGE: Final = Shape(
    "registrar_request_oldest_seconds", Gauge, "How long ago the oldest of them was opened.", {"state": _values(OPEN)}
)
ASKS: Final = Shape("registrar_asks", Gauge, "What was asked for and is not carried out yet: MLflow is away, mostly.")
ASK_AGE: Final = Shape("registrar_ask_oldest_seconds", Gauge, "How long ago the oldest of it was asked for.")
MOVES: Final = Shape(
    "registrar_moves", Gauge, "Moves that were decided and are not made yet.", {"state": _values(UNFINISHED)}
)
MOVE_AGE: Final = Shape(
    "registrar_move_oldest_seconds",
    Gauge,
    "How long ago the oldest of them was decided.",
    {"state": _values(UNFINISHED)},
)
_TO = {"to": "`slack`, or `endpoints`: the signed events of the policy's `notify`"}
OUTBOX: Final = Shape("registrar_outbox", Gauge, "Messages that are not delivered yet.", _TO)
OUTBOX_AGE: Final = Shape("registrar_outbox_oldest_seconds", Gauge, "How long ago the oldest of them was written.", _TO)
COPIES: Final = Shape("registrar_tags_waiting", Gauge, "Tags and descriptions that are not written to MLflow yet.")
INCIDENTS: Final = Shape("registrar_incidents", Gauge, "Incidents that are open.", {"kind": _values(IncidentKind)})
BREAKERS: Final = Shape(
    "registrar_breakers_tripped", Gauge, "Breakers that stop automatic rollbacks until an admin resets them."
)
MONITORS: Final = Shape(
    "registrar_monitors", Gauge, "Monitors that are checked, by what they said last.", {"state": _values(State)}
)
OVERDUE: Final = Shape("registrar_checks_overdue", Gauge, "Checks whose time has come and that nobody has judged yet.")
OVERDUE_AGE: Final = Shape("registrar_check_overdue_seconds", Gauge, "How long ago the time of the first of them came.")
AUDIT: Final = Shape("registrar_audit_length", Gauge, "Events in the audit's chain.")

SHAPES: Final = (
    REQUESTS,
    REQUEST_AGE,
    DECISION,
    VOTES,
    REFUSALS,
    ROLLBACKS,
    CHECKS,
    DELAY,
    OVERDUE,
    OVERDUE_AGE,
    MONITORS,
    INCIDENTS,
    BREAKERS,
    OUTBOX,
    OUTBOX_AGE,
    ASKS,
    ASK_AGE,
    MOVES,
    MOVE_AGE,
    COPIES,
    SLACK_ERRORS,
    REGISTRY,
    REGISTRY_ERRORS,
    EVENTS,
    AUDIT,
    UP,
    BUILD,
)
OF_THE_LEDGER: Final = frozenset(
    {
        REQUESTS.name,
        REQUEST_AGE.name,
        OVERDUE.name,
        OVERDUE_AGE.name,
        MONITORS.name,
        INCIDENTS.name,
        BREAKERS.name,
        OUTBOX.name,
        OUTBOX_AGE.name,
        ASKS.name,
        ASK_AGE.name,
        MOVES.name,
        MOVE_AGE.name,
        COPIES.name,
        AUDIT.name,
        UP.name,
    }
)


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


class _Standing(Collector):
    """Reads the ledger when somebody asks."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return the names, without asking the ledger."""
        return [GaugeMetricFamily(shape.name, shape.means) for shape in SHAPES if shape.name in OF_THE_LEDGER]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield what stands in the ledger, or only that it did not answer."""
        now = self._clock.now()
        try:
            with self._ledger.read() as reading:
                found = reading.backlog(now)
        except LedgerUnavailable:
            yield _gauge(UP, {(): 0})
            return
        yield _gauge(UP, {(): 1})
        yield from _families(found, now)


def _families(found: Backlog, now: datetime) -> Iterator[GaugeMetricFamily]:
    outbox = {"slack": _sum(found.notes, but=NoteKind.EVENT), "endpoints": found.notes.get(NoteKind.EVENT, Waiting())}
    requests = {state.value: found.requests.get(state, Waiting()) for state in OPEN}
    moves = {state.value: found.moves.get(state, Waiting()) for state in UNFINISHED}
    alone = {"": found.asks}, {"": found.overdue}
    for number, age, waiting in (
        (REQUESTS, REQUEST_AGE, requests),
        (MOVES, MOVE_AGE, moves),
        (OUTBOX, OUTBOX_AGE, outbox),
        (ASKS, ASK_AGE, alone[0]),
        (OVERDUE, OVERDUE_AGE, alone[1]),
    ):
        yield _gauge(number, {_label(kind): one.number for kind, one in waiting.items()})
        yield _gauge(age, {_label(kind): _age(one, now) for kind, one in waiting.items()})
    incidents = {kind.value: found.incidents.get(kind, Waiting()).number for kind in IncidentKind}
    yield _gauge(INCIDENTS, {_label(kind): number for kind, number in incidents.items()})
    yield _gauge(MONITORS, {_label(state.value): found.monitors.get(state, 0) for state in State})
    for shape, alone_number in ((COPIES, found.copies), (BREAKERS, found.breakers), (AUDIT, found.events)):
        yield _gauge(shape, {(): alone_number})


def _gauge(shape: Shape, values: Mapping[tuple[str, ...], float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(shape.name, shape.means, labels=[*shape.labels])
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _label(kind: str) -> tuple[str, ...]:
    return (kind,) if kind else ()


def _age(waiting: Waiting, now: datetime) -> float:
    return max(0.0, (now - waiting.since).total_seconds()) if waiting.since else 0.0


def _sum(notes: Mapping[NoteKind, Waiting], *, but: NoteKind) -> Waiting:
    mine = [waiting for kind, waiting in notes.items() if kind is not but]
    return Waiting(sum(one.number for one in mine), min((one.since for one in mine if one.since), default=None))

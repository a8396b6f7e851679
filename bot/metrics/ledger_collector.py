"""TODO bot.metrics.ledger_collector"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from bot.domain.core.errors import LedgerUnavailable
from bot.domain.monitoring.incident import IncidentKind
from bot.domain.monitoring.state import State
from bot.domain.transitions.transition import UNFINISHED
from bot.metrics.definitions import (
    ASK_AGE,
    ASKS,
    AUDIT,
    BREAKERS,
    COPIES,
    INCIDENTS,
    MONITORS,
    MOVE_AGE,
    MOVES,
    OF_THE_LEDGER,
    OPEN,
    OUTBOX,
    OUTBOX_AGE,
    OVERDUE,
    OVERDUE_AGE,
    REQUEST_AGE,
    REQUESTS,
    SHAPES,
    UP,
    Shape,
)
from bot.ports import Backlog, Clock, Ledger, NoteKind, Waiting


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

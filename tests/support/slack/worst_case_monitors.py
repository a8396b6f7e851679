"""Monitors and incidents with the longest and most unusual possible texts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Client
from bot.domain.core.agent import Agent
from bot.domain.core.sentence import say
from bot.domain.monitoring import incident_messages
from bot.domain.monitoring.incident import Incident, IncidentKind, IncidentStatus, TrippedBreaker
from bot.domain.monitoring.incident_review import IncidentFacts, IncidentReview, review
from bot.domain.monitoring.monitor import Monitor, MonitorState, MonitorStatus
from bot.domain.monitoring.monitor_overview import MonitorRow, MonitorView
from bot.domain.monitoring.proposals.proposal import MonitorProposal
from bot.domain.monitoring.readings import CheckOutcome, Measurement
from bot.domain.policy.monitor_config import MonitorConfig
from tests.support.slack.worst_case_values import ALICE, BOB, NOW, REASONS, TEXTS


def a_monitor(name: str = "plain", **changes: Any) -> Monitor:
    """Return a monitor with one of the texts in every possible place."""
    text = TEXTS[name] or "m"
    rule = MonitorConfig(
        name="accuracy-live" * 4,
        source=text[:100],
        query=(text * 200)[:2000],
        of=(text * 200)[:2000],
        greater_than=0.1,
        less_than=0.9,
        hard_limit=0.05,
        action="auto",
        aggregate="mean",
    )
    monitor = Monitor(
        id="m4k7qa",
        model=text,
        rule=rule,
        created_at=NOW,
        created_by=BOB,
        armed_at=NOW,
        armed_by=ALICE,
        silenced_until=NOW + timedelta(hours=2),
        silenced_by=BOB,
        silence_reason=REASONS[name],
    )
    return replace(monitor, **changes)


def a_row(name: str, state: MonitorStatus) -> MonitorRow:
    """Return a monitor and its state, with the longest possible reason."""
    standing = MonitorState(
        monitor="m4k7qa",
        next_at=NOW,
        state=state,
        version=999_999_999,
        bad=1,
        since=NOW,
        at=NOW,
        value=1.5e-300,
        total=1.7e300,
        bound=1.7e300,
        why=say("{it}", it=TEXTS[name] * 20),
    )
    return MonitorRow(a_monitor(name), standing)


def a_view(name: str, state: MonitorStatus = MonitorStatus.FAILED) -> MonitorView:
    """Return a monitor's complete view."""
    row = a_row(name, state)
    checks = [
        Measurement(
            monitor="m4k7qa",
            slot=n,
            at=NOW,
            revision=1,
            version=7,
            move="m",
            outcome=outcome,
            value=0.5,
            total=1.7e300,
            why=say("{it}", it=TEXTS[name] * 20),
        )
        for n, outcome in enumerate([*CheckOutcome] * 3)
    ]
    tripped = TrippedBreaker(model=row.monitor.model, at=NOW, why=say("{it}", it=TEXTS[name]))
    return MonitorView(
        monitor=row.monitor,
        monitor_state=row.monitor_state,
        recent_measurements=checks[:10],
        incident=None,
        breaker=tripped,
        now=NOW,
    )


def an_incident(name: str = "plain", **changes: Any) -> Incident:
    """Return an incident with one of the texts in every possible place."""
    text = TEXTS[name] or "m"
    incident = Incident(
        id="i4k7q",
        kind=IncidentKind.FAILED,
        model=text,
        source=text,
        version=999_999_999,
        move="m1",
        monitors=tuple(f"accuracy{n}" * 4 for n in range(30)),
        opened_at=NOW,
        since=NOW - timedelta(hours=2),
        lines=tuple(incident_messages.monitor_line(a_monitor(name), say("{it}.", it=text * 3)) for _ in range(30)),
        doing=IncidentStatus.AWAITING_HUMAN,
        why=say("{it}.", it=REASONS[name]),
        target=999_999_998,
    )
    return replace(incident, **changes)


def a_review(incident: Incident, name: str) -> IncidentReview:
    """Return the review of an incident with many events, each with a long reason."""
    event = Event(at=NOW, actor=BOB, tag=EventTag.MONITOR_PAUSED, subject=TEXTS[name], why=TEXTS[name] * 20)
    return review(IncidentFacts(incident=incident, monitors=[a_monitor(name)] * 3, events=[event] * 200))


def a_proposal(name: str = "plain", **changes: Any) -> MonitorProposal:
    """Return a proposed monitor with one of the texts in every possible place."""
    text = TEXTS[name] or "m"
    proposal = MonitorProposal(
        id="p4k7q",
        client=Client(text),
        agent=Agent(name=text, version=text, person="UALICE"),
        monitor=a_monitor(name, armed_at=None, armed_by=None),
        reason=REASONS[name],
        backtest=say("{it}", it=text * 20),
    )
    return replace(proposal, **changes)

"""Commands about monitors."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.audit.events import Event, EventTag
from bot.domain.commands.parser import parse_command
from bot.domain.core.actors import Caller
from bot.domain.core.sentence import Sentence
from bot.domain.monitoring.backtest import Backtest
from bot.domain.monitoring.incident import Incident, IncidentKind, IncidentStatus
from bot.domain.monitoring.monitor import Monitor, MonitorState
from bot.domain.monitoring.readings import CheckOutcome, Firing, Measurement
from bot.domain.policy.monitor_config import MonitorConfig
from bot.services.core.commands import CommandDispatcher
from bot.services.monitoring.monitors import Monitors
from tests.support.ledger.records import slot_claims
from tests.support.services.bench import BOB, SLACK, Bench

ADD = "monitor add churn accuracy --source push --greater-than 0.85 --every 5m --action notify"


class MonitorCommands:
    """The service on a bench, with a backtest whose result a test sets."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.firings: list[Firing] = []
        self.failed: Firing | None = None
        self.why: Sentence | None = None
        self.judged = timedelta(hours=166)
        self.service = Monitors(bench.context, bench.gatekeeper, self.replay)

    def replay(self, monitor: Monitor, span: timedelta) -> Backtest:
        """Return the backtest that the test set."""
        now = self.bench.clock.now()
        return Backtest(
            monitor=monitor,
            since=now - span,
            until=now,
            firings=self.firings,
            earlier_failure=self.failed,
            judged_time=self.judged,
            why=self.why,
        )

    def types(self, text: str, who: Caller = BOB) -> str:
        """Execute the typed command and return the answer."""
        command = parse_command(text)
        assert command is not None
        service = self.service
        dispatcher = CommandDispatcher(
            self.bench.gatekeeper, self.bench.errands.submit, service.query_handlers(), service.change_handlers()
        )
        return str(dispatcher.execute(who, command, SLACK).answer)

    def find(self, name: str = "accuracy", model: str = "churn") -> Monitor:
        """Return a monitor's current definition."""
        return self.service.find(model, name)

    def standing(self, monitor: Monitor) -> MonitorState:
        """Return a monitor's state."""
        with self.bench.ledger.read() as reading:
            return reading.monitor_state(monitor.id)

    def event(self, tag: EventTag) -> Event:
        """Return the only event of a kind."""
        [event] = [one for one in self.bench.events() if one.tag is tag]
        return event

    def in_file(self, name: str = "accuracy", **fields: Any) -> Monitor:
        """Add a monitor of the policy file."""
        fields = {"source": "push", "greater_than": 0.85} | fields
        rule = MonitorConfig.model_validate({"name": name} | fields)
        monitor = Monitor(id=f"f{name}", model="churn", rule=rule, created_at=self.bench.clock.now())
        with self.bench.ledger.write() as tx:
            tx.add_monitor(monitor)
        return monitor

    def incident(self, **changes: Any) -> Incident:
        """Open an incident about the monitor."""
        now = self.bench.clock.now()
        incident = Incident(
            id="i4k7q",
            kind=IncidentKind.FAILED,
            model="churn",
            source="",
            version=3,
            move="m1",
            monitors=("accuracy",),
            opened_at=now,
            since=now,
            lines=(),
            doing=IncidentStatus.NOTIFIED,
        )
        incident = replace(incident, **changes)
        with self.bench.ledger.write() as tx:
            tx.add_incident(incident)
        return incident

    def incident_now(self) -> Incident:
        """Return the incident's current state."""
        return self.service.incident("i4k7q")[0]

    def measure(self, monitor: Monitor, slot: int = 1) -> None:
        """Record one check of the monitor."""
        now = self.bench.clock.now()
        with self.bench.ledger.write() as tx:
            tx.claim_slots(slot_claims({(monitor.id, slot): now + timedelta(minutes=1)}, "here", now))
            tx.finish_slots(
                [
                    Measurement(
                        monitor=monitor.id,
                        slot=slot,
                        at=now,
                        revision=1,
                        version=3,
                        move="m1",
                        outcome=CheckOutcome.OK,
                        value=0.9,
                        points=1,
                    )
                ],
                "here",
            )


@pytest.fixture
def commands(bench: Bench) -> MonitorCommands:
    """Return the service after a first look at the registry."""
    bench.watch.poll()
    return MonitorCommands(bench)


@pytest.fixture
def watched(commands: MonitorCommands) -> MonitorCommands:
    """Return the service with one monitor, which Bob added."""
    commands.types(ADD)
    return commands


LIVE, OTHER, PROM = {"type": "push"}, {"type": "push"}, {"type": "prometheus", "url": "http://prom"}

"""Monitors and rollbacks on any ledger and registry, with only the executor behind them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bot.bootstrap.build import open_sources
from bot.domain.commands.parser import build_command
from bot.domain.commands.rollbacks import Rollback
from bot.domain.core.actors import Person
from bot.domain.monitoring.monitor import Monitor, MonitorState
from bot.domain.monitoring.readings import PushedReading
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.policy.parser import validate_policy
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState
from bot.ports import SYSTEM_CLOCK, Ledger, ModelRegistry, QueuedCommand
from bot.services.core.access import AccessControl
from bot.services.core.context import ActivePolicy, Context, short_id
from bot.services.monitoring.incident_updates import Incidents
from bot.services.monitoring.scheduler import MonitorScheduler
from bot.services.promotions.decisions import RequestDecisions
from bot.services.promotions.gate_checks import GateChecks
from bot.services.promotions.voting import Requests
from bot.services.registry.queries import RegistryQueries
from bot.services.rollbacks.rollbacks import Rollbacks
from bot.services.transitions.completion import Completion
from bot.services.transitions.executor import TransitionExecutor
from bot.services.transitions.loadability import LoadabilityChecks
from bot.services.transitions.preconditions import Preconditions
from tests.support.registry.files import no_changes, no_entry_hook
from tests.support.registry.opened import opened, tracker_of

BOB = Person("T1", "UBOB")
POLICY = {"channel": "#ml-models", "max_auto": 1000, "models": {"*": {"production": {"approvers": [BOB.user]}}}}
# As few limits as possible: the bound is 0.85, and the last measurement counts.
QUICK: dict[str, Any] = {
    "source": "push",
    "query": "accuracy",
    "greater_than": 0.85,
    "every": "60s",
    "warmup": "0s",
    "cooldown": "0s",
    "max_auto": 1000,
    "min_served": "0s",
    "action": "auto",
}


class MonitoringHarness:
    """The services. The model is `churn` unless another one is passed."""

    def __init__(self, ledger: Ledger, registry: ModelRegistry) -> None:
        self.ledger, self.registry = ledger, registry
        rules = ActivePolicy(validate_policy(POLICY))
        self.context = Context(
            ledger=ledger,
            registry=registry,
            tracker=tracker_of(registry),
            active_policy=rules,
            clock=SYSTEM_CLOCK,
            owner="host:1:test",
        )
        gatekeeper, lookups = AccessControl(self.context), RegistryQueries(self.context)
        self.fitness = fitness = LoadabilityChecks(self.context)
        preconditions = Preconditions(self.context, GateChecks(self.context, lookups), fitness, no_changes)
        self.moves = TransitionExecutor(self.context, preconditions, Completion(self.context, no_entry_hook))
        requests = Requests(self.context, RequestDecisions(self.context))
        self.rollbacks = Rollbacks(self.context, lookups, gatekeeper, fitness, requests)
        sources = open_sources(rules, ledger, opened(registry))
        self.incidents = Incidents(self.context, fitness)
        self.monitoring = MonitorScheduler(
            self.context, sources, self.incidents, run_transitions=self.moves.execute_due
        )

    def serves(self, version: int, *, since: datetime, model: str = "churn") -> None:
        """Record in the history that a version has been in Production since then; the registry is only read."""
        move = Transition(
            id=f"{model}:{version}:{since.isoformat()}",
            kind=TransitionKind.PROMOTION,
            model=model,
            version=version,
            from_stage=Stage.NONE,
            target=Stage.PRODUCTION,
            expected_incumbent=None,
            actor=BOB,
            intended_at=since,
            finished_at=since,
            state=TransitionState.DONE,
            identity=self.registry.version(model, version).identity(),
        )
        with self.ledger.write() as tx:
            tx.add_transition(move)

    def roll_back(self, model: str = "churn") -> None:
        """Record a rollback that a person requested; it isn't executed yet."""
        command = build_command(Rollback, {"model": model, "reason": "accuracy fell"})
        ask = QueuedCommand(id=short_id(), caller=BOB, command={"verb": "rollback"}, where="C1", at=datetime.now(UTC))
        with self.ledger.write() as tx:
            tx.add_queued_command(ask)
        self.rollbacks.roll_back(ask, command)

    def monitor(self, name: str, model: str = "churn", **fields: Any) -> str:
        """Add an armed monitor with a check due, and return its id."""
        now = datetime.now(UTC)
        rule = MonitorConfig(**{**QUICK, "name": name, **fields})
        monitor = Monitor(id=f"m-{model}-{name}", model=model, rule=rule, created_at=now)
        with self.ledger.write() as tx:
            tx.add_monitor(monitor)
            tx.save_monitor_state(MonitorState(monitor=monitor.id, next_at=now))
        return monitor.id

    def reads(self, value: float, model: str = "churn", metric: str = "accuracy") -> None:
        """Push a reading of the metric, measured just now."""
        now = datetime.now(UTC)
        pushed = PushedReading(
            source="push",
            model=model,
            version=0,
            metric=metric,
            at=now - timedelta(microseconds=1),
            value=value,
            received_at=now,
            client="serve",
        )
        with self.ledger.write() as tx:
            tx.add_readings([pushed])

    def standing(self, monitor: str) -> MonitorState:
        """Return a monitor's state."""
        with self.ledger.read() as reading:
            return reading.monitor_state(monitor)

"""Monitors of the version in Production: adding them, running checks, and reading the results."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.core.sentence import unpack_sentence
from bot.domain.monitoring.incident import Incident, IncidentStatus
from bot.domain.monitoring.monitor import Monitor, MonitorState
from bot.domain.monitoring.readings import Answer, CheckOutcome, Measurement
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.policy.parser import validate_policy
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import Transition, TransitionKind
from bot.ports import MessageKind
from tests.support.ledger.records import slot_claims
from tests.support.services.bench import BOB, POLICY, Bench

QUICK: dict[str, Any] = {
    "source": "push",
    "greater_than": 0.85,
    "every": "10s",
    "fail_after": 2,
    "warmup": "0s",
    "action": "auto",
}


@pytest.fixture
def served(bench: Bench) -> Bench:
    """Return a bench whose `churn` had v3 and then v2 for thirty hours, and now v4 in Production."""
    bench.watch.poll()
    for version in (2, 4):
        bench.clock.advance(hours=30)
        bench.approved(f"promote churn {version} production")
        bench.moves.execute_due("churn")
    bench.clock.advance(minutes=10)
    return bench


def add_monitor(bench: Bench, name: str = "accuracy", model: str = "churn", **fields: Any) -> Monitor:
    """Add a monitor like those of the policy file, with its first check due."""
    rule = MonitorConfig(**{**QUICK, "name": name, **fields})
    monitor = Monitor(id=f"m-{model}-{name}", model=model, rule=rule, created_at=bench.clock.now())
    with bench.ledger.write() as tx:
        tx.add_monitor(monitor)
        tx.save_monitor_state(MonitorState(monitor=monitor.id, next_at=bench.clock.now()))
    return monitor


def check_values(bench: Bench, *values: float | None, query: str = "accuracy") -> None:
    """Give the source these values in turn, with a check after each; None means no value."""
    for value in values:
        bench.clock.advance(seconds=12)
        bench.sources.answers[query] = Answer() if value is None else Answer(points=[(bench.clock.now(), value)])
        tick(bench)


def tick(bench: Bench) -> int:
    """Start the due checks, and wait until they're done."""
    begun = bench.monitoring.tick()
    for thread in threading.enumerate():
        if thread.name.startswith("checks of"):
            thread.join(10)
    return begun


def monitor_state(bench: Bench, monitor: Monitor) -> MonitorState:
    with bench.ledger.read() as reading:
        return reading.monitor_state(monitor.id)


def incidents(bench: Bench) -> list[Incident]:
    with bench.ledger.read() as reading:
        return reading.incidents()


def rollbacks(bench: Bench) -> list[Transition]:
    return [move for move in bench.moves_of() if move.kind is TransitionKind.ROLLBACK]


def channel_texts(bench: Bench, kind: MessageKind = MessageKind.THREAD_REPLY) -> list[str]:
    return [str(unpack_sentence(note.data["say"])) for note in bench.notes() if note.kind is kind]


def put_into_production(bench: Bench, *models: str) -> None:
    """Put a version of each model into Production, an hour ago."""
    for model in models:
        bench.registry.add_model(model, versions=[Stage.PRODUCTION])
        bench.registry.set_alias(model, "champion", 1)
    bench.watch.poll()
    bench.clock.advance(hours=1)


def policy_with(*monitors: dict[str, Any]) -> Any:
    models = POLICY["models"] | {"*": POLICY["models"]["*"] | {"monitors": list(monitors)}}
    return validate_policy(POLICY | {"models": models})


HOURS: dict[str, Any] = {
    "rule": "blocks",
    "greater_than": None,
    "window": "10m",
    "history": "7h",
    "every": "1m",
    "min_points": 5,
}


def record_history(bench: Bench, monitor: Monitor, values: Callable[[int], float], *, hours: float) -> None:
    """Record what the monitor measured with the previous version, up to the promotion."""
    with bench.ledger.read() as reading:
        served = bench.rollbacks.serving_periods(reading, "churn")
    now, before = served[0], served[1]
    with bench.ledger.write() as tx:
        for slot in range(int(hours * 60)):
            at = now.since - timedelta(minutes=int(hours * 60) - slot)
            tx.claim_slots(slot_claims({(monitor.id, slot + 1): at + timedelta(minutes=1)}, "x", at))
            tx.finish_slots(
                [
                    Measurement(
                        monitor=monitor.id,
                        slot=slot + 1,
                        at=at,
                        revision=1,
                        version=before.version,
                        move=before.started_by.id,
                        outcome=CheckOutcome.OK,
                        value=values(slot),
                        points=1,
                    )
                ],
                "x",
            )
        tx.save_monitor_state(MonitorState(monitor=monitor.id, slot=int(hours * 60), next_at=bench.clock.now()))


def keep_measuring(bench: Bench, value: Callable[[int], float], *, minutes: int) -> None:
    """Give the source a value every minute, with a check after each."""
    for at in range(minutes):
        bench.clock.advance(seconds=66)
        bench.sources.say("accuracy", (bench.clock.now(), value(at)))
        tick(bench)


def asked(bench: Bench) -> None:
    """Have a monitor ask and someone press the button an hour later, when cached results have expired."""
    add_monitor(bench, action="ask")
    check_values(bench, 0.5, 0.5)
    [incident] = incidents(bench)
    assert incident.doing is IncidentStatus.AWAITING_HUMAN
    bench.clock.advance(hours=1)
    bench.rollbacks.roll_back_for_incident(BOB, incident.id, origin="slack")


def act_during_check(bench: Bench, act: Callable[[], object]) -> None:
    """Call `act` when the executor reads Production, after the verdict."""
    real = bench.registry.version

    def version(name: str, number: int) -> Any:
        bench.registry.version = real  # type: ignore[method-assign]
        act()
        return real(name, number)

    bench.fitness.problems("churn", 2, 4)  # cached, so the next read is the executor's
    bench.registry.version = version  # type: ignore[method-assign]

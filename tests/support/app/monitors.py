"""Monitors in a running bot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.domain.monitoring.monitor import Monitor, MonitorStatus
from bot.domain.monitoring.readings import CheckOutcome, Measurement
from bot.domain.registry.model import Stage
from bot.domain.rollbacks.rollback_targets import serving_periods
from localslack import LocalSlack
from tests.support.app.app_fixture import CHANNEL, RunningApp, message_text, running_app
from tests.support.app.harness import type_and_read_reply
from tests.support.ledger.records import slot_claims
from tests.support.registry.memory import MemoryRegistry

ADD = "/model monitor add churn accuracy --source push --greater-than 0.85 --every 5m --action notify"


def find_monitor(app: RunningApp, name: str = "accuracy") -> Monitor:
    return app.registrar.monitors.find("churn", name)


def serving_since(app: RunningApp) -> str:
    """Return the ID of the transition that brought the model's version to Production."""
    with app.ledger.read() as reading:
        return serving_periods(reading.transitions("churn", stage=Stage.PRODUCTION, limit=10))[0].started_by.id


def record_measurements(app: RunningApp, *values: float) -> None:
    """Record checks of the monitor with these values."""
    monitor, now, move = find_monitor(app), datetime.now(UTC), serving_since(app)
    with app.ledger.write() as tx:
        for slot, value in enumerate(values, start=1):
            at = now - timedelta(minutes=len(values) - slot)
            tx.claim_slots(slot_claims({(monitor.id, slot): at + timedelta(minutes=1)}, "test", at))
            outcome = CheckOutcome.FAILED if value < 0.85 else CheckOutcome.OK
            tx.finish_slots(
                [
                    Measurement(
                        monitor=monitor.id,
                        slot=slot,
                        at=at,
                        revision=1,
                        version=3,
                        move=move,
                        outcome=outcome,
                        value=value,
                        points=1,
                    )
                ],
                "test",
            )
        state = MonitorStatus.FAILED if values[-1] < 0.85 else MonitorStatus.OK
        tx.save_monitor_state(
            replace(
                tx.monitor_state(monitor.id),
                slot=len(values),
                state=state,
                version=3,
                since=now,
                at=now,
                value=values[-1],
                bound=0.85,
                next_at=now + timedelta(days=1),
            )
        )


@pytest.fixture
def app(slack: LocalSlack, tmp_path: Path) -> Iterator[RunningApp]:
    """The bot, after its first poll."""
    with running_app(slack, tmp_path, MemoryRegistry()) as app:
        app.registrar.poll_registry()
        yield app


@pytest.fixture
def watched(app: RunningApp) -> RunningApp:
    """The bot with a monitor that Bob added."""
    type_and_read_reply(app.bob, ADD)
    heard(app, "added the monitor")
    return app


def heard(app: RunningApp, holds: str) -> str:
    """Wait for a public message in the channel, and return it."""
    return message_text(app.alice.waits_for(CHANNEL, lambda m: not m.get("is_ephemeral") and holds in message_text(m)))

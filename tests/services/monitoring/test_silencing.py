"""Pausing and silencing monitors."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.errors import BadInput
from tests.support.monitoring.monitor_commands import ADD, MonitorCommands
from tests.support.services.bench import BOB


def test_a_paused_monitor_is_not_due_until_it_is_resumed(watched: MonitorCommands) -> None:
    watched.types("monitor pause churn accuracy")
    watched.bench.clock.advance(hours=1)
    with watched.bench.ledger.read() as reading:
        assert reading.due_monitors(watched.bench.clock.now()) == []
    watched.types("monitor resume churn accuracy")
    watched.bench.clock.advance(minutes=1)
    with watched.bench.ledger.read() as reading:
        assert [one.name for one, _ in reading.due_monitors(watched.bench.clock.now())] == ["accuracy"]


def test_pausing_or_resuming_twice_is_refused(watched: MonitorCommands) -> None:
    with pytest.raises(BadInput, match="isn't paused"):
        watched.types("monitor resume churn accuracy")
    watched.types("monitor pause churn accuracy")
    with pytest.raises(BadInput, match="is already paused"):
        watched.types("monitor pause churn accuracy")


def test_a_silence_has_an_end_an_author_and_a_reason(watched: MonitorCommands) -> None:
    watched.types('monitor silence churn accuracy 2h --reason "a move"')
    monitor = watched.find()
    assert (monitor.silenced_by, monitor.silence_reason) == (BOB.person, "a move")
    assert monitor.silenced_until == watched.bench.clock.now() + timedelta(hours=2)
    assert watched.event(EventTag.MONITOR_SILENCED).why == "a move"


def test_every_monitor_of_a_model_is_silenced_at_once(watched: MonitorCommands) -> None:
    watched.types(ADD.replace("accuracy", "f1"))
    assert "the monitors accuracy, f1 of “churn”" in watched.types("monitor silence churn 2h --all")
    now = watched.bench.clock.now()
    assert all(watched.find(name).is_silenced(now) for name in ("accuracy", "f1"))
    watched.types("monitor unsilence churn f1")
    assert [watched.find(name).is_silenced(now) for name in ("accuracy", "f1")] == [True, False]
    an_hour_ago = now - timedelta(hours=1)  # by a clock that is set back
    assert [watched.find(name).is_silenced(an_hour_ago) for name in ("accuracy", "f1")] == [True, False]


@pytest.mark.parametrize("text", ["monitor silence churn 2h", "monitor silence churn accuracy 2h --all"])
def test_silencing_needs_a_name_or_all(watched: MonitorCommands, text: str) -> None:
    with pytest.raises(BadInput, match="Name one monitor, or use --all"):
        watched.types(text)


def test_a_monitor_that_is_not_silenced_cannot_be_unsilenced(watched: MonitorCommands) -> None:
    with pytest.raises(BadInput, match="Nothing to unsilence"):
        watched.types("monitor unsilence churn accuracy")

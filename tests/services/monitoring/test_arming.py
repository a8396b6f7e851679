"""Arming a monitor after its dry run, and resetting the circuit breaker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.errors import BadInput, Refused
from bot.domain.core.sentence import say
from bot.domain.monitoring.backtest import Backtest
from bot.domain.monitoring.incident import TrippedBreaker
from bot.domain.monitoring.monitor import Monitor, MonitorStatus
from bot.domain.monitoring.readings import Firing
from bot.services.monitoring.monitors import Monitors
from tests.support.monitoring.monitor_commands import ADD, MonitorCommands
from tests.support.services.bench import BOB, CAROL, DAVE

HALF_A_DAY = 144  # checks: half of those that a day has at five minutes


# -- arming ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tried(commands: MonitorCommands) -> MonitorCommands:
    """Return the service with Bob's monitor, which has the action auto and a day of values."""
    commands.types(ADD.replace("notify", "auto"))
    for slot in range(1, 1 + HALF_A_DAY):
        commands.bench.clock.advance(minutes=10)
        commands.measure(commands.find(), slot)
    return commands


def test_a_second_person_arms_a_monitor_after_its_dry_run(tried: MonitorCommands) -> None:
    assert "It now rolls back automatically" in tried.types("monitor arm churn accuracy", CAROL)
    monitor = tried.find()
    assert (monitor.is_armed, monitor.armed_by, monitor.effective_action) == (True, CAROL.person, "auto")
    assert tried.event(EventTag.MONITOR_ARMED).evidence["untried"] is False


def test_no_one_arms_their_own_monitor(tried: MonitorCommands) -> None:
    with pytest.raises(Refused, match="someone else has to arm it"):
        tried.types("monitor arm churn accuracy", BOB)
    assert not tried.find().is_armed


def test_no_one_arms_a_monitor_that_they_changed_last(tried: MonitorCommands) -> None:
    tried.types("monitor edit churn accuracy --every 10m", CAROL)
    with pytest.raises(Refused, match="someone else has to arm it"):
        tried.types("monitor arm churn accuracy", CAROL)


def _younger(commands: MonitorCommands) -> None:
    commands.bench.clock.advance(minutes=-1)


def _changed(commands: MonitorCommands) -> None:
    commands.types("monitor edit churn accuracy --every 10m")


def _fires(commands: MonitorCommands) -> None:
    commands.firings = [Firing(commands.bench.clock.now(), 0.5, say("low"))]


def _failing(commands: MonitorCommands) -> None:
    commands.failed = Firing(commands.bench.clock.now() - timedelta(days=9), 0.5, say("low"))


def _sleeps(commands: MonitorCommands) -> None:
    commands.bench.clock.advance(minutes=10)  # of the oldest value a day has passed, and no new one came


def _short(commands: MonitorCommands) -> None:
    commands.judged, commands.why = timedelta(hours=151), say("The windows were not complete.")


def _blind(commands: MonitorCommands) -> None:
    with commands.bench.ledger.write() as tx:
        now = tx.monitor_state(commands.find().id)
        why = say("The baseline covers only 1d of the 7d needed.")
        tx.save_monitor_state(replace(now, state=MonitorStatus.CANT_JUDGE, unjudged=3, why=why))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_blind, "can't be armed while it can't reach a verdict. The baseline covers only 1d of the 7d needed."),
        (_younger, "has to run unchanged for 24 hours"),
        (_changed, "has to run unchanged for 24 hours"),
        (_fires, "would have fired once in 7d"),
        (_failing, "It failed on .* and hadn't recovered"),
        (_sleeps, "at least 144 checks .* and has 143"),
        (_short, r"wouldn't have fired in 7d \(covered 151 of 168 hours, 0 values\)\. The windows were not complete\."),
    ],
)
def test_a_monitor_without_a_dry_run_is_not_armed(
    tried: MonitorCommands, spoil: Callable[[MonitorCommands], None], said: str
) -> None:
    spoil(tried)
    with pytest.raises(Refused, match=said):
        tried.types("monitor arm churn accuracy", CAROL)
    assert not tried.find().is_armed
    tried.types('monitor arm churn accuracy --override --reason "it is known"', DAVE)
    assert tried.find().is_armed
    event = tried.event(EventTag.MONITOR_ARMED)
    assert (event.why, event.evidence["untried"]) == ("it is known", True)


def test_a_monitor_without_values_is_not_armed(commands: MonitorCommands) -> None:
    commands.types(ADD.replace("notify", "auto"))
    commands.bench.clock.advance(hours=25)
    with pytest.raises(Refused, match="and has 0"):
        commands.types("monitor arm churn accuracy", CAROL)


def test_only_auto_is_armed_and_only_once(tried: MonitorCommands) -> None:
    tried.types("monitor arm churn accuracy", CAROL)
    with pytest.raises(BadInput, match="is already armed"):
        tried.types("monitor arm churn accuracy", CAROL)
    tried.types("monitor edit churn accuracy --action ask")
    with pytest.raises(BadInput, match=r"First run /model monitor edit churn accuracy --action auto"):
        tried.types("monitor arm churn accuracy", CAROL)


def test_an_override_needs_a_reason(tried: MonitorCommands) -> None:
    with pytest.raises(BadInput, match="needs a reason"):
        tried.types("monitor arm churn accuracy --override", DAVE)


def test_a_monitor_that_changes_during_its_backtest_is_not_armed(tried: MonitorCommands) -> None:
    service, plain = tried.service, tried.replay

    def replay(monitor: Monitor, span: timedelta) -> Backtest:
        tried.service = service
        tried.types("monitor edit churn accuracy --every 20m")
        return plain(monitor, span)

    tried.service = Monitors(tried.bench.context, tried.bench.gatekeeper, replay)
    with pytest.raises(Refused, match="Someone just changed this monitor"):
        tried.types("monitor arm churn accuracy", CAROL)
    assert not tried.find().is_armed


# -- the breaker -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "model"), [("monitor reset churn", "churn"), ("monitor reset --all", "")])
def test_an_admin_resets_the_circuit_breaker(commands: MonitorCommands, text: str, model: str) -> None:
    with commands.bench.ledger.write() as tx:
        tx.trip_breaker(TrippedBreaker(model=model, at=commands.bench.clock.now(), why=say("Too many.")))
    assert "resumed automatic rollbacks" in commands.types(text, DAVE)
    with commands.bench.ledger.read() as reading:
        assert reading.tripped_breakers() == []
    assert commands.event(EventTag.BREAKER_RESET).model == (model or None)


def test_a_circuit_breaker_that_is_not_tripped_cannot_be_reset(commands: MonitorCommands) -> None:
    with pytest.raises(BadInput, match="isn't tripped"):
        commands.types("monitor reset churn", DAVE)
    with pytest.raises(BadInput, match="Name a model"):
        commands.types("monitor reset", DAVE)

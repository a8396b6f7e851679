"""Changes between a verdict and the action that follows it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from bot.domain.commands.parser import build_command
from bot.domain.commands.policy import FreezeModel
from bot.domain.core.sentence import say
from bot.domain.monitoring.incident import REMINDER_INTERVAL, IncidentStatus, TrippedBreaker
from bot.domain.monitoring.incident_messages import next_step
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import TransitionState
from tests.support.monitoring.monitoring import (
    act_during_check,
    add_monitor,
    channel_texts,
    check_values,
    incidents,
    rollbacks,
)
from tests.support.services.bench import BOB, Bench

# As 0.2.0 stored it: without the reason's code.
OLD_LIMIT = "As many automatic rollbacks of all models as the policy allows within 24 hours: {n}."

# -- at the wrong moment -----------------------------------------------------------------------------------------------


def test_a_freeze_after_the_verdict_stops_the_rollback_and_says_so(served: Bench) -> None:
    add_monitor(served)
    check_values(served, 0.5)
    freeze = build_command(FreezeModel, {"model": "churn", "reason": "audit"})
    act_during_check(served, lambda: served.execute(BOB, freeze))
    check_values(served, 0.5)
    assert (served.registry.holders(), rollbacks(served)[0].state) == ([4], TransitionState.STALE)
    [incident] = incidents(served)
    assert (incident.is_open, incident.doing) == (True, IncidentStatus.FROZEN)


def test_a_silenced_incident_has_no_reminders(served: Bench) -> None:
    monitor = add_monitor(served, action="notify")
    check_values(served, 0.5, 0.5)
    with served.ledger.write() as tx:
        tx.save_monitor(
            replace(monitor, silenced_until=served.clock.now() + timedelta(hours=72), silenced_by=BOB.person)
        )
    served.clock.advance(seconds=REMINDER_INTERVAL.total_seconds() + 1)
    served.incidents.end_and_remind()
    assert not any("unacknowledged" in line for line in channel_texts(served))


def test_an_incident_ends_if_the_changed_rule_passes(served: Bench) -> None:
    monitor = add_monitor(served, action="notify")
    check_values(served, 0.7, 0.7)
    rule = monitor.rule.model_copy(update={"greater_than": 0.6})
    with served.ledger.write() as tx:
        tx.save_monitor(replace(monitor, rule=rule, revision=2))
    served.incidents.end_and_remind()
    assert incidents(served)[0].is_open  # nothing is known of it yet
    check_values(served, 0.7)
    served.incidents.end_and_remind()
    assert not incidents(served)[0].is_open


def test_the_reset_command_for_all_models_is_suggested_if_the_shared_limit_tripped(served: Bench) -> None:
    add_monitor(served, action="ask")
    check_values(served, 0.5, 0.5)
    tripped = replace(incidents(served)[0], doing=IncidentStatus.TRIPPED)
    assert "/model monitor reset churn" in str(next_step(tripped))
    assert "/model monitor reset --all" in str(next_step(replace(tripped, why=say(OLD_LIMIT, n=3))))
    assert served.registry.holders(stage=Stage.PRODUCTION) == [4]


# -- what a whole check keeps to ---------------------------------------------------------------------------------------


def test_the_shared_circuit_breaker_applies_to_each_model(served: Bench) -> None:
    with served.ledger.write() as tx:
        tx.trip_breaker(TrippedBreaker(model="", at=served.clock.now() - timedelta(days=3), why=say("Too many.")))
    add_monitor(served)
    check_values(served, 0.5, 0.5)
    assert (served.registry.holders(), incidents(served)[0].doing) == ([4], IncidentStatus.TRIPPED)

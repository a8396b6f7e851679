"""Alerts about missing data, failing sources, and incidents that last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import say
from bot.domain.monitoring.incident import IncidentKind, IncidentStatus
from bot.domain.monitoring.messages import status_text
from bot.domain.monitoring.monitor import MonitorStatus
from bot.domain.monitoring.readings import Answer, CheckOutcome
from bot.domain.policy.parser import validate_policy
from tests.support.monitoring.monitoring import (
    add_monitor,
    channel_texts,
    check_values,
    incidents,
    monitor_state,
    put_into_production,
    rollbacks,
    tick,
)
from tests.support.services.bench import BOB, POLICY, Bench

# -- no data, and errors -----------------------------------------------------------------------------------------------


NOW = datetime(2030, 1, 1, tzinfo=UTC)


NOTHING: dict[str, Callable[[], Answer | Exception]] = {
    "no points": Answer,
    "NaN": lambda: Answer(points=[(NOW, float("nan"))]),
    "an error of the source": lambda: Answer(outcome=CheckOutcome.ERROR, why=say("refused")),
    "an error that is raised": lambda: Misconfigured("no such source"),
    "a fault of a plug-in": lambda: ZeroDivisionError("oops"),
}


@pytest.mark.parametrize("what", NOTHING)
def test_missing_data_never_moves_a_version(served: Bench, what: str) -> None:
    monitor = add_monitor(served, fail_after=1, no_data=3, error=3)
    served.sources.answers["accuracy"] = NOTHING[what]()
    for _ in range(5):
        served.clock.advance(seconds=12)
        tick(served)
    assert (served.registry.holders(), rollbacks(served)) == ([4], [])
    assert monitor_state(served, monitor).state in {MonitorStatus.NO_DATA, MonitorStatus.ERROR}
    [incident] = incidents(served)
    assert incident.kind is IncidentKind.BLIND


@pytest.mark.parametrize("ends", ["by itself", "by a person"])
def test_an_alert_held_back_by_a_silence_is_sent_afterwards(served: Bench, ends: str) -> None:
    add_monitor(served, action="notify", no_data=2)
    served.execute(BOB, "monitor silence churn accuracy 2h")
    check_values(served, None, None, None)
    assert incidents(served) == []
    if ends == "by a person":
        served.execute(BOB, "monitor unsilence churn accuracy")
    else:
        served.clock.advance(hours=2)
    check_values(served, None, None)
    assert [(one.kind, one.doing) for one in incidents(served)] == [(IncidentKind.BLIND, IncidentStatus.NOTIFIED)]


def test_each_reading_counts_once_in_several_checks(served: Bench) -> None:
    monitor = add_monitor(served, min_points=3)
    served.clock.advance(seconds=12)
    points = [(served.clock.now(), 0.9)]
    served.sources.answers["accuracy"] = Answer(points=points)
    for _ in range(2):
        tick(served)
        assert monitor_state(served, monitor).points == 1
        served.clock.advance(seconds=12)
    for value in (0.91, 0.92):
        served.clock.advance(seconds=12)
        points.append((served.clock.now(), value))
        served.sources.answers["accuracy"] = Answer(points=points)
        tick(served)
    assert (monitor_state(served, monitor).slot, monitor_state(served, monitor).points) == (4, 3)


def test_after_the_clock_is_set_back_the_status_says_why_checks_wait(served: Bench) -> None:
    monitor = add_monitor(served)
    check_values(served, 0.9)
    served.clock.set_back(hours=1)
    check_values(served, 0.9, 0.9, 0.9)
    assert (monitor_state(served, monitor).state, len(incidents(served))) == (MonitorStatus.NO_DATA, 1)
    assert "because the clock was set back" in str(monitor_state(served, monitor).why)
    served.clock.advance(hours=1)
    check_values(served, 0.9)
    assert (monitor_state(served, monitor).state, incidents(served)[0].is_open) == (MonitorStatus.OK, False)


def all_say(bench: Bench, count: int, answer: Answer) -> None:
    """Give `count` monitors this answer, and check all of them."""
    bench.clock.advance(seconds=12)
    for number in range(count):
        bench.sources.answers[f"q{number}"] = answer
    tick(bench)


def test_a_source_that_is_down_is_one_alert_until_all_its_monitors_have_values_again(served: Bench) -> None:
    put_into_production(served, "a", "b", "c")
    for number, model in enumerate(("churn", "a", "b", "c")):
        add_monitor(served, f"q{number}", model, query=f"q{number}", error=2, no_data=2)
    down = Answer(outcome=CheckOutcome.ERROR, why=say("It is down."))
    for _ in range(3):
        all_say(served, 4, down)
    [incident] = incidents(served)
    assert (incident.kind, incident.is_of_source, incident.source) == (IncidentKind.BLIND, True, "push")
    assert sorted(incident.monitors) == ["a q1", "b q2", "c q3", "churn q0"]
    served.sources.answers |= {f"q{number}": Answer(points=[(served.clock.now(), 0.9)]) for number in range(3)}
    check_values(served, 0.9, query="q0")
    served.incidents.end_and_remind()
    assert incidents(served)[0].is_open  # one is still not measured
    check_values(served, 0.9, query="q3")
    [incident] = incidents(served)
    assert (incident.is_open, str(incident.resolution)) == (False, "Monitoring is back after 36s.")


def test_monitors_of_a_single_model_alert_its_own_team_once(served: Bench) -> None:
    for number in range(4):
        add_monitor(served, f"q{number}", query=f"q{number}", error=2)
    for _ in range(3):
        all_say(served, 4, Answer(outcome=CheckOutcome.ERROR, why=say("It is down.")))
    [incident] = incidents(served)
    assert (incident.model, sorted(incident.monitors)) == ("churn", ["q0", "q1", "q2", "q3"])


def test_a_source_without_active_monitors_has_no_alert(served: Bench) -> None:
    put_into_production(served, "a", "b")
    models = ("churn", "a", "b")
    monitors = [
        add_monitor(served, f"q{number}", model, query=f"q{number}", error=2) for number, model in enumerate(models)
    ]
    for _ in range(2):
        all_say(served, 3, Answer(outcome=CheckOutcome.ERROR, why=say("It is down.")))
    with served.ledger.write() as tx:
        for one in monitors:
            tx.save_monitor(replace(one, removed_at=served.clock.now()))
    served.incidents.end_and_remind()
    assert str(incidents(served)[0].resolution).startswith("Ended: ")


def test_a_healthy_monitor_without_new_values_is_not_shown_as_healthy(served: Bench) -> None:
    monitor = add_monitor(served, no_data=3, error=2)
    check_values(served, 0.9, None)
    assert str(status_text(monitor, monitor_state(served, monitor))) == "last healthy; no data in 1 of 3 checks"
    served.sources.answers["accuracy"] = Misconfigured("no such source")
    served.clock.advance(seconds=12)
    tick(served)
    assert str(status_text(monitor, monitor_state(served, monitor))) == "last healthy; source error in 1 of 2 checks"


def test_an_alert_about_missing_data_ends_when_it_is_back(served: Bench) -> None:
    add_monitor(served, no_data=2)
    check_values(served, None, None)
    assert incidents(served)[0].is_open
    check_values(served, 0.9)
    assert str(incidents(served)[0].resolution) == "Monitoring is back after 12s."


def test_a_gap_does_not_make_a_failed_monitor_healthy(served: Bench) -> None:
    monitor = add_monitor(served, action="notify", no_data=2)
    check_values(served, 0.5, 0.5, None, None, None)
    assert monitor_state(served, monitor).state is MonitorStatus.FAILED


def test_a_monitor_recovers_after_enough_good_checks(served: Bench) -> None:
    add_monitor(served, action="notify", recover_after=3)
    check_values(served, 0.5, 0.5, 0.9, 0.9)
    assert incidents(served)[0].is_open
    check_values(served, 0.9)
    assert str(incidents(served)[0].resolution).startswith("Recovered")


def test_a_failed_query_is_retried_within_the_check(served: Bench) -> None:
    add_monitor(served, retries=2)
    served.sources.answers["accuracy"] = Answer(outcome=CheckOutcome.ERROR, why=say("refused"))
    served.clock.advance(seconds=12)
    tick(served)
    assert len(served.sources.asked) == 3


# -- incidents while they last -----------------------------------------------------------------------------------------


def test_an_unacknowledged_alert_is_repeated_for_those_on_call(served: Bench) -> None:
    served.context.active_policy.replace(validate_policy(POLICY | {"on_call": ["S0ONCALL"]}), "new")
    add_monitor(served, action="notify")
    check_values(served, 0.5, 0.5)
    served.clock.advance(hours=4)
    served.incidents.end_and_remind()
    assert any("unacknowledged after 4h" in line and "@S0ONCALL" in line for line in channel_texts(served))


def test_a_transition_of_production_supersedes_the_alert(served: Bench) -> None:
    add_monitor(served, action="notify")
    check_values(served, 0.5, 0.5)
    served.approved("promote churn 1 production")
    served.moves.execute_due("churn")
    served.incidents.end_and_remind()
    [incident] = incidents(served)
    assert (incident.doing, incident.is_open) == (IncidentStatus.SUPERSEDED, False)
    assert str(incident.resolution).startswith("Superseded")


def test_an_alert_is_about_one_production_term_not_the_version(served: Bench) -> None:
    add_monitor(served, action="notify")
    check_values(served, 0.5, 0.5)
    version = incidents(served)[0].version
    for number in (1, version):
        served.approved(f"promote churn {number} production")
        served.moves.execute_due("churn")
    served.incidents.end_and_remind()
    [incident] = incidents(served)
    assert (incident.doing, incident.is_open) == (IncidentStatus.SUPERSEDED, False)
    assert str(incident.resolution).startswith(f"Superseded: v{version} left Production and came back.")

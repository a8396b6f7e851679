"""A monitor that stops judging alerts, whatever the reason, and the alert ends when it judges again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.sentence import say
from bot.domain.monitoring.consecutive_checks import RuleResult
from bot.domain.monitoring.incident import IncidentEnding, IncidentKind
from bot.domain.monitoring.messages import checked_answer, status_text
from bot.domain.monitoring.monitor import Monitor, MonitorState, MonitorStatus
from bot.domain.monitoring.monitor_overview import MonitorRow, MonitorView, worst_first
from bot.domain.monitoring.readings import CheckOutcome
from bot.domain.monitoring.reasons import Reason
from bot.domain.policy.monitor_config import rule_sentence as rule_in_words
from bot.slack.monitoring.answers import monitor_line, monitor_view
from handlers.terminal.monitors import monitor_document
from tests.support.monitoring.monitoring import (
    add_monitor,
    check_values,
    incidents,
    keep_measuring,
    monitor_state,
    record_history,
    tick,
)
from tests.support.monitoring.no_verdict import BLOCKS, CANT, measure_minutes
from tests.support.services.bench import BOB, DAVE, Bench


def watched(bench: Bench, **fields: Any) -> Monitor:
    """Return a healthy monitor that has judged windows of the current version."""
    monitor = add_monitor(bench, **BLOCKS | fields)
    record_history(bench, monitor, lambda slot: 0.9 + 0.002 * (slot % 5), hours=8)
    measure_minutes(bench, 20 * "+")
    assert (monitor_state(bench, monitor).state, monitor_state(bench, monitor).unjudged) == (MonitorStatus.OK, 0)
    assert monitor_state(bench, monitor).judged_at is not None
    return monitor


def until_judged(bench: Bench, monitor: Monitor, most: int = 30) -> int:
    """Add good readings until there's a verdict; return the number of checks."""
    for at in range(most):
        measure_minutes(bench, "+")
        if monitor_state(bench, monitor).state is MonitorStatus.OK:
            return at + 1
    raise AssertionError(f"not judged within {most} checks")


# -- whatever the reason -----------------------------------------------------------------------------------------------


def test_a_source_with_gaps_in_every_window_alerts_within_three_checks(served: Bench) -> None:
    monitor = watched(served)
    for _ in range(12):
        measure_minutes(served, "+.+..")  # no three empty checks in a row
        now = monitor_state(served, monitor)
        if now.unjudged:
            break
    first = now.slot - now.unjudged
    while monitor_state(served, monitor).state is not MonitorStatus.CANT_JUDGE:
        measure_minutes(served, ".")
        measure_minutes(served, "+")
    [incident] = incidents(served)
    assert monitor_state(served, monitor).slot - first <= 4
    assert (incident.kind, incident.monitors) == (IncidentKind.BLIND, ("accuracy",))
    assert "4 readings instead of the usual 10" in str(incident.lines[0])
    measure_minutes(served, 6 * "+.+..")
    assert (monitor_state(served, monitor).state, len(incidents(served))) == (MonitorStatus.CANT_JUDGE, 1)
    until_judged(served, monitor)
    assert [(one.is_open, one.ending) for one in incidents(served)] == [(False, IncidentEnding.RECOVERED)]


def test_a_baseline_that_is_too_short_after_a_promotion_alerts(served: Bench) -> None:
    monitor = add_monitor(served, **BLOCKS | {"action": "auto"})
    record_history(served, monitor, lambda slot: 0.9, hours=3)
    keep_measuring(served, lambda at: 0.9, minutes=15)
    now = monitor_state(served, monitor)
    assert (now.state, now.judged_at) == (MonitorStatus.CANT_JUDGE, None)
    why = (
        "There's only 3h of usable data from before v4, and its own past days cover 0s of the 7h needed. "
        "Evaluation starts at 2026-05-07 07:20 UTC"
    )
    assert str(status_text(monitor, now)) == f"armed, but can't judge: {why}"
    assert str(incidents(served)[0].lines[0]) == (
        f"accuracy: can't judge. {why}. It stays armed but won't roll back until it reaches a verdict again."
    )


def test_a_rule_that_raises_alerts(served: Bench, rule: dict[str, Any]) -> None:
    monitor = watched(served)
    rule["accuracy"] = ZeroDivisionError("oops")
    measure_minutes(served, "++")
    assert str(status_text(monitor, monitor_state(served, monitor))) == "last healthy; no verdict in 2 of 3 checks"
    assert incidents(served) == []
    measure_minutes(served, "+")
    assert "raised an error (ZeroDivisionError)" in str(incidents(served)[0].lines[0])


def test_a_clock_that_was_set_back_alerts(served: Bench) -> None:
    served.clock.advance(hours=2)
    monitor = watched(served)
    served.clock.set_back(hours=1)
    measure_minutes(served, "++++")
    assert monitor_state(served, monitor).state is MonitorStatus.CANT_JUDGE
    assert "the clock was set back" in str(incidents(served)[0].lines[0])
    served.clock.advance(hours=1)
    until_judged(served, monitor)
    assert not incidents(served)[0].is_open


def test_a_rule_that_never_gets_new_readings_alerts(served: Bench, rule: dict[str, Any]) -> None:
    monitor = watched(served)
    rule["accuracy"] = RuleResult(is_worse=None)
    measure_minutes(served, 20 * "+")
    assert monitor_state(served, monitor).state is MonitorStatus.OK
    measure_minutes(served, 10 * "+")
    assert monitor_state(served, monitor).state is MonitorStatus.CANT_JUDGE
    assert "No verdict since" in str(incidents(served)[0].lines[0])


def test_readings_that_arrive_far_too_late_alert(served: Bench) -> None:
    monitor = add_monitor(served, min_points=6, max_age="1h")
    served.clock.advance(seconds=12)
    served.sources.say("accuracy", (served.clock.now(), 0.9))
    for _ in range(9):
        tick(served)
        served.clock.advance(seconds=12)
    assert (monitor_state(served, monitor).state, monitor_state(served, monitor).points) == (MonitorStatus.WARMUP, 1)
    for _ in range(4):
        tick(served)
        served.clock.advance(seconds=12)
    assert monitor_state(served, monitor).state is MonitorStatus.CANT_JUDGE
    assert "The rule needs 6 readings" in str(incidents(served)[0].lines[0])


def test_sequential_waits_quietly_for_its_first_readings(served: Bench) -> None:
    watched(served, rule="sequential")
    served.approved("promote churn 2 production")
    served.moves.execute_due("churn")
    measure_minutes(served, 20 * "+")
    assert incidents(served) == []


# -- what is said, and what is done ------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["notify", "ask", "auto"])
def test_a_monitor_that_stops_judging_alerts_and_moves_nothing(
    served: Bench, rule: dict[str, Any], action: str
) -> None:
    monitor = watched(served, action=action)
    rule["accuracy"] = CANT
    measure_minutes(served, "++++")
    [incident] = incidents(served)
    assert (incident.kind, served.registry.holders(), monitor.is_armed) == (IncidentKind.BLIND, [4], action == "auto")
    assert ("It stays armed" in str(incident.lines[0])) == (action == "auto")
    assert [event.tag for event in served.events()].count(EventTag.MONITOR_NO_VERDICT) == 1
    with served.ledger.read() as reading:
        assert [one.outcome for one in reading.measurements(monitor.id, limit=3)] == 3 * [CheckOutcome.UNJUDGED]


def test_a_new_unarmed_monitor_only_shows_it(served: Bench, rule: dict[str, Any]) -> None:
    monitor = add_monitor(served, **BLOCKS)
    rule["accuracy"] = CANT
    measure_minutes(served, "++++")
    now = monitor_state(served, monitor)
    assert (now.state, incidents(served)) == (MonitorStatus.CANT_JUDGE, [])
    assert str(status_text(monitor, now)) == "can't judge yet: The baseline is gone"
    assert str(checked_answer(monitor, now)).startswith(
        "Checked “churn” accuracy: can't judge yet: The baseline is gone. The"
    )
    assert monitor_line(MonitorRow(monitor, now), served.clock.now()).startswith(
        "🟣 `churn` `accuracy`  can't judge yet: The baseline is gone  ·  "
    )
    view = MonitorView(
        monitor=monitor, monitor_state=now, recent_measurements=[], incident=None, breaker=None, now=served.clock.now()
    )
    assert str(monitor_view(view).blocks).count("The baseline is gone") == 1
    assert monitor_document(monitor, now)["why"] == "The baseline is gone."
    others = [
        MonitorRow(monitor, replace(now, state=one)) for one in MonitorStatus if one is not MonitorStatus.CANT_JUDGE
    ]
    states = [one.monitor_state.state for one in worst_first([MonitorRow(monitor, now), *others])]
    assert states[:5] == [
        MonitorStatus.FAILED,
        MonitorStatus.ERROR,
        MonitorStatus.NO_DATA,
        MonitorStatus.CANT_JUDGE,
        MonitorStatus.PENDING,
    ]


def test_a_dry_run_only_shows_it(served: Bench, rule: dict[str, Any]) -> None:
    monitor = watched(served, action="dry_run")
    rule["accuracy"] = CANT
    measure_minutes(served, "++++")
    assert (monitor_state(served, monitor).state, incidents(served)) == (MonitorStatus.CANT_JUDGE, [])
    assert str(status_text(monitor, monitor_state(served, monitor))) == "can't judge: The baseline is gone"


def test_an_alert_is_sent_after_the_silence(served: Bench, rule: dict[str, Any]) -> None:
    watched(served)
    served.execute(BOB, "monitor silence churn accuracy 10m")
    rule["accuracy"] = CANT
    measure_minutes(served, "++++")
    assert incidents(served) == []
    measure_minutes(served, 8 * "+")
    assert [one.kind for one in incidents(served)] == [IncidentKind.BLIND]


def test_a_monitor_that_is_armed_but_cannot_judge_alerts(served: Bench, rule: dict[str, Any]) -> None:
    monitor = add_monitor(served, **BLOCKS)
    rule["accuracy"] = CANT
    measure_minutes(served, "++++")
    with served.ledger.write() as tx:
        auto = monitor.rule.model_copy(update={"action": "auto"})
        tx.save_monitor(
            replace(monitor, rule=auto, created_by=BOB.person, armed_at=served.clock.now(), armed_by=DAVE.person)
        )
    measure_minutes(served, "+")
    assert "It stays armed" in str(incidents(served)[0].lines[0])


def test_a_failed_monitor_stays_failed(served: Bench, rule: dict[str, Any]) -> None:
    monitor = watched(served)
    keep_measuring(served, lambda at: 0.5, minutes=30)
    assert monitor_state(served, monitor).state is MonitorStatus.FAILED
    rule["accuracy"] = CANT
    measure_minutes(served, "++++")
    assert (monitor_state(served, monitor).state, [one.kind for one in incidents(served)]) == (
        MonitorStatus.FAILED,
        [IncidentKind.FAILED],
    )
    assert str(status_text(monitor, monitor_state(served, monitor))).endswith("; can't judge now")


def test_the_alert_names_the_new_reason(served: Bench, rule: dict[str, Any]) -> None:
    watched(served)
    measure_minutes(served, "...")
    assert str(incidents(served)[0].lines[0]) == "accuracy: No readings."
    rule["accuracy"] = CANT
    measure_minutes(served, "+++")
    assert str(incidents(served)[0].lines[0]) == "accuracy: can't judge. The baseline is gone."
    rule["accuracy"] = RuleResult(is_worse=None, why=say("It is another one.").with_code(Reason.WINDOW_EMPTY))
    measure_minutes(served, "+")
    assert str(incidents(served)[0].lines[0]) == "accuracy: can't judge. It is another one."
    measure_minutes(served, "...")
    assert str(incidents(served)[0].lines[0]) == "accuracy: No readings."
    assert len(incidents(served)) == 1


# -- how it ends -------------------------------------------------------------------------------------------------------


def test_an_outage_is_one_alert_that_ends_with_the_next_verdict(served: Bench) -> None:
    monitor = watched(served)
    measure_minutes(served, 6 * ".")
    [incident] = incidents(served)
    measure_minutes(served, "+")
    assert str(status_text(monitor, monitor_state(served, monitor))) == "data is back, no verdict yet"
    assert incidents(served)[0].is_open
    until_judged(served, monitor)
    [ended] = incidents(served)
    assert (ended.id, ended.is_open, ended.ending) == (incident.id, False, IncidentEnding.RECOVERED)
    assert str(ended.resolution).startswith("Monitoring is back after ")


def test_a_failing_window_also_ends_it(served: Bench) -> None:
    monitor = add_monitor(served, no_data=2, action="notify", fail_after=2)
    check_values(served, 0.9, None, None, 0.5)
    [incident] = incidents(served)
    assert (monitor_state(served, monitor).state, incident.is_open) == (MonitorStatus.PENDING, False)
    assert EventTag.MONITOR_RECOVERED not in {event.tag for event in served.events()}


def test_a_failure_right_afterwards_also_ends_it(served: Bench) -> None:
    add_monitor(served, no_data=2, action="notify", fail_after=1)
    check_values(served, 0.9, None, None, 0.5)
    assert {one.kind: one.is_open for one in incidents(served)} == {
        IncidentKind.BLIND: False,
        IncidentKind.FAILED: True,
    }


def test_a_promotion_supersedes_the_alert_and_the_next_version_alerts_again(
    served: Bench,
    rule: dict[str, Any],
) -> None:
    monitor = watched(served)
    rule["accuracy"] = CANT
    measure_minutes(served, "+++")
    served.approved("promote churn 2 production")
    served.moves.execute_due("churn")
    served.incidents.end_and_remind()
    assert [one.ending for one in incidents(served)] == [IncidentEnding.OVERTAKEN]
    assert (monitor_state(served, monitor).state, monitor_state(served, monitor).judged_at is None) == (
        MonitorStatus.WARMUP,
        False,
    )
    measure_minutes(served, "+++")
    assert sorted(one.is_open for one in incidents(served)) == [False, True]


def test_a_resumed_monitor_does_not_alert_about_its_pause(served: Bench) -> None:
    monitor = watched(served)
    served.execute(BOB, "monitor pause churn accuracy")
    served.clock.advance(hours=2, minutes=3)
    served.execute(BOB, "monitor resume churn accuracy")
    before = served.clock.now()
    measure_minutes(served, 25 * "+")
    assert (monitor_state(served, monitor).state, incidents(served)) == (MonitorStatus.OK, [])
    judged_at = monitor_state(served, monitor).judged_at
    assert judged_at is not None
    assert judged_at > before + timedelta(minutes=10)


# -- yesterday's ledger ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("was_judging", [True, False])
def test_a_monitor_stuck_in_warm_up_before_an_upgrade_alerts(served: Bench, was_judging: bool) -> None:
    monitor = add_monitor(served, **BLOCKS)
    record_history(served, monitor, lambda slot: 0.9, hours=3)
    measure_minutes(served, "+")
    with served.ledger.write() as tx:
        now = tx.monitor_state(monitor.id)
        tx.save_monitor_state(
            MonitorState(
                monitor=monitor.id,
                slot=now.slot,
                next_at=now.next_at,
                state=MonitorStatus.WARMUP,
                revision=1,
                version=4,
                move=now.move,
                points=99,
                value=0.9,
                at=now.at,
                judged_at=now.at if was_judging else None,
                why=say("The baseline covers only 3h of the 7h needed."),
            )
        )
    measure_minutes(served, 15 * "+")
    assert monitor_state(served, monitor).state is MonitorStatus.CANT_JUDGE
    assert bool(incidents(served)) is was_judging
    lines = [str(line) for incident in incidents(served) for line in incident.lines]
    assert any("can't judge" in line for line in lines) is was_judging


# -- what is compared --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"rule": "blocks"}, "the mean of accuracy over 10m is worse"),
        ({"rule": "blocks", "aggregate": "p95"}, "the mean p95 of accuracy over 10m is worse"),
        ({"rule": "sequential"}, "the mean of accuracy since the promotion is worse"),
    ],
)
def test_a_rule_says_what_it_compares(served: Bench, fields: dict[str, Any], said: str) -> None:
    monitor = add_monitor(served, **BLOCKS | fields)
    assert said in str(rule_in_words(monitor.rule))


def test_one_bad_reading_is_not_reported_as_the_window_s_mean(served: Bench) -> None:
    monitor = watched(served)
    served.sources.say("accuracy", (served.clock.now() + timedelta(seconds=66), 0.7))
    served.clock.advance(seconds=66)
    tick(served)
    assert "The latest reading of accuracy for v4 is 0.7." in str(
        checked_answer(monitor, monitor_state(served, monitor))
    )

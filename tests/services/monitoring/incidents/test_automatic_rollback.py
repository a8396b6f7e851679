"""What happens to a failing version: it's rolled back, a person is asked, or nothing moves, as the rules allow."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.commands.parser import build_command
from bot.domain.commands.policy import FreezeModel
from bot.domain.core.errors import Refused, RegistryUnreachable
from bot.domain.monitoring.incident import IncidentKind, IncidentStatus
from bot.domain.monitoring.monitor import MonitorState, MonitorStatus
from bot.domain.monitoring.readings import Answer
from bot.domain.registry.model import Stage
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.transitions.transition import TransitionState
from bot.services.transitions.executor import LEASE
from tests.support.monitoring.monitoring import (
    add_monitor,
    channel_texts,
    check_values,
    incidents,
    monitor_state,
    rollbacks,
    tick,
)
from tests.support.services.bench import BOB, CAROL, DAVE, Bench
from tests.support.services.rollbacks import package_with_input


def test_a_failed_version_is_rolled_back_to_the_last_good_one(served: Bench) -> None:
    add_monitor(served)
    check_values(served, 0.5, 0.5)
    assert served.registry.holders() == [2]
    [incident] = incidents(served)
    assert (incident.doing, incident.version, incident.target) == (IncidentStatus.ROLLED_BACK, 4, 2)


def test_the_thread_has_only_the_chart_and_the_review(served: Bench) -> None:
    add_monitor(served)
    check_values(served, 0.5, 0.5)
    served.mirror.write_due()
    served.incidents.end_and_remind()
    [incident] = incidents(served)
    in_thread = [note.kind for note in served.notes() if note.kind.is_in_thread and note.lane == incident.id]
    assert sorted(kind.value for kind in in_thread) == ["chart", "review"]


def test_the_end_names_the_restored_and_the_blocked_version(served: Bench) -> None:
    add_monitor(served)
    check_values(served, 0.5, 0.5)
    served.incidents.end_and_remind()
    [incident] = incidents(served)
    assert str(incident.resolution).startswith("Restored: v2 has been in Production since")
    assert "v4 is blocked" in str(incident.resolution)


def test_the_audit_has_the_verdict_and_the_rollback(served: Bench) -> None:
    add_monitor(served)
    check_values(served, 0.5, 0.5)
    failed = next(event for event in served.events() if event.tag.value == "monitor:version:failed")
    assert (failed.after, failed.evidence["value"], failed.evidence["doing"]) == ("v4", 0.5, "intent")
    assert "registrar:version:rolled_back" in served.tags()


@pytest.mark.parametrize("action", ["dry_run", "notify", "ask"])
def test_only_the_action_auto_moves_a_version(served: Bench, action: str) -> None:
    add_monitor(served, action=action)
    check_values(served, 0.5, 0.5, 0.5)
    assert (served.registry.holders(), rollbacks(served)) == ([4], [])


def test_a_dry_run_alerts_no_one(served: Bench) -> None:
    add_monitor(served, action="dry_run")
    before = served.keys()
    check_values(served, 0.5, 0.5)
    assert (incidents(served), served.keys()) == ([], before)
    assert "monitor:version:failed" in served.tags()


def test_the_action_ask_waits_for_a_click(served: Bench) -> None:
    add_monitor(served, action="ask")
    check_values(served, 0.5, 0.5)
    [incident] = incidents(served)
    assert incident.doing is IncidentStatus.AWAITING_HUMAN
    served.moves.execute_due(served.rollbacks.roll_back_for_incident(BOB, incident.id, origin="slack"))
    assert served.registry.holders() == [2]
    assert rollbacks(served)[0].actor == BOB.person


def test_a_click_does_not_move_a_version_that_was_blocked_in_the_meantime(served: Bench) -> None:
    add_monitor(served, action="ask")
    check_values(served, 0.5, 0.5)
    [incident] = incidents(served)
    bar = RollbackBlock(
        id="b", model="churn", version=2, move="m", at=served.clock.now(), by=CAROL.person, reason="bad"
    )
    with served.ledger.write() as tx:
        tx.add_rollback_block(bar)
    with pytest.raises(Refused, match="is blocked"):
        served.rollbacks.roll_back_for_incident(BOB, incident.id, origin="slack")
    assert (served.registry.holders(), rollbacks(served)) == ([4], [])


def test_an_unarmed_auto_monitor_asks(served: Bench) -> None:
    monitor = add_monitor(served)
    with served.ledger.write() as tx:
        tx.save_monitor(replace(monitor, created_by=BOB.person))
    check_values(served, 0.5, 0.5)
    assert (incidents(served)[0].doing, served.registry.holders()) == (IncidentStatus.AWAITING_HUMAN, [4])


def test_after_the_rollback_the_restored_version_has_no_status_until_it_is_checked(served: Bench) -> None:
    monitor = add_monitor(served)
    check_values(served, 0.5, 0.5)
    now = monitor_state(served, monitor)
    assert (now.state, now.version, now.value) == (MonitorStatus.WARMUP, 2, None)
    assert str(now.why) == "No measurements for v2 yet."
    check_values(served, 0.9)
    assert monitor_state(served, monitor).state is MonitorStatus.OK


def test_two_monitors_that_fail_together_cause_one_rollback_and_one_alert(served: Bench) -> None:
    add_monitor(served, "accuracy")
    add_monitor(served, "f1", query="accuracy")
    check_values(served, 0.5, 0.5)
    assert (served.registry.holders(), len(rollbacks(served)), len(incidents(served))) == ([2], 1, 1)
    assert set(incidents(served)[0].monitors) == {"accuracy", "f1"}


def test_a_person_s_transition_before_the_rollback_supersedes_it(served: Bench) -> None:
    add_monitor(served)
    check_values(served, 0.5)
    served.registry.before = lambda: None
    real = served.registry.version

    def moved(name: str, number: int) -> Any:
        served.registry.version = real  # type: ignore[method-assign]
        served.registry.by_hand("churn", 1, Stage.PRODUCTION)
        return real(name, number)

    served.fitness.problems("churn", 2, 4)  # known, so that the next reading is the executor's
    served.registry.version = moved  # type: ignore[method-assign]
    check_values(served, 0.5)
    assert (served.registry.holders(), rollbacks(served)[0].state) == ([1], TransitionState.STALE)
    assert incidents(served)[0].doing is IncidentStatus.SUPERSEDED
    assert any("Nothing changed" in line for line in channel_texts(served))


def test_a_sample_decides_whether_a_source_with_many_monitors_is_suspect(served: Bench) -> None:
    others = [
        add_monitor(served, f"q{number}", query=f"q{number}", fail_after=1, every="5m") for number in range(1, 120)
    ]
    with served.ledger.write() as tx:
        for one in others:
            tx.save_monitor_state(MonitorState(monitor=one.id, next_at=served.clock.now() + timedelta(minutes=4)))
    add_monitor(served, "q0", query="q0", fail_after=1)
    served.clock.advance(seconds=12)
    for number in range(120):
        served.sources.answers[f"q{number}"] = Answer(points=[(served.clock.now(), 0.0)])
    tick(served)
    assert (served.registry.holders(), rollbacks(served)) == ([4], [])
    assert [one.kind for one in incidents(served)] == [IncidentKind.SOURCE]


def test_one_failing_monitor_of_many_does_not_make_the_source_suspect(served: Bench) -> None:
    for number in range(1, 120):
        add_monitor(served, f"q{number}", query=f"q{number}", fail_after=1, every="5m")
    add_monitor(served, "q0", query="q0", fail_after=1)
    served.clock.advance(seconds=12)
    for number in range(120):
        served.sources.answers[f"q{number}"] = Answer(points=[(served.clock.now(), 0.9 if number else 0.0)])
    tick(served)
    assert served.registry.holders() == [2]


def test_a_version_that_served_briefly_is_not_a_rollback_target(served: Bench) -> None:
    add_monitor(served, min_served="365d")
    check_values(served, 0.5, 0.5)
    # v3 was in Production before Registrar's first poll, which is long enough.
    assert served.registry.holders() == [3]


def test_a_skipped_rollback_target_is_named_with_the_reason(served: Bench) -> None:
    add_monitor(served, min_served="365d")
    check_values(served, 0.5, 0.5)
    [incident] = incidents(served)
    assert (incident.doing, incident.target) == (IncidentStatus.ROLLED_BACK, 3)
    assert str(incident.why) == "Skipped v2: under 365d in Production, not proven."


def test_without_a_rollback_target_the_incident_says_so_and_nothing_moves(served: Bench) -> None:
    for version in (2, 3):
        served.do(f'rollback churn {version} --reason "?"', BOB)
    served.clock.advance(hours=7)
    add_monitor(served)
    check_values(served, 0.5, 0.5)
    [incident] = incidents(served)
    assert (incident.doing, incident.target, served.registry.holders()) == (IncidentStatus.HELD, None, [3])


def test_after_a_rollback_a_person_decides_until_the_cooldown_is_over(served: Bench) -> None:
    add_monitor(served, max_auto=5)
    check_values(served, 0.5, 0.5)
    check_values(served, 0.5, 0.5)
    assert (served.registry.holders(), incidents(served)[0].doing) == ([2], IncidentStatus.COOLDOWN)
    served.clock.advance(hours=6)
    check_values(served, 0.5)
    assert served.registry.holders() == [3]


def test_after_two_bad_versions_in_a_row_the_circuit_breaker_trips(served: Bench) -> None:
    add_monitor(served, max_auto=2, cooldown="0s")
    check_values(served, 0.5, 0.5)
    assert served.registry.holders() == [2]
    check_values(served, 0.9, 0.9, 0.9)
    served.incidents.end_and_remind()
    served.approved("promote churn 1 production")
    served.moves.execute_due("churn")
    check_values(served, 0.5, 0.5)
    assert served.registry.holders() == [2]
    served.incidents.end_and_remind()
    check_values(served, 0.5, 0.5)
    assert (served.registry.holders(), incidents(served)[0].doing) == ([2], IncidentStatus.TRIPPED)
    with served.ledger.read() as reading:
        assert [breaker.model for breaker in reading.tripped_breakers()] == ["churn"]


def test_after_a_reset_of_the_circuit_breaker_rollbacks_continue(served: Bench) -> None:
    add_monitor(served, max_auto=1, cooldown="0s")
    check_values(served, 0.5, 0.5)
    served.incidents.end_and_remind()
    check_values(served, 0.5, 0.5)
    assert (served.registry.holders(), incidents(served)[0].doing) == ([2], IncidentStatus.TRIPPED)
    served.execute(DAVE, "monitor reset churn")
    check_values(served, 0.5)
    assert served.registry.holders() == [3]


def test_a_frozen_production_is_not_rolled_back_automatically(served: Bench) -> None:
    served.execute(BOB, build_command(FreezeModel, {"model": "churn", "reason": "audit week"}))
    add_monitor(served)
    check_values(served, 0.5, 0.5)
    assert (served.registry.holders(), incidents(served)[0].doing) == ([4], IncidentStatus.FROZEN)


def test_a_silenced_monitor_only_records_its_checks(served: Bench) -> None:
    monitor = add_monitor(served)
    with served.ledger.write() as tx:
        tx.save_monitor(
            replace(monitor, silenced_until=served.clock.now() + timedelta(hours=1), silenced_by=BOB.person)
        )
    check_values(served, 0.5, 0.5)
    assert (served.registry.holders(), incidents(served), monitor_state(served, monitor).value) == ([4], [], 0.5)
    served.clock.advance(hours=1)
    check_values(served, 0.5)
    assert served.registry.holders() == [2]


@pytest.mark.parametrize("stage", ["production", "staging"])
def test_the_incident_waits_for_a_person_while_the_request_is_open(served: Bench, stage: str) -> None:
    request = served.open(f"promote churn 1 {stage}")
    add_monitor(served)
    check_values(served, 0.5, 0.5, 0.5)
    [incident] = incidents(served)
    assert (served.registry.holders(), incident.doing) == ([4], IncidentStatus.AWAITING_HUMAN)
    assert f"Request {request.id} is pending, so rollbacks need a manual decision until it's closed." in str(
        incident.why
    )
    served.reject(request)
    check_values(served, 0.5)
    assert (served.registry.holders(), incidents(served)[0].doing) == ([2], IncidentStatus.ROLLED_BACK)


def test_an_open_request_makes_the_automation_wait(served: Bench) -> None:
    served.open("promote churn 1 production")
    add_monitor(served)
    check_values(served, 0.5, 0.5)
    assert (served.registry.holders(), incidents(served)[0].doing) == ([4], IncidentStatus.AWAITING_HUMAN)


def test_a_source_is_suspect_if_many_of_its_monitors_fail_together(served: Bench) -> None:
    for name in ("a", "b", "c"):
        add_monitor(served, name, query="accuracy", fail_after=1)
    check_values(served, 0.5)
    assert served.registry.holders() == [4]
    [incident] = incidents(served)
    assert (incident.kind, incident.source, len(incident.monitors)) == (IncidentKind.SOURCE, "push", 3)


def test_the_first_failing_monitor_triggers_checks_of_the_others(served: Bench) -> None:
    add_monitor(served, "a", query="accuracy", fail_after=1)
    for name in ("b", "c"):
        late = add_monitor(served, name, query="accuracy", fail_after=1)
        with served.ledger.write() as tx:
            tx.save_monitor_state(MonitorState(monitor=late.id, next_at=served.clock.now() + timedelta(seconds=18)))
    check_values(served, 0.5)
    assert (served.registry.holders(), incidents(served)[0].kind) == ([4], IncidentKind.SOURCE)


def test_a_rollback_waits_while_the_registry_is_down(served: Bench) -> None:
    add_monitor(served)
    check_values(served, 0.5)
    served.fitness.problems("churn", 2, 4)

    def away(*_: object, **__: object) -> Any:
        raise RegistryUnreachable("away")

    real = served.registry.version
    served.registry.version = away  # type: ignore[method-assign]
    check_values(served, 0.5)
    assert served.registry.holders() == [4]
    served.registry.version = real  # type: ignore[method-assign]
    served.clock.advance(seconds=LEASE.total_seconds())
    served.moves.execute_due("churn")
    assert served.registry.holders() == [2]


def test_a_version_that_may_not_load_needs_a_person(served: Bench) -> None:
    served.registry.add_package(served.registry.version("churn", 4), package_with_input("string"))
    add_monitor(served)
    check_values(served, 0.5, 0.5)
    assert (served.registry.holders(), incidents(served)[0].doing) == ([4], IncidentStatus.HELD)
    assert "MLmodel file is missing" in str(incidents(served)[0].why)

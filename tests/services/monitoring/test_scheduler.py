"""Monitors at work: what is checked when, what it comes to, and what is done: never more than the rules allow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.domain.commands import FreezeModel
from bot.domain.errors import Misconfigured, Refused, RegistryUnreachable
from bot.domain.incidents import Doing, IncidentKind
from bot.domain.monitor_commands import MonitorReset
from bot.domain.monitor_views import chart_of
from bot.domain.monitor_words import state
from bot.domain.monitors import Answer, Measurement, Monitor, Outcome, Standing, State
from bot.domain.moves import MoveState
from bot.domain.parsing import build, parse
from bot.domain.registry import Stage
from bot.domain.rollbacks import Bar
from bot.domain.text import say
from bot.services.context import Rules
from bot.services.monitors import Monitors
from bot.services.moves import LEASE
from tests.support.services.bench import BOB, CAROL, DAVE, Bench, beside
from tests.support.services.monitoring import (
    HOURS,
    QUICK,
    add,
    check,
    goes_on,
    incidents,
    past,
    policy_with,
    rollbacks,
    serving,
    standing,
    tick,
    told,
)
from tests.support.services.rollbacks import shape

# -- measuring ---------------------------------------------------------------------------------------------------------


def test_a_value_within_its_bound_is_ok(served: Bench) -> None:
    monitor = add(served)
    check(served, 0.9)
    assert (standing(served, monitor).state, standing(served, monitor).value) == (State.OK, 0.9)


def test_equality_fails(served: Bench) -> None:
    monitor = add(served)
    check(served, 0.85)
    assert standing(served, monitor).state is State.PENDING


def test_it_fails_after_so_many_in_a_row(served: Bench) -> None:
    monitor = add(served, action="notify", fail_after=3)
    check(served, 0.5, 0.5, 0.9, 0.5, 0.5)
    assert standing(served, monitor).state is State.PENDING
    check(served, 0.5)
    assert standing(served, monitor).state is State.FAILED


def test_a_check_is_made_once_for_each_slot(served: Bench) -> None:
    monitor = add(served)
    check(served, 0.9, 0.9, 0.9)
    with served.ledger.read() as reading:
        assert [one.slot for one in reading.measurements(monitor.id)] == [3, 2, 1]


def test_what_is_not_due_is_not_checked(served: Bench) -> None:
    add(served)
    check(served, 0.9)
    assert tick(served) == 0


def test_what_many_ask_of_one_source_is_asked_once(served: Bench) -> None:
    for name in ("a", "b", "c"):
        add(served, name)
    check(served, 0.9, query="a")
    assert [[query.query for query in batch] for batch in served.sources.asked] == [["a", "b", "c"]]


def test_after_a_promotion_all_is_counted_anew(served: Bench) -> None:
    monitor = add(served, action="notify")
    check(served, 0.5)
    served.approved("promote churn 1 production")
    served.moves.run("churn")
    check(served, 0.5)
    assert (standing(served, monitor).state, standing(served, monitor).version) == (State.PENDING, 1)


def test_while_it_warms_up_only_the_hard_limit_counts(served: Bench) -> None:
    monitor = add(served, warmup="1h", hard_limit=0.2)
    check(served, 0.5, 0.5, 0.5)
    assert standing(served, monitor).state is State.WARMUP
    check(served, 0.1, 0.1)
    assert served.registry.holders() == [2]


def test_readings_from_before_the_promotion_are_nobodys(served: Bench) -> None:
    monitor = add(served)
    before = served.clock.now() - timedelta(hours=1)
    served.sources.say("accuracy", (before, 0.1))
    served.clock.turn(seconds=12)
    tick(served)
    assert standing(served, monitor).state is State.OK
    with served.ledger.read() as reading:
        assert reading.measurements(monitor.id)[0].outcome is Outcome.NO_DATA


def test_with_nothing_in_production_nothing_is_judged(served: Bench) -> None:
    served.registry.by_hand("churn", 4, Stage.NONE)
    served.watch.poll()
    monitor = add(served)
    check(served, 0.5, 0.5)
    assert standing(served, monitor).state is State.DISABLED


def test_a_paused_monitor_is_not_checked(served: Bench) -> None:
    monitor = add(served)
    with served.ledger.write() as tx:
        tx.save_monitor(replace(monitor, is_paused=True))
    check(served, 0.5)
    assert served.sources.asked == []


def test_somebody_can_have_it_checked_now(served: Bench) -> None:
    monitor = add(served)
    check(served, 0.9)
    served.sources.say("accuracy", (served.clock.now(), 0.5))
    assert served.monitoring.check(monitor.id).state is State.PENDING
    assert standing(served, monitor).slot == 2
    check(served, 0.9)
    assert standing(served, monitor).state is State.OK


# -- acting ------------------------------------------------------------------------------------------------------------


def test_a_failed_version_is_rolled_back_to_the_last_good_one(served: Bench) -> None:
    add(served)
    check(served, 0.5, 0.5)
    assert served.registry.holders() == [2]
    [incident] = incidents(served)
    assert (incident.doing, incident.version, incident.target) == (Doing.ROLLED_BACK, 4, 2)


def test_the_thread_tells_each_step(served: Bench) -> None:
    add(served)
    check(served, 0.5, 0.5)
    lines = " / ".join(told(served))
    for words in ("0.5 is not greater than 0.85", "v4 → v2", "read back from MLflow", "v4 is blocked"):
        assert words in lines


def test_it_ends_with_who_serves_and_who_is_barred(served: Bench) -> None:
    add(served)
    check(served, 0.5, 0.5)
    served.incidents.tend()
    [incident] = incidents(served)
    assert str(incident.resolution).startswith("Restored: v2 has served since")
    assert "v4 is blocked" in str(incident.resolution)


def test_the_audit_has_the_verdict_and_the_rollback(served: Bench) -> None:
    add(served)
    check(served, 0.5, 0.5)
    failed = next(event for event in served.events() if event.tag.value == "monitor:version:failed")
    assert (failed.after, failed.evidence["value"], failed.evidence["doing"]) == ("v4", 0.5, "intent")
    assert "registrar:version:rolled_back" in served.tags()


@pytest.mark.parametrize("action", ["dry_run", "notify", "ask"])
def test_only_auto_moves_anything(served: Bench, action: str) -> None:
    add(served, action=action)
    check(served, 0.5, 0.5, 0.5)
    assert (served.registry.holders(), rollbacks(served)) == ([4], [])


def test_a_dry_run_disturbs_nobody(served: Bench) -> None:
    add(served, action="dry_run")
    before = served.keys()
    check(served, 0.5, 0.5)
    assert (incidents(served), served.keys()) == ([], before)
    assert "monitor:version:failed" in served.tags()


def test_ask_waits_for_a_person_who_presses(served: Bench) -> None:
    add(served, action="ask")
    check(served, 0.5, 0.5)
    [incident] = incidents(served)
    assert incident.doing is Doing.AWAITING_HUMAN
    served.moves.run(served.rollbacks.answer(BOB, incident.id, origin="slack"))
    assert served.registry.holders() == [2]
    assert rollbacks(served)[0].actor == BOB.person


def test_a_press_does_not_move_what_was_blocked_since_the_question(served: Bench) -> None:
    add(served, action="ask")
    check(served, 0.5, 0.5)
    [incident] = incidents(served)
    bar = Bar(id="b", model="churn", version=2, move="m", at=served.clock.now(), by=CAROL.person, reason="bad")
    with served.ledger.write() as tx:
        tx.add_bar(bar)
    with pytest.raises(Refused, match="it's blocked"):
        served.rollbacks.answer(BOB, incident.id, origin="slack")
    assert (served.registry.holders(), rollbacks(served)) == ([4], [])


def test_auto_that_nobody_armed_asks(served: Bench) -> None:
    monitor = add(served)
    with served.ledger.write() as tx:
        tx.save_monitor(replace(monitor, created_by=BOB.person))
    check(served, 0.5, 0.5)
    assert (incidents(served)[0].doing, served.registry.holders()) == (Doing.AWAITING_HUMAN, [4])


def test_after_the_rollback_nothing_is_said_of_the_restored_version_before_it_is_measured(served: Bench) -> None:
    monitor = add(served)
    check(served, 0.5, 0.5)
    now = standing(served, monitor)
    assert (now.state, now.version, now.value) == (State.WARMUP, 2, None)
    assert str(now.why) == "Nothing is measured yet of v2."
    check(served, 0.9)
    assert standing(served, monitor).state is State.OK


def test_two_monitors_that_fail_at_once_make_one_rollback_and_one_alert(served: Bench) -> None:
    add(served, "accuracy")
    add(served, "f1", query="accuracy")
    check(served, 0.5, 0.5)
    assert (served.registry.holders(), len(rollbacks(served)), len(incidents(served))) == ([2], 1, 1)
    assert set(incidents(served)[0].monitors) == {"accuracy", "f1"}


def test_what_a_person_moved_between_verdict_and_act_is_superseded(served: Bench) -> None:
    add(served)
    check(served, 0.5)
    served.registry.before = lambda: None
    real = served.registry.version

    def moved(name: str, number: int) -> Any:
        served.registry.version = real  # type: ignore[method-assign]
        served.registry.by_hand("churn", 1, Stage.PRODUCTION)
        return real(name, number)

    served.fitness.against("churn", 2, 4)  # known, so that the next reading is the executor's
    served.registry.version = moved  # type: ignore[method-assign]
    check(served, 0.5)
    assert (served.registry.holders(), rollbacks(served)[0].state) == ([1], MoveState.STALE)
    assert incidents(served)[0].doing is Doing.SUPERSEDED
    assert any("Nothing was moved" in line for line in told(served))


def test_of_a_source_with_very_many_monitors_a_sample_says_whether_it_is_in_doubt(served: Bench) -> None:
    others = [add(served, f"q{number}", query=f"q{number}", fail_after=1, every="5m") for number in range(1, 120)]
    with served.ledger.write() as tx:
        for one in others:
            tx.save_standing(Standing(monitor=one.id, next_at=served.clock.now() + timedelta(minutes=4)))
    add(served, "q0", query="q0", fail_after=1)
    served.clock.turn(seconds=12)
    for number in range(120):
        served.sources.answers[f"q{number}"] = Answer(points=[(served.clock.now(), 0.0)])
    tick(served)
    assert (served.registry.holders(), rollbacks(served)) == ([4], [])
    assert [one.kind for one in incidents(served)] == [IncidentKind.SOURCE]


def test_of_very_many_monitors_one_that_fails_alone_is_believed(served: Bench) -> None:
    for number in range(1, 120):
        add(served, f"q{number}", query=f"q{number}", fail_after=1, every="5m")
    add(served, "q0", query="q0", fail_after=1)
    served.clock.turn(seconds=12)
    for number in range(120):
        served.sources.answers[f"q{number}"] = Answer(points=[(served.clock.now(), 0.9 if number else 0.0)])
    tick(served)
    assert served.registry.holders() == [2]


def test_a_version_that_has_not_served_for_long_is_nothing_to_go_back_to(served: Bench) -> None:
    add(served, min_served="365d")
    check(served, 0.5, 0.5)
    # v3 was there before Registrar looked, which is long enough.
    assert served.registry.holders() == [3]


def test_the_version_before_that_served_too_short_a_time_is_named_with_the_reason(served: Bench) -> None:
    add(served, min_served="365d")
    check(served, 0.5, 0.5)
    assert "Not v2: it served for less than 365d, so nobody knows that it is good." in told(served)


def test_with_nothing_good_to_go_back_to_it_says_so_and_does_nothing(served: Bench) -> None:
    for version in (2, 3):
        served.do(f'rollback churn {version} --reason "?"', BOB)
    served.clock.turn(hours=7)
    add(served)
    check(served, 0.5, 0.5)
    [incident] = incidents(served)
    assert (incident.doing, incident.target, served.registry.holders()) == (Doing.HELD, None, [3])


def test_after_a_rollback_a_person_decides_until_the_cooldown_is_over(served: Bench) -> None:
    add(served, max_auto=5)
    check(served, 0.5, 0.5)
    check(served, 0.5, 0.5)
    assert (served.registry.holders(), incidents(served)[0].doing) == ([2], Doing.COOLDOWN)
    served.clock.turn(hours=6)
    check(served, 0.5)
    assert served.registry.holders() == [3]


def test_two_bad_versions_in_a_row_and_then_the_breaker_asks_a_person(served: Bench) -> None:
    add(served, max_auto=2, cooldown="0s")
    check(served, 0.5, 0.5)
    assert served.registry.holders() == [2]
    check(served, 0.9, 0.9, 0.9)
    served.incidents.tend()
    served.approved("promote churn 1 production")
    served.moves.run("churn")
    check(served, 0.5, 0.5)
    assert served.registry.holders() == [2]
    served.incidents.tend()
    check(served, 0.5, 0.5)
    assert (served.registry.holders(), incidents(served)[0].doing) == ([2], Doing.TRIPPED)
    with served.ledger.read() as reading:
        assert [breaker.model for breaker in reading.breakers()] == ["churn"]


def test_after_an_admin_reset_the_breaker_it_acts_again(served: Bench) -> None:
    add(served, max_auto=1, cooldown="0s")
    check(served, 0.5, 0.5)
    served.incidents.tend()
    check(served, 0.5, 0.5)
    assert (served.registry.holders(), incidents(served)[0].doing) == ([2], Doing.TRIPPED)
    monitors = Monitors(served.context, served.gatekeeper, lambda monitor, span: pytest.fail("nobody asked"))
    monitors.reset(DAVE, build(MonitorReset, {"model": "churn"}), origin="slack")
    check(served, 0.5)
    assert served.registry.holders() == [3]


def test_a_frozen_production_is_not_rolled_back_by_itself(served: Bench) -> None:
    served.freezing.freeze(BOB, build(FreezeModel, {"model": "churn", "reason": "audit week"}), origin="slack")
    add(served)
    check(served, 0.5, 0.5)
    assert (served.registry.holders(), incidents(served)[0].doing) == ([4], Doing.FROZEN)


def test_a_silenced_monitor_measures_and_does_nothing(served: Bench) -> None:
    monitor = add(served)
    with served.ledger.write() as tx:
        tx.save_monitor(
            replace(monitor, silenced_until=served.clock.now() + timedelta(hours=1), silenced_by=BOB.person)
        )
    check(served, 0.5, 0.5)
    assert (served.registry.holders(), incidents(served), standing(served, monitor).value) == ([4], [], 0.5)
    served.clock.turn(hours=1)
    check(served, 0.5)
    assert served.registry.holders() == [2]


@pytest.mark.parametrize("stage", ["production", "staging"])
def test_it_waits_for_a_person_as_long_as_the_request_is_open(served: Bench, stage: str) -> None:
    request = served.open(f"promote churn 1 {stage}")
    add(served)
    check(served, 0.5, 0.5, 0.5)
    [incident] = incidents(served)
    assert (served.registry.holders(), incident.doing) == ([4], Doing.AWAITING_HUMAN)
    assert f"Request {request.id} is open, so a person decides; once it is closed, the monitor does." in str(
        incident.why
    )
    served.reject(request)
    check(served, 0.5)
    assert (served.registry.holders(), incidents(served)[0].doing) == ([2], Doing.ROLLED_BACK)


def test_an_open_request_of_a_person_makes_the_automation_wait(served: Bench) -> None:
    served.open("promote churn 1 production")
    add(served)
    check(served, 0.5, 0.5)
    assert (served.registry.holders(), incidents(served)[0].doing) == ([4], Doing.AWAITING_HUMAN)


def test_where_many_of_one_source_fail_together_the_source_is_in_doubt(served: Bench) -> None:
    for name in ("a", "b", "c"):
        add(served, name, query="accuracy", fail_after=1)
    check(served, 0.5)
    assert served.registry.holders() == [4]
    [incident] = incidents(served)
    assert (incident.kind, incident.source, len(incident.monitors)) == (IncidentKind.SOURCE, "push", 3)


def test_whoever_fails_first_looks_whether_the_others_do(served: Bench) -> None:
    add(served, "a", query="accuracy", fail_after=1)
    for name in ("b", "c"):
        late = add(served, name, query="accuracy", fail_after=1)
        with served.ledger.write() as tx:
            tx.save_standing(Standing(monitor=late.id, next_at=served.clock.now() + timedelta(seconds=18)))
    check(served, 0.5)
    assert (served.registry.holders(), incidents(served)[0].kind) == ([4], IncidentKind.SOURCE)


def test_a_registry_that_is_away_is_waited_for(served: Bench) -> None:
    add(served)
    check(served, 0.5)
    served.fitness.against("churn", 2, 4)

    def away(*_: object, **__: object) -> Any:
        raise RegistryUnreachable("away")

    real = served.registry.version
    served.registry.version = away  # type: ignore[method-assign]
    check(served, 0.5)
    assert served.registry.holders() == [4]
    served.registry.version = real  # type: ignore[method-assign]
    served.clock.turn(seconds=LEASE.total_seconds())
    served.moves.run("churn")
    assert served.registry.holders() == [2]


def test_a_version_that_may_not_load_is_left_to_a_person(served: Bench) -> None:
    served.registry.add_package(served.registry.version("churn", 4), shape("string"))
    add(served)
    check(served, 0.5, 0.5)
    assert (served.registry.holders(), incidents(served)[0].doing) == ([4], Doing.HELD)
    assert "MLmodel file is gone" in str(incidents(served)[0].why)


# -- no data, and errors -----------------------------------------------------------------------------------------------


NOW = datetime(2030, 1, 1, tzinfo=UTC)


NOTHING: dict[str, Callable[[], Answer | Exception]] = {
    "no points": Answer,
    "NaN": lambda: Answer(points=[(NOW, float("nan"))]),
    "an error of the source": lambda: Answer(outcome=Outcome.ERROR, why=say("refused")),
    "an error that is raised": lambda: Misconfigured("no such source"),
    "a fault of a plug-in": lambda: ZeroDivisionError("oops"),
}


@pytest.mark.parametrize("what", NOTHING)
def test_without_data_nothing_is_ever_moved(served: Bench, what: str) -> None:
    monitor = add(served, fail_after=1, no_data=3, error=3)
    served.sources.answers["accuracy"] = NOTHING[what]()
    for _ in range(5):
        served.clock.turn(seconds=12)
        tick(served)
    assert (served.registry.holders(), rollbacks(served)) == ([4], [])
    assert standing(served, monitor).state in {State.NO_DATA, State.ERROR}
    [incident] = incidents(served)
    assert incident.kind is IncidentKind.BLIND


@pytest.mark.parametrize("ends", ["by itself", "by a person"])
def test_what_nobody_knew_while_it_was_silenced_is_told_afterwards(served: Bench, ends: str) -> None:
    monitors = Monitors(served.context, served.gatekeeper, lambda monitor, span: pytest.fail("nobody asked"))
    add(served, action="notify", no_data=2)
    silence: Any = parse("monitor silence churn accuracy 2h")
    monitors.silence(BOB, silence, origin="slack")
    check(served, None, None, None)
    assert incidents(served) == []
    if ends == "by a person":
        loud: Any = parse("monitor unsilence churn accuracy")
        monitors.unsilence(BOB, loud, origin="slack")
    else:
        served.clock.turn(hours=2)
    check(served, None, None)
    assert [(one.kind, one.doing) for one in incidents(served)] == [(IncidentKind.BLIND, Doing.NOTIFIED)]


def test_each_reading_counts_once_however_many_checks_see_it(served: Bench) -> None:
    monitor = add(served, min_points=3)
    served.clock.turn(seconds=12)
    points = [(served.clock.now(), 0.9)]
    served.sources.answers["accuracy"] = Answer(points=points)
    for _ in range(2):
        tick(served)
        assert standing(served, monitor).points == 1
        served.clock.turn(seconds=12)
    for value in (0.91, 0.92):
        served.clock.turn(seconds=12)
        points.append((served.clock.now(), value))
        served.sources.answers["accuracy"] = Answer(points=points)
        tick(served)
    assert (standing(served, monitor).slot, standing(served, monitor).points) == (4, 3)


def test_after_the_clock_was_set_back_it_is_said_why_nothing_is_measured(served: Bench) -> None:
    monitor = add(served)
    check(served, 0.9)
    served.clock.set_back(hours=1)
    check(served, 0.9, 0.9, 0.9)
    assert (standing(served, monitor).state, len(incidents(served))) == (State.NO_DATA, 1)
    assert "which is yet to come: the clock was set back" in str(standing(served, monitor).why)
    served.clock.turn(hours=1)
    check(served, 0.9)
    assert (standing(served, monitor).state, incidents(served)[0].is_open) == (State.OK, False)


def all_say(bench: Bench, count: int, answer: Answer) -> None:
    """Let `count` monitors hear this of the source, and have all of them checked."""
    bench.clock.turn(seconds=12)
    for number in range(count):
        bench.sources.answers[f"q{number}"] = answer
    tick(bench)


def test_a_source_that_is_down_is_one_alert_until_each_of_its_monitors_is_measured_again(served: Bench) -> None:
    serving(served, "a", "b", "c")
    for number, model in enumerate(("churn", "a", "b", "c")):
        add(served, f"q{number}", model, query=f"q{number}", error=2, no_data=2)
    down = Answer(outcome=Outcome.ERROR, why=say("It is down."))
    for _ in range(3):
        all_say(served, 4, down)
    [incident] = incidents(served)
    assert (incident.kind, incident.is_of_source, incident.source) == (IncidentKind.BLIND, True, "push")
    assert sorted(incident.monitors) == ["a q1", "b q2", "c q3", "churn q0"]
    assert any(line.startswith("Many monitors of the source push can't judge") for line in told(served))
    served.sources.answers |= {f"q{number}": Answer(points=[(served.clock.now(), 0.9)]) for number in range(3)}
    check(served, 0.9, query="q0")
    served.incidents.tend()
    assert incidents(served)[0].is_open  # one is still not measured
    check(served, 0.9, query="q3")
    [incident] = incidents(served)
    assert (incident.is_open, str(incident.resolution)) == (False, "Monitoring is back after 36s.")


def test_monitors_of_one_model_alone_alert_its_own_team_once(served: Bench) -> None:
    for number in range(4):
        add(served, f"q{number}", query=f"q{number}", error=2)
    for _ in range(3):
        all_say(served, 4, Answer(outcome=Outcome.ERROR, why=say("It is down.")))
    [incident] = incidents(served)
    assert (incident.model, sorted(incident.monitors)) == ("churn", ["q0", "q1", "q2", "q3"])


def test_a_source_of_which_nobody_wants_anything_any_more_is_no_alert(served: Bench) -> None:
    serving(served, "a", "b")
    models = ("churn", "a", "b")
    monitors = [add(served, f"q{number}", model, query=f"q{number}", error=2) for number, model in enumerate(models)]
    for _ in range(2):
        all_say(served, 3, Answer(outcome=Outcome.ERROR, why=say("It is down.")))
    with served.ledger.write() as tx:
        for one in monitors:
            tx.save_monitor(replace(one, removed_at=served.clock.now()))
    served.incidents.tend()
    assert str(incidents(served)[0].resolution).startswith("Ended: ")


def test_one_that_was_well_and_cannot_be_measured_does_not_pass_for_well(served: Bench) -> None:
    monitor = add(served, no_data=3, error=2)
    check(served, 0.9, None)
    assert str(state(monitor, standing(served, monitor))) == "well when last measured; no data 1 of 3"
    served.sources.answers["accuracy"] = Misconfigured("no such source")
    served.clock.turn(seconds=12)
    tick(served)
    assert str(state(monitor, standing(served, monitor))) == "well when last measured; error 1 of 2"


def test_an_alert_about_missing_data_ends_when_it_is_back(served: Bench) -> None:
    add(served, no_data=2)
    check(served, None, None)
    assert incidents(served)[0].is_open
    check(served, 0.9)
    assert str(incidents(served)[0].resolution) == "Monitoring is back after 12s."


def test_a_gap_does_not_make_a_failed_one_well(served: Bench) -> None:
    monitor = add(served, action="notify", no_data=2)
    check(served, 0.5, 0.5, None, None, None)
    assert standing(served, monitor).state is State.FAILED


def test_it_recovers_after_so_many_good_ones(served: Bench) -> None:
    add(served, action="notify", recover_after=3)
    check(served, 0.5, 0.5, 0.9, 0.9)
    assert incidents(served)[0].is_open
    check(served, 0.9)
    assert str(incidents(served)[0].resolution).startswith("Recovered")


def test_what_failed_is_asked_again_within_the_check(served: Bench) -> None:
    add(served, retries=2)
    served.sources.answers["accuracy"] = Answer(outcome=Outcome.ERROR, why=say("refused"))
    served.clock.turn(seconds=12)
    tick(served)
    assert len(served.sources.asked) == 3


# -- what hangs, and clocks --------------------------------------------------------------------------------------------


@pytest.fixture
def hang() -> Iterator[threading.Event]:
    """Return what lets a hanging source go on; it does at the end of the test."""
    free = threading.Event()
    yield free
    free.set()
    for thread in threading.enumerate():
        if thread.name.startswith("checks of"):
            thread.join(10)


def test_a_check_that_hangs_stops_nobody_else(served: Bench, hang: threading.Event) -> None:
    stuck, other = add(served, "stuck", source="mlflow"), add(served, "accuracy")
    read = served.sources.read

    begun = threading.Event()

    def slow(name: str, queries: Any) -> Any:
        if name == "mlflow":
            begun.set()
            hang.wait(30)
        return read(name, queries)

    served.sources.read = slow  # type: ignore[method-assign]
    served.clock.turn(seconds=12)
    served.sources.say("accuracy", (served.clock.now(), 0.9))
    served.monitoring.tick()
    [thread] = [one for one in threading.enumerate() if one.name == "checks of push"] or [threading.current_thread()]
    if thread is not threading.current_thread():
        thread.join(10)
    assert standing(served, other).state is State.OK
    assert begun.wait(10)
    served.clock.turn(minutes=2)
    served.monitoring.tick()
    with served.ledger.read() as reading:
        assert reading.measurements(stuck.id)[0].outcome is Outcome.ERROR


def test_what_a_hanging_source_brings_too_late_is_left_out(served: Bench, hang: threading.Event) -> None:
    stuck, begun = add(served, fail_after=1), threading.Event()

    def slow(name: str, queries: Any) -> Any:
        begun.set()
        hang.wait(30)
        return [Answer(points=[(served.clock.now(), 0.1)])]

    served.sources.read = slow  # type: ignore[method-assign]
    served.clock.turn(seconds=12)
    served.monitoring.tick()
    assert begun.wait(10)
    served.clock.turn(minutes=2)
    served.monitoring._give_up_what_hangs()
    hang.set()
    for thread in threading.enumerate():
        if thread.name.startswith("checks of"):
            thread.join(10)
    with served.ledger.read() as reading:
        assert [one.outcome for one in reading.measurements(stuck.id)] == [Outcome.ERROR]
    assert served.registry.holders() == [4]


def test_a_clock_set_back_by_an_hour_loses_no_check_and_doubles_none(served: Bench) -> None:
    monitor = add(served)
    check(served, 0.9, 0.9)
    served.clock.set_back(hours=1)
    check(served, 0.9, 0.9)
    with served.ledger.read() as reading:
        assert [one.slot for one in reading.measurements(monitor.id)] == [4, 3, 2, 1]


def test_a_clock_set_forward_by_an_hour_loses_no_check_and_doubles_none(served: Bench) -> None:
    monitor = add(served)
    check(served, 0.9, 0.9)
    served.clock.time += timedelta(hours=1)
    check(served, 0.9, 0.9)
    with served.ledger.read() as reading:
        assert [one.slot for one in reading.measurements(monitor.id)] == [4, 3, 2, 1]


def test_a_check_of_a_process_that_died_is_made_by_whoever_is_there(served: Bench) -> None:
    monitor = add(served)
    with served.ledger.write() as tx:
        tx.claim_slots({(monitor.id, 1): served.clock.now() + timedelta(seconds=40)}, "gone:1:x", served.clock.now())
    check(served, 0.9)
    assert standing(served, monitor).slot == 0
    check(served, 0.9, 0.9, 0.9)
    assert standing(served, monitor).slot >= 1


def test_two_processes_check_each_slot_once(served: Bench) -> None:
    monitor, other = add(served), beside(served)
    other.sources.answers = served.sources.answers
    served.clock.turn(seconds=12)
    served.sources.say("accuracy", (served.clock.now(), 0.9))
    begun = [bench.monitoring.tick() for bench in (served, other)]
    for thread in threading.enumerate():
        if thread.name.startswith("checks of"):
            thread.join(10)
    assert (sum(begun), standing(served, monitor).slot) == (1, 1)


# -- incidents while they last -----------------------------------------------------------------------------------------


def test_an_alert_that_nobody_looks_after_is_repeated(served: Bench) -> None:
    add(served, action="notify")
    check(served, 0.5, 0.5)
    served.clock.turn(hours=4)
    served.incidents.tend()
    assert any("nobody looks after it" in line for line in told(served))


def test_where_production_moves_the_alert_is_overtaken(served: Bench) -> None:
    add(served, action="notify")
    check(served, 0.5, 0.5)
    served.approved("promote churn 1 production")
    served.moves.run("churn")
    served.incidents.tend()
    [incident] = incidents(served)
    assert (incident.doing, incident.is_open) == (Doing.SUPERSEDED, False)
    assert str(incident.resolution).startswith("Overtaken")


def test_an_alert_is_about_one_time_in_production_and_not_about_the_version(served: Bench) -> None:
    add(served, action="notify")
    check(served, 0.5, 0.5)
    version = incidents(served)[0].version
    for number in (1, version):
        served.approved(f"promote churn {number} production")
        served.moves.run("churn")
    served.incidents.tend()
    [incident] = incidents(served)
    assert (incident.doing, incident.is_open) == (Doing.SUPERSEDED, False)
    assert str(incident.resolution).startswith(f"Overtaken: v{version} left Production and is back.")


# -- the policy file ---------------------------------------------------------------------------------------------------


def test_monitors_of_the_file_are_taken_up_for_every_model_that_is_known(served: Bench) -> None:
    served.context.rules.replace(policy_with({"name": "accuracy", **QUICK}), "1")
    served.file_monitors.sync()
    with served.ledger.read() as reading:
        [monitor] = reading.monitors()
    assert (monitor.model, monitor.is_from_file, monitor.is_armed) == ("churn", True, True)


def test_an_edit_of_the_file_is_a_new_revision_and_a_line_taken_out_removes(served: Bench) -> None:
    rules: Rules = served.context.rules
    rules.replace(policy_with({"name": "accuracy", **QUICK}), "1")
    served.file_monitors.sync()
    rules.replace(policy_with({"name": "accuracy", **QUICK, "fail_after": 5}), "2")
    assert served.file_monitors.sync() == 1
    with served.ledger.read() as reading:
        assert [(one.revision, one.rule.fail_after) for one in reading.monitors()] == [(2, 5)]
    rules.replace(policy_with(), "3")
    served.file_monitors.sync()
    with served.ledger.read() as reading:
        assert reading.monitors() == []
    assert served.file_monitors.sync() == 0


# -- against a baseline ------------------------------------------------------------------------------------------------


def test_a_version_that_is_worse_than_what_is_usual_is_rolled_back(served: Bench) -> None:
    monitor = add(served, **HOURS)
    past(served, monitor, lambda slot: 0.9 + 0.002 * (slot % 5), hours=8)
    goes_on(served, lambda at: 0.8 + 0.002 * (at % 5), minutes=35)
    assert served.registry.holders() == [2]


def test_a_block_of_rates_is_their_mean_and_no_rate_of_them(served: Bench) -> None:
    monitor = add(served, **HOURS, aggregate="rate", direction="lower")
    past(served, monitor, lambda slot: 3.0, hours=8)
    for minute in range(35):
        served.clock.turn(seconds=66)
        now = served.clock.now()
        grown = [(now - timedelta(seconds=back), 3.0 * (66 * minute - back) + 1e6) for back in (60, 30, 0)]
        served.sources.answers["accuracy"] = Answer(points=grown)
        tick(served)
    assert standing(served, monitor).state is State.OK
    assert standing(served, monitor).usual == pytest.approx(3.0)


def test_a_version_as_good_as_what_is_usual_stays(served: Bench) -> None:
    monitor = add(served, **HOURS)
    past(served, monitor, lambda slot: 0.9 + 0.002 * (slot % 5), hours=8)
    goes_on(served, lambda at: 0.9 + 0.002 * (at % 5), minutes=35)
    assert (served.registry.holders(), standing(served, monitor).state) == ([4], State.OK)
    with served.ledger.read() as reading:
        measured = reading.measurements(monitor.id, most=500)
    bounds = chart_of(monitor, standing(served, monitor), measured, []).bounds
    assert bounds == pytest.approx({"fails below": 0.886, "baseline": 0.904}, abs=0.002)


def test_without_enough_of_a_baseline_nothing_is_judged_and_nothing_moved(served: Bench) -> None:
    monitor = add(served, **HOURS)
    past(served, monitor, lambda slot: 0.9, hours=3)
    goes_on(served, lambda at: 0.5, minutes=35)
    assert (served.registry.holders(), rollbacks(served)) == ([4], [])
    assert standing(served, monitor).state is State.CANT_JUDGE
    assert str(standing(served, monitor).why) == (
        "There's only 3h of usable data from before v4, and its own past days cover 19m 48s of the 7h needed. "
        "It judges from 2026-05-07 07:20 UTC."
    )


def test_a_version_that_is_worse_from_its_first_reading_on_is_seen_one_reading_after_the_other(served: Bench) -> None:
    monitor = add(served, **HOURS | {"rule": "sequential", "fail_after": 1})
    past(served, monitor, lambda slot: 0.9 + 0.002 * (slot % 5), hours=8)
    goes_on(served, lambda at: 0.8 + 0.002 * (at % 5), minutes=35)
    assert served.registry.holders() == [2]


def test_one_by_one_as_good_as_usual_stays(served: Bench) -> None:
    monitor = add(served, **HOURS | {"rule": "sequential", "fail_after": 1})
    past(served, monitor, lambda slot: 0.9 + 0.002 * (slot % 5), hours=8)
    goes_on(served, lambda at: 0.9 + 0.002 * (at % 5), minutes=35)
    assert (served.registry.holders(), standing(served, monitor).state) == ([4], State.OK)


def lately(bench: Bench, monitor: Monitor, value: float, *, hours: float) -> None:
    """Write down what the monitor measured of the present version, up to now."""
    with bench.ledger.read() as reading:
        [now, *_] = bench.rollbacks.served(reading, "churn")
    slots = int(hours * 60)
    with bench.ledger.write() as tx:
        for slot in range(slots):
            at = bench.clock.now() - timedelta(minutes=slots - slot)
            tx.claim_slots({(monitor.id, slot + 1): at + timedelta(minutes=1)}, "x", at)
            tx.finish_slots(
                [
                    Measurement(
                        monitor=monitor.id,
                        slot=slot + 1,
                        at=at,
                        revision=1,
                        version=now.version,
                        move=now.began.id,
                        outcome=Outcome.OK,
                        value=value + 0.002 * (slot % 5),
                        points=1,
                    )
                ],
                "x",
            )
        tx.save_standing(
            Standing(
                monitor=monitor.id,
                slot=slots,
                next_at=bench.clock.now(),
                revision=1,
                move=now.began.id,
                points=slots,
                version=now.version,
                state=State.OK,
                at=bench.clock.now(),
            )
        )


@pytest.mark.parametrize("baseline", ["live", "previous"])
def test_without_days_before_it_a_version_s_own_past_is_what_is_usual(served: Bench, baseline: str) -> None:
    served.clock.turn(hours=9)
    monitor = add(served, **HOURS, baseline=baseline)
    lately(served, monitor, 0.9, hours=8)
    goes_on(served, lambda at: 0.8 + 0.002 * (at % 5), minutes=35)
    assert served.registry.holders() == [2]
    has_remark = "There's no usable data from before v4, so this compares with its own past days." in str(told(served))
    assert has_remark is (baseline == "previous")


def test_a_version_that_was_rolled_back_as_bad_is_nobody_s_baseline(served: Bench) -> None:
    monitor = add(served, **HOURS)
    past(served, monitor, lambda slot: 0.9 + 0.002 * (slot % 5), hours=8)
    with served.ledger.write() as tx:
        tx.add_bar(Bar(id="b", model="churn", version=2, move="m", at=served.clock.now(), by=BOB.person, reason="bad"))
    goes_on(served, lambda at: 0.8 + 0.002 * (at % 5), minutes=35)
    assert (served.registry.holders(), rollbacks(served)) == ([4], [])
    assert "own past days" in str(standing(served, monitor).why)


def test_labels_that_come_later_shift_what_is_looked_at(served: Bench) -> None:
    monitor = add(served, label_delay="5m", fail_after=1)
    served.clock.turn(minutes=10)
    now = served.clock.now()
    served.sources.answers["accuracy"] = Answer(points=[(now - timedelta(minutes=5), 0.9), (now, 0.1)])
    tick(served)
    assert served.sources.asked[-1][0].until == now - timedelta(minutes=5)
    assert (standing(served, monitor).state, standing(served, monitor).value) == (State.OK, 0.9)

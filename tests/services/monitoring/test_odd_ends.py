"""What goes wrong beside a monitor: a rule that raises, files that are away, a freeze or an edit at a wrong moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.commands import FreezeModel, UnfreezeModel
from bot.domain.errors import FilesUnreachable, Refused, RegistryUnreachable
from bot.domain.evaluation import judge
from bot.domain.incident_words import next_step
from bot.domain.incidents import OF_ALL, REPEATED_EVERY, Doing, IncidentKind, Tripped
from bot.domain.monitors import Answer, Measurement, Monitor, Outcome, State
from bot.domain.moves import MoveState
from bot.domain.parsing import build
from bot.domain.registry import Stage
from bot.domain.rollbacks import Bar
from bot.domain.text import say
from bot.services import monitoring
from bot.services.fitness import WayBack
from tests.support.services.bench import BOB, Bench
from tests.support.services.monitoring import (
    HOURS,
    add,
    check,
    goes_on,
    incidents,
    past,
    rollbacks,
    standing,
    tick,
    told,
)
from tests.support.services.rollbacks import shape


def test_a_rule_that_raises_stops_nobody_else(served: Bench, monkeypatch: pytest.MonkeyPatch) -> None:

    def odd(monitor: Monitor, *more: Any) -> Any:
        if monitor.name == "odd":
            raise ZeroDivisionError("oops")
        return judge(monitor, *more)

    monkeypatch.setattr(monitoring, "judge", odd)
    broken, other = add(served, "odd", query="accuracy"), add(served)
    check(served, 0.9, 0.9, 0.9)
    assert (standing(served, other).state, standing(served, other).slot) == (State.OK, 3)
    assert standing(served, broken).state is State.CANT_JUDGE
    assert [one.kind for one in incidents(served)] == [IncidentKind.BLIND]


@pytest.mark.parametrize("hours", [3, 5, 6, 7, 12, 24, 48])
def test_one_by_one_is_judged_at_every_time_of_day(served: Bench, hours: int) -> None:
    """Also in the last moments of the rule's day, which in floating point is no whole number of hours."""
    monitor = add(served, **HOURS | {"rule": "sequential", "history": f"{hours}h", "fail_after": 1, "every": "10m"})
    served.clock.turn(hours=1)
    with served.ledger.read() as reading:
        now, before, *_ = served.rollbacks.served(reading, "churn")
    with served.ledger.write() as tx:
        for slot in range(29 * 6):
            at = now.since - timedelta(minutes=10 * (29 * 6 - slot))
            tx.claim_slots({(monitor.id, slot + 1): at + timedelta(minutes=1)}, "x", at)
            tx.finish_slots(
                [
                    Measurement(
                        monitor=monitor.id,
                        slot=slot + 1,
                        at=at,
                        revision=1,
                        version=before.version,
                        move=before.began.id,
                        outcome=Outcome.OK,
                        value=0.9 + 0.002 * (slot % 5),
                        points=1,
                    )
                ],
                "x",
            )
        tx.save_standing(replace(standing(served, monitor), slot=29 * 6, next_at=served.clock.now()))
    for _ in range(40):
        served.clock.turn(minutes=12)
        served.sources.say("accuracy", (served.clock.now(), 0.9))
        tick(served)
        assert standing(served, monitor).state is not State.ERROR
    assert "raised" not in str(standing(served, monitor).why)


def test_what_was_read_while_it_warmed_up_counts_for_nothing(served: Bench) -> None:
    monitor = add(served, **HOURS | {"rule": "sequential", "fail_after": 1, "warmup": "60m"})
    past(served, monitor, lambda slot: 0.9 + 0.002 * (slot % 5), hours=8)
    goes_on(served, lambda at: 0.7 + 0.002 * (at % 5), minutes=40)
    goes_on(served, lambda at: 0.9 + 0.002 * (at % 5), minutes=40)
    assert (served.registry.holders(), standing(served, monitor).state) == ([4], State.OK)


# -- files that are away, or gone --------------------------------------------------------------------------------------


def files_are_away(bench: Bench, answer: str = "Its files do not answer.") -> Callable[[], None]:
    """Let no file of a version be there to look at; return what brings them back."""
    real = bench.registry.package

    def away(*_: object) -> Any:
        raise FilesUnreachable(answer)

    bench.registry.package = away  # type: ignore[method-assign, assignment]

    def back() -> None:
        bench.registry.package = real  # type: ignore[method-assign]

    return back


def test_whoever_forces_a_rollback_does_not_wait_for_files_that_are_away(served: Bench) -> None:
    files_are_away(served)
    served.do('rollback churn 2 --force --reason "it burns"', BOB)
    assert served.registry.holders() == [2]
    [forced] = [event for event in served.events() if event.tag.value.endswith(":forced")]
    assert "could not be looked at" in str(forced.evidence["against"])


@pytest.mark.parametrize("stop", ["cooldown", "freeze"])
def test_the_button_leads_to_no_version_that_may_not_load(served: Bench, stop: str) -> None:
    served.registry.add_package(served.registry.version("churn", 4), shape("string"))
    add(served, cooldown="365d")
    if stop == "freeze":
        served.freezing.freeze(BOB, build(FreezeModel, {"model": "churn", "reason": "audit"}), origin="slack")
    check(served, 0.5, 0.5)
    assert incidents(served)[0].doing is Doing.HELD
    assert "MLmodel file is gone" in str(incidents(served)[0].why)


def test_a_click_on_a_version_that_is_known_not_to_load_is_refused(served: Bench) -> None:
    add(served, action="ask")
    check(served, 0.5, 0.5)
    served.registry.add_package(served.registry.version("churn", 4), shape("string"))
    served.clock.turn(minutes=11)
    check(served, 0.5)  # which has looked again
    with pytest.raises(Refused, match="MLmodel file is gone"):
        served.rollbacks.answer(BOB, incidents(served)[0].id, origin="slack")
    assert rollbacks(served) == []


# -- where it cannot be told whether a version loads -------------------------------------------------------------------


def test_a_monitor_does_not_go_back_to_what_cannot_be_looked_at_until_it_can(served: Bench) -> None:
    back = files_are_away(served)
    add(served)
    check(served, 0.5, 0.5, 0.5, 0.5)
    [incident] = incidents(served)
    assert (served.registry.holders(), rollbacks(served), incident.doing) == ([4], [], Doing.HELD)
    assert str(incident.why) == (
        "Whether v2 of “churn” loads cannot be told now. Its files do not answer. It is looked at again with each "
        "check, and gone back to once it is known to load."
    )
    assert str(next_step(incident)) == (
        'Wait, or decide: if v4 is really bad, type /model rollback churn 2 --force --reason "…"'
    )
    assert len([line for line in told(served) if "cannot be told" in line]) == 1  # not with every check
    back()
    check(served, 0.5)
    assert (served.registry.holders(), len(rollbacks(served))) == ([2], 1)


def test_what_is_then_seen_not_to_load_is_told_as_well(served: Bench) -> None:
    served.registry.add_package(served.registry.version("churn", 4), shape("string"))
    back = files_are_away(served)
    add(served)
    check(served, 0.5, 0.5)
    back()
    check(served, 0.5, 0.5)
    assert (served.registry.holders(), incidents(served)[0].doing) == ([4], Doing.HELD)
    assert len([line for line in told(served) if "MLmodel file is gone" in line]) == 1
    assert str(next_step(incidents(served)[0])) == (
        "Decide: another version, as /model history churn lists them, or this one with --force."
    )


def test_a_version_that_nobody_has_looked_at_is_not_gone_back_to(served: Bench) -> None:
    add(served, fail_after=1)
    real = served.incidents.prepare

    def prepare(checked: Any) -> Any:
        found = real(checked)  # which has looked at v2; now v2 is barred, and v3 is next
        with served.ledger.write() as tx:
            bar = Bar(id="b", model="churn", version=2, move="m", at=served.clock.now(), by=BOB.person, reason="bad")
            tx.add_bar(bar)
        served.incidents.prepare = real  # type: ignore[method-assign]
        return found

    served.incidents.prepare = prepare  # type: ignore[method-assign]
    check(served, 0.5)
    assert (served.registry.holders(), incidents(served)[0].doing) == ([4], Doing.HELD)
    check(served, 0.5)
    assert served.registry.holders() == [3]


def test_an_mlflow_that_is_away_is_not_asked_for_each_of_many(served: Bench) -> None:
    asked = []

    def away(name: str, number: int) -> Any:
        asked.append(number)
        raise RegistryUnreachable("MLflow does not answer.")

    served.fitness.against("churn", 2, 4)
    served.registry.version = away  # type: ignore[method-assign]
    ways = [WayBack("churn", version, 4) for version in (3, 2, 1)]
    found = served.fitness.look(ways)
    assert (asked, found.fit, sorted(found.unknown)) == ([3], {("churn", 2)}, [("churn", 1), ("churn", 3)])


def asked(bench: Bench) -> None:
    """Have a monitor ask, and somebody press the button an hour later: then nothing is known any more."""
    add(bench, action="ask")
    check(bench, 0.5, 0.5)
    [incident] = incidents(bench)
    assert incident.doing is Doing.AWAITING_HUMAN
    bench.clock.turn(hours=1)
    bench.rollbacks.answer(BOB, incident.id, origin="slack")


def test_a_click_is_looked_at_before_it_moves_anything(served: Bench) -> None:
    asked(served)
    served.registry.add_package(served.registry.version("churn", 4), shape("string"))
    served.moves.run("churn")
    [incident] = incidents(served)
    assert (served.registry.holders(), rollbacks(served)[0].state) == ([4], MoveState.STALE)
    assert (incident.doing, incident.is_open) == (Doing.HELD, True)
    assert "MLmodel file is gone" in str(incident.why)
    assert str(next_step(incident)).endswith("or this one with --force.")


def test_a_click_while_the_files_are_away_says_how_to_force_it(served: Bench) -> None:
    files_are_away(served)
    asked(served)
    served.moves.run("churn")
    [incident] = incidents(served)
    assert (served.registry.holders(), rollbacks(served)[0].state) == ([4], MoveState.STALE)
    assert incident.doing is Doing.HELD
    assert 'If you know that it does: /model rollback churn 2 --force --reason "…"' in str(incident.why)


def test_so_does_a_command(served: Bench) -> None:
    files_are_away(served)
    with pytest.raises(Refused, match="Its files do not answer"):
        served.do('rollback churn 2 --reason "it burns"', BOB)
    assert rollbacks(served) == []


def test_a_rollback_that_another_process_takes_over_is_looked_at_again(served: Bench) -> None:
    add(served, fail_after=1)
    real = served.registry.version
    served.fitness.against("churn", 2, 4)

    def away(*_: object) -> Any:
        raise RegistryUnreachable("MLflow does not answer.")

    served.registry.version = away  # type: ignore[method-assign, assignment]
    check(served, 0.5)
    served.registry.version = real  # type: ignore[method-assign]
    served.registry.add_package(served.registry.version("churn", 4), shape("string"))
    served.clock.turn(hours=1)
    served.moves.run("churn")
    assert (served.registry.holders(), rollbacks(served)[0].state) == ([4], MoveState.STALE)
    assert incidents(served)[0].doing is Doing.HELD


def test_that_a_rollback_was_tried_already_is_told_once(served: Bench) -> None:
    add(served)
    check(served, 0.5)
    freeze = build(FreezeModel, {"model": "churn", "reason": "audit"})
    meanwhile(served, lambda: served.freezing.freeze(BOB, freeze, origin="slack"))
    check(served, 0.5)
    served.freezing.unfreeze(BOB, build(UnfreezeModel, {"model": "churn"}), origin="slack")
    check(served, 0.5, 0.5, 0.5)
    assert (served.registry.holders(), incidents(served)[0].doing) == ([4], Doing.HELD)
    assert len([line for line in told(served) if "was tried already" in line]) == 1


# -- at the wrong moment -----------------------------------------------------------------------------------------------


def meanwhile(bench: Bench, act: Callable[[], object]) -> None:
    """Do it when the executor reads Production, after the verdict."""
    real = bench.registry.version

    def version(name: str, number: int) -> Any:
        bench.registry.version = real  # type: ignore[method-assign]
        act()
        return real(name, number)

    bench.fitness.against("churn", 2, 4)  # known, so that the next reading is the executor's
    bench.registry.version = version  # type: ignore[method-assign]


def test_a_freeze_between_verdict_and_act_stops_it_and_says_so(served: Bench) -> None:
    add(served)
    check(served, 0.5)
    freeze = build(FreezeModel, {"model": "churn", "reason": "audit"})
    meanwhile(served, lambda: served.freezing.freeze(BOB, freeze, origin="slack"))
    check(served, 0.5)
    assert (served.registry.holders(), rollbacks(served)[0].state) == ([4], MoveState.STALE)
    [incident] = incidents(served)
    assert (incident.is_open, incident.doing) == (True, Doing.FROZEN)


def test_nobody_is_reminded_of_what_is_silenced(served: Bench) -> None:
    monitor = add(served, action="notify")
    check(served, 0.5, 0.5)
    with served.ledger.write() as tx:
        tx.save_monitor(
            replace(monitor, silenced_until=served.clock.now() + timedelta(hours=72), silenced_by=BOB.person)
        )
    served.clock.turn(seconds=REPEATED_EVERY.total_seconds() + 1)
    served.incidents.tend()
    assert not any("nobody looks after it" in line for line in told(served))


def test_what_is_well_by_its_changed_rule_is_over(served: Bench) -> None:
    monitor = add(served, action="notify")
    check(served, 0.7, 0.7)
    rule = monitor.rule.model_copy(update={"greater_than": 0.6})
    with served.ledger.write() as tx:
        tx.save_monitor(replace(monitor, rule=rule, revision=2))
    served.incidents.tend()
    assert incidents(served)[0].is_open  # nothing is known of it yet
    check(served, 0.7)
    served.incidents.tend()
    assert not incidents(served)[0].is_open


def test_the_reset_of_all_models_is_named_where_all_models_were_the_limit(served: Bench) -> None:
    add(served, action="ask")
    check(served, 0.5, 0.5)
    tripped = replace(incidents(served)[0], doing=Doing.TRIPPED)
    assert "/model monitor reset churn" in str(next_step(tripped))
    assert "/model monitor reset --all" in str(next_step(replace(tripped, why=say(OF_ALL, n=3))))
    assert served.registry.holders(stage=Stage.PRODUCTION) == [4]


# -- what a whole check keeps to ---------------------------------------------------------------------------------------


def test_a_little_better_than_the_bound_is_not_well_again(served: Bench) -> None:
    monitor = add(served, **HOURS | {"action": "notify", "recover_after": 1})
    past(served, monitor, lambda slot: 0.9 + 0.0005 * (slot % 5), hours=8)
    goes_on(served, lambda at: 0.85, minutes=35)
    assert standing(served, monitor).state is State.FAILED
    goes_on(served, lambda at: 0.887, minutes=30)  # worse by 1.5 %: less than the 2 % it takes, more than half of it
    assert standing(served, monitor).state is State.FAILED
    goes_on(served, lambda at: 0.9, minutes=30)
    assert standing(served, monitor).state is State.OK


def test_no_block_that_began_while_it_warmed_up_is_judged(served: Bench) -> None:
    monitor = add(served, **HOURS | {"warmup": "55m", "fail_after": 1})
    past(served, monitor, lambda slot: 0.9 + 0.002 * (slot % 5), hours=8)
    goes_on(served, lambda at: 0.5, minutes=47)  # to the 62nd minute: the last whole block began in the 50th
    assert (served.registry.holders(), standing(served, monitor).judged_to) == ([4], None)
    goes_on(served, lambda at: 0.5, minutes=12)
    assert served.registry.holders() == [2]


def test_the_hard_limit_waits_for_no_number_of_readings(served: Bench) -> None:
    add(served, min_points=50, hard_limit=0.3)
    check(served, 0.5, 0.5, 0.5)
    assert served.registry.holders() == [4]
    check(served, 0.1, 0.1)
    assert served.registry.holders() == [2]


def test_the_source_hears_how_long_it_may_take(served: Bench) -> None:
    add(served, timeout="7s")
    check(served, 0.9)
    assert served.sources.asked[-1][0].timeout == timedelta(seconds=7)


def test_the_breaker_of_all_models_holds_for_each(served: Bench) -> None:
    with served.ledger.write() as tx:
        tx.trip(Tripped(model="", at=served.clock.now() - timedelta(days=3), why=say("Too many.")))
    add(served)
    check(served, 0.5, 0.5)
    assert (served.registry.holders(), incidents(served)[0].doing) == ([4], Doing.TRIPPED)


def test_a_source_s_incident_ends_when_few_fail(served: Bench) -> None:
    for number in range(4):
        add(served, f"q{number}", query=f"q{number}", fail_after=1, recover_after=1)
    served.clock.turn(seconds=12)
    say_all(served, 4, 0.1)
    [incident] = incidents(served)
    assert (incident.kind, incident.is_open) == (IncidentKind.SOURCE, True)
    say_all(served, 1, 0.9)
    served.incidents.tend()
    assert incidents(served)[0].is_open  # three fail still
    say_all(served, 4, 0.9)
    served.incidents.tend()
    [incident] = incidents(served)
    assert not incident.is_open
    assert str(incident.resolution).startswith("The monitors of push no longer fail together")


def say_all(bench: Bench, count: int, value: float) -> None:
    """Let the first `count` queries have this value, the others what they had, and have all checked."""
    bench.clock.turn(seconds=12)
    for number in range(4):
        before = bench.sources.answers.get(f"q{number}")
        last = before.points[-1][1] if isinstance(before, Answer) and before.points else value
        bench.sources.say(f"q{number}", (bench.clock.now(), value if number < count else last))
    tick(bench)


def test_a_source_that_hangs_again_and_again_is_not_asked_until_it_comes_back(served: Bench) -> None:
    monitor, free, hung = add(served), threading.Event(), threading.Semaphore(0)
    read, asked = served.sources.read, []

    def slow(name: str, queries: Any) -> Any:
        asked.append(name)
        hung.release()
        free.wait(30)
        return read(name, queries)

    served.sources.read = slow  # type: ignore[method-assign]

    def checks_again() -> None:
        for span in ({"minutes": 2}, {"seconds": 12}):  # the one before is given up, and the next one is due
            served.clock.turn(**span)
            served.monitoring.tick()

    for _ in range(monitoring.HANGING_MOST):
        checks_again()
        assert hung.acquire(timeout=10)
    for _ in range(3):
        checks_again()
    assert len(asked) == monitoring.HANGING_MOST
    free.set()
    for thread in threading.enumerate():
        if thread.name.startswith("checks of"):
            thread.join(10)
    served.sources.read = read  # type: ignore[method-assign]
    check(served, 0.9)
    check(served, 0.9)
    assert standing(served, monitor).state is State.OK

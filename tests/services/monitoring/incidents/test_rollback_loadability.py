"""Rollbacks to versions that don't load, or that can't be checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bot.domain.commands.parser import build_command
from bot.domain.commands.policy import FreezeModel, UnfreezeModel
from bot.domain.core.errors import FilesUnreachable, Refused, RegistryUnreachable
from bot.domain.monitoring.incident import IncidentStatus
from bot.domain.monitoring.incident_messages import next_step
from bot.domain.registry.rollback_block import RollbackBlock
from bot.domain.transitions.transition import TransitionState
from bot.services.transitions.loadability import RollbackCandidate
from tests.support.monitoring.monitoring import (
    act_during_check,
    add_monitor,
    asked,
    channel_texts,
    check_values,
    incidents,
    rollbacks,
)
from tests.support.services.bench import BOB, Bench
from tests.support.services.rollbacks import package_with_input

# -- files that are away, or gone --------------------------------------------------------------------------------------


def files_are_away(bench: Bench, answer: str = "Its files do not answer.") -> Callable[[], None]:
    """Make the files of all versions unavailable; return a function that restores them."""
    real = bench.registry.package

    def away(*_: object) -> Any:
        raise FilesUnreachable(answer)

    bench.registry.package = away  # type: ignore[method-assign, assignment]

    def back() -> None:
        bench.registry.package = real  # type: ignore[method-assign]

    return back


def test_a_forced_rollback_does_not_wait_for_missing_files(served: Bench) -> None:
    files_are_away(served)
    served.do('rollback churn 2 --force --reason "it burns"', BOB)
    assert served.registry.holders() == [2]
    [forced] = [event for event in served.events() if event.tag.value.endswith(":forced")]
    assert "couldn't be checked" in str(forced.evidence["against"])


@pytest.mark.parametrize("stop", ["cooldown", "freeze"])
def test_the_button_never_offers_a_version_that_may_not_load(served: Bench, stop: str) -> None:
    served.registry.add_package(served.registry.version("churn", 4), package_with_input("string"))
    add_monitor(served, cooldown="365d")
    if stop == "freeze":
        served.execute(BOB, build_command(FreezeModel, {"model": "churn", "reason": "audit"}))
    check_values(served, 0.5, 0.5)
    assert incidents(served)[0].doing is IncidentStatus.HELD
    assert "MLmodel file is missing" in str(incidents(served)[0].why)


def test_a_click_on_a_version_that_does_not_load_is_refused(served: Bench) -> None:
    add_monitor(served, action="ask")
    check_values(served, 0.5, 0.5)
    served.registry.add_package(served.registry.version("churn", 4), package_with_input("string"))
    served.clock.advance(minutes=11)
    check_values(served, 0.5)  # which checks again
    with pytest.raises(Refused, match="MLmodel file is missing"):
        served.rollbacks.roll_back_for_incident(BOB, incidents(served)[0].id, origin="slack")
    assert rollbacks(served) == []


# -- if the check fails ------------------------------------------------------------------------------------------------


def test_a_monitor_does_not_roll_back_to_a_version_that_cannot_be_checked(served: Bench) -> None:
    back = files_are_away(served)
    add_monitor(served)
    check_values(served, 0.5, 0.5, 0.5, 0.5)
    [incident] = incidents(served)
    assert (served.registry.holders(), rollbacks(served), incident.doing) == ([4], [], IncidentStatus.HELD)
    assert str(incident.why) == (
        "Can't check whether v2 of “churn” loads. Its files do not answer. The monitor checks again each time it runs, "
        "and rolls back once the version is known to load."
    )
    assert str(next_step(incident)) == ('Wait. If v4 is at fault, run /model rollback churn 2 --force --reason "…"')
    assert not [line for line in channel_texts(served) if "Can't check whether" in line]  # the alert says it
    back()
    check_values(served, 0.5)
    assert (served.registry.holders(), len(rollbacks(served))) == ([2], 1)


def test_a_version_that_then_turns_out_not_to_load_is_reported(served: Bench) -> None:
    served.registry.add_package(served.registry.version("churn", 4), package_with_input("string"))
    back = files_are_away(served)
    add_monitor(served)
    check_values(served, 0.5, 0.5)
    back()
    check_values(served, 0.5, 0.5)
    assert (served.registry.holders(), incidents(served)[0].doing) == ([4], IncidentStatus.HELD)
    assert len([line for line in channel_texts(served) if "MLmodel file is missing" in line]) == 1
    assert str(next_step(incidents(served)[0])) == (
        "Roll back to another version (/model history churn lists them), or to this one with --force."
    )


def test_an_unchecked_version_is_not_a_rollback_target(served: Bench) -> None:
    add_monitor(served, fail_after=1)
    real = served.incidents.check_rollback_targets

    def prepare(results: Any) -> Any:
        found = real(results)  # which has checked v2; now v2 is blocked, and v3 is next
        with served.ledger.write() as tx:
            bar = RollbackBlock(
                id="b", model="churn", version=2, move="m", at=served.clock.now(), by=BOB.person, reason="bad"
            )
            tx.add_rollback_block(bar)
        served.incidents.check_rollback_targets = real  # type: ignore[method-assign]
        return found

    served.incidents.check_rollback_targets = prepare  # type: ignore[method-assign]
    check_values(served, 0.5)
    assert (served.registry.holders(), incidents(served)[0].doing) == ([4], IncidentStatus.HELD)
    check_values(served, 0.5)
    assert served.registry.holders() == [3]


def test_mlflow_is_not_asked_for_each_monitor_while_it_is_down(served: Bench) -> None:
    asked = []

    def away(name: str, number: int) -> Any:
        asked.append(number)
        raise RegistryUnreachable("MLflow does not answer.")

    served.fitness.problems("churn", 2, 4)
    served.registry.version = away  # type: ignore[method-assign]
    ways = [RollbackCandidate("churn", version, 4) for version in (3, 2, 1)]
    found = served.fitness.check_candidates(ways)
    assert (asked, found.loadable, sorted(found.unknown)) == ([3], {("churn", 2)}, [("churn", 1), ("churn", 3)])


def test_a_click_checks_the_version_before_it_moves_anything(served: Bench) -> None:
    asked(served)
    served.registry.add_package(served.registry.version("churn", 4), package_with_input("string"))
    served.moves.execute_due("churn")
    [incident] = incidents(served)
    assert (served.registry.holders(), rollbacks(served)[0].state) == ([4], TransitionState.STALE)
    assert (incident.doing, incident.is_open) == (IncidentStatus.HELD, True)
    assert "MLmodel file is missing" in str(incident.why)
    assert str(next_step(incident)).endswith("or to this one with --force.")


def test_a_click_while_the_files_are_missing_says_how_to_force_it(served: Bench) -> None:
    files_are_away(served)
    asked(served)
    served.moves.execute_due("churn")
    [incident] = incidents(served)
    assert (served.registry.holders(), rollbacks(served)[0].state) == ([4], TransitionState.STALE)
    assert incident.doing is IncidentStatus.HELD
    assert 'To roll back to it anyway: /model rollback churn 2 --force --reason "…"' in str(incident.why)


def test_a_command_while_the_files_are_missing_says_how_to_force_it(served: Bench) -> None:
    files_are_away(served)
    with pytest.raises(Refused, match="Its files do not answer"):
        served.do('rollback churn 2 --reason "it burns"', BOB)
    assert rollbacks(served) == []


def test_a_rollback_that_another_process_takes_over_is_checked_again(served: Bench) -> None:
    add_monitor(served, fail_after=1)
    real = served.registry.version
    served.fitness.problems("churn", 2, 4)

    def away(*_: object) -> Any:
        raise RegistryUnreachable("MLflow does not answer.")

    served.registry.version = away  # type: ignore[method-assign, assignment]
    check_values(served, 0.5)
    served.registry.version = real  # type: ignore[method-assign]
    served.registry.add_package(served.registry.version("churn", 4), package_with_input("string"))
    served.clock.advance(hours=1)
    served.moves.execute_due("churn")
    assert (served.registry.holders(), rollbacks(served)[0].state) == ([4], TransitionState.STALE)
    assert incidents(served)[0].doing is IncidentStatus.HELD


def test_a_rollback_that_was_already_tried_is_reported_once(served: Bench) -> None:
    add_monitor(served)
    check_values(served, 0.5)
    freeze = build_command(FreezeModel, {"model": "churn", "reason": "audit"})
    act_during_check(served, lambda: served.execute(BOB, freeze))
    check_values(served, 0.5)
    served.execute(BOB, build_command(UnfreezeModel, {"model": "churn"}))
    check_values(served, 0.5, 0.5, 0.5)
    assert (served.registry.holders(), incidents(served)[0].doing) == ([4], IncidentStatus.HELD)
    assert len([line for line in channel_texts(served) if "was already tried" in line]) == 1

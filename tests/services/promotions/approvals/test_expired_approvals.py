"""Approvals that expire, and changes that were reverted before the transition."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.commands.parser import build_command
from bot.domain.commands.policy import UnfreezeModel
from bot.domain.commands.rollbacks import Unblock
from bot.domain.core.errors import Refused
from bot.domain.promotions.request import RequestState
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import TransitionState
from tests.support.services.approvals import freeze, glass, move_of
from tests.support.services.bench import ALICE, BOB, CAROL, Bench


def unfreeze(bench: Bench, model: str = "churn") -> None:
    bench.execute(BOB, build_command(UnfreezeModel, {"model": model}))
    bench.clock.advance(seconds=10)


# -- approvals expire --------------------------------------------------------------------------------------------------


def test_an_approved_request_expires_during_a_freeze(bench: Bench) -> None:
    request = bench.approved()
    freeze(bench)
    for _ in range(3):
        bench.moves.execute_due("churn")
        bench.clock.advance(hours=10)
    bench.moves.execute_due("churn")
    assert bench.state(request) is RequestState.EXPIRED
    unfreeze(bench)
    bench.moves.execute_due("churn")
    assert bench.registry.holders() == [3]


def test_an_approved_request_expires_while_the_registry_is_down(bench: Bench) -> None:
    request = bench.approved()
    bench.registry.is_down = True
    bench.moves.execute_due("churn")
    bench.clock.advance(days=400)
    bench.moves.execute_due("churn")
    assert bench.state(request) is RequestState.EXPIRED
    assert move_of(bench, request).state is TransitionState.STALE
    bench.registry.is_down = False
    bench.moves.execute_due("churn")
    assert bench.registry.holders() == [3]


def test_an_approval_is_not_executed_400_days_later(bench: Bench) -> None:
    request = bench.approved()
    bench.clock.advance(days=400)
    bench.moves.execute_due("churn")
    assert (bench.state(request), bench.registry.holders()) == (RequestState.EXPIRED, [3])


def test_the_message_says_that_it_was_approved_but_not_promoted_in_time(bench: Bench) -> None:
    request = bench.approved()
    bench.clock.advance(hours=24)
    bench.moves.execute_due("churn")
    assert "expired: approved, but not promoted by" in bench.told("direct")
    assert {"card:expired", "direct:expired"} <= bench.keys()
    expired = bench.events()[-1]
    assert (expired.tag, expired.subject) == (EventTag.EXPIRED, request.id)


def test_a_waiting_transition_is_due_when_its_request_expires_at_the_latest(bench: Bench) -> None:
    request = bench.approved()
    bench.clock.advance(hours=23, minutes=59, seconds=57)
    freeze(bench)
    bench.moves.execute_due("churn")
    bench.clock.advance(seconds=3)
    bench.moves.execute_due("churn")
    assert bench.state(request) is RequestState.EXPIRED


def test_a_break_glass_request_also_expires(bench: Bench) -> None:
    request = glass(bench)
    bench.registry.is_down = True
    bench.moves.execute_due("churn")
    bench.clock.advance(days=2)
    bench.moves.execute_due("churn")
    assert bench.state(request) is RequestState.EXPIRED


# -- reverted changes --------------------------------------------------------------------------------------------------


def came_and_went(bench: Bench, version: int) -> None:
    """Move a version to Production in MLflow, then roll back to v3."""
    bench.clock.advance(minutes=1)
    bench.registry.by_hand("churn", version, Stage.PRODUCTION)
    bench.watch.poll()
    bench.clock.advance(minutes=1)
    bench.do('rollback churn 3 --reason "bad metrics"', BOB)
    assert bench.registry.holders() == [3]


def test_an_approved_version_that_was_rolled_back_meanwhile_is_not_promoted(bench: Bench) -> None:
    bench.watch.poll()
    for version in (4, 3):  # v4 was in Production, then v3 replaced it
        bench.approved(f"promote churn {version} production")
        bench.moves.execute_due("churn")
        bench.clock.advance(days=2)
    request = bench.approved("promote churn 4 production")
    freeze(bench)
    bench.moves.execute_due("churn")
    bench.clock.advance(minutes=1)
    bench.do('rollback churn 4 --reason "bad metrics"', BOB)  # v4 is in Production for a minute, and is worse
    bench.clock.advance(minutes=1)
    unblock = build_command(Unblock, {"model": "churn", "version": "3", "reason": "v4 is worse"})
    bench.execute(BOB, unblock)
    bench.do('rollback churn 3 --reason "worse metrics"', BOB)
    assert bench.registry.version("churn", 4).stage is request.from_stage
    unfreeze(bench)
    bench.moves.execute_due("churn")
    assert (bench.state(request), bench.registry.holders()) == (RequestState.STALE, [3])
    assert "after this was requested" in bench.now(request).outcome


def test_a_click_finds_a_reverted_change_before_the_next_poll(bench: Bench) -> None:
    bench.watch.poll()
    request = bench.open("promote churn 1 production")
    came_and_went(bench, 1)
    with pytest.raises(Refused):
        bench.approve(request, CAROL)
    assert bench.state(request) is RequestState.STALE


def test_a_reverted_change_of_another_version_is_found_too(bench: Bench) -> None:
    bench.watch.poll()
    request = bench.open("promote churn 1 production")
    came_and_went(bench, 4)
    assert bench.request_upkeep.end_outdated() == 1
    assert bench.state(request) is RequestState.STALE


def test_with_keep_existing_other_versions_can_come_and_go(bench: Bench) -> None:
    bench.watch.poll()
    request = bench.open("promote churn 1 production --keep-existing")
    came_and_went(bench, 4)
    assert bench.request_upkeep.end_outdated() == 0
    bench.approve(request, CAROL)
    bench.moves.execute_due("churn")
    assert bench.state(request) is RequestState.DONE


def test_a_change_on_a_later_page_counts_too(bench: Bench) -> None:
    bench.watch.poll()
    request = bench.open("promote churn 1 production")
    came_and_went(bench, 4)
    pattern = bench.moves_of()[0]
    with bench.ledger.write() as tx:
        for number in range(120):
            later: dict[str, Any] = {"intended_at": bench.clock.now(), "finished_at": bench.clock.now()}
            tx.add_transition(replace(pattern, id=f"other:{number}", version=2, state=TransitionState.FAILED, **later))
    assert bench.request_upkeep.end_outdated() == 1
    assert bench.state(request) is RequestState.STALE


def test_transitions_before_the_request_are_ignored(bench: Bench) -> None:
    bench.watch.poll()
    came_and_went(bench, 4)
    bench.clock.advance(minutes=1)
    request = bench.approved("promote churn 1 production")
    bench.moves.execute_due("churn")
    assert bench.state(request) is RequestState.DONE


def test_a_late_poll_of_known_facts_ends_nothing(bench: Bench) -> None:
    bench.watch.poll()
    bench.registry.by_hand("churn", 2, Stage.PRODUCTION)
    request = bench.open()
    bench.clock.advance(minutes=1)
    bench.watch.poll()
    bench.approve(request)
    bench.moves.execute_due("churn")
    assert bench.state(request) is RequestState.DONE


def test_the_requester_is_looked_up_only_if_they_overrode_a_gate(bench: Bench) -> None:
    bench.approve(bench.open(who=ALICE))
    bench.moves.execute_due("churn")
    assert all("UALICE" not in asked for asked in bench.directory.asked)

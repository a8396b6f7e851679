"""Requests that change between a read and a write, and the effect of registry snapshots on them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.errors import Refused
from bot.domain.promotions.request import RequestState
from bot.domain.registry.model import Stage
from tests.support.services.bench import ALICE, BOB, POLICY, Bench, second_bench
from tests.support.services.production_rules import with_production_rule


def right_before_it_writes(bench: Bench, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Run `act` once, after the next command has read the ledger and before it writes."""
    write = bench.ledger.write

    def late() -> AbstractContextManager[Any]:
        monkeypatch.undo()
        act()
        return write()

    monkeypatch.setattr(bench.ledger, "write", late)


def test_only_one_of_two_processes_expires_a_request(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.open()
    bench.clock.advance(hours=24)
    counts: list[int] = []
    right_before_it_writes(
        bench, monkeypatch, lambda: counts.append(second_bench(bench).request_upkeep.expire_overdue())
    )
    assert (bench.request_upkeep.expire_overdue(), counts) == (0, [1])


def test_a_request_approved_meanwhile_is_not_ended_as_outdated(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    request = bench.open()
    bench.clock.advance(minutes=1)
    bench.registry.by_hand("churn", 2, Stage.PRODUCTION)
    bench.watch.poll()

    def approve() -> None:
        with bench.ledger.write() as tx:
            tx.save_request(replace(request, state=RequestState.APPROVED))

    right_before_it_writes(bench, monkeypatch, approve)
    assert bench.request_upkeep.end_outdated() == 0
    assert bench.state(request) is RequestState.APPROVED


def test_a_request_whose_rule_was_restored_is_not_ended_as_outdated(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, before = bench.open(), bench.policy
    with_production_rule(bench, {"approvers": ["UDAVE"]})
    right_before_it_writes(bench, monkeypatch, lambda: bench.context.active_policy.replace(before, "as before"))
    assert bench.request_upkeep.end_outdated() == 0
    assert bench.state(request) is RequestState.PENDING


def test_a_poll_before_the_request_is_ignored(bench: Bench) -> None:
    bench.watch.poll()
    bench.registry.by_hand("churn", 2, Stage.PRODUCTION)
    assert bench.approve(bench.open()).request.state is RequestState.APPROVED


def test_a_request_with_keep_existing_does_not_depend_on_the_incumbent(bench: Bench) -> None:
    request = bench.open("promote churn 4 production --keep-existing")
    bench.clock.advance(minutes=1)
    bench.registry.by_hand("churn", 2, Stage.PRODUCTION)
    bench.watch.poll()
    assert bench.approve(request).request.state is RequestState.APPROVED


def test_a_request_from_before_gates_existed_can_still_be_approved(bench: Bench) -> None:
    request = bench.open()
    with bench.ledger.write() as tx:
        tx.save_request(replace(request, seen=None))
    assert bench.request_upkeep.end_outdated() == 0
    assert bench.approve(request).request.state is RequestState.APPROVED


def test_no_one_is_reminded_of_a_request_whose_rule_was_removed(bench: Bench) -> None:
    with_production_rule(bench, {"approvers": ["lead"], "remind_after": "1h"})
    bench.open()
    bench.clock.advance(hours=2)
    models = {"*": {"staging": POLICY["models"]["*"]["staging"]}}
    bench.context.active_policy.replace(bench.policy.model_validate(POLICY | {"models": models}), "no rule")
    assert bench.request_upkeep.remind_approvers(list) == 0


def test_a_refused_cancellation_is_audited(bench: Bench) -> None:
    request = bench.open()
    with pytest.raises(Refused):
        bench.cancel(request, BOB)
    [event] = [event for event in bench.events() if event.tag is EventTag.REQUEST_COMMAND_REFUSED]
    assert (event.actor, event.evidence["act"], bench.state(request)) == (BOB.person, "cancel", RequestState.PENDING)
    assert bench.cancel(request, ALICE).state is RequestState.CANCELLED

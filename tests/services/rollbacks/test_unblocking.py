"""Unblocking a version with pending requests: holds, races, and approvers who left."""

from __future__ import annotations

from typing import Any

import pytest

from bot.domain.core.errors import LedgerUnavailable
from bot.domain.promotions.request import RequestSnapshot, RequestState
from bot.domain.registry.model import Stage
from bot.domain.transitions.restores import HoldKind
from bot.services.promotions.gate_checks import GateChecks
from bot.services.transitions.restores import open_hold
from tests.support.services.bench import BOB, CAROL, DAVE, Bench
from tests.support.services.blocked_versions import REQUEST_AGAIN, failed_gates, set_production_rule, unblock


@pytest.fixture
def waiting(bad: Bench) -> Bench:
    """Return a bench whose policy lets admins override, so that a request for the blocked v4 can be opened."""
    set_production_rule(bad, override=["admin"])
    return bad


def test_a_held_request_of_an_unblocked_version_is_decided_once_the_hold_is_accepted(
    waiting: Bench,
) -> None:
    request = waiting.approve(waiting.open(REQUEST_AGAIN)).request
    with waiting.ledger.write() as tx:
        open_hold(tx, waiting.context, HoldKind.LEDGER_RESTORED, ())
    unblock(waiting)
    assert waiting.state(request) is RequestState.PENDING
    waiting.restores.accept(DAVE, "restored on purpose", origin="slack")
    assert waiting.state(request) is RequestState.APPROVED


def test_a_held_request_of_an_unblocked_version_ends_if_the_hold_is_dropped(waiting: Bench) -> None:
    request = waiting.approve(waiting.open(REQUEST_AGAIN)).request
    with waiting.ledger.write() as tx:
        open_hold(tx, waiting.context, HoldKind.LEDGER_RESTORED, ())
    unblock(waiting)
    waiting.restores.drop(DAVE, "start again", origin="slack")
    assert waiting.state(request) is RequestState.STALE


def test_a_request_waits_for_others_if_its_approver_has_left_when_the_version_is_unblocked(waiting: Bench) -> None:
    request = waiting.approve(waiting.open(REQUEST_AGAIN)).request
    waiting.directory.become(BOB, is_deleted=True)
    unblock(waiting)
    assert (waiting.state(request), waiting.now(request).has_blocking_gates) == (RequestState.PENDING, False)
    waiting.approve(request, CAROL)
    waiting.moves.execute_due("churn")
    assert waiting.registry.holders() == [4]


def test_approvers_are_checked_again_before_the_transition_if_slack_was_down(waiting: Bench) -> None:
    request = waiting.approve(waiting.open(REQUEST_AGAIN)).request
    waiting.directory.become(BOB, is_deleted=True)
    waiting.directory.is_down = True
    unblock(waiting)
    assert waiting.state(request) is RequestState.APPROVED
    waiting.directory.is_down = False
    waiting.moves.execute_due("churn")
    assert (waiting.state(request), waiting.registry.holders()) == (RequestState.STALE, [2])


def test_unblocking_makes_a_request_outdated_if_its_rule_changed(waiting: Bench) -> None:
    request = waiting.approve(waiting.open(REQUEST_AGAIN)).request
    set_production_rule(waiting, override=["admin"], required=2)
    unblock(waiting)
    assert waiting.state(request) is RequestState.STALE


def test_the_card_of_a_request_that_can_ignore_the_block_is_updated(bad: Bench) -> None:
    set_production_rule(bad, {"not_blocked": False})
    request = bad.open(REQUEST_AGAIN)
    unblock(bad)
    assert any(note.key.startswith(f"card:{request.id}:unblocked:") for note in bad.notes())


def test_a_version_that_is_unblocked_while_its_request_is_opened_is_not_blocked_on_its_card(
    waiting: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = GateChecks.take_snapshot

    def slowly(*args: Any, **more: Any) -> RequestSnapshot:
        seen = look(*args, **more)
        unblock(waiting)
        return seen

    monkeypatch.setattr(GateChecks, "take_snapshot", slowly)
    assert failed_gates(waiting.open(REQUEST_AGAIN)) == []


def test_the_gate_is_not_evaluated_while_the_ledger_is_unavailable(
    waiting: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read() -> None:
        raise LedgerUnavailable("It's busy.")

    model, versions = waiting.lookups.model_and_versions("churn")
    blocked = waiting.registry.version("churn", 4)
    monkeypatch.setattr(waiting.context.ledger, "read", read)
    with pytest.raises(LedgerUnavailable):
        waiting.gate_checks.take_snapshot(model, versions, blocked, Stage.PRODUCTION, {})

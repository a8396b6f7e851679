"""Who can do what to a request in which state: every kind of caller, every permission, and every state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest

from bot.domain.audit.events import Event, EventTag
from bot.domain.core.actors import Automation, Caller, Client, Operator, Profile
from bot.domain.core.errors import AlreadyDecided, RegistrarError
from bot.domain.policy.authorization import AccessTarget, Permission, authorize
from bot.domain.promotions.request import GateResult, Request, RequestSnapshot, RequestState
from bot.domain.promotions.votes import Vote, VoteChoice
from bot.domain.registry.model import Stage
from tests.support.services.bench import ALICE, BOB, CAROL, DAVE, GUEST, STRANGER, Bench

CALLERS: dict[str, Caller] = {
    "requester": ALICE,
    "lead": BOB,
    "lead who voted": CAROL,
    "admin": DAVE,
    "guest": GUEST,
    "stranger": STRANGER,
    "bot": replace(BOB, is_bot=True),
    "deactivated": replace(BOB, is_deleted=True),
    "automation": Automation("monitor"),
    "client": Client("ci"),
    "operator": Operator("root"),
}

FAILED = GateResult(name="f1", bound="≥ 1", value="0.5", passed=False)


def do(bench: Bench, act: Permission, who: Caller, request: Request) -> object:
    """Run the command of a permission on a request."""
    acts: dict[Permission, Callable[[], object]] = {
        Permission.APPROVE: lambda: bench.approve(request, who),
        Permission.REJECT: lambda: bench.reject(request, who),
        Permission.WITHDRAW: lambda: bench.withdraw(request, who),
        Permission.OVERRIDE: lambda: bench.override(request, who, "so"),
        Permission.CANCEL: lambda: bench.cancel(request, who),
    }
    return acts[act]()


def a_request_in(bench: Bench, state: RequestState, act: Permission) -> Request:
    """Store a request in this state. Carol has approved it; a gate failed if the permission is to override it."""
    model, gates = f"two-{state.value}", (FAILED,) if act is Permission.OVERRIDE else ()
    bench.registry.add_model(model, versions=1)
    rule = bench.policy.fingerprint(model, Stage.PRODUCTION)
    request = replace(
        bench.open(f"promote {model} 1 production"), state=state, seen=RequestSnapshot(gates=gates, rule=rule)
    )
    with bench.ledger.write() as tx:
        tx.save_request(request)
        tx.add_vote(
            Vote(request=request.id, voter=CAROL.person, choice=VoteChoice.APPROVE, reason="", at=bench.clock.now())
        )
    return request


def expected(bench: Bench, act: Permission, who: Caller, request: Request) -> bool:
    """Return whether the table and the state allow it."""
    subject = AccessTarget(model=request.model, target=request.target, requester=request.requester)
    allowed = bool(authorize(who, act, subject, bench.policy, bench.clock.now()))
    if act is Permission.WITHDRAW:
        return allowed and who is CAROL  # without a vote, there's nothing to withdraw
    if act in {Permission.APPROVE, Permission.REJECT}:
        return allowed and who is not CAROL  # one person, one vote
    return allowed


ACTS = (Permission.APPROVE, Permission.REJECT, Permission.WITHDRAW, Permission.OVERRIDE, Permission.CANCEL)


@pytest.mark.parametrize(("caller", "act"), list(product(CALLERS, ACTS)), ids=str)
def test_a_pending_request_allows_exactly_what_the_table_allows(bench: Bench, caller: str, act: Permission) -> None:
    request = a_request_in(bench, RequestState.PENDING, act)
    who = CALLERS[caller]
    if expected(bench, act, who, request):
        do(bench, act, who, request)
        return
    before = bench.now(request)
    with pytest.raises(RegistrarError):
        do(bench, act, who, request)
    assert bench.now(request) == before


DECIDED = [state for state in RequestState if state is not RequestState.PENDING]


@pytest.mark.parametrize(("caller", "act"), list(product(CALLERS, ACTS)), ids=str)
def test_a_request_that_is_not_pending_allows_nothing(bench: Bench, caller: str, act: Permission) -> None:
    for state in DECIDED:
        request = a_request_in(bench, state, act)
        refusal = refused(bench, act, CALLERS[caller], request)
        assert bench.now(request) == request
        assert [move for move in bench.moves_of(request.model) if move.request] == []
        if belongs_here(CALLERS[caller]):
            assert isinstance(refusal, AlreadyDecided)  # the refusal says how it ended
        assert len(refusals(bench, request)) == 1


def refused(bench: Bench, act: Permission, who: Caller, request: Request) -> RegistrarError:
    with pytest.raises(RegistrarError) as found:
        do(bench, act, who, request)
    return found.value


def belongs_here(who: Caller) -> bool:
    return isinstance(who, Profile) and who.is_home and not who.is_bot and not who.is_deleted


def refusals(bench: Bench, request: Request) -> list[Event]:
    return [
        event
        for event in bench.events()
        if event.tag is EventTag.REQUEST_COMMAND_REFUSED and event.subject == request.id
    ]

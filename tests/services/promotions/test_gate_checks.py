"""Gates when a request is opened, overrides, and votes that are withdrawn."""

from __future__ import annotations

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.actors import Caller
from bot.domain.core.errors import AlreadyDecided, GateFailed, Refused, RegistryRefused, RegistryUnreachable
from bot.domain.promotions.request import Request, RequestState
from bot.domain.registry.model import ModelPackage, VersionInfo
from tests.support.services.bench import ALICE, BOB, CAROL, DAVE, Bench
from tests.support.services.gates import (
    ACCURATE,
    FRAUD,
    GOOD,
    NO_WORSE,
    SIGNATURE,
    events,
    measure,
    override_gates,
    run_transition,
    set_gates,
    withdraw,
)

# -- at the opening ----------------------------------------------------------------------------------------------------


def test_a_failed_gate_that_nobody_may_let_pass_opens_nothing(fraud: Bench) -> None:
    set_gates(fraud, ACCURATE)
    measure(fraud, 2, accuracy=0.83)
    with pytest.raises(GateFailed, match=r"accuracy is 0\.83"):
        fraud.open(FRAUD)
    with fraud.ledger.read() as reading:
        assert reading.requests() == []


def test_what_was_seen_of_a_refused_version_is_in_the_audit(fraud: Bench) -> None:
    set_gates(fraud, ACCURATE)
    measure(fraud, 2, accuracy=0.83)
    with pytest.raises(GateFailed):
        fraud.open(FRAUD)
    [refused] = events(fraud, EventTag.PROMOTION_REFUSED)
    assert refused.evidence["seen"]["metrics"] == {"accuracy": 0.83}
    assert [gate["passed"] for gate in refused.evidence["seen"]["gates"]] == [False]


def test_a_failed_gate_that_somebody_may_let_pass_opens_a_blocked_request(fraud: Bench, blocked: Request) -> None:
    assert blocked.has_blocking_gates
    assert fraud.state(blocked) is RequestState.PENDING


def test_what_a_request_was_opened_on_is_kept_with_it_and_in_the_audit(fraud: Bench) -> None:
    set_gates(fraud, ACCURATE, NO_WORSE)
    request = fraud.open(FRAUD)
    assert request.seen is not None
    assert (request.seen.metrics, request.seen.against, request.seen.policy) == (GOOD, GOOD, "edited")
    [opened] = events(fraud, EventTag.REQUEST_OPENED)
    assert [gate["name"] for gate in opened.evidence["seen"]["gates"]] == ["accuracy", "f1"]


def test_an_asker_s_own_result_counts_where_the_run_has_none(fraud: Bench) -> None:
    set_gates(fraud, ACCURATE)
    measure(fraud, 2)
    request = fraud.open(f"{FRAUD} --validation accuracy=0.92")
    assert request.seen is not None
    assert [(gate.passed, gate.note) for gate in request.seen.gates] == [(True, "the asker's own validation")]


def test_an_asker_s_own_result_replaces_no_figure_of_the_run(fraud: Bench) -> None:
    set_gates(fraud, ACCURATE)
    measure(fraud, 2, accuracy=0.83)
    with pytest.raises(GateFailed):
        fraud.open(f"{FRAUD} --validation accuracy=0.92")


def test_files_that_the_registry_refuses_count_as_missing(fraud: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def package(version: VersionInfo) -> ModelPackage:
        if version.version == 2:
            raise RegistryRefused("Nobody may read that folder.")
        return ModelPackage(signature=SIGNATURE)

    set_gates(fraud, {"signature": "compatible"})
    monkeypatch.setattr(fraud.registry, "package", package)
    with pytest.raises(GateFailed, match="signature is missing"):
        fraud.open(FRAUD)


def test_files_that_do_not_come_now_are_waited_for(fraud: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def package(version: VersionInfo) -> ModelPackage:
        raise RegistryUnreachable("The files do not come.")

    set_gates(fraud, {"signature": "compatible"})
    ask = fraud.ask(FRAUD)
    monkeypatch.setattr(fraud.registry, "package", package)
    with pytest.raises(RegistryUnreachable):
        fraud.open_ask(ask.id)
    assert fraud.tags() == [EventTag.PROMOTION_REQUESTED.value]


def test_without_the_registry_the_gates_are_looked_at_later(fraud: Bench) -> None:
    set_gates(fraud, ACCURATE)
    ask = fraud.ask(FRAUD)
    fraud.registry.is_down = True
    with pytest.raises(RegistryUnreachable):
        fraud.open_ask(ask.id)
    fraud.registry.is_down = False
    assert fraud.open_ask(ask.id).seen is not None


# -- letting gates pass ------------------------------------------------------------------------------------------------


def test_approvals_do_not_decide_what_is_blocked(fraud: Bench, blocked: Request) -> None:
    assert fraud.approve(blocked, BOB).request.state is RequestState.PENDING
    assert fraud.approve(blocked, CAROL).request.state is RequestState.PENDING
    assert fraud.moves_of("fraud") == []


def test_letting_the_gates_pass_decides_what_has_its_approvals(fraud: Bench, blocked: Request) -> None:
    fraud.approve(blocked)
    decided = override_gates(fraud, blocked)
    assert (decided.state, decided.decided_by) == (RequestState.APPROVED, BOB.person)
    assert run_transition(fraud, decided).state is RequestState.DONE


def test_letting_the_gates_pass_is_no_approval(fraud: Bench, blocked: Request) -> None:
    assert override_gates(fraud, blocked).state is RequestState.PENDING
    assert fraud.approve(blocked).request.state is RequestState.APPROVED


def test_who_let_which_gates_pass_and_why_is_in_the_audit(fraud: Bench, blocked: Request) -> None:
    override_gates(fraud, blocked, reason="measured on old data")
    [event] = events(fraud, EventTag.GATES_OVERRIDDEN)
    assert (event.actor, event.why) == (DAVE.person, "measured on old data")
    assert [gate["value"] for gate in event.evidence["gates"]] == ["0.83"]


def test_card_and_thread_hear_that_the_gates_were_let_pass(fraud: Bench, blocked: Request) -> None:
    override_gates(fraud, blocked)
    assert {"card:overridden", "news:overridden"} <= fraud.keys()


@pytest.mark.parametrize("who", [ALICE, BOB], ids=["requester", "approver"])
def test_whom_the_policy_does_not_name_lets_nothing_pass(fraud: Bench, blocked: Request, who: Caller) -> None:
    with pytest.raises(Refused, match="does not let you pass a failed gate"):
        override_gates(fraud, blocked, who)
    assert fraud.now(blocked).has_blocking_gates
    assert fraud.events()[-1].tag is EventTag.REQUEST_COMMAND_REFUSED


def test_where_no_gate_failed_there_is_nothing_to_let_pass(fraud: Bench) -> None:
    set_gates(fraud, ACCURATE, override=["admin"])
    request = fraud.open(FRAUD)
    with pytest.raises(Refused, match="No gate of request"):
        override_gates(fraud, request)


def test_an_override_doesn_t_replace_the_approvals_that_are_missing(fraud: Bench) -> None:
    set_gates(fraud, ACCURATE, override=["admin"], required=2)
    measure(fraud, 2, accuracy=0.83)
    request = fraud.open(FRAUD)
    fraud.approve(request)
    assert override_gates(fraud, request).state is RequestState.PENDING
    assert fraud.approve(request, CAROL).request.state is RequestState.APPROVED


def test_an_overridden_request_was_decided_by_its_last_approver(fraud: Bench) -> None:
    set_gates(fraud, ACCURATE, override=["admin"], required=2)
    measure(fraud, 2, accuracy=0.83)
    request = fraud.open(FRAUD)
    fraud.approve(request, BOB)
    fraud.approve(request, CAROL)
    assert override_gates(fraud, request).decided_by == CAROL.person


def test_a_refused_withdrawal_and_a_refused_override_are_in_the_audit(fraud: Bench, blocked: Request) -> None:
    with pytest.raises(Refused):
        withdraw(fraud, blocked)
    with pytest.raises(Refused):
        override_gates(fraud, blocked, ALICE)
    assert [event.evidence["act"] for event in events(fraud, EventTag.REQUEST_COMMAND_REFUSED)] == [
        "withdraw",
        "override",
    ]


def test_gates_are_let_pass_once(fraud: Bench, blocked: Request) -> None:
    override_gates(fraud, blocked)
    with pytest.raises(Refused, match="No gate of request"):
        override_gates(fraud, blocked)
    assert len(events(fraud, EventTag.GATES_OVERRIDDEN)) == 1


def test_letting_gates_pass_comes_too_late_where_it_was_rejected(fraud: Bench, blocked: Request) -> None:
    fraud.reject(blocked)
    with pytest.raises(AlreadyDecided):
        override_gates(fraud, blocked)


# -- votes taken back --------------------------------------------------------------------------------------------------


@pytest.fixture
def two(bench: Bench) -> Request:
    """Return an open request that needs two approvals and has Bob's."""
    bench.registry.add_model("two", versions=1)
    request = bench.open("promote two 1 production")
    bench.approve(request)
    return request


def test_a_vote_taken_back_does_not_count(bench: Bench, two: Request) -> None:
    assert withdraw(bench, two) == 0
    assert bench.approve(two, CAROL).request.state is RequestState.PENDING


def test_who_took_a_vote_back_can_vote_again(bench: Bench, two: Request) -> None:
    withdraw(bench, two)
    bench.approve(two, CAROL)
    assert bench.approve(two, BOB).request.state is RequestState.APPROVED


def test_the_audit_keeps_the_vote_and_that_it_was_taken_back(bench: Bench, two: Request) -> None:
    withdraw(bench, two)
    assert [event.tag for event in bench.events()][-2:] == [EventTag.VOTED, EventTag.VOTE_WITHDRAWN]
    assert bench.events()[-1].evidence["approvals"] == 0


def test_nobody_takes_back_another_s_vote(bench: Bench, two: Request) -> None:
    with pytest.raises(Refused, match="You have not voted"):
        withdraw(bench, two, CAROL)
    with bench.ledger.read() as reading:
        assert [vote.voter for vote in reading.votes(two.id)] == [BOB.person]


def test_a_vote_is_not_taken_back_after_the_decision(bench: Bench, two: Request) -> None:
    bench.approve(two, CAROL)
    with pytest.raises(AlreadyDecided):
        withdraw(bench, two)
    assert bench.state(two) is RequestState.APPROVED


def test_a_vote_taken_back_does_not_decide_when_the_gates_are_let_pass(fraud: Bench, blocked: Request) -> None:
    fraud.approve(blocked)
    withdraw(fraud, blocked)
    assert override_gates(fraud, blocked).state is RequestState.PENDING

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

# -- when a request is opened ------------------------------------------------------------------------------------------


def test_a_failed_gate_that_no_one_can_override_opens_no_request(fraud: Bench) -> None:
    set_gates(fraud, ACCURATE)
    measure(fraud, 2, accuracy=0.83)
    with pytest.raises(GateFailed, match=r"accuracy is 0\.83"):
        fraud.open(FRAUD)
    with fraud.ledger.read() as reading:
        assert reading.requests() == []


def test_a_refused_version_s_snapshot_is_audited(fraud: Bench) -> None:
    set_gates(fraud, ACCURATE)
    measure(fraud, 2, accuracy=0.83)
    with pytest.raises(GateFailed):
        fraud.open(FRAUD)
    [refused] = events(fraud, EventTag.PROMOTION_REFUSED)
    assert refused.evidence["seen"]["metrics"] == {"accuracy": 0.83}
    assert [gate["passed"] for gate in refused.evidence["seen"]["gates"]] == [False]


def test_a_failed_gate_that_someone_can_override_opens_a_blocked_request(fraud: Bench, blocked: Request) -> None:
    assert blocked.has_blocking_gates
    assert fraud.state(blocked) is RequestState.PENDING


def test_a_request_s_snapshot_is_stored_and_audited(fraud: Bench) -> None:
    set_gates(fraud, ACCURATE, NO_WORSE)
    request = fraud.open(FRAUD)
    assert request.seen is not None
    assert (request.seen.metrics, request.seen.against, request.seen.policy) == (GOOD, GOOD, "edited")
    [opened] = events(fraud, EventTag.REQUEST_OPENED)
    assert [gate["name"] for gate in opened.evidence["seen"]["gates"]] == ["accuracy", "f1"]


def test_a_requester_s_result_counts_if_the_run_has_none(fraud: Bench) -> None:
    set_gates(fraud, ACCURATE)
    measure(fraud, 2)
    request = fraud.open(f"{FRAUD} --validation accuracy=0.92")
    assert request.seen is not None
    assert [(gate.passed, gate.note) for gate in request.seen.gates] == [(True, "reported by requester")]


def test_a_requester_s_result_replaces_no_metric_of_the_run(fraud: Bench) -> None:
    set_gates(fraud, ACCURATE)
    measure(fraud, 2, accuracy=0.83)
    with pytest.raises(GateFailed):
        fraud.open(f"{FRAUD} --validation accuracy=0.92")


def test_files_that_the_registry_refuses_count_as_missing(fraud: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def package(version: VersionInfo) -> ModelPackage:
        if version.version == 2:
            raise RegistryRefused("No one can read that folder.")
        return ModelPackage(signature=SIGNATURE)

    set_gates(fraud, {"signature": "compatible"})
    monkeypatch.setattr(fraud.registry, "package", package)
    with pytest.raises(GateFailed, match="signature is missing"):
        fraud.open(FRAUD)


def test_an_unreachable_artifact_store_delays_the_request(fraud: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def package(version: VersionInfo) -> ModelPackage:
        raise RegistryUnreachable("The files do not come.")

    set_gates(fraud, {"signature": "compatible"})
    ask = fraud.ask(FRAUD)
    monkeypatch.setattr(fraud.registry, "package", package)
    with pytest.raises(RegistryUnreachable):
        fraud.open_ask(ask.id)
    assert fraud.tags() == [EventTag.PROMOTION_REQUESTED.value]


def test_without_the_registry_gates_are_checked_later(fraud: Bench) -> None:
    set_gates(fraud, ACCURATE)
    ask = fraud.ask(FRAUD)
    fraud.registry.is_down = True
    with pytest.raises(RegistryUnreachable):
        fraud.open_ask(ask.id)
    fraud.registry.is_down = False
    assert fraud.open_ask(ask.id).seen is not None


# -- overrides ---------------------------------------------------------------------------------------------------------


def test_approvals_do_not_decide_a_blocked_request(fraud: Bench, blocked: Request) -> None:
    assert fraud.approve(blocked, BOB).request.state is RequestState.PENDING
    assert fraud.approve(blocked, CAROL).request.state is RequestState.PENDING
    assert fraud.moves_of("fraud") == []


def test_an_override_decides_a_request_with_enough_approvals(fraud: Bench, blocked: Request) -> None:
    fraud.approve(blocked)
    decided = override_gates(fraud, blocked)
    assert (decided.state, decided.decided_by) == (RequestState.APPROVED, BOB.person)
    assert run_transition(fraud, decided).state is RequestState.DONE


def test_an_override_is_not_an_approval(fraud: Bench, blocked: Request) -> None:
    assert override_gates(fraud, blocked).state is RequestState.PENDING
    assert fraud.approve(blocked).request.state is RequestState.APPROVED


def test_an_override_is_audited_with_its_gates_and_reason(fraud: Bench, blocked: Request) -> None:
    override_gates(fraud, blocked, reason="measured on old data")
    [event] = events(fraud, EventTag.GATES_OVERRIDDEN)
    assert (event.actor, event.why) == (DAVE.person, "measured on old data")
    assert [gate["value"] for gate in event.evidence["gates"]] == ["0.83"]


def test_an_override_is_shown_on_the_card_and_in_the_thread(fraud: Bench, blocked: Request) -> None:
    override_gates(fraud, blocked)
    assert {"card:overridden", "news:overridden"} <= fraud.keys()


@pytest.mark.parametrize("who", [ALICE, BOB], ids=["requester", "approver"])
def test_only_people_in_the_policy_can_override(fraud: Bench, blocked: Request, who: Caller) -> None:
    with pytest.raises(Refused, match="doesn't let you override a failed gate"):
        override_gates(fraud, blocked, who)
    assert fraud.now(blocked).has_blocking_gates
    assert fraud.events()[-1].tag is EventTag.REQUEST_COMMAND_REFUSED


def test_an_override_is_refused_if_no_gate_failed(fraud: Bench) -> None:
    set_gates(fraud, ACCURATE, override=["admin"])
    request = fraud.open(FRAUD)
    with pytest.raises(Refused, match="No gate blocks request"):
        override_gates(fraud, request)


def test_an_override_does_not_replace_missing_approvals(fraud: Bench) -> None:
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


def test_a_refused_withdrawal_and_a_refused_override_are_audited(fraud: Bench, blocked: Request) -> None:
    with pytest.raises(Refused):
        withdraw(fraud, blocked)
    with pytest.raises(Refused):
        override_gates(fraud, blocked, ALICE)
    assert [event.evidence["act"] for event in events(fraud, EventTag.REQUEST_COMMAND_REFUSED)] == [
        "withdraw",
        "override",
    ]


def test_gates_can_be_overridden_once(fraud: Bench, blocked: Request) -> None:
    override_gates(fraud, blocked)
    with pytest.raises(Refused, match="No gate blocks request"):
        override_gates(fraud, blocked)
    assert len(events(fraud, EventTag.GATES_OVERRIDDEN)) == 1


def test_an_override_after_a_rejection_is_refused(fraud: Bench, blocked: Request) -> None:
    fraud.reject(blocked)
    with pytest.raises(AlreadyDecided):
        override_gates(fraud, blocked)


# -- withdrawn votes ---------------------------------------------------------------------------------------------------


@pytest.fixture
def two(bench: Bench) -> Request:
    """Return an open request that needs two approvals and has Bob's."""
    bench.registry.add_model("two", versions=1)
    request = bench.open("promote two 1 production")
    bench.approve(request)
    return request


def test_a_withdrawn_vote_does_not_count(bench: Bench, two: Request) -> None:
    assert withdraw(bench, two) == 0
    assert bench.approve(two, CAROL).request.state is RequestState.PENDING


def test_someone_who_withdrew_their_vote_can_vote_again(bench: Bench, two: Request) -> None:
    withdraw(bench, two)
    bench.approve(two, CAROL)
    assert bench.approve(two, BOB).request.state is RequestState.APPROVED


def test_the_audit_log_has_the_vote_and_its_withdrawal(bench: Bench, two: Request) -> None:
    withdraw(bench, two)
    assert [event.tag for event in bench.events()][-2:] == [EventTag.VOTED, EventTag.VOTE_WITHDRAWN]
    assert bench.events()[-1].evidence["approvals"] == 0


def test_no_one_can_withdraw_another_person_s_vote(bench: Bench, two: Request) -> None:
    with pytest.raises(Refused, match="You haven't voted"):
        withdraw(bench, two, CAROL)
    with bench.ledger.read() as reading:
        assert [vote.voter for vote in reading.votes(two.id)] == [BOB.person]


def test_a_vote_cannot_be_withdrawn_after_the_decision(bench: Bench, two: Request) -> None:
    bench.approve(two, CAROL)
    with pytest.raises(AlreadyDecided):
        withdraw(bench, two)
    assert bench.state(two) is RequestState.APPROVED


def test_a_withdrawn_vote_does_not_count_at_an_override(fraud: Bench, blocked: Request) -> None:
    fraud.approve(blocked)
    withdraw(fraud, blocked)
    assert override_gates(fraud, blocked).state is RequestState.PENDING

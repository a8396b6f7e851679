"""Votes, cancelling, expiring: decided once, by those who may, and nothing is forgotten."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from bot.domain.audit.events import EventTag
from bot.domain.core.actors import Automation, Caller, Client, Operator
from bot.domain.core.errors import AlreadyDecided, Refused, RegistrarError, UnknownRequest
from bot.domain.policy.authorization import Permission
from bot.domain.promotions.request import Request, RequestState
from bot.domain.transitions.transition import TransitionState
from bot.ports import MessageKind
from tests.support.services.bench import ALICE, BOB, CAROL, DAVE, GUEST, STRANGER, Bench


@pytest.fixture
def request_(bench: Bench) -> Request:
    """Return an open request by Alice."""
    return bench.open()


@pytest.fixture
def two(bench: Bench) -> Request:
    """Return an open request that needs two approvals."""
    bench.registry.add_model("two", versions=1)
    return bench.open("promote two 1 production")


# -- approving ---------------------------------------------------------------------------------------------------------


def test_an_approval_decides_and_writes_the_move_down(bench: Bench, request_: Request) -> None:
    counted = bench.approve(request_)
    assert (counted.request.state, counted.approvals) == (RequestState.APPROVED, 1)
    move = bench.move(request_)
    assert (move.state, move.version, move.expected_incumbent) == (TransitionState.INTENDED, 4, 3)


def test_who_decided_and_when_is_kept(bench: Bench, request_: Request) -> None:
    decided = bench.approve(request_).request
    assert (decided.decided_by, decided.decided_at) == (BOB.person, bench.clock.now())


def test_a_vote_needs_no_registry(bench: Bench, request_: Request) -> None:
    bench.registry.is_down = True
    assert bench.approve(request_).request.state is RequestState.APPROVED


def test_one_of_two_leaves_it_pending(bench: Bench, two: Request) -> None:
    counted = bench.approve(two)
    assert (counted.request.state, counted.approvals) == (RequestState.PENDING, 1)


def test_two_of_two_decide(bench: Bench, two: Request) -> None:
    bench.approve(two)
    assert bench.approve(two, CAROL).request.state is RequestState.APPROVED


def test_the_same_person_counts_once(bench: Bench, two: Request) -> None:
    bench.approve(two)
    with pytest.raises(Refused, match="have voted on request"):
        bench.approve(two)
    assert bench.state(two) is RequestState.PENDING


def test_votes_are_in_the_audit_with_the_count(bench: Bench, two: Request) -> None:
    bench.approve(two)
    vote = bench.events()[-1]
    assert (vote.tag.value, vote.actor) == ("person:request:voted", BOB.person)
    assert (vote.evidence["approvals"], vote.evidence["required"]) == (1, 2)


def test_after_a_vote_the_card_is_drawn_anew_and_the_thread_is_told(bench: Bench, two: Request) -> None:
    bench.approve(two)
    assert bench.keys() == {
        "card:opened",
        "card:vote:UBOB:20260504T120000.000000",
        "news:vote:UBOB:20260504T120000.000000",
    }


def test_a_second_vote_by_the_same_person_updates_the_card_as_well(bench: Bench, two: Request) -> None:
    bench.approve(two)
    bench.withdraw(two, BOB)
    bench.clock.advance(minutes=1)
    before = bench.keys()
    bench.approve(two)
    assert {key.split(":U")[0] for key in bench.keys() - before} == {"card:vote", "news:vote"}


def test_who_asked_does_not_decide(bench: Bench) -> None:
    request = bench.open(who=BOB)
    with pytest.raises(Refused, match="somebody else has to decide: @UCAROL"):
        bench.approve(request, BOB)


def test_who_asked_may_decide_where_the_policy_says_so(bench: Bench) -> None:
    request = bench.open("promote churn 4 staging", BOB)
    assert bench.approve(request, BOB).request.state is RequestState.APPROVED


@pytest.mark.parametrize(
    "who",
    [ALICE, DAVE, GUEST, STRANGER, Automation("monitor"), Client("ci"), Operator("bob")],
    ids=["requester", "admin", "guest", "stranger", "automation", "program", "operator"],
)
@pytest.mark.parametrize("decide", [Bench.approve, Bench.reject], ids=["approve", "reject"])
def test_who_may_not_decide_changes_nothing_but_the_audit(
    bench: Bench, request_: Request, who: Caller, decide: object
) -> None:
    assert callable(decide)
    with pytest.raises(RegistrarError):
        decide(bench, request_, who)
    assert bench.state(request_) is RequestState.PENDING
    assert bench.tags()[-1] == "person:request:refused"


def test_a_request_that_is_none_is_unknown(bench: Bench, request_: Request) -> None:
    with bench.ledger.read() as reading, pytest.raises(UnknownRequest):
        reading.request("rnever")


# -- rejecting ---------------------------------------------------------------------------------------------------------


def test_one_rejection_ends_it(bench: Bench, two: Request) -> None:
    bench.approve(two)
    ended = bench.reject(two, CAROL, "latency doubled").request
    assert (ended.state, ended.outcome, ended.decided_by) == (RequestState.REJECTED, "latency doubled", CAROL.person)


def test_a_rejection_moves_nothing(bench: Bench, request_: Request) -> None:
    bench.reject(request_)
    assert bench.moves_of() == []


def test_the_requester_is_told_why_it_was_rejected(bench: Bench, request_: Request) -> None:
    bench.reject(request_, reason="latency doubled")
    direct = next(note for note in bench.notes() if note.kind is MessageKind.DIRECT)
    assert direct.to == "UALICE"
    assert "latency doubled" in bench.told("direct")


# -- cancelling --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", [ALICE, DAVE], ids=["requester", "admin"])
def test_the_requester_and_an_admin_can_cancel(bench: Bench, request_: Request, who: Caller) -> None:
    assert bench.cancel(request_, who).state is RequestState.CANCELLED


def test_an_approver_cannot_cancel_and_hears_what_they_can_do(bench: Bench, request_: Request) -> None:
    with pytest.raises(Refused, match="You can reject it"):
        bench.cancel(request_, BOB)
    assert bench.state(request_) is RequestState.PENDING


def test_who_cancels_is_not_told_what_they_did(bench: Bench, request_: Request) -> None:
    bench.cancel(request_, ALICE)
    assert MessageKind.DIRECT not in {note.kind for note in bench.notes()}


def test_who_asked_is_told_when_an_admin_cancels(bench: Bench, request_: Request) -> None:
    bench.cancel(request_, DAVE, "wrong model")
    for kind in ("direct", "news"):
        assert bench.told(kind) == "@UDAVE cancelled “churn” v3 → v4 in Production: wrong model."


def test_an_approved_request_cannot_be_cancelled(bench: Bench, request_: Request) -> None:
    bench.approve(request_)
    with pytest.raises(AlreadyDecided, match="@UBOB was faster"):
        bench.cancel(request_, ALICE)


# -- too late ----------------------------------------------------------------------------------------------------------


def test_who_comes_too_late_hears_who_decided(bench: Bench, request_: Request) -> None:
    bench.reject(request_)
    with pytest.raises(AlreadyDecided, match=f"@UBOB was faster: request {request_.id} was rejected on 2026-05-04"):
        bench.approve(request_, CAROL)


def test_a_stranger_does_not_even_hear_who_decided(bench: Bench, request_: Request) -> None:
    bench.reject(request_)
    with pytest.raises(Refused, match="Only members of this workspace"):
        bench.approve(request_, STRANGER)


def test_a_click_after_the_time_finds_it_expired(bench: Bench, request_: Request) -> None:
    bench.clock.advance(hours=24)
    with pytest.raises(AlreadyDecided, match="expired: nobody decided by"):
        bench.approve(request_)
    assert bench.state(request_) is RequestState.EXPIRED


def test_a_click_that_came_too_late_ends_it_for_everybody(bench: Bench, request_: Request) -> None:
    bench.clock.advance(hours=24)
    with pytest.raises(AlreadyDecided):
        bench.approve(request_)
    assert {"card:expired", "news:expired", "direct:expired"} <= bench.keys()
    assert bench.tags()[-2:] == ["registrar:request:expired", "person:request:refused"]


def test_the_clock_ends_what_nobody_decided(bench: Bench, request_: Request) -> None:
    bench.clock.advance(hours=24)
    assert bench.request_upkeep.expire_overdue() == 1
    assert bench.state(request_) is RequestState.EXPIRED


def test_the_clock_ends_it_once(bench: Bench, request_: Request) -> None:
    bench.clock.advance(hours=24)
    bench.request_upkeep.expire_overdue()
    assert bench.request_upkeep.expire_overdue() == 0


def test_nothing_expires_before_its_time(bench: Bench, request_: Request) -> None:
    bench.clock.advance(hours=23, minutes=59)
    assert bench.request_upkeep.expire_overdue() == 0


def test_what_is_approved_is_left_to_the_executor_to_expire(bench: Bench, request_: Request) -> None:
    bench.approve(request_)
    bench.clock.advance(days=30)
    assert bench.request_upkeep.expire_overdue() == 0


# -- twice, and at the same moment -------------------------------------------------------------------------------------


def all_at_once(bench: Bench, request: Request, people: list[Caller]) -> list[str]:
    """Let everybody approve at the same moment; return what became of each."""

    def press(who: Caller) -> str:
        try:
            return bench.approve(request, who).request.state.value
        except Refused as error:
            return type(error).__name__

    with ThreadPoolExecutor(len(people)) as threads:
        return sorted(threads.map(press, people))


def test_a_click_that_arrives_five_times_counts_once(bench: Bench, two: Request) -> None:
    assert all_at_once(bench, two, [BOB] * 5) == ["Refused"] * 4 + ["pending"]


def test_of_two_who_decide_at_the_same_moment_one_is_too_late(bench: Bench, request_: Request) -> None:
    assert all_at_once(bench, request_, [BOB, CAROL]) == ["AlreadyDecided", "approved"]


def test_two_of_two_at_the_same_moment_are_enough(bench: Bench, two: Request) -> None:
    assert all_at_once(bench, two, [BOB, CAROL]) == ["approved", "pending"]
    assert len(bench.moves_of("two")) == 1


# -- before a form is opened -------------------------------------------------------------------------------------------


def test_who_may_reject_is_shown_the_form(bench: Bench, request_: Request) -> None:
    assert bench.decisions.require_allowed(BOB, request_.id, Permission.REJECT).state is RequestState.PENDING


def test_who_may_not_reject_is_shown_no_form_and_the_audit_says_so(bench: Bench, request_: Request) -> None:
    with pytest.raises(Refused):
        bench.decisions.require_allowed(DAVE, request_.id, Permission.REJECT)
    assert bench.tags()[-1] == "person:request:refused"


def test_every_decision_is_chained(bench: Bench, request_: Request) -> None:
    bench.approve(request_)
    with bench.ledger.read() as reading:
        links = reading.audit_events()
    assert [link.previous for link in links[1:]] == [link.hash for link in links[:-1]]


def test_the_audit_keeps_what_a_decision_was_made_on_and_under_which_policy(bench: Bench) -> None:
    bench.context.active_policy.replace(bench.context.policy, "0123456789ab")
    bench.approve(bench.open())
    [decided] = [event for event in bench.events() if event.tag is EventTag.APPROVED]
    assert decided.evidence["policy"] == "0123456789ab"
    assert set(decided.evidence["seen"]) == {"metrics", "against", "validation", "gates", "rule", "policy"}
    [voted] = [event for event in bench.events() if event.tag is EventTag.VOTED]
    assert voted.evidence["by"] == {"name": "", "roles": ["lead"], "groups": []}

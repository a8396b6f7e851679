"""Votes, cancellation, and expiry: each request is decided once, by someone with permission, and audited."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, event

from bot.domain.audit.events import EventTag
from bot.domain.commands.promotions import Approve
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


def statements_of(bench: Bench, request: Request, engine: Engine | type[Engine] = Engine) -> list[object]:
    """Approve a request, and return what was executed on `engine`, or on all."""
    executed: list[object] = []

    def listen(_: object, statement: object, *__: object) -> None:
        executed.append(statement)

    event.listen(engine, "before_execute", listen)
    try:
        bench.requests.approve(BOB, Approve(request=request.id), origin="slack")
    finally:
        event.remove(engine, "before_execute", listen)
    return executed


# -- approving ---------------------------------------------------------------------------------------------------------


def test_an_approval_decides_and_records_the_transition(bench: Bench, request_: Request) -> None:
    counted = bench.approve(request_)
    assert (counted.request.state, counted.approvals) == (RequestState.APPROVED, 1)
    move = bench.move(request_)
    assert (move.state, move.version, move.expected_incumbent) == (TransitionState.INTENDED, 4, 3)


def test_the_decision_records_who_and_when(bench: Bench, request_: Request) -> None:
    decided = bench.approve(request_).request
    assert (decided.decided_by, decided.decided_at) == (BOB.person, bench.clock.now())


def test_a_vote_needs_no_registry(bench: Bench, request_: Request) -> None:
    bench.registry.is_down = True
    assert bench.approve(request_).request.state is RequestState.APPROVED


def test_one_of_two_approvals_leaves_it_pending(bench: Bench, two: Request) -> None:
    counted = bench.approve(two)
    assert (counted.request.state, counted.approvals) == (RequestState.PENDING, 1)


def test_a_decision_reuses_its_statements(bench: Bench, request_: Request) -> None:
    """Building a statement takes longer than running it on SQLite."""
    bench.registry.add_model("other", versions=1)
    other = bench.open("promote other 1 production")
    first, second = (statements_of(bench, decided) for decided in (request_, other))
    assert [new for old, new in zip(first, second, strict=True) if new is not old] == []


def test_a_decision_reads_nothing_twice_in_its_transaction(bench: Bench, request_: Request) -> None:
    executed = statements_of(bench, request_, bench.ledger._writer)
    assert len(set(map(id, executed))) == len(executed)


def test_two_of_two_approvals_decide(bench: Bench, two: Request) -> None:
    bench.approve(two)
    assert bench.approve(two, CAROL).request.state is RequestState.APPROVED


def test_the_same_person_counts_once(bench: Bench, two: Request) -> None:
    bench.approve(two)
    with pytest.raises(Refused, match="already voted on request"):
        bench.approve(two)
    assert bench.state(two) is RequestState.PENDING


def test_votes_are_audited_with_the_count(bench: Bench, two: Request) -> None:
    bench.approve(two)
    vote = bench.events()[-1]
    assert (vote.tag.value, vote.actor) == ("person:request:voted", BOB.person)
    assert (vote.evidence["approvals"], vote.evidence["required"]) == (1, 2)


def test_a_vote_only_redraws_the_card(bench: Bench, two: Request) -> None:
    bench.approve(two)
    assert bench.keys() == {"card:opened", "card:vote:UBOB:20260504T120000.000000"}


def test_a_new_vote_after_a_withdrawal_also_updates_the_card(bench: Bench, two: Request) -> None:
    bench.approve(two)
    bench.withdraw(two, BOB)
    bench.clock.advance(minutes=1)
    before = bench.keys()
    bench.approve(two)
    assert {key.split(":U")[0] for key in bench.keys() - before} == {"card:vote"}


def test_the_requester_cannot_decide(bench: Bench) -> None:
    request = bench.open(who=BOB)
    with pytest.raises(Refused, match="someone else has to decide: @UCAROL"):
        bench.approve(request, BOB)


def test_the_requester_can_decide_if_the_policy_allows_it(bench: Bench) -> None:
    request = bench.open("promote churn 4 staging", BOB)
    assert bench.approve(request, BOB).request.state is RequestState.APPROVED


@pytest.mark.parametrize(
    "who",
    [ALICE, DAVE, GUEST, STRANGER, Automation("monitor"), Client("ci"), Operator("bob")],
    ids=["requester", "admin", "guest", "stranger", "automation", "program", "operator"],
)
@pytest.mark.parametrize("decide", [Bench.approve, Bench.reject], ids=["approve", "reject"])
def test_a_refused_vote_changes_only_the_audit_log(
    bench: Bench, request_: Request, who: Caller, decide: object
) -> None:
    assert callable(decide)
    with pytest.raises(RegistrarError):
        decide(bench, request_, who)
    assert bench.state(request_) is RequestState.PENDING
    assert bench.tags()[-1] == "person:request:refused"


def test_a_missing_request_is_unknown(bench: Bench, request_: Request) -> None:
    with bench.ledger.read() as reading, pytest.raises(UnknownRequest):
        reading.request("rnever")


# -- rejecting ---------------------------------------------------------------------------------------------------------


def test_one_rejection_ends_the_request(bench: Bench, two: Request) -> None:
    bench.approve(two)
    ended = bench.reject(two, CAROL, "latency doubled").request
    assert (ended.state, ended.outcome, ended.decided_by) == (RequestState.REJECTED, "latency doubled", CAROL.person)


def test_a_rejection_makes_no_transition(bench: Bench, request_: Request) -> None:
    bench.reject(request_)
    assert bench.moves_of() == []


def test_the_requester_is_told_the_reason_for_a_rejection(bench: Bench, request_: Request) -> None:
    bench.reject(request_, reason="latency doubled")
    direct = next(note for note in bench.notes() if note.kind is MessageKind.DIRECT)
    assert direct.to == "UALICE"
    assert "latency doubled" in bench.told("direct")


# -- canceling ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", [ALICE, DAVE], ids=["requester", "admin"])
def test_the_requester_and_an_admin_can_cancel(bench: Bench, request_: Request, who: Caller) -> None:
    assert bench.cancel(request_, who).state is RequestState.CANCELLED


def test_an_approver_cannot_cancel_and_reads_what_they_can_do(bench: Bench, request_: Request) -> None:
    with pytest.raises(Refused, match="Approvers can reject it"):
        bench.cancel(request_, BOB)
    assert bench.state(request_) is RequestState.PENDING


def test_the_person_who_cancels_gets_no_direct_message(bench: Bench, request_: Request) -> None:
    bench.cancel(request_, ALICE)
    assert MessageKind.DIRECT not in {note.kind for note in bench.notes()}


def test_the_requester_is_told_when_an_admin_cancels(bench: Bench, request_: Request) -> None:
    bench.cancel(request_, DAVE, "wrong model")
    assert bench.told("direct").startswith("@UDAVE canceled “churn” v3 → v4 in Production: wrong model.")
    assert "news:" not in "".join(bench.keys())


def test_a_cancellation_by_the_requester_is_in_the_thread_because_there_is_no_one_to_tell(
    bench: Bench, request_: Request
) -> None:
    bench.cancel(request_, ALICE, "wrong model")
    assert bench.told("news") == "@UALICE canceled “churn” v3 → v4 in Production: wrong model."
    assert "direct:" not in "".join(bench.keys())


def test_an_approved_request_cannot_be_canceled(bench: Bench, request_: Request) -> None:
    bench.approve(request_)
    with pytest.raises(AlreadyDecided, match="was already approved"):
        bench.cancel(request_, ALICE)


# -- too late ----------------------------------------------------------------------------------------------------------


def test_a_late_vote_is_told_who_decided(bench: Bench, request_: Request) -> None:
    bench.reject(request_)
    with pytest.raises(AlreadyDecided, match=rf"Request {request_.id} was already rejected \(@UBOB, 2026-05-04"):
        bench.approve(request_, CAROL)


def test_a_stranger_is_not_told_who_decided(bench: Bench, request_: Request) -> None:
    bench.reject(request_)
    with pytest.raises(Refused, match="Only members of this workspace"):
        bench.approve(request_, STRANGER)


def test_a_late_click_finds_the_request_expired(bench: Bench, request_: Request) -> None:
    bench.clock.advance(hours=24)
    with pytest.raises(AlreadyDecided, match="expired: no one decided by"):
        bench.approve(request_)
    assert bench.state(request_) is RequestState.EXPIRED


def test_a_late_click_ends_the_request(bench: Bench, request_: Request) -> None:
    bench.clock.advance(hours=24)
    with pytest.raises(AlreadyDecided):
        bench.approve(request_)
    assert {"card:expired", "direct:expired"} <= bench.keys()
    assert bench.tags()[-2:] == ["registrar:request:expired", "person:request:refused"]


def test_the_clock_expires_an_undecided_request(bench: Bench, request_: Request) -> None:
    bench.clock.advance(hours=24)
    assert bench.request_upkeep.expire_overdue() == 1
    assert bench.state(request_) is RequestState.EXPIRED


def test_the_clock_expires_a_request_once(bench: Bench, request_: Request) -> None:
    bench.clock.advance(hours=24)
    bench.request_upkeep.expire_overdue()
    assert bench.request_upkeep.expire_overdue() == 0


def test_a_request_does_not_expire_early(bench: Bench, request_: Request) -> None:
    bench.clock.advance(hours=23, minutes=59)
    assert bench.request_upkeep.expire_overdue() == 0


def test_an_approved_request_is_expired_by_the_executor(bench: Bench, request_: Request) -> None:
    bench.approve(request_)
    bench.clock.advance(days=30)
    assert bench.request_upkeep.expire_overdue() == 0


# -- repeated and simultaneous -----------------------------------------------------------------------------------------


def all_at_once(bench: Bench, request: Request, people: list[Caller]) -> list[str]:
    """Let everyone approve at the same time; return each outcome."""

    def press(who: Caller) -> str:
        try:
            return bench.approve(request, who).request.state.value
        except Refused as error:
            return type(error).__name__

    with ThreadPoolExecutor(len(people)) as threads:
        return sorted(threads.map(press, people))


def test_a_click_delivered_five_times_counts_once(bench: Bench, two: Request) -> None:
    assert all_at_once(bench, two, [BOB] * 5) == ["Refused"] * 4 + ["pending"]


def test_one_of_two_simultaneous_decisions_is_too_late(bench: Bench, request_: Request) -> None:
    assert all_at_once(bench, request_, [BOB, CAROL]) == ["AlreadyDecided", "approved"]


def test_two_simultaneous_approvals_of_two_are_enough(bench: Bench, two: Request) -> None:
    assert all_at_once(bench, two, [BOB, CAROL]) == ["approved", "pending"]
    assert len(bench.moves_of("two")) == 1


# -- before a form is opened -------------------------------------------------------------------------------------------


def test_an_approver_is_shown_the_rejection_form(bench: Bench, request_: Request) -> None:
    assert bench.decisions.require_allowed(BOB, request_.id, Permission.REJECT).state is RequestState.PENDING


def test_someone_who_cannot_reject_is_shown_no_form_and_is_audited(bench: Bench, request_: Request) -> None:
    with pytest.raises(Refused):
        bench.decisions.require_allowed(DAVE, request_.id, Permission.REJECT)
    assert bench.tags()[-1] == "person:request:refused"


def test_every_decision_is_chained(bench: Bench, request_: Request) -> None:
    bench.approve(request_)
    with bench.ledger.read() as reading:
        links = reading.audit_events()
    assert [link.previous for link in links[1:]] == [link.hash for link in links[:-1]]


def test_the_audit_log_records_a_decision_s_facts_and_policy(bench: Bench) -> None:
    bench.context.active_policy.replace(bench.context.policy, "0123456789ab")
    bench.approve(bench.open())
    [decided] = [event for event in bench.events() if event.tag is EventTag.APPROVED]
    assert decided.evidence["policy"] == "0123456789ab"
    assert set(decided.evidence["seen"]) == {"metrics", "against", "validation", "gates", "rule", "policy"}
    [voted] = [event for event in bench.events() if event.tag is EventTag.VOTED]
    assert voted.evidence["by"] == {"name": "", "roles": ["lead"], "groups": []}

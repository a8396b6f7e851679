"""Requests, votes, and freezes in every ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.core.actors import Person
from bot.domain.core.agent import Agent, introduce_agent
from bot.domain.core.ci_run import CiRun
from bot.domain.core.errors import AlreadyOpen, UnknownRequest
from bot.domain.promotions.request import GateResult, RequestSnapshot, RequestState
from bot.domain.promotions.votes import VoteChoice
from bot.domain.registry.model import Stage
from bot.ledger import SqlLedger
from tests.support.ledger.records import (
    ALICE,
    BOB,
    LATER,
    NOW,
    SOON,
    a_freeze,
    a_request,
    a_vote,
    an_event,
    run_concurrently,
    save,
)

pytestmark = pytest.mark.usefixtures("migrates_itself")

pytest_plugins = ("tests.support.ledger.ledgers",)


# Requests


def test_a_second_open_request_is_refused_and_names_the_first(ledger: SqlLedger) -> None:
    save(ledger, a_request(id="abc"))
    with pytest.raises(AlreadyOpen) as refused:
        save(ledger, a_request(version=8))
    assert str(refused.value) == (
        "Request abc for v7 of “churn” in Production is still open. Run /model approve abc or /model cancel abc first."
    )


def test_the_refusal_does_not_suggest_canceling_an_approved_request(ledger: SqlLedger) -> None:
    save(ledger, a_request(id="abc", state=RequestState.APPROVED))
    with pytest.raises(AlreadyOpen, match="is in progress"):
        save(ledger, a_request())


def test_another_target_model_or_an_ended_request_does_not_block_a_request(ledger: SqlLedger) -> None:
    save(ledger, a_request(state=RequestState.DONE), a_request(state=RequestState.REJECTED))
    save(ledger, a_request(), a_request(target=Stage.STAGING), a_request(model="fraud"))
    with ledger.read() as r:
        assert len(r.requests()) == 5


def test_only_one_of_many_simultaneous_requests_is_opened(ledger: SqlLedger) -> None:
    def ask(_: int) -> bool:
        try:
            save(ledger, a_request(), an_event())
        except AlreadyOpen:
            return False
        return True

    assert sorted(run_concurrently(8, ask)) == [False] * 7 + [True]
    with ledger.read() as r:
        assert (len(r.requests()), len(r.audit_events())) == (1, 1)


def test_an_unknown_request_is_named_in_the_error(ledger: SqlLedger) -> None:
    with ledger.read() as r, pytest.raises(UnknownRequest, match="Request “zzz” doesn't exist"):
        r.request("zzz")
    with ledger.write() as w, pytest.raises(UnknownRequest):
        w.lock_request("z\0")
    with ledger.write() as w, pytest.raises(UnknownRequest):
        w.save_request(a_request())


@pytest.mark.parametrize(
    "ci",
    [CiRun(run="4711"), CiRun(run="4711", actor="octocat", service="github", is_verified=True)],
    ids=["from an older release", "verified"],
)
def test_the_ci_run_of_a_request_is_stored(ledger: SqlLedger, ci: CiRun) -> None:
    request = a_request(ci=ci)
    save(ledger, request)
    with ledger.read() as r:
        assert r.request(request.id).ci == ci


@pytest.mark.parametrize("agent", [introduce_agent("claude-code", "2.1", "U0ALICE"), introduce_agent("")], ids=str)
def test_the_agent_of_a_request_is_stored(ledger: SqlLedger, agent: Agent) -> None:
    request = a_request(agent=agent)
    save(ledger, request)
    with ledger.read() as r:
        assert r.request(request.id).agent == agent


def test_requests_are_filtered_by_model_and_state_newest_first(ledger: SqlLedger) -> None:
    old = a_request(state=RequestState.DONE, opened_at=NOW - timedelta(days=1))
    new, twin = a_request(), a_request(target=Stage.STAGING)
    other = a_request(model="fraud", opened_at=SOON)
    save(ledger, new, twin, old, other)
    with ledger.read() as r:
        assert r.requests() == [other, twin, new, old]
        assert r.requests(model="churn", limit=2) == [twin, new]
        assert r.requests(states=[RequestState.DONE]) == [old]
        assert r.requests(model="churn", states=[RequestState.PENDING, RequestState.DONE]) == [twin, new, old]


def test_the_open_request_is_found_until_it_ends(ledger: SqlLedger) -> None:
    request = a_request()
    save(ledger, request)
    with ledger.write() as w:
        assert w.open_request("churn", Stage.PRODUCTION) == request
        assert w.open_request("churn", Stage.STAGING) is None
        w.save_request(request.with_state(RequestState.CANCELLED))
        assert w.open_request("churn", Stage.PRODUCTION) is None


def test_a_pending_request_expires_exactly_at_its_time(ledger: SqlLedger) -> None:
    save(ledger, a_request(id="p"), a_request(id="d", model="fraud", state=RequestState.APPROVED))
    with ledger.read() as r:
        assert r.expired_request_ids(LATER - timedelta(microseconds=1)) == []
        assert r.expired_request_ids(LATER) == ["p"]


def test_a_locked_request_makes_other_transactions_wait(ledger: SqlLedger) -> None:
    save(ledger, a_request(id="r", outcome="0"))

    def count(_: int) -> None:
        for _ in range(3):
            with ledger.write() as w:
                request = w.lock_request("r")
                w.save_request(replace(request, outcome=str(int(request.outcome) + 1)))

    run_concurrently(6, count)
    with ledger.read() as r:
        assert r.request("r").outcome == "18"


def test_two_simultaneous_votes_never_leave_a_request_pending(ledger: SqlLedger) -> None:
    def vote(person: int) -> bool:
        with ledger.write() as w:
            request = w.lock_request("r")
            w.add_vote(a_vote(request, Person("T1", f"U{person}")))
            return len(w.votes("r")) == request.required

    save(ledger, a_request(id="r"))
    assert sorted(run_concurrently(2, vote)) == [False, True]


def test_a_person_has_one_vote_and_votes_are_in_order(ledger: SqlLedger) -> None:
    request = a_request()
    save(ledger, request)
    first, other = a_vote(request), a_vote(request, Person("T2", BOB.user), at=NOW - timedelta(days=1))
    with ledger.write() as w:
        assert w.add_vote(first)
        assert not w.add_vote(replace(first, choice=VoteChoice.REJECT, reason="no"))
        assert w.add_vote(other)
    with ledger.read() as r:
        assert r.votes(request.id) == [first, other]
        assert r.votes_by_request([request.id, "none"]) == {request.id: [first, other]}


# Evidence of requests, freezes, and withdrawn votes


def test_a_requests_evidence_is_read_as_it_was_written(ledger: SqlLedger) -> None:
    gate = GateResult(name="accuracy “große”", bound="≥ 0.85", value="0.9", passed=False, note="theirs")
    seen = RequestSnapshot(
        metrics={"f1": 0.1}, against={"f1": 1e-300}, validation={"a/b": 1.0}, gates=(gate,), rule="r", policy="p"
    )
    request = a_request(seen=seen, overridden_by=BOB, override_reason="because", reminded=3)
    save(ledger, request)
    with ledger.read() as r:
        assert r.request(request.id) == request


def test_requests_can_be_filtered_by_requester(ledger: SqlLedger) -> None:
    save(ledger, a_request(), a_request(model="fraud", requester=BOB))
    with ledger.read() as r:
        assert [one.model for one in r.requests(requester=BOB)] == ["fraud"]


def test_a_withdrawn_vote_is_deleted_and_can_be_cast_again(ledger: SqlLedger) -> None:
    request = a_request()
    save(ledger, request, a_vote(request), a_vote(request, ALICE))
    with ledger.write() as w:
        assert w.delete_vote(request.id, BOB)
        assert not w.delete_vote(request.id, BOB)
        assert [vote.voter for vote in w.votes(request.id)] == [ALICE]
        assert w.add_vote(a_vote(request))


def test_only_a_lapsed_vote_names_a_rule(ledger: SqlLedger) -> None:
    request = a_request()
    save(ledger, request, a_vote(request), a_vote(request, ALICE))
    with ledger.write() as w:
        w.save_vote(replace(a_vote(request), lapsed="deactivated"))
        assert {vote.voter: vote.lapsed for vote in w.votes(request.id)} == {BOB: "deactivated", ALICE: ""}


def test_active_freezes_are_listed_oldest_first(ledger: SqlLedger) -> None:
    first, second, lifted = a_freeze(until=SOON), a_freeze(model=None), a_freeze()
    with ledger.write() as w:
        for freeze in (first, second, lifted):
            w.add_freeze(freeze)
        w.save_freeze(replace(lifted, lifted_at=NOW, lifted_by=BOB))
    with ledger.read() as r:
        assert r.freezes() == [first, second]

"""Requests, votes, and freezes in every ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.core.actors import Person
from bot.domain.core.errors import AlreadyOpen, UnknownRequest
from bot.domain.promotions.request import GateResult, RequestSnapshot, RequestState, VoteChoice
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


def test_a_second_open_request_is_refused_with_the_first_ones_id(ledger: SqlLedger) -> None:
    save(ledger, a_request(id="abc"))
    with pytest.raises(AlreadyOpen) as refused:
        save(ledger, a_request(version=8))
    assert str(refused.value) == (
        "Request abc for v7 of “churn” in Production is still open: approve abc, or cancel abc first."
    )


def test_where_the_first_is_approved_nobody_is_told_to_cancel_it(ledger: SqlLedger) -> None:
    save(ledger, a_request(id="abc", state=RequestState.APPROVED))
    with pytest.raises(AlreadyOpen, match="is approved and being made"):
        save(ledger, a_request())


def test_another_target_another_model_or_an_ended_request_is_not_in_the_way(ledger: SqlLedger) -> None:
    save(ledger, a_request(state=RequestState.DONE), a_request(state=RequestState.REJECTED))
    save(ledger, a_request(), a_request(target=Stage.STAGING), a_request(model="fraud"))


def test_of_many_that_ask_at_once_one_is_opened(ledger: SqlLedger) -> None:
    def ask(_: int) -> bool:
        try:
            save(ledger, a_request(), an_event())
        except AlreadyOpen:
            return False
        return True

    assert sorted(run_concurrently(8, ask)) == [False] * 7 + [True]
    with ledger.read() as r:
        assert (len(r.requests()), len(r.audit_events())) == (1, 1)


def test_an_unknown_request_is_told_by_name(ledger: SqlLedger) -> None:
    with ledger.read() as r, pytest.raises(UnknownRequest, match="no request “zzz”"):
        r.request("zzz")
    with ledger.write() as w, pytest.raises(UnknownRequest):
        w.lock_request("z\0")
    with ledger.write() as w, pytest.raises(UnknownRequest):
        w.save_request(a_request())


def test_requests_come_newest_first_by_model_and_state(ledger: SqlLedger) -> None:
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


def test_a_pending_request_expires_at_its_time_to_the_microsecond(ledger: SqlLedger) -> None:
    save(ledger, a_request(id="p"), a_request(id="d", model="fraud", state=RequestState.APPROVED))
    with ledger.read() as r:
        assert r.expired_request_ids(LATER - timedelta(microseconds=1)) == []
        assert r.expired_request_ids(LATER) == ["p"]


def test_a_locked_request_makes_others_wait_so_no_change_is_lost(ledger: SqlLedger) -> None:
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


def test_one_person_has_one_vote_in_the_order_of_casting(ledger: SqlLedger) -> None:
    request = a_request()
    save(ledger, request)
    first, other = a_vote(request), a_vote(request, Person("T2", BOB.user), at=NOW - timedelta(days=1))
    with ledger.write() as w:
        assert w.add_vote(first)
        assert not w.add_vote(replace(first, choice=VoteChoice.REJECT, reason="no"))
        assert w.add_vote(other)
    with ledger.read() as r:
        assert r.votes(request.id) == [first, other]


# What a request was opened on, freezes, votes taken back, the audit from its end


def test_what_a_request_was_opened_on_comes_back_equal(ledger: SqlLedger) -> None:
    gate = GateResult(name="accuracy “große”", bound="≥ 0.85", value="0.9", passed=False, note="theirs")
    seen = RequestSnapshot(
        metrics={"f1": 0.1}, against={"f1": 1e-300}, validation={"a/b": 1.0}, gates=(gate,), rule="r", policy="p"
    )
    request = a_request(seen=seen, overridden_by=BOB, override_reason="because", reminded=3)
    save(ledger, request)
    with ledger.read() as r:
        assert r.request(request.id) == request


def test_a_request_of_somebody_is_found_by_who_asked(ledger: SqlLedger) -> None:
    save(ledger, a_request(), a_request(model="fraud", requester=BOB))
    with ledger.read() as r:
        assert [one.model for one in r.requests(requester=BOB)] == ["fraud"]


def test_a_vote_that_was_taken_back_is_gone_and_can_be_cast_again(ledger: SqlLedger) -> None:
    request = a_request()
    save(ledger, request, a_vote(request), a_vote(request, ALICE))
    with ledger.write() as w:
        assert w.delete_vote(request.id, BOB)
        assert not w.delete_vote(request.id, BOB)
        assert [vote.voter for vote in w.votes(request.id)] == [ALICE]
        assert w.add_vote(a_vote(request))


def test_a_vote_that_lapsed_says_by_which_rule_and_no_other_does(ledger: SqlLedger) -> None:
    request = a_request()
    save(ledger, request, a_vote(request), a_vote(request, ALICE))
    with ledger.write() as w:
        w.save_vote(replace(a_vote(request), lapsed="deactivated"))
        assert {vote.voter: vote.lapsed for vote in w.votes(request.id)} == {BOB: "deactivated", ALICE: ""}


def test_freezes_that_nobody_has_lifted_are_told_oldest_first(ledger: SqlLedger) -> None:
    first, second, lifted = a_freeze(until=SOON), a_freeze(model=None), a_freeze()
    with ledger.write() as w:
        for freeze in (first, second, lifted):
            w.add_freeze(freeze)
        w.save_freeze(replace(lifted, lifted_at=NOW, lifted_by=BOB))
    with ledger.read() as r:
        assert r.freezes() == [first, second]

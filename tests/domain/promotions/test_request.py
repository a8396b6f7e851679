"""A request's states, and how votes decide it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.core.actors import Person
from bot.domain.core.errors import AlreadyDecided
from bot.domain.promotions.request import Request, RequestState
from bot.domain.promotions.votes import Vote, VoteChoice, state_after_votes
from tests.support.domain.requests import NOW, REQUEST

# Written down a second time on purpose: a change of the table has to be meant.
LEGAL = {
    "pending": {"approved", "rejected", "cancelled", "expired", "stale"},
    "approved": {"executing", "stale", "failed", "expired"},
    "executing": {"done", "stale", "failed", "expired", "approved"},
}


ENDS = {"done", "rejected", "cancelled", "expired", "stale", "failed"}


PEOPLE = st.integers(min_value=1, max_value=6).map(lambda number: Person("T1", f"U{number}"))


def vote(voter: Person, choice: VoteChoice) -> Vote:
    return Vote(request="r4k7q", voter=voter, choice=choice, reason="", at=NOW)


VOTES = st.lists(st.builds(vote, PEOPLE, st.sampled_from(VoteChoice)), max_size=10)


REQUESTS = st.integers(min_value=1, max_value=5).map(lambda required: replace(REQUEST, required=required))


@pytest.mark.parametrize(("before", "after"), list(product(RequestState, RequestState)))
def test_a_request_allows_only_the_listed_state_changes(before: RequestState, after: RequestState) -> None:
    request = replace(REQUEST, state=before)
    if after.value in LEGAL.get(before.value, set()):
        assert request.with_state(after).state is after
    else:
        with pytest.raises(AlreadyDecided, match=f"is {before.label}"):
            request.with_state(after)


@pytest.mark.parametrize("state", RequestState)
def test_a_final_state_is_not_open(state: RequestState) -> None:
    assert state.is_open == (state.value not in ENDS)


def test_other_changes_are_made_with_the_state() -> None:
    assert REQUEST.with_state(RequestState.REJECTED, outcome="too slow").outcome == "too slow"


@given(REQUESTS, VOTES)
def test_fewer_different_people_than_required_do_not_approve(request: Request, votes: list[Vote]) -> None:
    if state_after_votes(request, votes) is RequestState.APPROVED:
        assert len({one.voter for one in votes if one.choice is VoteChoice.APPROVE}) >= request.required


@given(REQUESTS, VOTES, PEOPLE)
def test_one_rejection_rejects_whatever_the_other_votes_are(request: Request, votes: list[Vote], voter: Person) -> None:
    assert state_after_votes(request, [*votes, vote(voter, VoteChoice.REJECT)]) is RequestState.REJECTED


@given(REQUESTS)
def test_enough_different_people_approve(request: Request) -> None:
    votes = [vote(Person("T1", f"U{number}"), VoteChoice.APPROVE) for number in range(request.required)]
    assert state_after_votes(request, votes) is RequestState.APPROVED


def test_more_people_than_required_also_approve() -> None:
    votes = [vote(Person("T1", f"U{number}"), VoteChoice.APPROVE) for number in range(300)]
    assert state_after_votes(replace(REQUEST, required=2), votes) is RequestState.APPROVED
    assert state_after_votes(replace(REQUEST, required=300), votes) is RequestState.APPROVED


def test_a_request_has_no_options_by_default() -> None:
    assert (REQUEST.keep_existing, REQUEST.reminded, REQUEST.state) == (False, 0, RequestState.PENDING)


@given(REQUESTS)
def test_a_request_without_votes_stays_pending(request: Request) -> None:
    assert state_after_votes(request, []) is RequestState.PENDING


def test_the_same_id_in_two_workspaces_is_one_person() -> None:
    votes = [vote(Person("T1", "U1"), VoteChoice.APPROVE), vote(Person("T2", "U1"), VoteChoice.APPROVE)]
    assert state_after_votes(replace(REQUEST, required=2), votes) is RequestState.PENDING


@pytest.mark.parametrize(("late", "has_expired"), [(-1, False), (0, True), (1, True)])
def test_a_pending_request_expires_at_the_exact_second(late: int, has_expired: bool) -> None:
    assert REQUEST.is_pending_past_expiry(REQUEST.expires_at + timedelta(seconds=late)) is has_expired


def test_a_decided_request_never_expires() -> None:
    done = replace(REQUEST, state=RequestState.DONE)
    assert not done.is_pending_past_expiry(REQUEST.expires_at + timedelta(days=365))

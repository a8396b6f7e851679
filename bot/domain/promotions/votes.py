"""Votes on a request, and how they decide it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from bot.domain.core.actors import Person
from bot.domain.promotions.request import Request, RequestState


class VoteChoice(Enum):
    """Approve or reject."""

    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One person's vote on one request."""

    request: str
    voter: Person
    choice: VoteChoice
    reason: str
    at: datetime
    lapsed: str = ""  # the rule of `authorize` that refused the voter later; empty: the vote counts

    @property
    def is_approval(self) -> bool:
        """Whether this vote counts as an approval."""
        return self.choice is VoteChoice.APPROVE and not self.lapsed


def counting_approvals(votes: Iterable[Vote]) -> list[Vote]:
    """Return the votes that count as approvals, in order."""
    return [vote for vote in votes if vote.is_approval]


def state_after_votes(request: Request, votes: Iterable[Vote]) -> RequestState:
    """Return a pending request's state after its votes.

    One rejection rejects it, and approvals from enough different people approve it. A failed gate that isn't overridden
    keeps it pending, however many approvals it has.
    """
    votes = list(votes)
    if any(vote.choice is VoteChoice.REJECT for vote in votes):
        return RequestState.REJECTED
    yes = {vote.voter.user for vote in counting_approvals(votes)}
    is_enough = len(yes) >= request.required and not request.has_blocking_gates
    return RequestState.APPROVED if is_enough else RequestState.PENDING

"""Requests and votes: what they hold, how they change, and when enough people have said yes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from bot.domain.core.actors import Actor, Person
from bot.domain.core.ci_run import CiRun
from bot.domain.core.errors import AlreadyDecided
from bot.domain.promotions.snapshot import RequestSnapshot
from bot.domain.registry.model import Stage, VersionIdentity, VersionInfo


class RequestState(Enum):
    """A request's life: pending → approved → executing → done, or one of five other ends."""

    PENDING = "pending"  # waits for people
    APPROVED = "approved"  # enough said yes; its move is written down
    EXECUTING = "executing"  # the move is being made
    DONE = "done"  # moved, and read back
    REJECTED = "rejected"  # somebody who may decide said no
    CANCELLED = "cancelled"  # the requester or an admin took it back
    EXPIRED = "expired"  # not decided, or not moved, in time
    STALE = "stale"  # the world changed since it was opened
    FAILED = "failed"  # the registry refused the move

    @property
    def is_open(self) -> bool:
        """Whether anything can still happen to it."""
        return bool(NEXT_STATES[self])


NEXT_STATES: dict[RequestState, frozenset[RequestState]] = {
    RequestState.PENDING: frozenset(
        {RequestState.APPROVED, RequestState.REJECTED, RequestState.CANCELLED, RequestState.EXPIRED, RequestState.STALE}
    ),
    RequestState.APPROVED: frozenset(
        {RequestState.EXECUTING, RequestState.STALE, RequestState.FAILED, RequestState.EXPIRED}
    ),
    # Back to approved: the registry could not be reached, and the move waits for it.
    RequestState.EXECUTING: frozenset(
        {RequestState.DONE, RequestState.STALE, RequestState.FAILED, RequestState.EXPIRED, RequestState.APPROVED}
    ),
    RequestState.DONE: frozenset(),
    RequestState.REJECTED: frozenset(),
    RequestState.CANCELLED: frozenset(),
    RequestState.EXPIRED: frozenset(),
    RequestState.STALE: frozenset(),
    RequestState.FAILED: frozenset(),
}


class VoteChoice(Enum):
    """What a vote says."""

    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Somebody asks that a version move to a stage. `incumbent` is who held the stage when it was opened."""

    id: str
    model: str
    version: int
    from_stage: Stage
    target: Stage
    incumbent: int | None
    requester: Actor
    reason: str
    required: int
    opened_at: datetime
    expires_at: datetime
    keep_existing: bool = False
    semver: str | None = None
    state: RequestState = RequestState.PENDING
    decided_at: datetime | None = None
    decided_by: Actor | None = None
    outcome: str = ""
    former_status: str | None = None  # the tag approval_status before it was opened
    seen: RequestSnapshot | None = None  # what it was opened on; None where an older Registrar opened it
    overridden_by: Actor | None = None  # who let failed gates pass
    override_reason: str = ""
    reminded: int = 0  # how often those who can decide were reminded
    ci: CiRun | None = None  # where a program asked from
    breaks_glass: bool = False  # an admin moved it without approvals, in an emergency
    identity: VersionIdentity | None = (
        None  # what the version was when it was opened; None where an older Registrar opened it
    )
    incumbent_identity: VersionIdentity | None = None
    # A broken glass has a follow-up. No date: nobody broke it, or an older Registrar moved it.
    review_due: datetime | None = None
    reviewed_by: Actor | None = None
    reviewed_at: datetime | None = None
    review_reason: str = ""
    review_reminded: int = 0  # 1: before the date, 2: once it was overdue

    def with_state(self, state: RequestState, **changes: object) -> Request:
        """Return the request in its next state. Raises AlreadyDecided where the table has no such step."""
        if state not in NEXT_STATES[self.state]:
            raise AlreadyDecided(f"The request is {self.state.value} and cannot become {state.value}.")
        return replace(self, state=state, **changes)  # type: ignore[arg-type]  # dataclasses.replace is untyped

    def is_about(self, version: VersionInfo) -> bool:
        """Tell whether it is about this version, and not another one that had the same number."""
        if self.version != version.version:
            return False
        return self.identity is None or self.identity.is_same(version.identity())

    @property
    def has_blocking_gates(self) -> bool:
        """Tell whether a gate failed that nobody has let pass: then no number of approvals decides it."""
        return self.seen is not None and bool(self.seen.failed_gates) and self.overridden_by is None

    @property
    def needs_review(self) -> bool:
        """Tell whether it was moved without approvals, and someone else has yet to review that."""
        return self.review_due is not None and self.reviewed_at is None and self.state is RequestState.DONE

    def review_reminder_at(self) -> datetime | None:
        """Return when the next reminder of its review is due; None where there's none left.

        The first one comes a day before the date, or halfway to it where that's later; the second at the date.
        """
        if not self.needs_review or self.review_due is None or self.review_reminded > 1:
            return None
        if self.review_reminded == 1:
            return self.review_due
        began = self.decided_at or self.opened_at
        return self.review_due - min(timedelta(days=1), (self.review_due - began) / 2)

    def is_pending_past_expiry(self, now: datetime) -> bool:
        """Tell whether it still waits although its time is over."""
        return self.state is RequestState.PENDING and self.is_past_expiry(now)

    def is_past_expiry(self, now: datetime) -> bool:
        """Tell whether its time is over, whether or not it was approved in time."""
        return now >= self.expires_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One person's word on one request."""

    request: str
    voter: Person
    choice: VoteChoice
    reason: str
    at: datetime
    lapsed: str = ""  # the rule of `authorize` by which the voter could no longer vote; empty: the vote counts

    @property
    def is_approval(self) -> bool:
        """Whether it counts toward the approvals."""
        return self.choice is VoteChoice.APPROVE and not self.lapsed


def counting_approvals(votes: Iterable[Vote]) -> list[Vote]:
    """Return the votes that count toward the approvals, in their order."""
    return [vote for vote in votes if vote.is_approval]


def state_after_votes(request: Request, votes: Iterable[Vote]) -> RequestState:
    """Return what the votes make of a pending request: rejected by one no, approved by enough different people.

    A failed gate that nobody has let pass keeps it pending, whatever its approvals.
    """
    votes = list(votes)
    if any(vote.choice is VoteChoice.REJECT for vote in votes):
        return RequestState.REJECTED
    yes = {vote.voter.user for vote in counting_approvals(votes)}
    is_enough = len(yes) >= request.required and not request.has_blocking_gates
    return RequestState.APPROVED if is_enough else RequestState.PENDING

"""Ledger ports for requests, votes, and freezes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from bot.domain.core.actors import Actor, Person
from bot.domain.policy.freezes import Freeze
from bot.domain.promotions.request import Request, RequestState
from bot.domain.promotions.votes import Vote
from bot.domain.registry.model import Stage


class PromotionReader(Protocol):
    """Reads requests, votes, and freezes."""

    def request(self, request_id: str) -> Request:
        """Return a request. Raises UnknownRequest if none has this ID."""

    def requests(
        self,
        *,
        model: str | None = None,
        version: int | None = None,
        states: Sequence[RequestState] = (),
        requester: Actor | None = None,
        limit: int = 100,
    ) -> list[Request]:
        """Return requests, newest first.

        `model`, `version`, `requester`: only requests that match; None means any. `states`: only requests in one of
        these states; empty means any. `limit`: the maximum number to return.
        """

    def open_request(self, model: str, target: Stage) -> Request | None:
        """Return the open request for this model and target stage, or None."""

    def requests_to_review(self, model: str | None = None, limit: int = 1000) -> list[Request]:
        """Return finished break-glass requests that still need a review, earliest due date first.

        `model`: only this model's requests; None means any. `limit`: the maximum number to return.
        """

    def expired_request_ids(self, now: datetime) -> list[str]:
        """Return the IDs of pending requests that have expired by `now`, earliest first."""

    def votes(self, request_id: str) -> list[Vote]:
        """Return the votes on a request in the order they were cast."""

    def votes_by_request(self, request_ids: Collection[str]) -> dict[str, list[Vote]]:
        """Return the votes on these requests by request ID, in the order they were cast.

        Requests without votes are left out.
        """

    def freezes(self) -> list[Freeze]:
        """Return the freezes that no one has ended early, oldest first.

        This can include freezes whose end time has passed.
        """


class PromotionWriter(PromotionReader, Protocol):
    """Changes requests, votes, and freezes."""

    def lock_request(self, request_id: str) -> Request:
        """Return a request, locked until the transaction ends.

        Other transactions have to wait to lock it, change it, or vote on it. Raises UnknownRequest if none has this ID.
        """

    def add_request(self, request: Request) -> None:
        """Insert a request. Raises AlreadyOpen if a request for this model and target stage is open."""

    def save_request(self, request: Request) -> None:
        """Write the request's current state. Raises UnknownRequest if it was never added."""

    def add_vote(self, vote: Vote) -> bool:
        """Insert a vote; return False if this person has already voted on the request."""

    def delete_vote(self, request_id: str, voter: Person) -> bool:
        """Delete a person's vote; return False if there is none. The audit log keeps the vote."""

    def save_vote(self, vote: Vote) -> None:
        """Write the vote's current state."""

    def add_freeze(self, freeze: Freeze) -> None:
        """Insert a freeze."""

    def save_freeze(self, freeze: Freeze) -> None:
        """Write the freeze's current state."""

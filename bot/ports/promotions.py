"""The part of the ledger about requests, votes, and freezes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from bot.domain.core.actors import Actor, Person
from bot.domain.policy.freezes import Freeze
from bot.domain.promotions.request import Request, RequestState, Vote
from bot.domain.registry.model import Stage


class PromotionReader(Protocol):
    """Reads requests, votes, and freezes."""

    def request(self, request_id: str) -> Request:
        """Return the request. Raises UnknownRequest."""
        ...

    def requests(
        self,
        *,
        model: str | None = None,
        version: int | None = None,
        states: Sequence[RequestState] = (),
        requester: Actor | None = None,
        limit: int = 100,
    ) -> list[Request]:
        """Return requests, newest first; `states` empty means any."""
        ...

    def open_request(self, model: str, target: Stage) -> Request | None:
        """Return the request of this model and target that has not ended, if there is one."""
        ...

    def requests_to_review(self, model: str | None = None, limit: int = 1000) -> list[Request]:
        """Return the requests that were moved without approvals and need a review, those due first."""
        ...

    def expired_request_ids(self, now: datetime) -> list[str]:
        """Return the ids of pending requests whose time is over."""
        ...

    def votes(self, request_id: str) -> list[Vote]:
        """Return the votes on a request in the order in which they were cast."""
        ...

    def freezes(self) -> list[Freeze]:
        """Return the freezes that nobody has lifted, oldest first; one whose time is over may be among them."""
        ...


class PromotionWriter(PromotionReader, Protocol):
    """Changes requests, votes, and freezes."""

    def lock_request(self, request_id: str) -> Request:
        """Return the request, locked until the transaction ends. Raises UnknownRequest."""
        ...

    def add_request(self, request: Request) -> None:
        """Insert it. Raises AlreadyOpen where one for this model and target has not ended."""
        ...

    def save_request(self, request: Request) -> None:
        """Write its present state."""
        ...

    def add_vote(self, vote: Vote) -> bool:
        """Insert it; return False where this person has voted on this request already."""
        ...

    def delete_vote(self, request_id: str, voter: Person) -> bool:
        """Take the person's vote away, the audit keeps it; return False where there is none."""
        ...

    def save_vote(self, vote: Vote) -> None:
        """Write its present state."""
        ...

    def add_freeze(self, freeze: Freeze) -> None:
        """Insert it."""
        ...

    def save_freeze(self, freeze: Freeze) -> None:
        """Write its present state."""
        ...

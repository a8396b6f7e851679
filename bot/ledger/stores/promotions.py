"""Rows about requests, votes, and freezes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, delete, select, update

from bot.domain.core.actors import Actor, Person
from bot.domain.core.errors import AlreadyOpen, UnknownRequest
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.policy.freezes import Freeze
from bot.domain.promotions.request import Request, RequestState, Vote
from bot.domain.registry.model import Stage
from bot.ledger.stores import row_mapping, statements
from bot.ledger.stores.base import SqlReadStore, SqlWriteStore
from bot.ledger.tables import IS_OPEN, IS_PENDING, NEEDS_REVIEW, freezes, requests, votes


class PromotionQueries(SqlReadStore):
    """Reads requests, votes, and freezes."""

    def request(self, request_id: str) -> Request:
        """Return a request. Raises UnknownRequest if there is none with this id."""
        return self._get_request(statements.select_by_key(requests, "id"), request_id)

    def requests(
        self,
        *,
        model: str | None = None,
        version: int | None = None,
        states: Sequence[RequestState] = (),
        requester: Actor | None = None,
        limit: int = 100,
    ) -> list[Request]:
        """Return requests, newest first."""
        query = select(requests).order_by(requests.c.opened_at.desc(), requests.c.number.desc()).limit(limit)
        if model is not None:
            query = query.where(requests.c.model == model)
        if version is not None:
            query = query.where(requests.c.version == version)
        if states:
            query = query.where(requests.c.state.in_(states))
        if requester is not None:
            query = query.where(requests.c.requester == requester)
        return self._list(Request, query)

    def open_request(self, model: str, target: Stage) -> Request | None:
        """Return the open request for this model and target stage, or None."""
        is_open_for_target = and_(requests.c.model == model, requests.c.target == target, IS_OPEN)
        return self._find(Request, select(requests).where(is_open_for_target))

    def requests_to_review(self, model: str | None = None, limit: int = 1000) -> list[Request]:
        """Return finished requests that broke glass and still need a review, earliest due date first."""
        query = select(requests).where(NEEDS_REVIEW, requests.c.state == RequestState.DONE)
        query = query if model is None else query.where(requests.c.model == model)
        return self._list(Request, query.order_by(requests.c.review_due, requests.c.number).limit(limit))

    def expired_request_ids(self, now: datetime) -> list[str]:
        """Return the ids of pending requests that have expired by `now`, earliest first."""
        expired = select(requests.c.id).where(IS_PENDING, requests.c.expires_at <= now)
        return self._fetch_column(expired.order_by(requests.c.expires_at))

    def votes(self, request_id: str) -> list[Vote]:
        """Return the votes on a request in the order they were cast."""
        return self._list(Vote, statements.select_votes(), request_id)

    def freezes(self) -> list[Freeze]:
        """Return the freezes that nobody has lifted, oldest first."""
        return self._list(Freeze, select(freezes).where(freezes.c.lifted_at.is_(None)).order_by(freezes.c.number))

    def _get_request(self, query: Select[Any], request_id: str) -> Request:
        if request := self._find(Request, query, request_id):
            return request
        raise UnknownRequest(say("There is no request {id}.", id=Name(request_id)))


class PromotionStore(SqlWriteStore, PromotionQueries):
    """Writes requests, votes, and freezes."""

    def lock_request(self, request_id: str) -> Request:
        """Return a request, locked until the transaction ends. Raises UnknownRequest if there is none with this id."""
        # On SQLite, which has a single writer, FOR UPDATE is left out.
        return self._get_request(statements.select_request_for_update(), request_id)

    def add_request(self, request: Request) -> None:
        """Insert a request. Raises AlreadyOpen if there is an open request for this model and target stage."""
        if not self._insert(requests, row_mapping.to_row(request), "model", "target"):
            raise AlreadyOpen(_open_request_message(request, self.open_request(request.model, request.target)))

    def save_request(self, request: Request) -> None:
        """Write the request's current state. Raises UnknownRequest if it was never added."""
        if not self._update(requests, request.id, row_mapping.to_row(request)):
            self.request(request.id)

    def add_vote(self, vote: Vote) -> bool:
        """Insert a vote; return False if this person has already voted on the request."""
        return self._insert(votes, row_mapping.to_row(vote), "request", "voter")

    def delete_vote(self, request_id: str, voter: Person) -> bool:
        """Delete a person's vote; return False if there is none."""
        return self._execute(delete(votes).where(votes.c.request == request_id, votes.c.voter == voter))

    def save_vote(self, vote: Vote) -> None:
        """Write the vote's current state."""
        is_same = and_(votes.c.request == vote.request, votes.c.voter == vote.voter)
        self._execute(update(votes).where(is_same).values(**row_mapping.to_row(vote)))

    def add_freeze(self, freeze: Freeze) -> None:
        """Insert a freeze."""
        self._execute(freezes.insert().values(**row_mapping.to_row(freeze)))

    def save_freeze(self, freeze: Freeze) -> None:
        """Write the freeze's current state."""
        self._update(freezes, freeze.id, row_mapping.to_row(freeze))


def _open_request_message(new: Request, existing: Request | None) -> Sentence:
    if existing is None:  # it was decided after the insert failed
        return say(
            "A request for {model} in {target} was open until now; ask again.",
            model=Name(new.model),
            target=new.target,
        )
    if existing.state is RequestState.PENDING:
        return say(
            "Request {id} for v{version} of {model} in {target} is still open: {approve}, or {cancel} first.",
            id=Code(existing.id),
            version=existing.version,
            model=Name(existing.model),
            target=existing.target,
            approve=Code(f"approve {existing.id}"),
            cancel=Code(f"cancel {existing.id}"),
        )
    return say(
        "Request {id} for v{version} of {model} in {target} is approved and being made; ask again after it.",
        id=Code(existing.id),
        version=existing.version,
        model=Name(existing.model),
        target=existing.target,
    )

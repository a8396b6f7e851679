"""Stores for requests, votes, and freezes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import and_, bindparam, delete, select, update

from bot.domain.core.actors import Actor, Person
from bot.domain.core.errors import AlreadyOpen, UnknownRequest
from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.policy.freezes import Freeze
from bot.domain.promotions.request import Request, RequestState
from bot.domain.promotions.votes import Vote
from bot.domain.registry.model import Stage
from bot.ledger.stores.base import KEY, SqlReadStore, SqlWriteStore, select_by_key, to_row
from bot.ledger.tables import IS_OPEN, IS_PENDING, NEEDS_REVIEW, freezes, requests, votes
from bot.ports.promotions import PromotionReader, PromotionWriter

_SELECT_REQUEST = select_by_key(requests.c.id)
# Also blocks inserts that refer to the request: votes and transitions. SQLite has a single writer and ignores it.
_SELECT_REQUEST_FOR_UPDATE = _SELECT_REQUEST.with_for_update()
_SELECT_FREEZES = select(freezes).where(freezes.c.lifted_at.is_(None)).order_by(freezes.c.number)
_SELECT_VOTES = select(votes).where(votes.c.request == bindparam(KEY)).order_by(votes.c.number)


class PromotionQueries(SqlReadStore, PromotionReader):
    """Reads requests, votes, and freezes; see the port."""

    def request(self, request_id: str) -> Request:
        return self._get_request(_SELECT_REQUEST, request_id)

    def requests(
        self,
        *,
        model: str | None = None,
        version: int | None = None,
        states: Sequence[RequestState] = (),
        requester: Actor | None = None,
        limit: int = 100,
    ) -> list[Request]:
        query = select(requests).order_by(requests.c.opened_at.desc(), requests.c.number.desc()).limit(limit)
        given = ((requests.c.model, model), (requests.c.version, version), (requests.c.requester, requester))
        query = query.where(*(column == value for column, value in given if value is not None))
        return self._list(Request, query.where(requests.c.state.in_(states)) if states else query)

    def open_request(self, model: str, target: Stage) -> Request | None:
        is_open_for_target = and_(requests.c.model == model, requests.c.target == target, IS_OPEN)
        return self._find(Request, select(requests).where(is_open_for_target))

    def requests_to_review(self, model: str | None = None, limit: int = 1000) -> list[Request]:
        query = select(requests).where(NEEDS_REVIEW, requests.c.state == RequestState.DONE)
        query = query if model is None else query.where(requests.c.model == model)
        return self._list(Request, query.order_by(requests.c.review_due, requests.c.number).limit(limit))

    def expired_request_ids(self, now: datetime) -> list[str]:
        expired = select(requests.c.id).where(IS_PENDING, requests.c.expires_at <= now)
        return self._fetch_column(expired.order_by(requests.c.expires_at))

    def votes(self, request_id: str) -> list[Vote]:
        return self._list(Vote, _SELECT_VOTES, {KEY: request_id})

    def votes_by_request(self, request_ids: Collection[str]) -> dict[str, list[Vote]]:
        query = select(votes).where(votes.c.request.in_(request_ids)).order_by(votes.c.request, votes.c.number)
        return {key: list(cast) for key, cast in groupby(self._list(Vote, query), key=lambda vote: vote.request)}

    def freezes(self) -> list[Freeze]:
        return self._list(Freeze, _SELECT_FREEZES)

    def _get_request(self, query: Any, request_id: str) -> Request:
        if request := self._find(Request, query, {KEY: request_id}):
            return request
        raise UnknownRequest(say("Request {id} doesn't exist.", id=Name(request_id)))


class PromotionStore(SqlWriteStore, PromotionQueries, PromotionWriter):
    """Writes requests, votes, and freezes; see the port."""

    def lock_request(self, request_id: str) -> Request:
        return self._get_request(_SELECT_REQUEST_FOR_UPDATE, request_id)

    def add_request(self, request: Request) -> None:
        if not self._insert(requests, to_row(request), "model", "target"):
            raise AlreadyOpen(_open_request_message(request, self.open_request(request.model, request.target)))

    def save_request(self, request: Request) -> None:
        if not self._update(requests, request.id, to_row(request)):
            self.request(request.id)

    def add_vote(self, vote: Vote) -> bool:
        return self._insert(votes, to_row(vote), "request", "voter")

    def delete_vote(self, request_id: str, voter: Person) -> bool:
        return self._execute(delete(votes).where(votes.c.request == request_id, votes.c.voter == voter))

    def save_vote(self, vote: Vote) -> None:
        is_same = and_(votes.c.request == vote.request, votes.c.voter == vote.voter)
        self._execute(update(votes).where(is_same).values(**to_row(vote)))

    def add_freeze(self, freeze: Freeze) -> None:
        self._execute(freezes.insert(), to_row(freeze))

    def save_freeze(self, freeze: Freeze) -> None:
        self._update(freezes, freeze.id, to_row(freeze))


def _open_request_message(new: Request, existing: Request | None) -> Sentence:
    if existing is None:  # it was decided after the insert failed
        return say(
            "Another request for {model} in {target} just ended. Submit yours again.",
            model=Name(new.model),
            target=new.target,
        )
    if existing.state is RequestState.PENDING:
        return say(
            "Request {id} for v{version} of {model} in {target} is still open. Run {approve} or {cancel} first.",
            id=Code(existing.id),
            version=existing.version,
            model=Name(existing.model),
            target=existing.target,
            approve=Code(f"/model approve {existing.id}"),
            cancel=Code(f"/model cancel {existing.id}"),
        )
    return say(
        "Request {id} for v{version} of {model} in {target} is in progress. Try again when it's done.",
        id=Code(existing.id),
        version=existing.version,
        model=Name(existing.model),
        target=existing.target,
    )

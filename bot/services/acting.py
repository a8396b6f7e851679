"""Doing something to a request: in one transaction, with every refusal kept in the audit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from bot import story
from bot.domain.approvals import Request
from bot.domain.authority import Act, standing
from bot.domain.errors import Refused
from bot.domain.events import Tag
from bot.domain.people import Caller, actor_of
from bot.ports import Writing
from bot.services.context import Context
from bot.services.rows import request_event

T = TypeVar("T")


def act(
    it: Context,
    caller: Caller,
    what: Act,
    request_id: str,
    do: Callable[[Writing, Request], Refused | T],
    *,
    origin: str,
) -> T:
    """Let `caller` do something to a request, and return what came of it.

    `do` gets the transaction and the locked request, and returns why not, or what came of it. Raises UnknownRequest,
    LedgerUnavailable, and the refusal that `do` returned, once it's in the audit.
    """
    with it.ledger.write() as tx:
        request = tx.lock_request(request_id)
        story.add(request=request.id, model=request.model)
        outcome = do(tx, request)
        if isinstance(outcome, Refused):
            evidence = {"act": what.value, "error": type(outcome).__name__, "by": standing(caller, it.policy)}
            tx.append(
                request_event(
                    request,
                    Tag.VOTE_REFUSED,
                    actor_of(caller),
                    it.clock.now(),
                    why=str(outcome.sentence),
                    origin=origin,
                    evidence=evidence,
                )
            )
    if isinstance(outcome, Refused):
        raise outcome
    return outcome

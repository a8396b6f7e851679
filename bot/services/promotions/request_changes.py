"""Doing something to a request: in one transaction, with every refusal kept in the audit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from bot import logging_context
from bot.domain.audit.events import Tag
from bot.domain.core.actors import Caller, actor_of
from bot.domain.core.errors import Refused
from bot.domain.policy.authorization import Act, standing
from bot.domain.promotions.request import Request
from bot.ports import Writing
from bot.services.core.context import Context
from bot.services.core.outbox_messages import request_event

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
        logging_context.add(request=request.id, model=request.model)
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

"""Change a request in one transaction, and audit refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from bot import logging_context
from bot.domain.audit.events import EventTag
from bot.domain.core.actors import Caller, actor_of
from bot.domain.core.errors import Refused
from bot.domain.policy.authorization import Permission, describe_caller
from bot.domain.promotions.request import Request
from bot.ports import LedgerTransaction
from bot.services.core.context import Context
from bot.services.core.outbox_messages import request_event

T = TypeVar("T")


def change_request(
    context: Context,
    caller: Caller,
    permission: Permission,
    request_id: str,
    change: Callable[[LedgerTransaction, Request], Refused | T],
    *,
    origin: str,
) -> T:
    """Apply `change` to a locked request on behalf of `caller`, and return its result.

    `change` gets the transaction and the request, and returns a result or a refusal. A refusal is audited with
    `permission` and `origin`, and then raised. Also raises UnknownRequest and LedgerUnavailable.
    """
    with context.ledger.write() as tx:
        request = tx.lock_request(request_id)
        logging_context.bind(request=request.id, model=request.model)
        outcome = change(tx, request)
        if isinstance(outcome, Refused):
            evidence = {
                "act": permission.value,
                "error": type(outcome).__name__,
                "by": describe_caller(caller, context.policy),
            }
            tx.add_audit_event(
                request_event(
                    request,
                    EventTag.REQUEST_COMMAND_REFUSED,
                    actor_of(caller),
                    context.clock.now(),
                    why=str(outcome.sentence),
                    origin=origin,
                    evidence=evidence,
                )
            )
    if isinstance(outcome, Refused):
        raise outcome
    return outcome

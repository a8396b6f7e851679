"""Read requests and votes from the ledger."""

from __future__ import annotations

from functools import partial

from bot.domain.commands.promotions import ListRequests
from bot.domain.promotions.request import OPEN_STATES, Request
from bot.domain.promotions.votes import Vote
from bot.services.core.commands import QueryHandlers
from bot.services.core.context import Context


def request_queries(context: Context) -> QueryHandlers:
    """Return the handlers of queries about requests."""
    return {ListRequests: partial(_open_requests, context)}


def _open_requests(context: Context, command: ListRequests) -> list[tuple[Request, list[Vote]]]:
    """Return the open requests with their votes, newest first; only for the given model, if any."""
    with context.ledger.read() as reader:
        requests = reader.requests(model=command.model, states=OPEN_STATES)
        return [(request, reader.votes(request.id)) for request in requests]

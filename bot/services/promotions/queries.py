"""Read requests and votes from the ledger."""

from __future__ import annotations

from bot.domain.promotions.request import Request, Vote
from bot.services.core.context import Context
from bot.services.registry.queries import OPEN_STATES


class RequestQueries:
    """Reads requests and votes. Raises LedgerUnavailable."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def open_requests(self, model: str | None = None) -> list[Request]:
        """Return the open requests, newest first; only those of `model`, if given."""
        with self._context.ledger.read() as reader:
            return reader.requests(model=model, states=OPEN_STATES)

    def request_with_votes(self, request_id: str) -> tuple[Request, list[Vote]]:
        """Return a request and its votes. Raises UnknownRequest."""
        with self._context.ledger.read() as reader:
            return reader.request(request_id), reader.votes(request_id)

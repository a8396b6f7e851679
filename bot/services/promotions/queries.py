"""Read requests and votes from the ledger."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bot.domain.audit import audit_chain
from bot.domain.audit.events import ChainedEvent, EventTag, parse_canonical_json
from bot.domain.commands.promotions import ListRequests
from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import Code, say
from bot.domain.policy.policy import Policy
from bot.domain.promotions.replay import ReplayStep, replay
from bot.domain.promotions.request import OPEN_STATES, Request
from bot.domain.promotions.votes import Vote
from bot.ports import LedgerReader
from bot.services.core.commands import QueryHandlers
from bot.services.core.context import Context

MAX_POLICIES = 10_000  # the newest recorded policies, among which a replay finds its own
_UNREADABLE = "The audit log has events that can't be read. Run {verify}."


def request_queries(context: Context) -> QueryHandlers:
    """Return the handlers for queries about requests."""
    return {ListRequests: partial(_open_requests, context)}


def _open_requests(context: Context, command: ListRequests) -> list[tuple[Request, list[Vote]]]:
    """Return the open requests, or only those of the given model, with their votes, newest first."""
    with context.ledger.read() as reader:
        requests = reader.requests(model=command.model, states=OPEN_STATES)
        return [(request, reader.votes(request.id)) for request in requests]


def replay_request(reader: LedgerReader, request_id: str, parse: Callable[[str], Policy]) -> list[ReplayStep]:
    """Return the steps of a request's decision, derived again from the audit log. See `replay`.

    Raises UnknownRequest, LedgerUnavailable, and BadInput if events can't be read because they were edited.
    """
    model, subjects = reader.request(request_id).model, {request_id, f"ask:{request_id}"}
    try:
        events = [
            ChainedEvent(number=record.number, event=event, previous=record.previous, hash=record.hash)
            for record in audit_chain.stream_records(
                lambda after: reader.audit_records(model=model, after_number=after)
            )
            if request_id in record.body or record.tag == EventTag.UNBLOCKED.value
            for event in [parse_canonical_json(record.body)]
            if event.subject in subjects or event.tag is EventTag.UNBLOCKED
        ]
        policies = reader.latest_audit_events(tags=[EventTag.POLICY_LOADED], limit=MAX_POLICIES)
        texts = {str(policy.event.after): str(policy.event.evidence.get("text", "")) for policy in policies}
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # someone edited them
        raise BadInput(say(_UNREADABLE, verify=Code("registrar audit verify"))) from error
    return replay(events, texts, parse)

"""Read a model's audit log, page by page."""

from __future__ import annotations

from functools import partial

from bot.domain.audit.events import AUDIT_PAGE_SIZE, ChainedEvent
from bot.domain.commands.audit import ShowAudit
from bot.domain.core.relative_time import resolve_start
from bot.domain.core.sentence import Sentence
from bot.domain.promotions import break_glass_messages
from bot.services.core.commands import QueryHandlers
from bot.services.core.context import Context


def audit_queries(context: Context) -> QueryHandlers:
    """Return the handlers of queries about the audit log."""
    return {ShowAudit: partial(_audit_page, context)}


def _audit_page(context: Context, command: ShowAudit) -> tuple[list[ChainedEvent], Sentence | None]:
    """Return a model's audit events, newest first, and a summary of missing break-glass reviews, if any.

    Includes one more event than AUDIT_PAGE_SIZE if there are more pages.
    """
    now = context.clock.now()
    since = resolve_start(command.since, now)
    with context.ledger.read() as reader:
        events = reader.latest_audit_events(
            model=command.model, since=since, before_number=command.before, limit=AUDIT_PAGE_SIZE + 1
        )
        return events, break_glass_messages.unreviewed_summary(reader.requests_to_review(command.model), now)

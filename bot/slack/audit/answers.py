"""Answers about the audit log."""

from __future__ import annotations

from collections.abc import Sequence

from slack_sdk.models.blocks import Block

from bot.domain.audit import messages as audit_messages
from bot.domain.audit.events import AUDIT_PAGE_SIZE, ChainedEvent, Event
from bot.domain.commands.audit import ShowAudit
from bot.domain.core.sentence import Sentence
from bot.slack.core.answer import RenderContext, Renderers, SlackAnswer
from bot.slack.core.blocks import (
    build_message,
    code,
    context_line,
    cut_mrkdwn,
    fitting_rows,
    format_time,
    row_sections,
    section,
    text_message,
    to_mrkdwn,
)


def event_text(event: Event, max_length: int) -> str:
    """Return an event's time and description, with the description cut to `max_length` characters."""
    text = to_mrkdwn(audit_messages.describe_event(event, with_names=False))
    return f"{format_time(event.at)}  {cut_mrkdwn(text, max_length)}"


def _render_audit(
    command: ShowAudit, page: tuple[Sequence[ChainedEvent], Sentence | None], context: RenderContext
) -> SlackAnswer:
    """Return one page of a model's audit log, newest first, with the command that shows older events."""
    links, unreviewed = page
    name = code(command.model, 120)
    if not links:
        return SlackAnswer(text_message(f"The audit log has no events for {name} in that period."))
    rows = [f"• {code(str(link.number))} {event_text(link.event, 700)}" for link in links]
    rows = fitting_rows(rows[:AUDIT_PAGE_SIZE])
    head = f"*Audit log for {name}*, newest first" + (f"\n⚠️ {to_mrkdwn(unreviewed)}" if unreviewed else "")
    blocks: list[Block] = [section(head), *row_sections(rows)]
    if len(links) > len(rows):
        older = f"/model audit {command.model} --before {links[len(rows) - 1].number}"
        blocks.append(context_line(f"Older events: {code(older, 300)}"))
    return SlackAnswer(build_message(f"Audit log of {name}", blocks))


RENDERERS: Renderers = {ShowAudit: _render_audit}

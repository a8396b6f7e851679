"""Answers about the audit log."""

from __future__ import annotations

from collections.abc import Sequence

from slack_sdk.models.blocks import Block

from bot.domain.audit import messages as audit_messages
from bot.domain.audit.events import AUDIT_PAGE_SIZE, ChainedEvent
from bot.domain.commands.audit import ShowAudit
from bot.domain.core.sentence import Sentence
from bot.slack.core.answer import Answer, RenderContext, Renderers
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


def _render_audit(
    command: ShowAudit, page: tuple[Sequence[ChainedEvent], Sentence | None], context: RenderContext
) -> Answer:
    """Return one page of a model's audit log, newest first, and the command that shows older entries."""
    links, unreviewed = page
    name = code(command.model, 120)
    if not links:
        return Answer(text_message(f"The audit has nothing about {name} in that time."))
    rows = fitting_rows(
        [
            f"• {code(str(link.number))} {format_time(link.event.at)}  "
            + cut_mrkdwn(to_mrkdwn(audit_messages.describe_event(link.event, with_names=False)), 700)
            for link in links[:AUDIT_PAGE_SIZE]
        ]
    )
    head = f"*Audit of {name}*, newest first" + (f"\n⚠️ {to_mrkdwn(unreviewed)}" if unreviewed else "")
    blocks: list[Block] = [section(head), *row_sections(rows)]
    if len(links) > len(rows):
        older = f"/model audit {command.model} --before {links[len(rows) - 1].number}"
        blocks.append(context_line(f"Older entries: {code(older, 300)}"))
    return Answer(build_message(f"Audit of {name}", blocks))


RENDERERS: Renderers = {ShowAudit: _render_audit}

"""TODO bot.slack.audit.answers"""

from __future__ import annotations

from collections.abc import Sequence

from slack_sdk.models.blocks import Block

from bot.domain.audit import messages as audit_messages
from bot.domain.audit.events import Link
from bot.domain.commands.queries import ShowAudit
from bot.domain.core.sentence import Say
from bot.services.registry.queries import AUDIT_PAGE
from bot.slack.core.blocks import Message, chunks, first, message, section, small
from bot.slack.core.mrkdwn import code, cut, mrkdwn, when


def _row(link: Link) -> str:
    told = cut(mrkdwn(audit_messages.line(link.event, names=False)), 700)
    return f"• {code(str(link.number))} {when(link.event.at)}  {told}"


def audit(command: ShowAudit, links: Sequence[Link], unreviewed: Say | None) -> Message:
    """Return one page of a model's audit, newest first, and how to see what is older.

    `unreviewed` says how many broken glasses nobody has reviewed yet.
    """
    name = code(command.model, 120)
    if not links:
        text = f"The audit has nothing about {name} in that time."
        return message(text, [section(text)])
    rows = first([_row(link) for link in links[:AUDIT_PAGE]])
    head = f"*Audit of {name}*, newest first" + (f"\n⚠️ {mrkdwn(unreviewed)}" if unreviewed else "")
    blocks: list[Block] = [section(head), *(section(chunk) for chunk in chunks(rows))]
    if len(links) > len(rows):
        older = f"/model audit {command.model} --before {links[len(rows) - 1].number}"
        blocks.append(small(f"Older entries: {code(older, 300)}"))
    return message(f"Audit of {name}", blocks)

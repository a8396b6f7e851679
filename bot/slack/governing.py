"""Answers about rules: what the policy says, what the gates say of a version, what the audit holds."""

from __future__ import annotations

from collections.abc import Sequence

from slack_sdk.models.blocks import Block

from bot.domain import event_words
from bot.domain.commands import ShowAudit, Validate
from bot.domain.events import Link
from bot.domain.evidence import Seen
from bot.domain.gates import seen_sentence
from bot.domain.registry import VersionInfo
from bot.domain.text import Say, short
from bot.services.lookups import AUDIT_PAGE
from bot.slack.blocks import Message, chunks, dicts, section, small
from bot.slack.cards import gate_rows
from bot.slack.texts import code, cut, mrkdwn, when


def policy(model: str, lines: Sequence[Say]) -> Message:
    """Return what the policy says of a model."""
    blocks: list[Block] = [section(chunk) for chunk in chunks([f"• {mrkdwn(line)}" for line in lines])]
    return Message(f"The policy for {code(short(model, 120))}", dicts(blocks))


def validation(command: Validate, version: VersionInfo, seen: Seen) -> Message:
    """Return what the gates say of a version, and what can be done next."""
    text = mrkdwn(seen_sentence(version, command.to, seen))
    blocks: list[Block] = [section(text), *(section(chunk) for chunk in chunks(gate_rows(seen)))]
    ask = f"/model promote {command.model} {version.version} {command.to.value.lower()}"
    blocks += [] if seen.failed else [small(f"Nothing was asked for. To ask: {code(short(ask, 300))}")]
    return Message(text, dicts(blocks))


def _row(link: Link) -> str:
    told = cut(mrkdwn(event_words.line(link.event, names=False)), 700)
    return f"• {code(str(link.number))} {when(link.event.at)}  {told}"


def audit(command: ShowAudit, links: Sequence[Link], unreviewed: Say | None) -> Message:
    """Return one page of a model's audit, newest first, and how to see what is older.

    `unreviewed` says how many broken glasses nobody has reviewed yet.
    """
    name = code(short(command.model, 120))
    if not links:
        text = f"The audit has nothing about {name} in that time."
        return Message(text, dicts([section(text)]))
    shown = links[:AUDIT_PAGE]
    rows = [_row(link) for link in shown]
    head = f"*Audit of {name}*, newest first" + (f"\n⚠️ {mrkdwn(unreviewed)}" if unreviewed else "")
    blocks: list[Block] = [section(head), *(section(chunk) for chunk in chunks(rows))]
    if len(links) > AUDIT_PAGE:
        older = f"/model audit {command.model} --before {shown[-1].number}"
        blocks.append(small(f"There are older ones: {code(short(older, 300))}"))
    return Message(f"Audit of {name}", dicts(blocks))

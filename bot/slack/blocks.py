"""What all messages are built of: domain in, blocks out, nothing else."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from slack_sdk.models.blocks import Block, ContextBlock, ImageBlock, MarkdownTextObject, SectionBlock
from slack_sdk.models.blocks.basic_components import SlackFile

from bot.domain.text import Say
from bot.slack.texts import code, cut, mrkdwn

Blocks = list[dict[str, Any]]
SHORT_MOST = 1000  # characters of what is kept of a message that was too long
ALT_MOST = 2000  # characters that say what a picture shows


@dataclass(frozen=True, slots=True)
class Message:
    """Blocks, and the text that a notification shows of them."""

    text: str
    blocks: Blocks


def pictured(message: Message, file_id: str, alt: str) -> Message:
    """Return the message with a picture that was uploaded, before its buttons."""
    picture = ImageBlock(slack_file=SlackFile(id=file_id), alt_text=alt[:ALT_MOST])
    at = next((at for at, block in enumerate(message.blocks) if block["type"] == "actions"), len(message.blocks))
    return replace(message, blocks=[*message.blocks[:at], *dicts([picture]), *message.blocks[at:]])


def said(sentence: Say) -> Message:
    """Return one sentence as a message."""
    text = mrkdwn(sentence)
    return Message(text, dicts([section(text)]))


def shorter(message: Message, more: Iterable[str]) -> Message:
    """Return what's kept of a message that Slack doesn't take: its text, its buttons, and the command for `more`."""
    buttons = [block for block in message.blocks if block["type"] == "actions"]
    shown = dicts([section(cut(message.text, SHORT_MOST)), small(f"Details: {code(shlex.join(['/model', *more]))}")])
    return Message(cut(message.text, SHORT_MOST), [*shown, *buttons])


def markdown(text: str) -> MarkdownTextObject:
    """Return text in which Slack looks for nothing to link or to mention but what we have marked."""
    return MarkdownTextObject(text=text, verbatim=True)


def section(text: str) -> SectionBlock:
    """Return a paragraph of mrkdwn."""
    return SectionBlock(text=markdown(text))


def small(text: str) -> ContextBlock:
    """Return a line in small letters."""
    return ContextBlock(elements=[markdown(text)])


def chunks(rows: Iterable[str], most: int = 2900) -> list[str]:
    """Return the rows joined into texts that a section can hold."""
    texts: list[str] = []
    for row in rows:
        if texts and len(texts[-1]) + len(row) + 1 <= most:
            texts[-1] += f"\n{row}"
        else:
            texts.append(cut(row, most))
    return texts


def dicts(blocks: Iterable[Block]) -> Blocks:
    """Return the blocks as Slack's API takes them."""
    return [dict(block.to_dict()) for block in blocks]

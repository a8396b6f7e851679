"""What all messages are built of: domain in, blocks out, nothing else."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from slack_sdk.models.blocks import Block, ContextBlock, ImageBlock, MarkdownTextObject, SectionBlock
from slack_sdk.models.blocks.basic_components import SlackFile

from bot.domain.core.numbers import counted
from bot.domain.core.sentence import Say
from bot.slack.core.mrkdwn import code, cut, mrkdwn

Blocks = list[dict[str, Any]]
SHORT_MOST = 1000  # characters kept of a message that was too long
ALT_MOST = 2000  # characters that say what a picture shows
# Slack takes about 13,200 characters in all blocks of a message (msg_blocks_too_long), and doesn't say how it counts.
# Counting the JSON is the safe choice. The difference is for the picture that an alert gets.
BLOCKS_MOST = 12_000
ROWS_MOST = 9_500  # characters of all rows of a list, which leaves room for the rest of the message
_LINE_END = 5  # characters that a row adds to its own, at most


@dataclass(frozen=True, slots=True)
class Message:
    """Blocks, and the text that a notification shows of them."""

    text: str
    blocks: Blocks


def message(text: str, blocks: Iterable[Block | dict[str, Any]]) -> Message:
    """Return a message that Slack takes: if its blocks are too long together, the longest texts are cut."""
    made = dicts(blocks)
    whole = [(part, str(part["text"])) for part in _mrkdwn_in(made)]
    for most in range(2600, 0, -200):
        if size(made) <= BLOCKS_MOST:
            break
        for part, words in whole:
            part["text"] = _shorter(words, most)
    return Message(text, made)


def size(part: object) -> int:
    """Return how many characters blocks, or a part of them, have as JSON: no other count gives more."""
    return len(json.dumps(part, ensure_ascii=False))


def _mrkdwn_in(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict) and part.get("type") == "mrkdwn":
        yield part
    for one in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _mrkdwn_in(one)


def _shorter(words: str, most: int) -> str:
    """Return about `most` characters of mrkdwn: whole lines if there are several, and how many are left out."""
    if len(words) <= most:
        return words
    kept = words[:most].rpartition("\n")[0]
    left = words.count("\n") - kept.count("\n")
    return f"{kept}\nand {counted(left, 'more line')}" if kept else cut(words, most)


def pictured(message: Message, file_id: str, alt: str) -> Message:
    """Return the message with a picture that was uploaded, before its buttons."""
    picture = ImageBlock(slack_file=SlackFile(id=file_id), alt_text=alt[:ALT_MOST])
    at = next((at for at, block in enumerate(message.blocks) if block["type"] == "actions"), len(message.blocks))
    return replace(message, blocks=[*message.blocks[:at], *dicts([picture]), *message.blocks[at:]])


def said(sentence: Say) -> Message:
    """Return one sentence as a message."""
    text = mrkdwn(sentence)
    return message(text, [section(text)])


def shorter(whole: Message, more: Iterable[str]) -> Message:
    """Return the short form of a message that Slack refused: text, buttons, and the command that shows `more`."""
    buttons = [block for block in whole.blocks if block["type"] == "actions"]
    text, details = cut(whole.text, SHORT_MOST), f"Details: {code(shlex.join(['/model', *more]))}"
    return Message(text, [*dicts([section(text), small(details)]), *buttons])


def markdown(text: str) -> MarkdownTextObject:
    """Return text in which Slack looks for nothing to link or to mention but what we have marked."""
    return MarkdownTextObject(text=text, verbatim=True)


def section(text: str) -> SectionBlock:
    """Return a paragraph of mrkdwn."""
    return SectionBlock(text=markdown(text))


def small(text: str) -> ContextBlock:
    """Return a line in small letters."""
    return ContextBlock(elements=[markdown(text)])


def first(rows: Sequence[str], most: int = ROWS_MOST) -> list[str]:
    """Return as many of the first rows as fit in `most` characters."""
    ends = accumulate(len(row) + _LINE_END for row in rows)
    return [row for row, end in zip(rows, ends, strict=True) if end <= most]


def fitting(rows: Sequence[str], most: int = ROWS_MOST) -> list[str]:
    """Return as many rows as fit in `most` characters; if some are left out, one more says how many."""
    return up_to(len(first(rows, most)), rows)


def up_to(number: int, rows: Sequence[str]) -> list[str]:
    """Return the first `number` rows; if some are left out, one more says how many."""
    return [*rows[:number], *([f"and {len(rows) - number} more"] if len(rows) > number else [])]


def chunks(rows: Iterable[str], most: int = 2900) -> list[str]:
    """Return the rows joined into texts that a section can hold."""
    texts: list[str] = []
    for row in rows:
        if texts and len(texts[-1]) + len(row) + 1 <= most:
            texts[-1] += f"\n{row}"
        else:
            texts.append(cut(row, most))
    return texts


def dicts(blocks: Iterable[Block | dict[str, Any]]) -> Blocks:
    """Return the blocks as Slack's API takes them."""
    return [dict(block.to_dict()) if isinstance(block, Block) else block for block in blocks]

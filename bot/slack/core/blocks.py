"""Build messages from mrkdwn and blocks. Pure.

Untrusted text is escaped, so a model's name can't mention anyone.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate
from typing import Any

from slack_sdk.models.blocks import (
    Block,
    ContextBlock,
    HeaderBlock,
    ImageBlock,
    MarkdownTextObject,
    PlainTextObject,
    SectionBlock,
)
from slack_sdk.models.blocks.basic_components import SlackFile

from bot.domain.core.actors import Actor, Person, resolve_operator
from bot.domain.core.numbers import pluralize
from bot.domain.core.sentence import Channel, Code, Mention, MessageLink, Name, Sentence, sanitize_text, truncate

Blocks = list[dict[str, Any]]
MAX_HEADER_LENGTH = 150  # characters: Slack's limit
MAX_NAMES = 10  # people listed by name in one place; the rest are counted
MAX_SHORT_LENGTH = 1000  # characters to keep from a message that's too long
MAX_ALT_LENGTH = 2000  # characters of an image's alternative text
# Slack accepts about 13,200 characters in all blocks of a message (msg_blocks_too_long), and doesn't document how it
# counts. Counting the JSON is the safe choice. The difference leaves room for an alert's chart.
MAX_BLOCKS_LENGTH = 12_000
MAX_ROWS_LENGTH = 9_500  # characters for all rows of a list, leaving room for the rest of the message
_ROW_OVERHEAD = 5  # extra characters that a row can add
MAX_TEXT_LENGTH = 2900  # below Slack's 3,000 for a section, with room for the text around it
_USER_OR_GROUP_ID = re.compile("[USW][A-Za-z0-9]+")  # Slack's own IDs are uppercase; another server's might not be
_CHANNEL_ID = re.compile("[CG][A-Z0-9]+")

# -- mrkdwn ------------------------------------------------------------------------------------------------------------


def escape(text: str) -> str:
    """Escape untrusted text, so that Slack doesn't interpret mentions, links, or entities in it."""
    return sanitize_text(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def escape_and_cut(text: str, max_length: int) -> str:
    """Escape untrusted text, and cut it to at most `max_length` characters without splitting an entity."""
    escaped = escape(text)
    if len(escaped) <= max_length:
        return escaped
    text_kept = ""
    for char in sanitize_text(text):
        escaped_char = escape(char)
        if len(text_kept) + len(escaped_char) > max_length - 1:
            break
        text_kept += escaped_char
    return text_kept + "…"


def unescape(text: str) -> str:
    """Return the text that a person typed, from the escaped text that Slack sends."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def code(text: str, max_length: int = MAX_TEXT_LENGTH) -> str:
    """Return up to `max_length` characters of untrusted text in Slack's code style, which ignores other formatting."""
    return f"`{escape_and_cut(text, max_length).replace('`', 'ˋ')}`" if text else ""


def format_time(time: datetime, pattern: str = "{date_short_pretty} {time}") -> str:
    """Return mrkdwn that shows a time in the reader's time zone; `pattern` has Slack's placeholders."""
    return f"<!date^{int(time.timestamp())}^{pattern}|{time:%Y-%m-%d %H:%M} UTC>"


def mention_actor(actor: Actor) -> str:
    """Return the actor as a mention, or by name if it isn't a person."""
    operator = resolve_operator(actor)
    return _mention_or_code(operator.user) if isinstance(operator, Person) else code(operator.name)


def _mention_or_code(user: str) -> str:
    """Return a Slack user or user group as a mention, and anything else as code."""
    if not _USER_OR_GROUP_ID.fullmatch(user):
        return code(user, 200)
    return f"<!subteam^{user}>" if user.startswith("S") else f"<@{user}>"


def to_mrkdwn(sentence: Sentence) -> str:
    """Return the sentence as mrkdwn, short enough for a section."""
    return cut_mrkdwn(sentence.render(_render_value), MAX_TEXT_LENGTH)


def cut_mrkdwn(text: str, max_length: int) -> str:
    """Cut mrkdwn to at most `max_length` characters without splitting an entity or a mention."""
    if len(text) <= max_length:
        return text
    return re.sub(r"(&\w{0,4}|<[^>]*)…$", "…", truncate(text, max_length))


def _render_value(value: object) -> str:
    if isinstance(value, Channel) and _CHANNEL_ID.fullmatch(value):
        return f"<#{value}>"
    if isinstance(value, Name | Code | Channel):
        return code(value, 200)
    if isinstance(value, MessageLink) and value.url:
        return f"<{escape(value.url)}|{escape(value.label)}>"
    if isinstance(value, MessageLink):
        return f"{escape(value.label)} in {_render_value(Channel(value.channel))}"
    if isinstance(value, Mention):
        return _mention_or_code(value.user)
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, Sentence):
        return value.render(_render_value)
    return escape_and_cut(str(value), 2000)


# -- messages and their blocks -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Message:
    """A message's blocks, and its text for notifications."""

    text: str
    blocks: Blocks


def build_message(text: str, blocks: Iterable[Block | dict[str, Any]]) -> Message:
    """Return a message that Slack accepts; if the blocks are too long in total, shorten the longest texts."""
    parts = block_dicts(blocks)
    if json_length(parts) <= MAX_BLOCKS_LENGTH:
        return Message(text, parts)
    full_texts = [(part, str(part["text"])) for part in _mrkdwn_objects(parts)]
    for max_length in range(2600, 0, -200):
        for part, words in full_texts:
            part["text"] = _shorten_lines(words, max_length)
        if json_length(parts) <= MAX_BLOCKS_LENGTH:
            break
    return Message(text, parts)


def json_length(part: object) -> int:
    """Return the length in characters of blocks, or of a part of them, as JSON."""
    return len(json.dumps(part, ensure_ascii=False))


def _mrkdwn_objects(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict) and part.get("type") == "mrkdwn":
        yield part
    for child in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _mrkdwn_objects(child)


def _shorten_lines(text: str, max_length: int) -> str:
    """Return about `max_length` characters of mrkdwn: complete lines if possible, then the number of lines omitted."""
    if len(text) <= max_length:
        return text
    lines = text[:max_length].rpartition("\n")[0]
    left = text.count("\n") - lines.count("\n")
    return f"{lines}\nand {pluralize(left, 'more line')}" if lines else cut_mrkdwn(text, max_length)


def with_picture(message: Message, file_id: str, alt: str) -> Message:
    """Return the message with an uploaded image after its buttons, so a phone shows the buttons without scrolling."""
    picture = ImageBlock(slack_file=SlackFile(id=file_id), alt_text=alt[:MAX_ALT_LENGTH])
    at = next((at for at, block in enumerate(message.blocks, 1) if block["type"] == "actions"), len(message.blocks))
    return replace(message, blocks=[*message.blocks[:at], *block_dicts([picture]), *message.blocks[at:]])


def text_message(text: str) -> Message:
    """Return mrkdwn as a message."""
    return build_message(text, [section(text)])


def sentence_message(sentence: Sentence) -> Message:
    """Return one sentence as a message."""
    return text_message(to_mrkdwn(sentence))


def short_form(original: Message, details_command: Iterable[str]) -> Message:
    """Return the short form of a message that Slack rejected: its text, its buttons, and a command for the details."""
    text = cut_mrkdwn(original.text, MAX_SHORT_LENGTH)
    details = context_line(f"Details: {code(shlex.join(['/model', *details_command]))}")
    buttons = [block for block in original.blocks if block["type"] == "actions"]
    return Message(text, [*block_dicts([section(text), details]), *buttons])


def mrkdwn_object(text: str) -> MarkdownTextObject:
    """Return a mrkdwn object in which Slack doesn't add links or mentions."""
    return MarkdownTextObject(text=text, verbatim=True)


def section(text: str) -> SectionBlock:
    """Return a section block of mrkdwn; truncate long text."""
    return SectionBlock(text=mrkdwn_object(cut_mrkdwn(text, MAX_TEXT_LENGTH)))


def row_sections(rows: Iterable[str]) -> list[Block]:
    """Return rows as section blocks, with as many rows in each as fit."""
    return [section(chunk) for chunk in join_into_chunks(rows)]


def fields_section(fields: Iterable[str]) -> SectionBlock:
    """Return a section block with the fields in two columns."""
    return SectionBlock(fields=[mrkdwn_object(field) for field in fields])


def context_line(text: str) -> ContextBlock:
    """Return a context block (a line of small text); truncate long text."""
    return ContextBlock(elements=[mrkdwn_object(cut_mrkdwn(text, MAX_TEXT_LENGTH))])


def header(text: str) -> HeaderBlock:
    """Return a header block; truncate long text."""
    return HeaderBlock(text=PlainTextObject(text=truncate(text, MAX_HEADER_LENGTH), emoji=True))


def fitting_rows(rows: Sequence[str], max_length: int = MAX_ROWS_LENGTH) -> list[str]:
    """Return as many of the first rows as fit in `max_length` characters."""
    ends = accumulate(len(row) + _ROW_OVERHEAD for row in rows)
    return [row for row, end in zip(rows, ends, strict=True) if end <= max_length]


def fitting_rows_and_count(rows: Sequence[str], max_length: int = MAX_ROWS_LENGTH) -> list[str]:
    """Return as many rows as fit in `max_length` characters, and a row that counts the omitted ones, if any."""
    return first_rows_and_count(len(fitting_rows(rows, max_length)), rows)


def first_rows_and_count(limit: int, rows: Sequence[str], total: int | None = None) -> list[str]:
    """Return the first `limit` rows, and a row that counts the omitted ones, if any.

    `total` is the number of rows that exist, if there are more than `rows` has.
    """
    more = (len(rows) if total is None else total) - limit
    return [*rows[:limit], *([f"and {more} more"] if more > 0 else [])]


def join_into_chunks(rows: Iterable[str], max_length: int = 2900) -> list[str]:
    """Join the rows into texts of at most `max_length` characters, so that each text fits in a section."""
    texts: list[str] = []
    for row in rows:
        if texts and len(texts[-1]) + len(row) + 1 <= max_length:
            texts[-1] += f"\n{row}"
        else:
            texts.append(cut_mrkdwn(row, max_length))
    return texts


def block_dicts(blocks: Iterable[Block | dict[str, Any]]) -> Blocks:
    """Return the blocks as dictionaries, as Slack's API accepts them."""
    return [dict(block.to_dict()) if isinstance(block, Block) else block for block in blocks]

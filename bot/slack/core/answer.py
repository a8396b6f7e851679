"""The rendered answer for a person or a channel: a message and its files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement

from bot.domain.commands.base import Command
from bot.domain.core.actors import Actor
from bot.domain.core.sentence import Sentence, sanitize_text
from bot.ports import NO_LINKS, RegistryLinks
from bot.slack.core.blocks import Message, build_message, context_line, escape, mention_actor

SHARE, SHARE_TEXT = "share", "Share to channel"
MAX_BUTTON_VALUE = 2000  # characters: Slack's limit


@dataclass(frozen=True, slots=True)
class FileUpload:
    """A file to upload to a thread. `alt` is an image's alternative text.

    `failure_text` is what the person sees if Slack rejects a file that the message mentions.
    """

    name: str
    content: bytes
    title: str
    alt: str = ""
    failure_text: str = ""


@dataclass(frozen=True, slots=True)
class SlackAnswer:
    """A command's result for Slack.

    If `is_public`, it's posted in the channel, with its files in the thread. Otherwise, only the person sees it. If it
    has files, it goes to their direct messages, since an ephemeral message in a channel can't show a file; in the
    channel, they get its `summary`, or else its full message. `shareable` is the command that a button runs to post the
    answer in the channel.
    """

    message: Message
    make_files: Callable[[], Sequence[FileUpload]] = tuple
    is_public: bool = False
    summary: Message | None = None
    shareable: Command | None = None

    @property
    def has_files(self) -> bool:
        """Whether there are files, which are only made when they're uploaded."""
        return self.make_files is not tuple

    def in_channel(self, link: str | None = None) -> Message:
        """Return the message that only the person sees in a channel.

        `link` leads to the answer in their direct messages: empty if unknown, None if it wasn't sent there.
        """
        if link is None:
            return _with_blocks(self.message, self._share_buttons())
        there = f"<{escape(link)}|a direct message>" if link else "a direct message"
        text = f"I also sent you this in {there}, with its files."
        if self.summary:
            text = f"I sent you the full answer in {there}."
        return _with_blocks(self.summary or self.message, [context_line(text), *self._share_buttons()])

    def shared_by(self, actor: Actor) -> SlackAnswer:
        """Return the answer for the channel, saying who shared it."""
        return replace(self, message=_with_blocks(self.message, [context_line(f"Shared by {mention_actor(actor)}")]))

    def _share_buttons(self) -> list[ActionsBlock]:
        value = json.dumps(self.shareable.dump()) if self.shareable else ""
        if not 0 < len(value) <= MAX_BUTTON_VALUE:
            return []
        return [ActionsBlock(block_id="share", elements=[ButtonElement(text=SHARE_TEXT, action_id=SHARE, value=value)])]


def _with_blocks(message: Message, blocks: Sequence[Block]) -> Message:
    return build_message(message.text, [*message.blocks, *blocks])


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderContext:
    """What a renderer might need in addition to the command and its view.

    `answer` is the sentence that a change returned. `is_public`: whether the person wants to show the result to
    everyone.
    """

    now: datetime
    links: RegistryLinks = NO_LINKS
    answer: Sentence = Sentence("", {})  # noqa: RUF009 - immutable
    is_public: bool = False


Renderers = Mapping[
    type[Command], Callable[[Any, Any, RenderContext], SlackAnswer]
]  # from a command, its view, and the context


def safe_file_name(model: str) -> str:
    """Return a model's name, made safe for use in a file name."""
    name = "".join(char if char.isalnum() or char in "-_." else "_" for char in sanitize_text(model))
    return name[:80] or "model"

"""The rendered answer for a person or a channel: a message and its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.domain.commands.base import Command
from bot.domain.core.sentence import Sentence, sanitize_text
from bot.ports import NO_LINKS, RegistryLinks
from bot.slack.core.blocks import Message


@dataclass(frozen=True, slots=True)
class FileUpload:
    """A file for a thread. `alt` is an image's alternative text.

    `failure_text` is what the person reads if Slack rejects a file that the message mentions.
    """

    name: str
    content: bytes
    title: str
    alt: str = ""
    failure_text: str = ""


@dataclass(frozen=True, slots=True)
class SlackAnswer:
    """A command's result for Slack. If `is_public`, it's posted in the channel, with its files in the thread."""

    message: Message
    make_files: Callable[[], Sequence[FileUpload]] = tuple
    is_public: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderContext:
    """What a renderer might need in addition to the command and its view.

    `answer` is the sentence that a change returned. `is_public`: the person wants to show the result to everyone.
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

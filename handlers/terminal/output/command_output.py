"""What a verb of the terminal answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType

from bot.domain.core.sentence import Code, Say
from handlers.terminal.command_line.grammar import Form
from handlers.terminal.output import console, documents


@dataclass(frozen=True, slots=True)
class Answer:
    """What to print, and how to end."""

    text: str
    code: int = 0


def told(sentence: Say | str, form: Form, code: int = 0, /, **more: Any) -> Answer:
    """Return a sentence: alone for people, in JSON under its name, behind what more there is."""
    sentence = here(sentence) if isinstance(sentence, Say) else sentence
    if form is Form.JSON:
        return as_json({**more, "sentence": str(sentence)}, code)
    return Answer(f"{sentence}\n", code)


def here(sentence: Say) -> Say:
    """Return a sentence for those who sit beside the bot: what it tells them to type in Slack they can type here."""
    return Say(sentence.template, {name: _here(value) for name, value in sentence.args.items()})


def _here(value: object) -> object:
    if isinstance(value, Say):
        return here(value)
    if isinstance(value, Code):
        return Code(re.sub(r"^/model ", "registrar ", value))
    return [_here(one) for one in value] if isinstance(value, list | tuple) else value


def as_json(document: Mapping[str, Any], code: int = 0) -> Answer:
    """Return a JSON document."""
    return Answer(documents.to_json(document, console.encoding()), code)


def drawn(parts: Callable[[int], Sequence[RenderableType]], code: int = 0) -> Answer:
    """Return what `parts` makes for the screen's width."""
    return Answer(console.draw(parts), code)

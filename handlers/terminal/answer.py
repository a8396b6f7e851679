"""What a verb of the terminal answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType

from bot.domain.text import Say
from handlers.terminal import documents, screen
from handlers.terminal.grammar import Form


@dataclass(frozen=True, slots=True)
class Answer:
    """What to print, and how to end."""

    text: str
    code: int = 0


def told(sentence: Say | str, form: Form, code: int = 0, **more: Any) -> Answer:
    """Return a sentence: alone for people, in JSON under its name, behind what more there is."""
    if form is Form.JSON:
        return as_json({**more, "sentence": str(sentence)}, code)
    return Answer(f"{sentence}\n", code)


def as_json(document: Mapping[str, Any], code: int = 0) -> Answer:
    """Return a JSON document."""
    return Answer(documents.to_json(document, screen.encoding()), code)


def drawn(parts: Callable[[int], Sequence[RenderableType]], code: int = 0) -> Answer:
    """Return what `parts` makes for the screen's width."""
    return Answer(screen.draw(parts), code)

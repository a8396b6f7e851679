"""The help command."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator

from bot.domain.commands.base import (
    Argument,
    Command,
)


class Help(Command):
    """Explain the commands, or one of them."""

    verb = "help"
    summary = "List commands, or explain one"
    example = "help promote"
    about: Annotated[
        str,
        BeforeValidator(lambda words: words if isinstance(words, str) else " ".join(words).lower()),
        Argument("VERB", "the command to explain, in one or two words", takes_many=True),
    ] = ""

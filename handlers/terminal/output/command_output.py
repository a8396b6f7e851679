"""The output of a terminal command."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from bot.domain.core.sentence import Code, Sentence
from handlers.terminal.output import console, json_and_csv

if TYPE_CHECKING:  # the help needs no services
    from handlers.terminal.session import TerminalSession


class OutputFormat(Enum):
    """The output format. The value is the flag that selects it."""

    TEXT = ""  # a sentence and a table
    JSON = "--json"  # one JSON document and nothing else; missing values are null
    WEB = "--web"  # the address of its page, which also opens in a browser
    CSV = "--csv"  # everything as CSV, with numbers in full precision; missing values are empty


@dataclass(frozen=True, slots=True)
class CommandOutput:
    """The text to print, and the exit code."""

    text: str
    exit_code: int = 0


# Renders a query's view. Takes the session, the command, the view, and the output format.
Renderer = Callable[["TerminalSession", Any, Any, OutputFormat], CommandOutput]


def sentence_output(
    sentence: Sentence | str, output_format: OutputFormat, exit_code: int = 0, /, *, style: str = "", **fields: Any
) -> CommandOutput:
    """Return a sentence as text in this style, or as JSON with it under `sentence`, after the other keys."""
    sentence = to_terminal_sentence(sentence) if isinstance(sentence, Sentence) else sentence
    if output_format is OutputFormat.JSON:
        return json_output({**fields, "sentence": str(sentence)}, exit_code)
    return rendered_output(lambda _: [Text(str(sentence), style)], exit_code)


def to_terminal_sentence(sentence: Sentence) -> Sentence:
    """Return the sentence for the terminal, with Slack commands replaced by terminal commands."""
    return Sentence(sentence.template, {name: _to_terminal_value(value) for name, value in sentence.args.items()})


def _to_terminal_value(value: object) -> object:
    if isinstance(value, Sentence):
        return to_terminal_sentence(value)
    if isinstance(value, Code):
        return Code(re.sub(r"^/model ", "registrar ", value))
    return [_to_terminal_value(item) for item in value] if isinstance(value, list | tuple) else value


def json_output(document: Mapping[str, Any], exit_code: int = 0) -> CommandOutput:
    """Return a JSON document as output."""
    return CommandOutput(json_and_csv.to_json(document), exit_code)


def print_output(output_format: OutputFormat, document: Mapping[str, Any], *lines: object, style: str = "") -> None:
    """Print the document for programs, or the lines for people. `style` applies to the first line."""
    if output_format is OutputFormat.JSON:
        text = json_and_csv.to_json(document)
    else:
        text = console.render(lambda _: [Text(str(line), "" if at else style) for at, line in enumerate(lines)])
    console.write_output(text)


def rendered_output(build: Callable[[int], Sequence[RenderableType]], exit_code: int = 0) -> CommandOutput:
    """Return the rendered output of `build`, which gets the terminal's width."""
    return CommandOutput(console.render(build), exit_code)

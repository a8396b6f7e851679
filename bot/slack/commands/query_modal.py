"""The form for a query, opened from the menu or by typing a query without all its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo
from slack_sdk.models.blocks import InputBlock

from bot.domain.commands.base import Argument, Command, QueryCommand
from bot.slack.core.modal_inputs import MAX_TEXT_LENGTH, form_view, model_input, text_input

QUERY = "query"


def query_modal(command: type[Command], given: Mapping[str, Any], channel: str) -> dict[str, Any] | None:
    """Return a form with a query's arguments; None for other commands, or if something typed doesn't fit in it.

    `given` is what was typed. The answer goes to `channel`, since a submitted form doesn't say where it was opened.
    """
    if not issubclass(command, QueryCommand):
        return None
    words = {name: " ".join(value) if isinstance(value, list) else str(value) for name, value in given.items()}
    inputs = [_input(name, field, argument, words) for name, field, argument in command.arguments() if _fits(argument)]
    fields = {block.block_id for block in inputs}
    if any(name not in fields or len(word) > MAX_TEXT_LENGTH for name, word in words.items()):
        return None
    return form_view(QUERY, command.verb.capitalize(), "Show", f"{command.verb}:{channel}", [*inputs])


def _fits(argument: Argument) -> bool:
    """Return whether the form has a field for an argument. Switches, and numbers such as a page, can only be typed."""
    return argument.placeholder not in {"", "N"}


def _input(name: str, field: FieldInfo, argument: Argument, given: Mapping[str, str]) -> InputBlock:
    if name == "model":
        return model_input(given, optional=not field.is_required())
    label, hint = name.replace("_", " ").capitalize(), argument.help[:1].upper() + argument.help[1:]
    return text_input(name, label, given, optional=not field.is_required(), hint=hint)


def query_of(metadata: str) -> tuple[str, str]:
    """Return the verb and the channel in a form's metadata."""
    verb, _, channel = metadata.rpartition(":")
    return verb, channel

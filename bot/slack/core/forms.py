"""Build a modal's inputs, and read the values of a submitted modal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slack_sdk.models.blocks import (
    Block,
    InputBlock,
    Option,
    PlainTextInputElement,
    PlainTextObject,
    StaticSelectElement,
)
from slack_sdk.models.views import View

from bot.domain.commands.base import MAX_REASON_LENGTH
from bot.domain.core.sentence import truncate

INPUT_ACTION = "value"  # the action ID of every input; the block ID identifies the field


def submitted_values(state: Mapping[str, Any]) -> dict[str, str]:
    """Return the entered values by field, without empty fields. `state` is a view's state."""
    return {
        str(field): str(value)
        for field, actions in (state.get("values") or {}).items()
        for action in actions.values()
        if (value := action.get("value") or (action.get("selected_option") or {}).get("value"))
    }


def select_input(field: str, label: str, choices: Mapping[str, str], prefilled: Mapping[str, str]) -> InputBlock:
    """Return a menu. Its initial choice is the prefilled one if that exists, or else the first one."""
    options = [Option(value=value[:150], label=truncate(text, 75)) for value, text in choices.items()]
    chosen = prefilled.get(field, "").lower().replace("-", "_")
    initial = next((option for option in options if str(option.value).lower().replace("-", "_") == chosen), options[0])
    element = StaticSelectElement(action_id=INPUT_ACTION, options=options, initial_option=initial)
    return InputBlock(label=label, block_id=field, element=element)


def text_input(
    field: str, label: str, prefilled: Mapping[str, str], *, hint: str, optional: bool = False, multiline: bool = False
) -> InputBlock:
    """Return a text field with its prefilled value."""
    max_length = MAX_REASON_LENGTH if multiline else 250
    element = PlainTextInputElement(
        action_id=INPUT_ACTION,
        multiline=multiline,
        initial_value=truncate(prefilled.get(field, ""), max_length) or None,
        max_length=max_length,
    )
    return InputBlock(label=label, block_id=field, element=element, hint=hint, optional=optional)


def form_view(callback: str, title: str, submit: str, private_metadata: str, blocks: list[Block]) -> dict[str, Any]:
    """Return a modal whose submission has the callback ID `callback`."""
    view = View(
        type="modal",
        callback_id=callback,
        title=PlainTextObject(text=title),
        submit=PlainTextObject(text=submit),
        close=PlainTextObject(text="Back"),
        private_metadata=private_metadata,
        blocks=blocks,
    )
    return dict(view.to_dict())

"""Build a modal's inputs, and read the values of a submitted modal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slack_sdk.models.blocks import (
    Block,
    ExternalDataSelectElement,
    InputBlock,
    Option,
    PlainTextInputElement,
    PlainTextObject,
    StaticSelectElement,
)
from slack_sdk.models.views import View

from bot.domain.commands.base import MAX_REASON_LENGTH
from bot.domain.core.sentence import truncate
from bot.domain.registry.menu_options import MAX_VALUE_LENGTH, Choice
from bot.domain.registry.model import product

MAX_TEXT_LENGTH = 250  # characters of a field with one line
INPUT_ACTION = "value"  # the action ID of every input without type-ahead; the block ID identifies the field
# The action IDs of menus with type-ahead say what they offer.
SUGGEST_MODEL, SUGGEST_VERSION, SUGGEST_METRIC = "suggest_model", "suggest_version", "suggest_metric"
SUGGEST_ROLLBACK_TARGET = "suggest_rollback_target"


def submitted_values(state: Mapping[str, Any]) -> dict[str, str]:
    """Return the entered values by field, without empty fields. `state` is a view's state."""
    return {
        str(field): str(value)
        for field, actions in (state.get("values") or {}).items()
        for action in actions.values()
        if (value := action.get("value") or (action.get("selected_option") or {}).get("value"))
    }


def select_input(field: str, label: str, choices: Mapping[str, str], prefilled: Mapping[str, str]) -> InputBlock:
    """Return a menu, initially set to the prefilled choice if it exists, or else to the first one."""
    options = [Option(value=value[:150], label=truncate(text, 75)) for value, text in choices.items()]
    chosen = prefilled.get(field, "").lower().replace("-", "_")
    initial = next((option for option in options if str(option.value).lower().replace("-", "_") == chosen), options[0])
    element = StaticSelectElement(action_id=INPUT_ACTION, options=options, initial_option=initial)
    return InputBlock(label=label, block_id=field, element=element)


def suggest_input(
    field: str, label: str, action: str, prefilled: Mapping[str, str], *, hint: str, optional: bool = False
) -> InputBlock:
    """Return a menu with type-ahead; `action` is one of the SUGGEST_ constants.

    Except for models, the form's `private_metadata` must be the ID of a draft, which remembers the chosen model. If the
    prefilled value is too long for an option, this returns a text field instead.
    """
    typed = prefilled.get(field, "")
    if len(typed) > MAX_VALUE_LENGTH:
        return text_input(field, label, prefilled, hint=hint, optional=optional)
    element = ExternalDataSelectElement(
        action_id=action,
        min_query_length=0,
        placeholder="Choose, or type to search",
        initial_option=choice_option(Choice(typed, typed)) if typed else None,
    )
    is_dispatched = action == SUGGEST_MODEL  # the other menus depend on it
    return InputBlock(
        label=label, block_id=field, element=element, hint=hint, optional=optional, dispatch_action=is_dispatched
    )


def model_input(prefilled: Mapping[str, str], *, optional: bool = False) -> InputBlock:
    """Return the menu for the model; the menus for versions and metrics then offer those of the chosen model."""
    hint = f"The registered model's name in {product().name}"
    return suggest_input("model", "Model", SUGGEST_MODEL, prefilled, hint=hint, optional=optional)


def choice_option(choice: Choice) -> Option:
    """Return the option for a choice."""
    return Option(value=choice.value, label=truncate(choice.label, 75))


def text_input(
    field: str, label: str, prefilled: Mapping[str, str], *, hint: str, optional: bool = False, multiline: bool = False
) -> InputBlock:
    """Return a text field with its prefilled value."""
    max_length = MAX_REASON_LENGTH if multiline else MAX_TEXT_LENGTH
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
        close=PlainTextObject(text="Cancel"),
        private_metadata=private_metadata,
        blocks=blocks,
    )
    return dict(view.to_dict())

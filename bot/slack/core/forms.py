"""TODO bot.slack.core.forms"""

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

from bot.domain.commands.base import REASON_MOST
from bot.domain.core.sentence import short

VALUE = "value"  # the action id of every input: the block id says which field it is


def values(state: Mapping[str, Any]) -> dict[str, str]:
    """Return what was filled in, by field. `state` is a view's state; empty fields are left out."""
    found = {}
    for field, actions in (state.get("values") or {}).items():
        for action in actions.values():
            option = action.get("selected_option") or {}
            value = action.get("value") or option.get("value")
            if value:
                found[str(field)] = str(value)
    return found


def _choice(field: str, label: str, choices: Mapping[str, str], given: Mapping[str, str]) -> InputBlock:
    options = [Option(value=value[:150], label=short(text, 75)) for value, text in choices.items()]
    chosen = given.get(field, "").lower().replace("-", "_")
    initial = next((one for one in options if str(one.value).lower().replace("-", "_") == chosen), options[0])
    element = StaticSelectElement(action_id=VALUE, options=options, initial_option=initial)
    return InputBlock(label=label, block_id=field, element=element)


def _text(
    field: str, label: str, given: Mapping[str, str], *, hint: str, optional: bool = False, multiline: bool = False
) -> InputBlock:
    most = REASON_MOST if multiline else 250
    element = PlainTextInputElement(
        action_id=VALUE,
        multiline=multiline,
        initial_value=short(given.get(field, ""), most) or None,
        max_length=most,
    )
    return InputBlock(label=label, block_id=field, element=element, hint=hint, optional=optional)


def _form(callback: str, title: str, submit: str, metadata: str, blocks: list[Block]) -> dict[str, Any]:
    view = View(
        type="modal",
        callback_id=callback,
        title=PlainTextObject(text=title),
        submit=PlainTextObject(text=submit),
        close=PlainTextObject(text="Back"),
        private_metadata=metadata,
        blocks=blocks,
    )
    return dict(view.to_dict())

"""Answers to inputs: converts plain answers to the state that Slack sends, and checks what Slack's client checks.

A plain answer is a text, a date, or a time; an option's value or an ID; or a list of those. For a menu with external
options, it's the complete option. Pure functions on blocks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

JSON = dict[str, Any]
# block ID -> action ID -> plain answer
Answers = Mapping[str, Mapping[str, Any]]

REQUIRED_MESSAGE = "Please complete this required field."
TEXT_INPUT_TYPES = ("plain_text_input", "email_text_input", "url_text_input", "number_input")

# The field of a stateful element's state, and the field of the element that has its initial value.
# Elements with options aren't listed, because their state contains complete option objects.
_VALUE_FIELDS = {
    **dict.fromkeys(TEXT_INPUT_TYPES, ("value", "initial_value")),
    "users_select": ("selected_user", "initial_user"),
    "channels_select": ("selected_channel", "initial_channel"),
    "conversations_select": ("selected_conversation", "initial_conversation"),
    "multi_users_select": ("selected_users", "initial_users"),
    "multi_channels_select": ("selected_channels", "initial_channels"),
    "multi_conversations_select": ("selected_conversations", "initial_conversations"),
    "datepicker": ("selected_date", "initial_date"),
    "timepicker": ("selected_time", "initial_time"),
    "datetimepicker": ("selected_date_time", "initial_date_time"),
    "rich_text_input": ("rich_text_value", "initial_value"),
}
# The menus with external options. Their answers are complete options, because only the app knows them.
EXTERNAL_SELECT_TYPES = ("external_select", "multi_external_select")
_SINGLE_OPTION_TYPES = {"static_select", "radio_buttons", "external_select", "overflow"}
_MULTI_OPTION_TYPES = {"multi_static_select", "checkboxes", "multi_external_select"}
_MULTI_ID_TYPES = {"multi_users_select", "multi_channels_select", "multi_conversations_select"}


def interactive_elements(blocks: Sequence[JSON]) -> Iterator[tuple[JSON, JSON]]:
    """Yield every (block, interactive element) pair from top to bottom."""
    for block in blocks:
        candidates = [block.get("accessory"), block.get("element")]
        if block.get("type") in ("actions", "context_actions"):
            candidates += block.get("elements", [])
        for element in candidates:
            if element and "action_id" in element:
                yield block, element


def input_elements(blocks: Sequence[JSON]) -> Iterator[tuple[JSON, JSON]]:
    """Yield every (input block, element) pair of a form."""
    for block, element in interactive_elements(blocks):
        if block.get("type") == "input":
            yield block, element


def is_stateful(element: JSON) -> bool:
    """Return whether state.values contains a value for the element."""
    kind = element["type"]
    return kind != "overflow" and (kind in _VALUE_FIELDS or kind in _SINGLE_OPTION_TYPES or kind in _MULTI_OPTION_TYPES)


def state_values(blocks: Sequence[JSON], answers: Answers) -> dict[str, dict[str, JSON]]:
    """Return state.values for blocks: the given answers, and the initial values of all other elements."""
    values: dict[str, dict[str, JSON]] = {}
    for block, element in interactive_elements(blocks):
        if is_stateful(element):
            block_answers = answers.get(block["block_id"], {})
            entry = _initial_state(element)
            if element["action_id"] in block_answers:
                entry = element_state(element, block_answers[element["action_id"]])
            values.setdefault(block["block_id"], {})[element["action_id"]] = entry
    return values


def element_state(element: JSON, answer: Any) -> JSON:
    """Return the state of one element for a plain answer.

    Raises ValueError for an option that the element doesn't offer.
    """
    kind = element["type"]
    if kind in _SINGLE_OPTION_TYPES:
        return {"type": kind, "selected_option": _find_offered(element, answer) if answer else None}
    if kind in _MULTI_OPTION_TYPES:
        return {"type": kind, "selected_options": [_find_offered(element, choice) for choice in answer or []]}
    field, _ = _VALUE_FIELDS[kind]
    return {"type": kind, field: answer if answer != "" else None}


def client_errors(blocks: Sequence[JSON], values: Mapping[str, Mapping[str, JSON]]) -> dict[str, str]:
    """Return the errors that Slack's client shows instead of sending a form: {block_id: error message}."""
    errors = {}
    for block, element in input_elements(blocks):
        state = values.get(block["block_id"], {}).get(element["action_id"], {})
        if message := _input_error(block, element, answer_of(state)):
            errors[block["block_id"]] = message
    return errors


def answer_of(state: JSON) -> Any:
    """Return the value in one entry of state.values, or None."""
    return next((value for name, value in state.items() if name != "type"), None)


def find_input(blocks: Sequence[JSON], key: str) -> tuple[JSON, JSON]:
    """Return the (block, element) pair of the input with this block ID, action ID, or label. Raises LookupError."""
    matchers: list[Callable[[JSON, JSON], bool]] = [
        lambda block, _: block["block_id"] == key,
        lambda _, element: element["action_id"] == key,
        lambda block, _: _label(block) == key,
    ]
    for matches in matchers:
        for block, element in input_elements(blocks):
            if matches(block, element):
                return block, element
    names = ", ".join(
        f"{block['block_id']}/{element['action_id']} ({_label(block)})" for block, element in input_elements(blocks)
    )
    raise LookupError(f"no input {key!r} here; available: {names or 'none'}")


def find_element(blocks: Sequence[JSON], key: str) -> tuple[JSON, JSON]:
    """Return the (block, element) pair with this action ID, text, or placeholder. Raises LookupError."""
    for block, element in interactive_elements(blocks):
        if key in (element["action_id"], text_of(element.get("text")), text_of(element.get("placeholder"))):
            return block, element
    names = ", ".join(
        repr(text_of(element.get("text")) or element["action_id"]) for _, element in interactive_elements(blocks)
    )
    raise LookupError(f"nothing called {key!r} here; available: {names or 'none'}")


def find_option(offered: Sequence[JSON], text_or_value: str) -> JSON:
    """Return the option with this text or value. Raises LookupError."""
    for option in offered:
        if text_or_value in (option.get("value"), text_of(option["text"])):
            return option
    raise LookupError(f"no option {text_or_value!r} in {[text_of(option['text']) for option in offered]}")


def normalize_answer(element: JSON, answer: Any) -> Any:
    """Return a person's entry as a plain answer, replacing option texts with their values.

    For a menu with external options, return it unchanged. Raises LookupError if there's no such option.
    """
    kind = element["type"]
    if kind in EXTERNAL_SELECT_TYPES:
        return answer
    if kind in _SINGLE_OPTION_TYPES and answer:
        return str(find_option(options(element), answer)["value"])
    if kind in _MULTI_OPTION_TYPES:
        answer = [answer] if isinstance(answer, str) else answer
        return [str(find_option(options(element), choice)["value"]) for choice in answer]
    return [answer] if kind in _MULTI_ID_TYPES and isinstance(answer, str) else answer


def options(element: JSON) -> list[JSON]:
    """Return all options of an element, including those in groups."""
    grouped = [option for group in element.get("option_groups", []) for option in group["options"]]
    return list(element.get("options", [])) + grouped


def text_of(text: JSON | str | None) -> str:
    """Return the text of a text object."""
    return str(text.get("text", "")) if isinstance(text, dict) else text or ""


def _label(block: JSON) -> str:
    return text_of(block.get("label"))


def _initial_state(element: JSON) -> JSON:
    kind = element["type"]
    if kind in _SINGLE_OPTION_TYPES:
        return {"type": kind, "selected_option": element.get("initial_option")}
    if kind in _MULTI_OPTION_TYPES:
        return {"type": kind, "selected_options": list(element.get("initial_options", []))}
    field, initial = _VALUE_FIELDS[kind]
    return {"type": kind, field: element.get(initial, [] if kind in _MULTI_ID_TYPES else None)}


def _find_offered(element: JSON, value: Any) -> JSON:
    if element["type"] in EXTERNAL_SELECT_TYPES:
        if not isinstance(value, dict) or "value" not in value:
            raise ValueError(f"{element['action_id']} accepts only options that the app offered, not {value!r}")
        return value
    for option in options(element):
        if option.get("value") == value:
            return option
    raise ValueError(f"{element['action_id']} has no option {value!r}")


def _input_error(block: JSON, element: JSON, answer: Any) -> str | None:
    if answer in (None, "", []):
        return None if block.get("optional") else REQUIRED_MESSAGE
    check = _CHECKS.get(element["type"])
    return check(element, str(answer)) if check else None


def _check_text(element: JSON, answer: str) -> str | None:
    min_length, max_length = element.get("min_length", 0), element.get("max_length", 3000)
    if len(answer) < min_length:
        return f"This field must be at least {min_length} characters."
    return f"This field can't be longer than {max_length} characters." if len(answer) > max_length else None


def _check_number(element: JSON, answer: str) -> str | None:
    pattern = r"-?\d+(\.\d+)?" if element.get("is_decimal_allowed") else r"-?\d+"
    if not re.fullmatch(pattern, answer):
        return "Please enter a valid number."
    minimum, maximum = element.get("min_value"), element.get("max_value")
    if minimum is not None and float(answer) < float(minimum):
        return f"Please enter a number of at least {minimum}."
    if maximum is not None and float(answer) > float(maximum):
        return f"Please enter a number of at most {maximum}."
    return None


def _check_email(_: JSON, answer: str) -> str | None:
    is_valid = re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", answer)
    return None if is_valid else "Please enter a valid email address."


def _check_url(_: JSON, answer: str) -> str | None:
    return None if re.fullmatch(r"https?://\S+", answer) else "Please enter a valid URL."


_CHECKS: dict[str, Callable[[JSON, str], str | None]] = {
    "plain_text_input": _check_text,
    "number_input": _check_number,
    "email_text_input": _check_email,
    "url_text_input": _check_url,
}

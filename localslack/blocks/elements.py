"""Block elements, and the blocks that can contain them.

Limits: https://docs.slack.dev/reference/block-kit/block-elements and the constants in slack_sdk.models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from localslack.blocks.composition_objects import (
    CONFIRM,
    CONVERSATION_FILTER,
    DISPATCH_ACTION_CONFIG,
    OPTIONS,
    OPTIONS_OR_GROUPS,
    OVERFLOW_OPTION,
    PLAIN_OPTION,
    SLACK_FILE,
    TEXT_OPTION,
    WORKFLOW,
    check_initial_options,
    plain_text,
)
from localslack.blocks.rules import (
    Fields,
    Rule,
    anything,
    array,
    boolean,
    choice,
    either,
    integer,
    object_of,
    problem,
    string,
)

ACTION_ID = string(255)
ENTITY_ID = string(50)
MAX_CHOICES = 10
MAX_TEXT = 3000
STYLE = choice("primary", "danger")


def matching(pattern: str, example: str) -> Rule:
    """Return the rule for a string that matches a pattern; the example appears in the problem."""

    def rule(value: Any, pointer: str) -> Iterator[str]:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            yield problem(f"must be in the format {example}", pointer)

    return rule


DATE = matching(r"\d{4}-\d{2}-\d{2}", "YYYY-MM-DD")
TIME = matching(r"([01]\d|2[0-3]):[0-5]\d", "HH:mm")
TIMESTAMP = integer(1_000_000_000, 9_999_999_999)


def _element(required: Fields, optional: Fields, *cross_field_rules: Rule) -> Rule:
    return object_of(required, {"action_id": ACTION_ID, "focus_on_load": boolean, **optional}, *cross_field_rules)


def _menu(required: Fields, optional: Fields, *cross_field_rules: Rule) -> Rule:
    return _element(required, {"placeholder": plain_text(150), "confirm": CONFIRM, **optional}, *cross_field_rules)


def _multi_menu(required: Fields, optional: Fields, *cross_field_rules: Rule) -> Rule:
    return _menu(required, {"max_selected_items": integer(1, 100), **optional}, *cross_field_rules)


def _text_field(optional: Fields) -> Rule:
    common = {
        "placeholder": plain_text(150),
        "dispatch_action_config": DISPATCH_ACTION_CONFIG,
        "initial_value": string(MAX_TEXT),
    }
    return _element({}, {**common, **optional})


def _check_length_bounds(value: Any, pointer: str) -> Iterator[str]:
    min_length, max_length = value.get("min_length"), value.get("max_length")
    if isinstance(min_length, int) and isinstance(max_length, int) and min_length > max_length:
        yield problem("must be less than max_length", f"{pointer}/min_length")


BUTTON = object_of(
    {"text": plain_text(75)},
    {
        "action_id": ACTION_ID,
        "url": string(3000),
        "value": string(2000, 0),
        "style": STYLE,
        "confirm": CONFIRM,
        "accessibility_label": string(75),
        "agent_prompt": string(4000),
        "focus_on_load": boolean,
    },
)
IMAGE = object_of(
    {"alt_text": string(2000, 0)},
    {"image_url": string(3000), "slack_file": SLACK_FILE},
    either("image_url", "slack_file"),
)
CONVERSATION_FIELDS = {
    "default_to_current_conversation": boolean,
    "filter": CONVERSATION_FILTER,
}
SINGLE_MENUS: dict[str, Rule] = {
    "static_select": _menu({}, {**OPTIONS, "initial_option": PLAIN_OPTION}, OPTIONS_OR_GROUPS, check_initial_options),
    "external_select": _menu({}, {"initial_option": PLAIN_OPTION, "min_query_length": integer(0, 100)}),
    "users_select": _menu({}, {"initial_user": ENTITY_ID}),
    "conversations_select": _menu(
        {}, {"initial_conversation": ENTITY_ID, "response_url_enabled": boolean, **CONVERSATION_FIELDS}
    ),
    "channels_select": _menu({}, {"initial_channel": ENTITY_ID, "response_url_enabled": boolean}),
}
MULTI_MENUS: dict[str, Rule] = {
    "multi_static_select": _multi_menu(
        {},
        {**OPTIONS, "initial_options": array(PLAIN_OPTION, max_items=100)},
        OPTIONS_OR_GROUPS,
        check_initial_options,
    ),
    "multi_external_select": _multi_menu(
        {}, {"initial_options": array(PLAIN_OPTION, max_items=100), "min_query_length": integer(0, 100)}
    ),
    "multi_users_select": _multi_menu({}, {"initial_users": array(ENTITY_ID, max_items=100)}),
    "multi_conversations_select": _multi_menu(
        {}, {"initial_conversations": array(ENTITY_ID, max_items=100), **CONVERSATION_FIELDS}
    ),
    "multi_channels_select": _multi_menu({}, {"initial_channels": array(ENTITY_ID, max_items=100)}),
}
CHOICES: dict[str, Rule] = {
    "checkboxes": _element(
        {"options": array(TEXT_OPTION, max_items=MAX_CHOICES)},
        {"initial_options": array(TEXT_OPTION, max_items=MAX_CHOICES), "confirm": CONFIRM},
        check_initial_options,
    ),
    "radio_buttons": _element(
        {"options": array(TEXT_OPTION, max_items=MAX_CHOICES)},
        {"initial_option": TEXT_OPTION, "confirm": CONFIRM},
        check_initial_options,
    ),
}
DATES: dict[str, Rule] = {
    "datepicker": _menu({}, {"initial_date": DATE}),
    "timepicker": _menu({}, {"initial_time": TIME, "timezone": string(100)}),
}
DATETIME: dict[str, Rule] = {"datetimepicker": _element({}, {"initial_date_time": TIMESTAMP, "confirm": CONFIRM})}
OVERFLOW: dict[str, Rule] = {
    "overflow": object_of(
        {"options": array(OVERFLOW_OPTION, max_items=5)}, {"action_id": ACTION_ID, "confirm": CONFIRM}
    ),
}
BUTTONS: dict[str, Rule] = {
    "button": BUTTON,
    "workflow_button": object_of(
        {"text": plain_text(75), "workflow": WORKFLOW},
        {"action_id": ACTION_ID, "style": STYLE, "accessibility_label": string(75)},
    ),
}
TEXT_INPUTS: dict[str, Rule] = {
    "plain_text_input": _element(
        {},
        {
            "initial_value": string(MAX_TEXT, 0),
            "multiline": boolean,
            "min_length": integer(0, MAX_TEXT),
            "max_length": integer(1, MAX_TEXT),
            "dispatch_action_config": DISPATCH_ACTION_CONFIG,
            "placeholder": plain_text(150),
        },
        _check_length_bounds,
    ),
    "rich_text_input": _element(
        {},
        {"initial_value": anything, "dispatch_action_config": DISPATCH_ACTION_CONFIG, "placeholder": plain_text(150)},
    ),
    "number_input": _text_field({"is_decimal_allowed": boolean, "min_value": string(50), "max_value": string(50)}),
    "email_text_input": _text_field({}),
    "url_text_input": _text_field({}),
}
FILE_INPUTS: dict[str, Rule] = {
    "file_input": object_of(
        {},
        {"action_id": ACTION_ID, "filetypes": array(string(20), max_items=100), "max_files": integer(1, 10)},
    ),
}
FEEDBACK_CHOICE = object_of({"text": plain_text(75), "value": string(2000)}, {"accessibility_label": string(75)})
CONTEXT_ACTIONS: dict[str, Rule] = {
    "feedback_buttons": object_of(
        {"positive_button": FEEDBACK_CHOICE, "negative_button": FEEDBACK_CHOICE}, {"action_id": ACTION_ID}
    ),
    "icon_button": object_of(
        {"icon": string(50), "text": plain_text(75)},
        {
            "action_id": ACTION_ID,
            "value": string(2000),
            "confirm": CONFIRM,
            "accessibility_label": string(75),
            "visible_to_user_ids": array(ENTITY_ID, max_items=100),
        },
    ),
}

# From "Works with block types" on each element's page, and the list on the actions block's page.
IN_SECTION = {
    **BUTTONS,
    **SINGLE_MENUS,
    **MULTI_MENUS,
    **CHOICES,
    **DATES,
    **OVERFLOW,
    "image": IMAGE,
}
IN_ACTIONS = {
    **BUTTONS,
    **SINGLE_MENUS,
    **MULTI_MENUS,
    **CHOICES,
    **DATES,
    **DATETIME,
    **OVERFLOW,
    "rich_text_input": TEXT_INPUTS["rich_text_input"],
}
IN_INPUT = {**TEXT_INPUTS, **SINGLE_MENUS, **MULTI_MENUS, **CHOICES, **DATES, **DATETIME, **FILE_INPUTS}
ALL_ELEMENTS = {**IN_SECTION, **IN_ACTIONS, **IN_INPUT, **CONTEXT_ACTIONS}

"""Block elements, and which of them go where.

Limits: https://docs.slack.dev/reference/block-kit/block-elements and the constants in slack_sdk.models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from localslack.blocks.composition_objects import (
    CONFIRM,
    DISPATCH,
    FILTER,
    OPTIONS,
    OPTIONS_OR_GROUPS,
    OVERFLOW_OPTION,
    PLAIN_OPTION,
    SLACK_FILE,
    TEXT_OPTION,
    TRIGGER,
    initial_are_offered,
    plain,
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
    problem,
    shape,
    string,
)

ID = string(255)
USER = string(50)
MAX_BOXES = 10
MAX_TEXT = 3000
STYLE = choice("primary", "danger")


def matching(form: str, example: str) -> Rule:
    """Text of a form."""

    def rule(value: Any, at: str) -> Iterator[str]:
        if not isinstance(value, str) or not re.fullmatch(form, value):
            yield problem(f"must be in the format {example}", at)

    return rule


DATE = matching(r"\d{4}-\d{2}-\d{2}", "YYYY-MM-DD")
TIME = matching(r"([01]\d|2[0-3]):[0-5]\d", "HH:mm")
SECONDS = integer(1_000_000_000, 9_999_999_999)


def _element(required: Fields, optional: Fields, *also: Rule) -> Rule:
    return shape(required, {"action_id": ID, "focus_on_load": boolean, **optional}, *also)


def _menu(required: Fields, optional: Fields, *also: Rule) -> Rule:
    return _element(required, {"placeholder": plain(150), "confirm": CONFIRM, **optional}, *also)


def _multi(required: Fields, optional: Fields, *also: Rule) -> Rule:
    return _menu(required, {"max_selected_items": integer(1, 100), **optional}, *also)


def _line(optional: Fields) -> Rule:
    common = {"placeholder": plain(150), "dispatch_action_config": DISPATCH, "initial_value": string(MAX_TEXT)}
    return _element({}, {**common, **optional})


def _lengths(value: Any, at: str) -> Iterator[str]:
    least, most = value.get("min_length"), value.get("max_length")
    if isinstance(least, int) and isinstance(most, int) and least > most:
        yield problem("must be less than max_length", f"{at}/min_length")


BUTTON = shape(
    {"text": plain(75)},
    {
        "action_id": ID,
        "url": string(3000),
        "value": string(2000, 0),
        "style": STYLE,
        "confirm": CONFIRM,
        "accessibility_label": string(75),
        "agent_prompt": string(4000),
        "focus_on_load": boolean,
    },
)
IMAGE = shape(
    {"alt_text": string(2000, 0)},
    {"image_url": string(3000), "slack_file": SLACK_FILE},
    either("image_url", "slack_file"),
)
CONVERSATION = {
    "default_to_current_conversation": boolean,
    "filter": FILTER,
}
SINGLE_MENUS: dict[str, Rule] = {
    "static_select": _menu({}, {**OPTIONS, "initial_option": PLAIN_OPTION}, OPTIONS_OR_GROUPS, initial_are_offered),
    "external_select": _menu({}, {"initial_option": PLAIN_OPTION, "min_query_length": integer(0, 100)}),
    "users_select": _menu({}, {"initial_user": USER}),
    "conversations_select": _menu({}, {"initial_conversation": USER, "response_url_enabled": boolean, **CONVERSATION}),
    "channels_select": _menu({}, {"initial_channel": USER, "response_url_enabled": boolean}),
}
MULTI_MENUS: dict[str, Rule] = {
    "multi_static_select": _multi(
        {},
        {**OPTIONS, "initial_options": array(PLAIN_OPTION, most=100)},
        OPTIONS_OR_GROUPS,
        initial_are_offered,
    ),
    "multi_external_select": _multi(
        {}, {"initial_options": array(PLAIN_OPTION, most=100), "min_query_length": integer(0, 100)}
    ),
    "multi_users_select": _multi({}, {"initial_users": array(USER, most=100)}),
    "multi_conversations_select": _multi({}, {"initial_conversations": array(USER, most=100), **CONVERSATION}),
    "multi_channels_select": _multi({}, {"initial_channels": array(USER, most=100)}),
}
CHOICES: dict[str, Rule] = {
    "checkboxes": _element(
        {"options": array(TEXT_OPTION, most=MAX_BOXES)},
        {"initial_options": array(TEXT_OPTION, most=MAX_BOXES), "confirm": CONFIRM},
        initial_are_offered,
    ),
    "radio_buttons": _element(
        {"options": array(TEXT_OPTION, most=MAX_BOXES)},
        {"initial_option": TEXT_OPTION, "confirm": CONFIRM},
        initial_are_offered,
    ),
}
DATES: dict[str, Rule] = {
    "datepicker": _menu({}, {"initial_date": DATE}),
    "timepicker": _menu({}, {"initial_time": TIME, "timezone": string(100)}),
}
DATETIME: dict[str, Rule] = {"datetimepicker": _element({}, {"initial_date_time": SECONDS, "confirm": CONFIRM})}
OVERFLOW: dict[str, Rule] = {
    "overflow": shape({"options": array(OVERFLOW_OPTION, most=5)}, {"action_id": ID, "confirm": CONFIRM}),
}
BUTTONS: dict[str, Rule] = {
    "button": BUTTON,
    "workflow_button": shape(
        {"text": plain(75), "workflow": TRIGGER},
        {"action_id": ID, "style": STYLE, "accessibility_label": string(75)},
    ),
}
TYPED: dict[str, Rule] = {
    "plain_text_input": _element(
        {},
        {
            "initial_value": string(MAX_TEXT, 0),
            "multiline": boolean,
            "min_length": integer(0, MAX_TEXT),
            "max_length": integer(1, MAX_TEXT),
            "dispatch_action_config": DISPATCH,
            "placeholder": plain(150),
        },
        _lengths,
    ),
    "rich_text_input": _element(
        {}, {"initial_value": anything, "dispatch_action_config": DISPATCH, "placeholder": plain(150)}
    ),
    "number_input": _line({"is_decimal_allowed": boolean, "min_value": string(50), "max_value": string(50)}),
    "email_text_input": _line({}),
    "url_text_input": _line({}),
}
FILES: dict[str, Rule] = {
    "file_input": shape(
        {},
        {"action_id": ID, "filetypes": array(string(20), most=100), "max_files": integer(1, 10)},
    ),
}
FEEDBACK_CHOICE = shape({"text": plain(75), "value": string(2000)}, {"accessibility_label": string(75)})
CONTEXT_ACTIONS: dict[str, Rule] = {
    "feedback_buttons": shape(
        {"positive_button": FEEDBACK_CHOICE, "negative_button": FEEDBACK_CHOICE}, {"action_id": ID}
    ),
    "icon_button": shape(
        {"icon": string(50), "text": plain(75)},
        {
            "action_id": ID,
            "value": string(2000),
            "confirm": CONFIRM,
            "accessibility_label": string(75),
            "visible_to_user_ids": array(USER, most=100),
        },
    ),
}

# "Works with block types" of each element's page, and what the page of the actions block lists.
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
    "rich_text_input": TYPED["rich_text_input"],
}
IN_INPUT = {**TYPED, **SINGLE_MENUS, **MULTI_MENUS, **CHOICES, **DATES, **DATETIME, **FILES}
EVERYWHERE = {**IN_SECTION, **IN_ACTIONS, **IN_INPUT, **CONTEXT_ACTIONS}

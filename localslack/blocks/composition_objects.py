"""Composition objects: texts, options, and confirmation dialogs.

Limits: https://docs.slack.dev/reference/block-kit/composition-objects and the constants in slack_sdk.models.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from localslack.blocks.rules import Rule, anything, array, boolean, by_type, choice, either, object_of, problem, string

TEXT_TYPES = ("plain_text", "mrkdwn")


def plain_text(max_length: int, min_length: int = 1) -> Rule:
    """Return the rule for a plain_text object."""
    return by_type({"plain_text": _plain_text_rule(max_length, min_length)}, TEXT_TYPES)


def text_object(max_length: int, min_length: int = 1) -> Rule:
    """Return the rule for a plain_text or mrkdwn object."""
    return by_type(
        {"plain_text": _plain_text_rule(max_length, min_length), "mrkdwn": _mrkdwn_rule(max_length, min_length)},
        TEXT_TYPES,
    )


def _plain_text_rule(max_length: int, min_length: int) -> Rule:
    return object_of({"text": string(max_length, min_length)}, {"emoji": boolean})


def _mrkdwn_rule(max_length: int, min_length: int) -> Rule:
    return object_of({"text": string(max_length, min_length)}, {"verbatim": boolean})


CONFIRM = object_of(
    {"title": plain_text(100), "text": text_object(300), "confirm": plain_text(30), "deny": plain_text(30)},
    {"style": choice("primary", "danger")},
)


def option(text: Rule, **extra_fields: Rule) -> Rule:
    """Return the rule for an option; extra_fields are the rules for more optional fields."""
    return object_of({"text": text, "value": string(150)}, {"description": plain_text(75), **extra_fields})


PLAIN_OPTION = option(plain_text(75))
TEXT_OPTION = option(text_object(75), description=text_object(75))
OVERFLOW_OPTION = option(plain_text(75), url=string(3000))
OPTION_GROUP = object_of({"label": plain_text(75), "options": array(PLAIN_OPTION, max_items=100)})


def check_initial_options(value: Any, pointer: str) -> Iterator[str]:
    """Yield a problem for each initial option that isn't among the options."""
    groups = [group for group in _as_list(value.get("option_groups")) if isinstance(group, dict)]
    offered = _as_list(value.get("options")) + [option for group in groups for option in _as_list(group.get("options"))]
    initial_option = value.get("initial_option")
    if initial_option is not None and initial_option not in offered:
        yield problem("must be one of the options", f"{pointer}/initial_option")
    for index, option in enumerate(_as_list(value.get("initial_options"))):
        if option not in offered:
            yield problem("must be one of the options", f"{pointer}/initial_options/{index}")


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


OPTIONS = {"options": array(PLAIN_OPTION, max_items=100), "option_groups": array(OPTION_GROUP, max_items=100)}
OPTIONS_OR_GROUPS = either("options", "option_groups")
DISPATCH_ACTION_CONFIG = object_of(
    {}, {"trigger_actions_on": array(choice("on_enter_pressed", "on_character_entered"), max_items=2)}
)
CONVERSATION_FILTER = object_of(
    {},
    {
        "include": array(choice("im", "mpim", "private", "public"), max_items=4),
        "exclude_external_shared_channels": boolean,
        "exclude_bot_users": boolean,
    },
)
SLACK_FILE = object_of({}, {"id": string(255), "url": string(3000)}, either("id", "url"))
WORKFLOW = object_of({"trigger": object_of({"url": string(3000)}, {"customizable_input_parameters": anything})})

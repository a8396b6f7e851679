"""Composition objects: texts, options, confirmations.

Limits: https://docs.slack.dev/reference/block-kit/composition-objects and the constants in slack_sdk.models.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from localslack.blocks.rules import Rule, anything, array, boolean, by_type, choice, either, problem, shape, string

TEXTS = ("plain_text", "mrkdwn")


def plain(most: int, least: int = 1) -> Rule:
    """A plain_text object."""
    return by_type({"plain_text": _plain(most, least)}, TEXTS)


def text(most: int, least: int = 1) -> Rule:
    """A plain_text or mrkdwn object."""
    return by_type({"plain_text": _plain(most, least), "mrkdwn": _mrkdwn(most, least)}, TEXTS)


def _plain(most: int, least: int) -> Rule:
    return shape({"text": string(most, least)}, {"emoji": boolean})


def _mrkdwn(most: int, least: int) -> Rule:
    return shape({"text": string(most, least)}, {"verbatim": boolean})


CONFIRM = shape(
    {"title": plain(100), "text": text(300), "confirm": plain(30), "deny": plain(30)},
    {"style": choice("primary", "danger")},
)


def option(words: Rule, **more: Rule) -> Rule:
    """An option: 75 characters to read, 150 to tell it by."""
    return shape({"text": words, "value": string(150)}, {"description": plain(75), **more})


PLAIN_OPTION = option(plain(75))
TEXT_OPTION = option(text(75), description=text(75))
OVERFLOW_OPTION = option(plain(75), url=string(3000))
OPTION_GROUP = shape({"label": plain(75), "options": array(PLAIN_OPTION, most=100)})


def initial_are_offered(value: Any, at: str) -> Iterator[str]:
    """initial_option(s) must be among the options, word for word."""
    groups = [group for group in _list(value.get("option_groups")) if isinstance(group, dict)]
    offered = _list(value.get("options")) + [one for group in groups for one in _list(group.get("options"))]
    first = value.get("initial_option")
    if first is not None and first not in offered:
        yield problem("must be one of the options", f"{at}/initial_option")
    for number, one in enumerate(_list(value.get("initial_options"))):
        if one not in offered:
            yield problem("must be one of the options", f"{at}/initial_options/{number}")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


OPTIONS = {"options": array(PLAIN_OPTION, most=100), "option_groups": array(OPTION_GROUP, most=100)}
OPTIONS_OR_GROUPS = either("options", "option_groups")
DISPATCH = shape({}, {"trigger_actions_on": array(choice("on_enter_pressed", "on_character_entered"), most=2)})
FILTER = shape(
    {},
    {
        "include": array(choice("im", "mpim", "private", "public"), most=4),
        "exclude_external_shared_channels": boolean,
        "exclude_bot_users": boolean,
    },
)
SLACK_FILE = shape({}, {"id": string(255), "url": string(3000)}, either("id", "url"))
TRIGGER = shape({"trigger": shape({"url": string(3000)}, {"customizable_input_parameters": anything})})

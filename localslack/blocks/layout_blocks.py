"""Layout blocks, and which of them go into messages, modals and Home tabs.

Limits: https://docs.slack.dev/reference/block-kit/blocks; of data_table and data_visualization, which are
newer than slack_sdk.models, only the outline is checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from localslack.blocks import elements
from localslack.blocks.composition_objects import SLACK_FILE, TEXTS, plain, text
from localslack.blocks.rules import (
    Fields,
    Rule,
    anything,
    array,
    boolean,
    by_type,
    choice,
    either,
    integer,
    problem,
    shape,
    string,
)

TABLE_ROWS = 100
TABLE_COLUMNS = 20


def _block(required: Fields, optional: Fields | None = None, *also: Rule) -> Rule:
    return shape(required, {"block_id": string(255), **(optional or {})}, *also)


def _open(required: Fields) -> Rule:
    """A block of which only some fields are known."""

    def rule(value: Any, at: str) -> Iterator[str]:
        known = {name: held for name, held in value.items() if name in required or name == "block_id"}
        yield from _block(required)(known, at)

    return rule


# -- rich text --------------------------------------------------------------------------------------------------

STYLE_NAMES = ["bold", "italic", "strike", "code", "underline", "highlight", "client_highlight", "unlink"]
STYLES = shape({}, dict.fromkeys(STYLE_NAMES, boolean))
RUNS = by_type(
    {
        "text": shape({"text": string(4000)}, {"style": STYLES}),
        "link": shape({"url": string(3000)}, {"text": string(4000), "unsafe": boolean, "style": STYLES}),
        "user": shape({"user_id": string(50)}, {"style": STYLES}),
        "usergroup": shape({"usergroup_id": string(50)}, {"style": STYLES}),
        "channel": shape({"channel_id": string(50)}, {"style": STYLES}),
        "team": shape({"team_id": string(50)}, {"style": STYLES}),
        "emoji": shape(
            {"name": string(100)},
            {"unicode": string(100), "url": string(3000), "skin_tone": integer(1, 6), "style": STYLES},
        ),
        "broadcast": shape({"range": choice("here", "channel", "everyone")}, {"style": STYLES}),
        "color": shape({"value": string(20)}, {"style": STYLES}),
        "date": shape(
            {"timestamp": integer(0, 99_999_999_999), "format": string(200)},
            {"url": string(3000), "fallback": string(200), "style": STYLES},
        ),
    }
)
MANY = 1000
SECTION_RUNS = shape({"elements": array(RUNS, most=MANY, least=0)})
RICH_TEXT_PARTS = by_type(
    {
        "rich_text_section": SECTION_RUNS,
        "rich_text_preformatted": shape(
            {"elements": array(RUNS, most=MANY)}, {"border": integer(0, 1), "language": string(50)}
        ),
        "rich_text_quote": shape({"elements": array(RUNS, most=MANY)}, {"border": integer(0, 1)}),
        "rich_text_list": shape(
            {
                "elements": array(by_type({"rich_text_section": SECTION_RUNS}), most=MANY),
                "style": choice("bullet", "ordered"),
            },
            {"indent": integer(0, 8), "offset": integer(0, 10_000), "border": integer(0, 1)},
        ),
    }
)
RICH_TEXT = _block({"elements": array(RICH_TEXT_PARTS, most=MANY)})


# -- tables -----------------------------------------------------------------------------------------------------


def _says_something(value: Any, at: str) -> Iterator[str]:
    parts = value.get("elements")
    if isinstance(parts, list) and not any(part.get("elements") for part in parts if isinstance(part, dict)):
        yield problem("must be more than 0 characters", f"{at}/elements")


CELL = by_type(
    {
        "raw_text": shape({"text": string(3000)}),
        "rich_text": _block({"elements": array(RICH_TEXT_PARTS, most=MANY)}, {}, _says_something),
    },
    ("raw_number",),  # of data_table
)
COLUMN = shape({}, {"align": choice("left", "center", "right"), "is_wrapped": boolean})


def _column(value: Any, at: str) -> Iterator[str]:
    return anything(value, at) if value is None else COLUMN(value, at)


TABLE = _block(
    {"rows": array(array(CELL, most=TABLE_COLUMNS), most=TABLE_ROWS)},
    {"column_settings": array(_column, most=TABLE_COLUMNS)},
)


# -- the rest ---------------------------------------------------------------------------------------------------

SECTION = _block(
    {},
    {
        "text": text(3000),
        "fields": array(text(2000), most=10),
        "accessory": by_type(elements.IN_SECTION, elements.EVERYWHERE),
        "expand": boolean,
    },
    either("text", "fields", both=True),
)
IMAGE = _block(
    {"alt_text": string(2000, 0)},
    {"image_url": string(3000), "slack_file": SLACK_FILE, "title": plain(2000)},
    either("image_url", "slack_file"),
)
INPUT = _block(
    {"label": plain(2000), "element": by_type(elements.IN_INPUT, elements.EVERYWHERE)},
    {"dispatch_action": boolean, "hint": plain(2000), "optional": boolean},
)
CONTEXT_ELEMENTS: dict[str, Rule] = {
    "image": elements.IMAGE,
    "plain_text": text(3000),
    "mrkdwn": text(3000),
}
VIDEO = _block(
    {
        "title": plain(200),
        "video_url": string(3000),
        "thumbnail_url": string(3000),
        "alt_text": string(2000),
    },
    {
        "author_name": string(50),
        "description": plain(200),
        "provider_icon_url": string(3000),
        "provider_name": string(50),
        "title_url": string(3000),
    },
)
EVERYWHERE: dict[str, Rule] = {
    "section": SECTION,
    "header": _block({"text": plain(150)}, {"level": integer(1, 4)}),
    "divider": _block({}),
    "context": _block({"elements": array(by_type(CONTEXT_ELEMENTS, (*TEXTS, *elements.EVERYWHERE)), most=10)}),
    "actions": _block({"elements": array(by_type(elements.IN_ACTIONS, elements.EVERYWHERE), most=25)}),
    "image": IMAGE,
    "input": INPUT,
    "rich_text": RICH_TEXT,
    "video": VIDEO,
}
MESSAGES_ONLY: dict[str, Rule] = {
    "table": TABLE,
    "markdown": _block({"text": string(12_000)}),
    "context_actions": _block({"elements": array(by_type(elements.CONTEXT_ACTIONS), most=5)}),
    "data_table": _open({"caption": string(3000), "rows": array(array(anything, most=20), least=2, most=201)}),
    "data_visualization": _open({}),
    **dict.fromkeys(("card", "carousel", "container", "plan", "task_card", "file", "call"), _open({})),
}
MODALS_ONLY: dict[str, Rule] = {
    "alert": _block({"text": text(3000)}, {"level": choice("default", "info", "warning", "error", "success")}),
}
KNOWN = {*EVERYWHERE, *MESSAGES_ONLY, *MODALS_ONLY}
MESSAGE_BLOCKS = array(by_type({**EVERYWHERE, **MESSAGES_ONLY}, KNOWN), most=50, least=0)
MODAL_BLOCKS = array(by_type({**EVERYWHERE, **MODALS_ONLY}, KNOWN), most=100)
# Slack's list of blocks names Home tabs for tables as well, and is said to draw none there: they are refused.
HOME_BLOCKS = array(by_type(EVERYWHERE, KNOWN), most=100)

"""Layout blocks, and which of them messages, modals, and Home tabs can contain.

Limits: https://docs.slack.dev/reference/block-kit/blocks. Blocks that are newer than slack_sdk.models, such as
data_table, are checked only loosely.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from localslack.blocks import elements
from localslack.blocks.composition_objects import SLACK_FILE, TEXT_TYPES, plain_text, text_object
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
    object_of,
    problem,
    string,
)

TABLE_ROWS = 100
TABLE_COLUMNS = 20


def _block(required: Fields, optional: Fields | None = None, *cross_field_rules: Rule) -> Rule:
    return object_of(required, {"block_id": string(255), **(optional or {})}, *cross_field_rules)


def _loosely_checked_block(required: Fields) -> Rule:
    """Return the rule for a block with additional, unchecked fields."""

    def rule(value: Any, pointer: str) -> Iterator[str]:
        known_fields = {
            name: field_value for name, field_value in value.items() if name in required or name == "block_id"
        }
        yield from _block(required)(known_fields, pointer)

    return rule


# -- rich text --------------------------------------------------------------------------------------------------

STYLE_NAMES = ["bold", "italic", "strike", "code", "underline", "highlight", "client_highlight", "unlink"]
TEXT_STYLE = object_of({}, dict.fromkeys(STYLE_NAMES, boolean))
RICH_TEXT_ELEMENTS = by_type(
    {
        "text": object_of({"text": string(4000)}, {"style": TEXT_STYLE}),
        "link": object_of({"url": string(3000)}, {"text": string(4000), "unsafe": boolean, "style": TEXT_STYLE}),
        "user": object_of({"user_id": string(50)}, {"style": TEXT_STYLE}),
        "usergroup": object_of({"usergroup_id": string(50)}, {"style": TEXT_STYLE}),
        "channel": object_of({"channel_id": string(50)}, {"style": TEXT_STYLE}),
        "team": object_of({"team_id": string(50)}, {"style": TEXT_STYLE}),
        "emoji": object_of(
            {"name": string(100)},
            {"unicode": string(100), "url": string(3000), "skin_tone": integer(1, 6), "style": TEXT_STYLE},
        ),
        "broadcast": object_of({"range": choice("here", "channel", "everyone")}, {"style": TEXT_STYLE}),
        "color": object_of({"value": string(20)}, {"style": TEXT_STYLE}),
        "date": object_of(
            {"timestamp": integer(0, 99_999_999_999), "format": string(200)},
            {"url": string(3000), "fallback": string(200), "style": TEXT_STYLE},
        ),
    }
)
MAX_RICH_TEXT_ELEMENTS = 1000
RICH_TEXT_SECTION = object_of({"elements": array(RICH_TEXT_ELEMENTS, max_items=MAX_RICH_TEXT_ELEMENTS, min_items=0)})
RICH_TEXT_PARTS = by_type(
    {
        "rich_text_section": RICH_TEXT_SECTION,
        "rich_text_preformatted": object_of(
            {"elements": array(RICH_TEXT_ELEMENTS, max_items=MAX_RICH_TEXT_ELEMENTS)},
            {"border": integer(0, 1), "language": string(50)},
        ),
        "rich_text_quote": object_of(
            {"elements": array(RICH_TEXT_ELEMENTS, max_items=MAX_RICH_TEXT_ELEMENTS)}, {"border": integer(0, 1)}
        ),
        "rich_text_list": object_of(
            {
                "elements": array(by_type({"rich_text_section": RICH_TEXT_SECTION}), max_items=MAX_RICH_TEXT_ELEMENTS),
                "style": choice("bullet", "ordered"),
            },
            {"indent": integer(0, 8), "offset": integer(0, 10_000), "border": integer(0, 1)},
        ),
    }
)
RICH_TEXT = _block({"elements": array(RICH_TEXT_PARTS, max_items=MAX_RICH_TEXT_ELEMENTS)})


# -- tables -----------------------------------------------------------------------------------------------------


def _check_cell_has_text(value: Any, pointer: str) -> Iterator[str]:
    parts = value.get("elements")
    if isinstance(parts, list) and not any(part.get("elements") for part in parts if isinstance(part, dict)):
        yield problem("must be more than 0 characters", f"{pointer}/elements")


CELL = by_type(
    {
        "raw_text": object_of({"text": string(3000)}),
        "rich_text": _block(
            {"elements": array(RICH_TEXT_PARTS, max_items=MAX_RICH_TEXT_ELEMENTS)}, {}, _check_cell_has_text
        ),
    },
    ("raw_number",),  # of data_table
)
COLUMN = object_of({}, {"align": choice("left", "center", "right"), "is_wrapped": boolean})


def _column_or_null(value: Any, pointer: str) -> Iterator[str]:
    return anything(value, pointer) if value is None else COLUMN(value, pointer)


TABLE = _block(
    {"rows": array(array(CELL, max_items=TABLE_COLUMNS), max_items=TABLE_ROWS)},
    {"column_settings": array(_column_or_null, max_items=TABLE_COLUMNS)},
)


# -- other blocks -----------------------------------------------------------------------------------------------

SECTION = _block(
    {},
    {
        "text": text_object(3000),
        "fields": array(text_object(2000), max_items=10),
        "accessory": by_type(elements.IN_SECTION, elements.ALL_ELEMENTS),
        "expand": boolean,
    },
    either("text", "fields", allow_both=True),
)
IMAGE = _block(
    {"alt_text": string(2000, 0)},
    {"image_url": string(3000), "slack_file": SLACK_FILE, "title": plain_text(2000)},
    either("image_url", "slack_file"),
)
INPUT = _block(
    {"label": plain_text(2000), "element": by_type(elements.IN_INPUT, elements.ALL_ELEMENTS)},
    {"dispatch_action": boolean, "hint": plain_text(2000), "optional": boolean},
)
CONTEXT_ELEMENTS: dict[str, Rule] = {
    "image": elements.IMAGE,
    "plain_text": text_object(3000),
    "mrkdwn": text_object(3000),
}
VIDEO = _block(
    {
        "title": plain_text(200),
        "video_url": string(3000),
        "thumbnail_url": string(3000),
        "alt_text": string(2000),
    },
    {
        "author_name": string(50),
        "description": plain_text(200),
        "provider_icon_url": string(3000),
        "provider_name": string(50),
        "title_url": string(3000),
    },
)
SHARED_BLOCKS: dict[str, Rule] = {
    "section": SECTION,
    "header": _block({"text": plain_text(150)}, {"level": integer(1, 4)}),
    "divider": _block({}),
    "context": _block(
        {"elements": array(by_type(CONTEXT_ELEMENTS, (*TEXT_TYPES, *elements.ALL_ELEMENTS)), max_items=10)}
    ),
    "actions": _block({"elements": array(by_type(elements.IN_ACTIONS, elements.ALL_ELEMENTS), max_items=25)}),
    "image": IMAGE,
    "input": INPUT,
    "rich_text": RICH_TEXT,
    "video": VIDEO,
}
MESSAGES_ONLY: dict[str, Rule] = {
    "table": TABLE,
    "markdown": _block({"text": string(12_000)}),
    "context_actions": _block({"elements": array(by_type(elements.CONTEXT_ACTIONS), max_items=5)}),
    "data_table": _loosely_checked_block(
        {"caption": string(3000), "rows": array(array(anything, max_items=20), min_items=2, max_items=201)}
    ),
    "data_visualization": _loosely_checked_block({}),
    **dict.fromkeys(("card", "carousel", "container", "plan", "task_card", "file", "call"), _loosely_checked_block({})),
}
MODALS_ONLY: dict[str, Rule] = {
    "alert": _block({"text": text_object(3000)}, {"level": choice("default", "info", "warning", "error", "success")}),
}
ALL_BLOCK_TYPES = {*SHARED_BLOCKS, *MESSAGES_ONLY, *MODALS_ONLY}
MESSAGE_BLOCKS = array(by_type({**SHARED_BLOCKS, **MESSAGES_ONLY}, ALL_BLOCK_TYPES), max_items=50, min_items=0)
MODAL_BLOCKS = array(by_type({**SHARED_BLOCKS, **MODALS_ONLY}, ALL_BLOCK_TYPES), max_items=100)
# Slack's documentation allows tables on Home tabs, but Slack reportedly doesn't show them, so they're rejected.
HOME_BLOCKS = array(by_type(SHARED_BLOCKS, ALL_BLOCK_TYPES), max_items=100)

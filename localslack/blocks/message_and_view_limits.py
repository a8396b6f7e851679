"""Slack's limits for a complete message or view: number of blocks, length, tables, and pictures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from localslack.blocks.composition_objects import plain_text
from localslack.blocks.layout_blocks import HOME_BLOCKS, MESSAGE_BLOCKS, MODAL_BLOCKS
from localslack.blocks.rules import boolean, choice, object_of, problem, string

# Slack reports this problem as invalid_attachments.
ONLY_ONE_TABLE = "only_one_table_allowed"
# Slack's problem with a slack_file that doesn't exist, isn't ready, or isn't shared with the reader.
INVALID_FILE = "invalid slack file"
TABLES = ("table", "data_table")
MARKDOWN_MAX = 12_000
# "10,000 characters across all cells": https://docs.slack.dev/reference/block-kit/blocks/table-block
CELLS_MAX = 10_000
# Slack rejects longer blocks with msg_blocks_too_long. It documents neither this limit nor how it counts. According to
# bolt-js#2509 and bolt-js#2867, a single markdown block can have 13,297 letters, each additional block reduces that,
# and several blocks with 11,341 letters were rejected. So Slack counts the JSON.
BLOCKS_MAX = 13_200
# Returns whether a slack_file, {"id": …} or {"url": …}, can be shown.
PictureCheck = Callable[[dict[str, Any]], bool]


def assume_picture_exists(_: dict[str, Any]) -> bool:
    """Return True for every slack_file, because the rules alone don't know which files exist."""
    return True


def message_problems(
    blocks: Any, pointer: str = "/blocks", has_picture: PictureCheck = assume_picture_exists
) -> list[str]:
    """Return the problems with a message's blocks.

    pointer: the JSON pointer to the blocks. has_picture: returns whether a slack_file can be shown.
    """
    if problems := list(MESSAGE_BLOCKS(blocks, pointer)):
        return problems
    return [*_message_level_problems(blocks, pointer), *_missing_pictures(blocks, pointer, has_picture)]


def view_problems(view: Any, has_picture: PictureCheck = assume_picture_exists, kind: str = "modal") -> list[str]:
    """Return the problems with a view; kind is "modal" or "home"."""
    if problems := list(_VIEW_RULES[kind](view, "/view")):
        return problems
    return [*_view_level_problems(view), *_missing_pictures(view["blocks"], "/view/blocks", has_picture)]


def length_of(blocks: list[dict[str, Any]]) -> int:
    """Return the length of a message's blocks as Slack counts it: the number of characters in their compact JSON."""
    return len(json.dumps(blocks, ensure_ascii=False, separators=(",", ":")))


def table_problems(blocks: list[dict[str, Any]], pointer: str) -> Iterator[str]:
    """Yield the problems with a message's tables; it can have only one, with up to 10,000 characters."""
    tables = [block for block in blocks if block["type"] in TABLES]
    if len(tables) > 1:
        yield problem(ONLY_ONE_TABLE, pointer)
    elif sum(_cell_characters(table.get("rows")) for table in tables) > CELLS_MAX:
        yield problem(f"the cells of a table must have less than {CELLS_MAX + 1} characters together", pointer)


def slack_files(value: Any, pointer: str = "") -> Iterator[tuple[dict[str, Any], str]]:
    """Yield every slack_file in blocks, at any depth, with its JSON pointer."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if key == "slack_file" and isinstance(item, dict):
            yield item, f"{pointer}/{key}"
        else:
            yield from slack_files(item, f"{pointer}/{key}")


_VIEW_IDENTIFIERS = {"private_metadata": string(3000, 0), "callback_id": string(255, 0), "external_id": string(255, 0)}
_VIEW_RULES = {
    "modal": object_of(
        {"type": choice("modal"), "title": plain_text(24), "blocks": MODAL_BLOCKS},
        {
            **_VIEW_IDENTIFIERS,
            "submit": plain_text(24),
            "close": plain_text(24),
            "clear_on_close": boolean,
            "notify_on_close": boolean,
            "submit_disabled": boolean,
        },
    ),
    # https://docs.slack.dev/reference/views/home-tab-views
    "home": object_of({"type": choice("home"), "blocks": HOME_BLOCKS}, _VIEW_IDENTIFIERS),
}


def _message_level_problems(blocks: list[dict[str, Any]], pointer: str) -> Iterator[str]:
    yield from _duplicate_ids(blocks, pointer)
    yield from table_problems(blocks, pointer)
    if sum(len(block["text"]) for block in blocks if block["type"] == "markdown") > MARKDOWN_MAX:
        yield problem(f"markdown blocks must have less than {MARKDOWN_MAX + 1} characters together", pointer)


def _view_level_problems(view: dict[str, Any]) -> Iterator[str]:
    blocks = view["blocks"]
    yield from _duplicate_ids(blocks, "/view/blocks")
    is_form = view["type"] == "modal" and any(block["type"] == "input" for block in blocks)
    if is_form and view.get("submit") is None:
        yield problem("missing required field: submit (a modal with an input block must have it)", "/view")
    focused = [element for block in blocks for element in _elements(block) if element.get("focus_on_load")]
    if len(focused) > 1:
        yield problem("only one element may have focus_on_load", "/view/blocks")


def _missing_pictures(blocks: list[dict[str, Any]], pointer: str, has_picture: PictureCheck) -> Iterator[str]:
    for slack_file, file_pointer in slack_files(blocks, pointer):
        if not has_picture(slack_file):
            yield problem(INVALID_FILE, file_pointer)


def _cell_characters(value: Any) -> int:
    """Count the visible characters in rows and cells."""
    if isinstance(value, list):
        return sum(map(_cell_characters, value))
    if not isinstance(value, dict):
        return 0
    text = value.get("text")
    return (len(text) if isinstance(text, str) else 0) + _cell_characters(value.get("elements"))


def _duplicate_ids(blocks: list[dict[str, Any]], pointer: str) -> Iterator[str]:
    for block_id in _duplicates([block.get("block_id") for block in blocks]):
        yield problem(f"block_id `{block_id}` must be unique", pointer)
    for index, block in enumerate(blocks):
        for action_id in _duplicates([element.get("action_id") for element in _elements(block)]):
            yield problem(f"action_id `{action_id}` must be unique within its block", f"{pointer}/{index}")


def _duplicates(ids: list[str | None]) -> list[str]:
    return [duplicate for duplicate, count in Counter(filter(None, ids)).items() if count > 1]


def _elements(block: dict[str, Any]) -> list[dict[str, Any]]:
    listed = block.get("elements", []) if block["type"] in ("actions", "context_actions") else []
    single = [block[name] for name in ("accessory", "element") if block.get(name)]
    return [*listed, *single]

"""Slack's rules for Block Kit, as pure functions: what is wrong with these blocks, or with this view?

Every problem names its rule and the JSON pointer of the place, in Slack's notation. An empty list means valid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from localslack.blocks.kit import boolean, choice, problem, shape, string
from localslack.blocks.layout import MESSAGE_BLOCKS, MODAL_BLOCKS
from localslack.blocks.objects import plain

# Slack answers this one with invalid_attachments.
ONLY_ONE_TABLE = "only_one_table_allowed"
TABLES = ("table", "data_table")
MARKDOWN_MAX = 12_000


def message_problems(blocks: Any, at: str = "/blocks") -> list[str]:
    """The rules that the blocks of a message break."""
    return list(MESSAGE_BLOCKS(blocks, at)) or list(_between_message_blocks(blocks, at))


def view_problems(view: Any) -> list[str]:
    """The rules that a modal breaks."""
    return list(_VIEW(view, "/view")) or list(_between_blocks(view))


_VIEW = shape(
    {"type": choice("modal"), "title": plain(24), "blocks": MODAL_BLOCKS},
    {
        "submit": plain(24),
        "close": plain(24),
        "private_metadata": string(3000, 0),
        "callback_id": string(255, 0),
        "external_id": string(255, 0),
        "clear_on_close": boolean,
        "notify_on_close": boolean,
        "submit_disabled": boolean,
    },
)


def _between_message_blocks(blocks: list[dict[str, Any]], at: str) -> Iterator[str]:
    yield from _repeated_ids(blocks, at)
    if sum(block["type"] in TABLES for block in blocks) > 1:
        yield problem(ONLY_ONE_TABLE, at)
    if sum(len(block["text"]) for block in blocks if block["type"] == "markdown") > MARKDOWN_MAX:
        yield problem(f"markdown blocks must have less than {MARKDOWN_MAX + 1} characters together", at)


def _between_blocks(view: dict[str, Any]) -> Iterator[str]:
    blocks = view["blocks"]
    yield from _repeated_ids(blocks, "/view/blocks")
    if view.get("submit") is None and any(block["type"] == "input" for block in blocks):
        yield problem("missing required field: submit (a modal with an input block must have it)", "/view")
    focused = [element for block in blocks for element in _elements(block) if element.get("focus_on_load")]
    if len(focused) > 1:
        yield problem("only one element may have focus_on_load", "/view/blocks")


def _repeated_ids(blocks: list[dict[str, Any]], at: str) -> Iterator[str]:
    for block_id in _repeated([block.get("block_id") for block in blocks]):
        yield problem(f"block_id `{block_id}` must be unique", at)
    for number, block in enumerate(blocks):
        for action_id in _repeated([element.get("action_id") for element in _elements(block)]):
            yield problem(f"action_id `{action_id}` must be unique within its block", f"{at}/{number}")


def _repeated(ids: list[str | None]) -> list[str]:
    return [one for one, count in Counter(filter(None, ids)).items() if count > 1]


def _elements(block: dict[str, Any]) -> list[dict[str, Any]]:
    listed = block.get("elements", []) if block["type"] in ("actions", "context_actions") else []
    single = [block[name] for name in ("accessory", "element") if block.get(name)]
    return [*listed, *single]

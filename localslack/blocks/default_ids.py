"""The IDs that Slack generates when an app leaves them out."""

from __future__ import annotations

import copy
import secrets
from typing import Any

JSON = dict[str, Any]

# Elements of these types aren't interactive, so they have no action ID.
_NON_INTERACTIVE = {"image", "plain_text", "mrkdwn"}


def with_default_ids(blocks: list[JSON]) -> list[JSON]:
    """Return a copy of valid blocks, with a block_id in every block and an action_id in every interactive element."""
    copied_blocks = copy.deepcopy(blocks)
    for block in copied_blocks:
        block.setdefault("block_id", secrets.token_urlsafe(4))
        for element in _elements(block):
            if element.get("type") not in _NON_INTERACTIVE:
                element.setdefault("action_id", secrets.token_urlsafe(4))
    return copied_blocks


def _elements(block: JSON) -> list[JSON]:
    if block["type"] in ("actions", "context_actions"):
        return list(block["elements"])
    return [element for name in ("accessory", "element") if (element := block.get(name))]

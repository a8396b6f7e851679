"""The modal for a rollback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slack_sdk.models.blocks import (
    Block,
    SectionBlock,
)

from bot.domain.registry.model import product
from bot.slack.core.blocks import mrkdwn_object
from bot.slack.core.forms import form_view, text_input
from bot.slack.core.mrkdwn import code

ROLLBACK = "rollback"


def rollback_modal(draft_id: str, prefilled: Mapping[str, str]) -> dict[str, Any]:
    """Return the modal that asks why a model is rolled back, and which one if that wasn't typed.

    `draft_id`: the draft that the submitted modal completes.
    """
    if "model" in prefilled:
        to = f"to {code(prefilled['version'], 40)}" if prefilled.get("version") else "to the previous good version"
        summary = f"Rolls back Production of {code(prefilled['model'], 120)} {to} immediately."
        blocks: list[Block] = [SectionBlock(text=mrkdwn_object(summary))]
    else:
        blocks = [
            text_input("model", "Model", prefilled, hint=f"The registered model's name in {product().name}"),
            text_input("version", "Version", prefilled, optional=True, hint="Empty: the previous good version"),
        ]
    blocks.append(text_input("reason", "Why?", {}, multiline=True, hint="The thread, the tags and the audit keep it"))
    return form_view(ROLLBACK, "Roll back", "Roll back now", draft_id, blocks)

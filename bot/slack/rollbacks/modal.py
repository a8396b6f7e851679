"""The modal for a rollback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slack_sdk.models.blocks import Block

from bot.slack.core.blocks import section
from bot.slack.core.forms import form_view, text_input
from bot.slack.core.mrkdwn import code

ROLLBACK = "rollback"


def rollback_modal(draft_id: str, prefilled: Mapping[str, str]) -> dict[str, Any]:
    """Return the modal that asks why a model is rolled back, and which one if that wasn't typed.

    `draft_id`: the draft that the submitted modal completes.
    """
    if "model" in prefilled:
        to = f"to {code(prefilled['version'], 40)}" if prefilled.get("version") else "to the previous good version"
        blocks: list[Block] = [section(f"Rolls back Production of {code(prefilled['model'], 120)} {to} immediately.")]
    else:
        blocks = [
            text_input("model", "Model", prefilled, hint="The registered model's name in MLflow"),
            text_input("version", "Version", prefilled, optional=True, hint="Empty: the previous good version"),
        ]
    blocks.append(text_input("reason", "Why?", {}, multiline=True, hint="The thread, the tags and the audit keep it"))
    return form_view(ROLLBACK, "Roll back", "Roll back now", draft_id, blocks)

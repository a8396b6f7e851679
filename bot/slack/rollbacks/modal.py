"""TODO bot.slack.rollbacks.modal"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slack_sdk.models.blocks import (
    Block,
    SectionBlock,
)

from bot.slack.core.blocks import markdown
from bot.slack.core.forms import _form, _text
from bot.slack.core.mrkdwn import code

ROLLBACK = "rollback"


def rollback(draft: str, given: Mapping[str, str]) -> dict[str, Any]:
    """Return the modal that asks why a model is rolled back, and which one if that wasn't typed.

    `draft` is the ask's id.
    """
    if "model" in given:
        to = f"to {code(given['version'], 40)}" if given.get("version") else "to the previous good version"
        what = f"Rolls back Production of {code(given['model'], 120)} {to} immediately."
        blocks: list[Block] = [SectionBlock(text=markdown(what))]
    else:
        blocks = [
            _text("model", "Model", given, hint="The registered model's name in MLflow"),
            _text("version", "Version", given, optional=True, hint="Empty: the previous good version"),
        ]
    blocks.append(_text("reason", "Why?", {}, multiline=True, hint="The thread, the tags and the audit keep it"))
    return _form(ROLLBACK, "Roll back", "Roll back now", draft, blocks)

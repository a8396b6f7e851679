"""Answers about the policy."""

from __future__ import annotations

from collections.abc import Sequence

from bot.domain.core.sentence import Sentence
from bot.slack.core.blocks import Message, build_message, fitting_rows_and_count, row_sections
from bot.slack.core.mrkdwn import code, to_mrkdwn


def policy_answer(model: str, lines: Sequence[Sentence]) -> Message:
    """Return what the policy says about a model."""
    rows = fitting_rows_and_count([f"• {to_mrkdwn(line)}" for line in lines])
    return build_message(f"The policy for {code(model, 120)}", row_sections(rows))

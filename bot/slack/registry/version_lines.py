"""Lines about a version that several messages share."""

from __future__ import annotations

from bot.domain.registry import rollback_block
from bot.domain.registry.rollback_block import RollbackBlock
from bot.slack.core.mrkdwn import MAX_TEXT_LENGTH, cut_mrkdwn, to_mrkdwn

MAX_APPROVERS = 10  # whose names are shown


def blocked_line(block: RollbackBlock) -> str:
    """Return the line about a blocked version, wherever people decide."""
    return cut_mrkdwn(f"⛔ {to_mrkdwn(rollback_block.block_details(block))}", MAX_TEXT_LENGTH)

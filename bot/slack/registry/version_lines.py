"""TODO bot.slack.registry.version_lines"""

from __future__ import annotations

from bot.domain.registry import rollback_block
from bot.domain.registry.rollback_block import Bar
from bot.slack.core.mrkdwn import TEXT_MOST, cut, mrkdwn

APPROVERS_MOST = 10  # whose names are shown


def blocked_line(block: Bar) -> str:
    """Return the line about a blocked version, wherever people decide."""
    return cut(f"⛔ {mrkdwn(rollback_block.blocked_by(block))}", TEXT_MOST)

"""Blocks on rolled-back versions."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import datetime

from bot.domain.core.actors import Actor, Automation, format_actor
from bot.domain.core.sentence import Code, Sentence, ended_with_period, say, truncate


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackBlock:
    """A block on a rolled-back version: rollbacks and gates reject the version until someone unblocks it."""

    id: str
    model: str
    version: int
    move: str  # the ID of the rollback transition
    at: datetime
    by: Actor
    reason: str
    cleared_at: datetime | None = None
    cleared_by: Actor | None = None
    clear_reason: str = ""


def block_reason(block: RollbackBlock) -> Sentence:
    """Return why a version is blocked, without mentioning anyone."""
    return say(
        "{v} is blocked: rolled back ({when}). {why}",
        v=Code(f"v{block.version}"),
        when=block.at,
        why=ended_with_period(truncate(block.reason, 300)),
    )


def block_details(block: RollbackBlock) -> Sentence:
    """Return why a version is blocked, who blocked it, and how to unblock it."""
    blocked_by = "" if isinstance(block.by, Automation) else say(" by {who}", who=format_actor(block.by))
    return say(
        "{v} was rolled back{who} ({when}): {why} To unblock it: {how}",
        v=Code(f"v{block.version}"),
        when=block.at,
        who=blocked_by,
        why=ended_with_period(truncate(block.reason, 300)),
        how=unblock_command(block.model, block.version),
    )


def unblock_command(model: str, version: int | None) -> Code:
    """Return the command that unblocks a version."""
    return Code(f'/model unblock {shlex.quote(model)} {version} --reason "…"')

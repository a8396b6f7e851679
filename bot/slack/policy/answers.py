"""Answers about rules: what the policy says, what the gates say of a version, what the audit holds."""

from __future__ import annotations

from collections.abc import Sequence

from slack_sdk.models.blocks import Block

from bot.domain.commands.queries import Validate
from bot.domain.core.sentence import Say
from bot.domain.promotions.gates import seen_sentence
from bot.domain.promotions.snapshot import Seen
from bot.domain.registry.model import VersionInfo
from bot.slack.core.blocks import Message, chunks, fitting, message, section, small
from bot.slack.core.mrkdwn import code, mrkdwn
from bot.slack.policy.gate_rows import gate_rows


def policy(model: str, lines: Sequence[Say]) -> Message:
    """Return what the policy says of a model."""
    blocks: list[Block] = [section(chunk) for chunk in chunks(fitting([f"• {mrkdwn(line)}" for line in lines]))]
    return message(f"The policy for {code(model, 120)}", blocks)


def validation(command: Validate, version: VersionInfo, seen: Seen) -> Message:
    """Return what the gates say of a version, and what can be done next."""
    text = mrkdwn(seen_sentence(version, command.to, seen))
    blocks: list[Block] = [section(text), *(section(chunk) for chunk in chunks(gate_rows(seen)))]
    ask = f"/model promote {command.model} {version.version} {command.to.value.lower()}"
    blocks += [] if seen.failed else [small(f"No request was opened. To open one: {code(ask, 300)}")]
    return message(text, blocks)

"""Answers about the policy and about gates."""

from __future__ import annotations

from collections.abc import Sequence

from slack_sdk.models.blocks import Block

from bot.domain.commands.policy import ShowPolicy
from bot.domain.commands.promotions import Validate
from bot.domain.core.sentence import Sentence
from bot.domain.promotions.gates import summarize_gates
from bot.domain.promotions.request import RequestSnapshot
from bot.domain.registry.model import VersionInfo
from bot.slack.core.answer import Answer, RenderContext, Renderers
from bot.slack.core.blocks import (
    build_message,
    context_line,
    fitting_rows_and_count,
    join_into_chunks,
    section,
)
from bot.slack.core.mrkdwn import code, to_mrkdwn
from bot.slack.policy.gate_rows import gate_rows


def _render_policy(command: ShowPolicy, lines: Sequence[Sentence], context: RenderContext) -> Answer:
    blocks: list[Block] = [
        section(chunk) for chunk in join_into_chunks(fitting_rows_and_count([f"• {to_mrkdwn(line)}" for line in lines]))
    ]
    return Answer(build_message(f"The policy for {code(command.model, 120)}", blocks))


def _render_validation(
    command: Validate, result: tuple[VersionInfo, RequestSnapshot], context: RenderContext
) -> Answer:
    """Return the results of a version's gates, and the next step."""
    version, snapshot = result
    text = to_mrkdwn(summarize_gates(version, command.to, snapshot))
    blocks: list[Block] = [section(text), *(section(chunk) for chunk in join_into_chunks(gate_rows(snapshot)))]
    promote_command = f"/model promote {command.model} {version.version} {command.to.value.lower()}"
    blocks += (
        []
        if snapshot.failed_gates
        else [context_line(f"No request was opened. To open one: {code(promote_command, 300)}")]
    )
    return Answer(build_message(text, blocks))


RENDERERS: Renderers = {ShowPolicy: _render_policy, Validate: _render_validation}

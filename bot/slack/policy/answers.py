"""Answers about the policy."""

from __future__ import annotations

from collections.abc import Sequence

from bot.domain.commands.policy import ShowPolicy
from bot.domain.core.sentence import Sentence
from bot.slack.core.answer import RenderContext, Renderers, SlackAnswer
from bot.slack.core.blocks import build_message, code, fitting_rows_and_count, row_sections, to_mrkdwn


def _render_policy(command: ShowPolicy, lines: Sequence[Sentence], context: RenderContext) -> SlackAnswer:
    rows = fitting_rows_and_count([f"• {to_mrkdwn(line)}" for line in lines])
    return SlackAnswer(build_message(f"Policy for {code(command.model, 120)}", row_sections(rows)))


RENDERERS: Renderers = {ShowPolicy: _render_policy}

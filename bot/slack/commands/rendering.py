"""Render the answers to commands."""

from __future__ import annotations

from typing import Any

from bot.domain.commands.base import Command
from bot.slack.audit import answers as audit
from bot.slack.core.answer import RenderContext, Renderers, SlackAnswer
from bot.slack.core.blocks import sentence_message
from bot.slack.monitoring import answers as monitoring
from bot.slack.monitoring import model_status
from bot.slack.policy import answers as policy
from bot.slack.promotions import request_card
from bot.slack.registry import answers as registry
from bot.slack.registry import comparison
from bot.slack.rollbacks import history

RENDERERS: Renderers = {
    **registry.RENDERERS,
    **comparison.RENDERERS,
    **request_card.RENDERERS,
    **history.RENDERERS,
    **policy.RENDERERS,
    **audit.RENDERERS,
    **monitoring.RENDERERS,
    **model_status.RENDERERS,
}


def render(command: Command, view: Any, context: RenderContext) -> SlackAnswer:
    """Return the answer to a command: from its renderer, or else the sentence that its change returned."""
    if (renderer := RENDERERS.get(type(command))) is not None:
        return renderer(command, view, context)
    return SlackAnswer(sentence_message(context.answer))

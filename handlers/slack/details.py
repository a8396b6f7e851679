"""Open a modal with the details of a request or version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slack_sdk.models.blocks import Block

from bot.domain.commands.base import QueryCommand
from bot.domain.core.errors import RegistrarError
from bot.domain.policy.authorization import Permission
from bot.domain.registry.model import VersionRef
from bot.services.core.commands import Origin
from bot.slack.core.blocks import sentence_message
from bot.slack.promotions import modals
from bot.slack.registry import answers as registry_answers
from bot.slack.rollbacks import history as history_answer
from handlers.errors import explain
from handlers.slack.interactions import SlackInteractions
from handlers.slack.replies import ReplyTarget


def show_version(
    interactions: SlackInteractions,
    target: ReplyTarget,
    read: Callable[[], tuple[list[Block], str, int, QueryCommand | None]],
) -> None:
    """Open the modal immediately, since its trigger expires, and fill it once the registry responds.

    `read` returns the blocks that don't need the registry, the model and version to show after them, and the history
    query, if any, whose result goes in between.
    """

    def show() -> None:
        registrar, caller = interactions.registrar, interactions.caller(target)
        registrar.access_control.require_permission(caller, Permission.READ, origin="slack")
        known, model, version, history = read()
        view_id = interactions.open_modal(target, modals.details_modal(known))
        blocks: list[Block | dict[str, Any]] = [*known]
        try:
            if history:
                timeline = registrar.commands.execute(caller, history, Origin(entry_point="slack")).view
                blocks += history_answer.timeline_message(timeline).blocks
            card = registrar.registry_queries.version_card(model, VersionRef("number", str(version)))
            blocks += registry_answers.version_answer(card, registrar.context.links).blocks
        except RegistrarError as error:
            blocks += sentence_message(explain(error)).blocks
        interactions.client.views_update(view_id=view_id, view=modals.details_modal(blocks, is_complete=True))

    interactions.defer(target, show)

"""Open forms from the shortcuts in a message's menu."""

from __future__ import annotations

from typing import Any

from slack_bolt import Ack, App

from bot.domain.core.errors import UnknownRequest
from bot.domain.transitions.drift import DriftNoticeKind
from bot.slack.transitions import drift_notice
from handlers.errors import explain
from handlers.slack.commands import open_promotion_form
from handlers.slack.interactions import SlackInteractions
from handlers.slack.replies import target_of_interaction

REQUEST_PROMOTION = "request_promotion"  # the shortcut's callback ID in manifest.yml


def register(app: App, interactions: SlackInteractions) -> None:
    """Listen for the shortcut that requests a promotion."""

    def on_shortcut(ack: Ack, body: dict[str, Any]) -> None:
        target = target_of_interaction(body)
        try:
            notice_id = drift_notice.notice_id_in(body["message"].get("blocks") or ())
            open_promotion_form(interactions, target, _announced_version(interactions, notice_id) if notice_id else {})
        except Exception as error:  # explained to the person; unforeseen ones get an ID to quote
            interactions.reply_later(target, explain(error))
        ack()

    app.shortcut(REQUEST_PROMOTION)(on_shortcut)


def _announced_version(interactions: SlackInteractions, notice_id: str) -> dict[str, str]:
    """Return the model and version that a notice announces; empty if the notice is about something else."""
    with interactions.registrar.context.ledger.read() as reader:
        try:
            notice = reader.drift_notice(notice_id)
        except UnknownRequest:
            return {}
    if notice.kind is not DriftNoticeKind.REGISTERED:
        return {}
    return {"model": notice.model, "version": str(notice.versions[0])}

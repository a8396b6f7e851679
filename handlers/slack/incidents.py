"""Slack listeners for incidents' buttons. Permission is checked on every click; a button carries only an id."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from slack_bolt import Ack, App

from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import Sentence
from bot.domain.monitoring.incident import IncidentStatus
from bot.slack.core.blocks import Message
from bot.slack.monitoring import answers as monitoring_answers
from bot.slack.monitoring import incident_card
from handlers.errors import explain
from handlers.slack.commands import open_promotion_form
from handlers.slack.interactions import SlackInteractions
from handlers.slack.monitoring import parse_id
from handlers.slack.replies import ReplyTarget, target_of_interaction

SILENCE_DURATION = timedelta(hours=2)  # what the button means


def register(app: App, interactions: SlackInteractions) -> None:
    """Register the listeners for incidents' buttons."""
    for action, act in {
        incident_card.ACKNOWLEDGE: _acknowledge,
        incident_card.SILENCE: _silence,
        incident_card.DETAILS: _details,
        incident_card.UNDO: _undo,
        incident_card.ROLL_BACK: _roll_back,
    }.items():
        app.action(action)(_click_listener(interactions, act))


def _click_listener(
    interactions: SlackInteractions, handler: Callable[[SlackInteractions, ReplyTarget, str], Sentence | None]
) -> Callable[..., None]:
    def on_click(ack: Ack, body: dict[str, Any]) -> None:
        place = target_of_interaction(body)
        try:
            sentence = handler(interactions, place, parse_id(str(body["actions"][0].get("value", ""))))
            if sentence is not None:
                interactions.reply_later(place, interactions.reply_and_deliver(sentence))
        except Exception as error:  # explained to the person; unforeseen ones get an id to quote
            interactions.reply_later(place, explain(error))
        ack()

    return on_click


def _acknowledge(interactions: SlackInteractions, target: ReplyTarget, incident_id: str) -> Sentence:
    return interactions.registrar.monitors.acknowledge(interactions.caller(target), incident_id, origin="slack")


def _silence(interactions: SlackInteractions, target: ReplyTarget, incident_id: str) -> Sentence:
    return interactions.registrar.monitors.silence_incident(
        interactions.caller(target), incident_id, SILENCE_DURATION, origin="slack"
    )


def _roll_back(interactions: SlackInteractions, target: ReplyTarget, incident_id: str) -> Sentence:
    return interactions.confirm_incident_rollback(target, incident_id)


def _undo(interactions: SlackInteractions, target: ReplyTarget, incident_id: str) -> None:
    """Open the form that requests the rolled-back version again, like any other promotion."""
    incident, _ = interactions.registrar.monitors.incident(incident_id)
    if incident.doing not in {IncidentStatus.ROLLED_BACK, IncidentStatus.NOT_FOLLOWED} or incident.version is None:
        raise BadInput("Nothing was rolled back here, so there is nothing to undo.")
    open_promotion_form(
        interactions, target, {"model": incident.model, "version": str(incident.version), "to": "production"}
    )


def _details(interactions: SlackInteractions, target: ReplyTarget, incident_id: str) -> None:
    """Show the incident's monitors to the person who clicked."""

    def read() -> Message:
        incident, monitors = interactions.registrar.monitors.incident(incident_id)
        views = [
            interactions.registrar.monitors.view(monitor.id) for monitor in monitors[: monitoring_answers.MAX_DETAILS]
        ]
        return monitoring_answers.incident_details(incident, views)

    interactions.run_query(target, read)

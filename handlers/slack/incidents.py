"""Clicks on incidents. Whoever presses is asked again whether they may; the button carries an id and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from slack_bolt import Ack, App

from bot.domain.core.errors import BadInput
from bot.domain.core.sentence import Say
from bot.domain.monitoring.incident import Doing
from bot.slack.core.blocks import Message
from bot.slack.monitoring import answers as monitoring_answers
from bot.slack.monitoring import incident_card
from handlers.errors import explain
from handlers.slack.commands import ask_for_promotion
from handlers.slack.interactions import Desk
from handlers.slack.monitoring import id_in
from handlers.slack.replies import Place, of_interaction

SILENCE = timedelta(hours=2)  # what the button means


def register(app: App, desk: Desk) -> None:
    """Listen to the buttons of incidents."""
    for action, act in {
        incident_card.ACKNOWLEDGE: _acknowledge,
        incident_card.SILENCE: _silence,
        incident_card.DETAILS: _details,
        incident_card.UNDO: _undo,
        incident_card.ROLL_BACK: _roll_back,
    }.items():
        app.action(action)(_listener(desk, act))


def _listener(desk: Desk, act: Callable[[Desk, Place, str], Say | None]) -> Callable[..., None]:
    def on_click(ack: Ack, body: dict[str, Any]) -> None:
        place = of_interaction(body)
        try:
            sentence = act(desk, place, id_in(str(body["actions"][0].get("value", ""))))
            if sentence is not None:
                desk.answer(place, desk.told(sentence))
        except Exception as error:  # explained to the person; unforeseen ones get an id to quote
            desk.answer(place, explain(error))
        ack()

    return on_click


def _acknowledge(desk: Desk, place: Place, incident_id: str) -> Say:
    return desk.registrar.monitors.acknowledge(desk.caller(place), incident_id, origin="slack")


def _silence(desk: Desk, place: Place, incident_id: str) -> Say:
    return desk.registrar.monitors.silence_incident(desk.caller(place), incident_id, SILENCE, origin="slack")


def _roll_back(desk: Desk, place: Place, incident_id: str) -> Say:
    return desk.answer_incident(place, incident_id)


def _undo(desk: Desk, place: Place, incident_id: str) -> None:
    """Open the form that asks for the version again that was taken out; the rules decide, as for every promotion."""
    incident, _ = desk.registrar.monitors.incident(incident_id)
    if incident.doing not in {Doing.ROLLED_BACK, Doing.NOT_FOLLOWED} or incident.version is None:
        raise BadInput("Nothing was rolled back here, so there is nothing to undo.")
    ask_for_promotion(desk, place, {"model": incident.model, "version": str(incident.version), "to": "production"})


def _details(desk: Desk, place: Place, incident_id: str) -> None:
    """Show the incident's monitors to whoever presses."""

    def read() -> Message:
        incident, monitors = desk.registrar.monitors.incident(incident_id)
        views = [desk.registrar.monitors.view(one.id) for one in monitors[: monitoring_answers.DETAILS_MOST]]
        return monitoring_answers.details(incident, views)

    desk.look_up(place, read)

"""Slack's listeners. `register` puts them on an app; importing changes nothing."""

from __future__ import annotations

from slack_bolt import App

from bot.registrar import Registrar
from handlers.slack import buttons, commands, home, incidents, modals, monitoring
from handlers.slack.interactions import SlackInteractions


def register(app: App, registrar: Registrar, mlflow_url: str | None = None) -> SlackInteractions:
    """Put every listener on the app; return what they share, to be closed at the end. `web` is MLflow's address."""
    desk = SlackInteractions(registrar, app.client, mlflow_url)
    commands.register(app, desk)
    buttons.register(app, desk)
    modals.register(app, desk)
    home.register(app, desk)
    monitoring.register(app, desk)
    incidents.register(app, desk)
    app.error(desk.log_unexpected)
    return desk

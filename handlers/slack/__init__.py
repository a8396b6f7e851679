"""Slack's listeners. `register` puts them on an app; importing changes nothing."""

from __future__ import annotations

from slack_bolt import App

from bot.registrar import Registrar
from handlers.slack import buttons, commands, home, modals
from handlers.slack.interactions import SlackInteractions


def register(app: App, registrar: Registrar) -> SlackInteractions:
    """Register every listener; return what they share, to be closed at the end."""
    interactions = SlackInteractions(registrar, app.client)
    commands.register(app, interactions)
    buttons.register(app, interactions)
    modals.register(app, interactions)
    home.register(app, interactions)
    app.error(interactions.log_unexpected)
    return interactions

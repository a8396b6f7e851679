"""Slack's listeners. `register` adds them to an app; importing the module has no side effects."""

from __future__ import annotations

from slack_bolt import App

from bot.registrar import Registrar
from handlers.slack import buttons, commands, home, links, messages, modal_submissions, shortcuts
from handlers.slack.forms import failed_commands, menu_suggestions
from handlers.slack.interactions import SlackInteractions


def register(app: App, registrar: Registrar) -> SlackInteractions:
    """Register all listeners; return their shared object, which the caller must close."""
    interactions = SlackInteractions(registrar, app.client)
    commands.register(app, interactions)
    buttons.register(app, interactions)
    modal_submissions.register(app, interactions)
    menu_suggestions.register(app, interactions)
    failed_commands.register(app, interactions)
    home.register(app, interactions)
    messages.register(app, interactions)
    shortcuts.register(app, interactions)
    links.register(app, interactions)
    app.error(interactions.log_unexpected)
    return interactions

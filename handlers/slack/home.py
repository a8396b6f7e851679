"""Publish the Home tab when a person opens it and after their own actions, but not for everyone at every change."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from slack_bolt import App
from slack_sdk.errors import SlackApiError

from bot.domain.core.actors import Person
from bot.domain.core.errors import Refused
from bot.domain.policy.authorization import Permission
from bot.slack.core.client import CONNECTION_ERRORS, error_code
from bot.slack.home import view as home_view
from handlers.slack.interactions import SlackInteractions
from handlers.slack.replies import ReplyTarget

log = logging.getLogger(__name__)


def register(app: App, interactions: SlackInteractions) -> None:
    """Listen for opened Home tabs."""

    def on_opened(body: dict[str, Any]) -> None:
        event = body["event"]
        if event.get("tab", "home") == "home":
            person = Person(str(body.get("team_id", "")), str(event.get("user", "")))
            interactions.defer(
                ReplyTarget(person=person, channel=""),
                lambda: publish_home(interactions, person),
                interactions.registrar.submit_query,
            )

    app.event("app_home_opened")(on_opened)


def publish_home(interactions: SlackInteractions, person: Person) -> None:
    """Publish a person's current Home tab, or log why it can't be published."""
    registrar = interactions.registrar
    try:
        caller = registrar.directory.profile(person)
        registrar.access_control.require_permission(caller, Permission.READ, origin="slack")
        home = registrar.homes.view_for(caller, partial(home_view.message_link, interactions.workspace_url()))
        view = home_view.home_view(home, registrar.context.links)
    except Refused as error:
        view = home_view.refused_view(error.sentence)
    try:
        interactions.client.views_publish(user_id=person.user, view=view)
    except (SlackApiError, *CONNECTION_ERRORS) as error:
        why = error_code(error) if isinstance(error, SlackApiError) else str(error)
        log.warning("can't publish the Home tab of %s: %s", person.user, why)

"""The Home tab: published when somebody opens it, and again after their own acts; not to everyone at every change."""

from __future__ import annotations

import logging
from typing import Any

from slack_bolt import App
from slack_sdk.errors import SlackApiError

from bot.domain.core.actors import Person
from bot.domain.core.errors import Refused
from bot.domain.policy.authorization import Act
from bot.slack.core.api_errors import LOST, error_of
from bot.slack.home import view as home_view
from handlers.slack.interactions import Desk
from handlers.slack.replies import Place

log = logging.getLogger(__name__)


def register(app: App, desk: Desk) -> None:
    """Listen to visits."""

    def on_opened(body: dict[str, Any]) -> None:
        event = body["event"]
        if event.get("tab", "home") == "home":
            person = Person(str(body.get("team_id", "")), str(event.get("user", "")))
            desk.after(Place(person=person, channel=""), lambda: publish(desk, person), desk.registrar.look)

    app.event("app_home_opened")(on_opened)


def publish(desk: Desk, person: Person) -> None:
    """Publish somebody's Home as it is now; a Slack that has none is told of in the log."""
    try:
        view = _view(desk, person)
    except Refused as error:
        view = home_view.refused(error.sentence)
    try:
        desk.client.views_publish(user_id=person.user, view=view)
    except (SlackApiError, *LOST) as error:
        why = error_of(error) if isinstance(error, SlackApiError) else str(error)
        log.warning("the Home of %s cannot be published: %s", person.user, why)


def _view(desk: Desk, person: Person) -> dict[str, Any]:
    caller = desk.registrar.directory.profile(person)
    desk.registrar.gatekeeper.admit(caller, Act.READ, origin="slack")
    return home_view.home(desk.registrar.homes.of(caller))

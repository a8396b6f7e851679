"""Show a version's state below a link to its page in the registry."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from slack_bolt import App
from slack_sdk.errors import SlackApiError

from bot.domain.core.actors import Person
from bot.domain.core.errors import RegistrarError
from bot.domain.policy.authorization import Permission
from bot.domain.promotions.request import OPEN_STATES
from bot.domain.registry.model import VersionRef
from bot.ports import MessageRef
from bot.slack.core.client import CONNECTION_ERRORS, missing_scopes
from bot.slack.registry.unfurl import version_unfurl
from handlers.slack.deferred import after_acknowledgement
from handlers.slack.interactions import SlackInteractions

log = logging.getLogger(__name__)

MAX_UNFURLS = 5  # links in one message that get a preview


def register(app: App, interactions: SlackInteractions) -> None:
    """Listen for shared links.

    In a channel with people from other workspaces, nothing is shown, since they would see it too. Nor is anything shown
    while someone is writing a message: Slack sends the event again once it's posted.
    """

    def on_link_shared(body: dict[str, Any]) -> None:
        event = body["event"]
        if body.get("is_ext_shared_channel") or event.get("source") == "composer" or not event.get("user"):
            return
        person = Person(str(body.get("team_id") or ""), str(event["user"]))
        message = MessageRef(str(event.get("channel") or ""), str(event.get("message_ts") or ""))
        urls = [str(link["url"]) for link in event.get("links") or ()]
        after_acknowledgement(
            lambda: interactions.registrar.submit_query(
                lambda: _unfurl(interactions, person, message, urls), person.user
            )
        )

    app.event("link_shared")(on_link_shared)


def _unfurl(interactions: SlackInteractions, person: Person, message: MessageRef, urls: Sequence[str]) -> None:
    """Show the versions below a message. No one asked for this, so errors are only logged."""
    find_version = interactions.registrar.context.links.version_at
    versions = {url: version for url in urls[:MAX_UNFURLS] if (version := find_version(url))}
    try:
        if not versions or not _can_read(interactions, person):
            return
        previews = {url: _preview(interactions, *version) for url, version in versions.items()}
        if unfurls := {url: {"blocks": blocks} for url, blocks in previews.items() if blocks}:
            interactions.client.chat_unfurl(channel=message.channel, ts=message.ts, unfurls=unfurls)
    except RegistrarError as error:
        log.info("no preview for links: %s", error)
    except (SlackApiError, *CONNECTION_ERRORS) as error:
        log.warning("Slack rejected the preview of a link: %s", error)
        interactions.registrar.admins.report_missing_scopes(missing_scopes(error))


def _can_read(interactions: SlackInteractions, person: Person) -> bool:
    caller = interactions.registrar.directory.profile(person)
    return interactions.registrar.access_control.allows(caller, Permission.READ)


def _preview(interactions: SlackInteractions, model: str, version: int) -> list[dict[str, Any]]:
    """Return a version's state, with a link to the card of its open request; empty if it can't be read."""
    registrar = interactions.registrar
    try:
        card = registrar.registry_queries.version_card(model, VersionRef("number", str(version)))
    except RegistrarError as error:
        log.info("no preview for a link: %s", error)
        return []
    with registrar.context.ledger.read() as reader:
        requests = reader.requests(model=model, version=version, states=OPEN_STATES, limit=1)
        request = requests[0] if requests and requests[0].is_about(card.version) else None
        posted = reader.message_ref(request.id) if request else None
    link = interactions.message_links.find(posted) if posted else ""
    return version_unfurl(card, registrar.context.policy.metrics_for(model), request, link)

"""Where an answer goes: whoever acted, and where."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot.domain.core.actors import Person
from bot.http_client import certificates
from bot.ports import Posting
from bot.slack.core.api_errors import LOST, QUIET, lacking
from bot.slack.core.blocks import Message
from bot.slack.delivery.publisher import Attached, TellOfScopes, upload
from bot.slack.registry.answers import chart_is_direct

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Who acted, in which channel, and the address that Slack gave for answering them."""

    person: Person
    channel: str
    response_url: str | None = None
    trigger: str | None = None
    in_home: bool = False  # on their Home tab, which shows what came of it


def of_command(body: Mapping[str, Any]) -> Place:
    """Return the place of a slash command."""
    return Place(
        person=Person(str(body["team_id"]), str(body["user_id"])),
        channel=str(body.get("channel_id") or ""),
        response_url=body.get("response_url"),
        trigger=body.get("trigger_id"),
    )


def of_interaction(body: Mapping[str, Any]) -> Place:
    """Return the place of a click or a submitted modal. The person's team is only what the payload claims.

    On Enterprise Grid, that's their home, which can differ from their commands' team: the directory decides.
    """
    user = body["user"]
    team = user.get("team_id") or (body.get("team") or {}).get("id") or ""
    return Place(
        person=Person(str(team), str(user["id"])),
        channel=str((body.get("channel") or {}).get("id", "")),
        response_url=body.get("response_url"),
        trigger=body.get("trigger_id"),
        in_home=(body.get("view") or {}).get("type") == "home",
    )


@dataclass(frozen=True, slots=True)
class Pictured:
    """An answer, and what draws its picture."""

    message: Message
    picture: Callable[[], Attached]


class Replies:
    """Answers one person, and only them. `tell_of_scopes` is called with the scopes that a picture would need."""

    def __init__(self, client: WebClient, tell_of_scopes: TellOfScopes) -> None:
        self._client = client
        self._tell_of_scopes = tell_of_scopes
        # One connection is kept: a new one, with its certificates, costs more than all the rest of an answer.
        self._http = httpx.Client(timeout=5, verify=certificates())

    def close(self) -> None:
        """Close the kept connection."""
        self._http.close()

    def show(self, place: Place, answer: Pictured) -> None:
        """Answer, then post the picture in the person's direct messages: an ephemeral message can't have a file.

        If Slack refuses the picture, there's only the answer.
        """
        self.send(place, answer.message)
        try:
            direct = str(self._client.conversations_open(users=place.person.user)["channel"]["id"])
            sent = upload(self._client, Posting(direct, ""), answer.picture(), comment=answer.message.text)
        except (SlackApiError, *LOST) as error:
            log.warning("Slack takes no picture (%s): the answer goes without", error)
            self._tell_of_scopes(lacking(error))
            return
        if place.channel not in {"", direct}:
            self.send(place, chart_is_direct(sent.link))

    def send(self, place: Place, message: Message) -> None:
        """Answer at the response address, else in the channel, else directly; what fails is logged."""
        for way in (self._respond, self._ephemeral, self._direct):
            try:
                if way(place, message):
                    return
            except (SlackApiError, httpx.HTTPError, httpx.InvalidURL, *LOST) as error:
                log.warning("an answer got lost on one way (%s)", error)
        log.error("no way to answer %s", place.person.user)

    def _respond(self, place: Place, message: Message) -> bool:
        if not place.response_url:
            return False
        body = {
            "text": message.text,
            "blocks": message.blocks,
            "response_type": "ephemeral",
            "replace_original": False,
            **QUIET,
        }
        reply = self._http.post(place.response_url, json=body)
        return reply.status_code == 200 and not reply.text.startswith('{"ok":false')

    def _ephemeral(self, place: Place, message: Message) -> bool:
        if not place.channel:
            return False
        self._client.chat_postEphemeral(
            channel=place.channel, user=place.person.user, text=message.text, blocks=message.blocks, parse="none"
        )
        return True

    def _direct(self, place: Place, message: Message) -> bool:
        self._client.chat_postMessage(channel=place.person.user, text=message.text, blocks=message.blocks, **QUIET)
        return True

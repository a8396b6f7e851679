"""Where an answer goes: whoever acted, and where."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_fixed

from bot.domain.people import Person
from bot.outside import certificates
from bot.slack.blocks import Message, pictured
from bot.slack.calls import LOST, QUIET
from bot.slack.publisher import Attached, keep

log = logging.getLogger(__name__)

SHOWN_TRIES, PAUSE = 2, 1.5  # a response address may be used five times


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
    """Return the place of a click or a submitted modal. The person's team is what the payload claims, no more.

    On Enterprise Grid it's their home, and not the team of their commands: the directory tells whose people they are.
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
    """An answer with a picture in it."""

    message: Message
    picture: Attached


class Replies:
    """Tells one person something, and only them. `pause` lies between two tries to show a picture, in seconds."""

    def __init__(self, client: WebClient, *, pause: float = PAUSE) -> None:
        self._client = client
        self._pause = pause
        # One connection is kept: a new one, with its certificates, costs more than all the rest of an answer.
        self._http = httpx.Client(timeout=5, verify=certificates())

    def close(self) -> None:
        """Close the kept connection."""
        self._http.close()

    def show(self, place: Place, answer: Pictured) -> None:
        """Answer with a picture that nobody else sees; where Slack shows none, without it.

        The picture is uploaded and shared with nobody; the answer's block shows it. Slack looks into an upload some
        time after it is there, and refuses the block until then.
        """
        file_id = ""
        try:
            file_id = keep(self._client, answer.picture)
        except (SlackApiError, *LOST) as error:
            log.warning("Slack takes no picture (%s): the answer goes without", error)
        if file_id:
            shown = pictured(answer.message, file_id, answer.picture.alt)
            tries = Retrying(
                retry=retry_if_result(lambda is_shown: not is_shown), stop=stop_after_attempt(SHOWN_TRIES),
                wait=wait_fixed(self._pause), retry_error_callback=lambda state: False,
            )  # fmt: skip
            if tries(self._is_shown, place, shown):
                return
            log.warning("Slack does not show the picture: the answer goes without")
        self.send(place, answer.message)

    def _is_shown(self, place: Place, message: Message) -> bool:
        """Answer on the one way that there is; tell whether Slack took it."""
        way = self._respond if place.response_url else self._ephemeral if place.channel else self._direct
        try:
            return way(place, message)
        except (SlackApiError, httpx.HTTPError, httpx.InvalidURL, *LOST) as error:
            log.info("a picture is not shown yet (%s)", error)
            return False

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
        body = {"text": message.text, "blocks": message.blocks, "response_type": "ephemeral",
                "replace_original": False, **QUIET}  # fmt: skip
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

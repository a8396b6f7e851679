"""Send answers to the person who acted, where they acted."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot.domain.core.actors import Person
from bot.http_client import trusted_certificates
from bot.slack.core.blocks import Message
from bot.slack.core.client import CONNECTION_ERRORS, POST_OPTIONS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyTarget:
    """Who acted, in which channel, and the URL that Slack provided for answers.

    If the action fails, `typed` can be corrected, and the form of the stored command `command_id` can be reopened.
    """

    person: Person
    channel: str
    response_url: str | None = None
    trigger_id: str | None = None
    is_home: bool = False  # on the Home tab, which shows the result itself
    typed: str = ""
    command_id: str = ""
    is_direct: bool = False  # typed in a direct message, which is answered with a message
    answer_thread: str | None = None  # of the message that was answered, if it's in one
    message_key: str | None = None  # identifies the message that was typed, which Slack can deliver twice

    @property
    def is_in_direct_messages(self) -> bool:
        """Whether they acted in direct messages, or nowhere in particular."""
        return not self.channel or self.channel.startswith("D")


def target_of_command(body: Mapping[str, Any]) -> ReplyTarget:
    """Return the reply target of a slash command."""
    return ReplyTarget(
        person=Person(str(body["team_id"]), str(body["user_id"])),
        channel=str(body.get("channel_id") or ""),
        response_url=body.get("response_url"),
        trigger_id=body.get("trigger_id"),
    )


def target_of_message(body: Mapping[str, Any]) -> ReplyTarget:
    """Return the reply target of a message to the bot, which has no trigger to open a form with."""
    event = body["event"]
    return ReplyTarget(
        person=Person(str(event.get("team") or body.get("team_id") or ""), str(event["user"])),
        channel=str(event["channel"]),
        is_direct=event.get("channel_type") == "im",
        answer_thread=event.get("thread_ts"),
        message_key=f"{event['channel']}:{event['ts']}",
    )


def target_of_interaction(body: Mapping[str, Any]) -> ReplyTarget:
    """Return the reply target of a click or a submitted modal. The person's team is what the payload claims.

    On Enterprise Grid, that's their home team, which can differ from the team in their slash commands. The directory
    decides which team counts.
    """
    user = body["user"]
    team = user.get("team_id") or (body.get("team") or {}).get("id") or ""
    return ReplyTarget(
        person=Person(str(team), str(user["id"])),
        channel=str((body.get("channel") or {}).get("id", "")),
        response_url=body.get("response_url"),
        trigger_id=body.get("trigger_id"),
        is_home=(body.get("view") or {}).get("type") == "home",
    )


class Replies:
    """Answers one person, and only them."""

    def __init__(self, client: WebClient) -> None:
        self._client = client
        # One connection is kept alive: a new one, with its certificates, costs more than the rest of an answer.
        self._http = httpx2.Client(timeout=5, verify=trusted_certificates())

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def send(self, target: ReplyTarget, message: Message) -> None:
        """Send a message to the response URL, or else in the channel, or else directly; log failures.

        In a direct message, answers are regular messages, since ephemeral ones disappear.
        """
        for send in (self._send_to_response_url, self._send_ephemeral, self._send_direct):
            try:
                if send(target, message):
                    return
            except (SlackApiError, httpx2.HTTPError, httpx2.InvalidURL, *CONNECTION_ERRORS) as error:
                log.warning("an attempt to send an answer failed (%s)", error)
        log.error("can't send an answer to %s", target.person.user)

    def _send_to_response_url(self, target: ReplyTarget, message: Message) -> bool:
        if not target.response_url:
            return False
        body = {
            "text": message.text,
            "blocks": message.blocks,
            "response_type": "ephemeral",
            "replace_original": False,
            **POST_OPTIONS,
        }
        reply = self._http.post(target.response_url, json=body)
        return reply.status_code == 200 and not reply.text.startswith('{"ok":false')

    def _send_ephemeral(self, target: ReplyTarget, message: Message) -> bool:
        if not target.channel or target.is_direct:
            return False
        self._client.chat_postEphemeral(
            channel=target.channel,
            user=target.person.user,
            text=message.text,
            blocks=message.blocks,
            parse="none",
            thread_ts=target.answer_thread,
        )
        return True

    def _send_direct(self, target: ReplyTarget, message: Message) -> bool:
        self._client.chat_postMessage(
            channel=target.channel if target.is_direct else target.person.user,
            text=message.text,
            blocks=message.blocks,
            thread_ts=target.answer_thread if target.is_direct else None,
            **POST_OPTIONS,
        )
        return True

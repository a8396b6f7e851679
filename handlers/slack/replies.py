"""Send answers to the person who acted, where they acted."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot.domain.core.actors import Person
from bot.http_client import trusted_certificates
from bot.ports import MessageRef
from bot.slack.core.answer import SlackAnswer
from bot.slack.core.blocks import Message
from bot.slack.core.client import CONNECTION_ERRORS, POST_OPTIONS, missing_scopes
from bot.slack.delivery.publisher import ReportMissingScopes, upload_file
from bot.slack.registry.answers import chart_sent_directly

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyTarget:
    """Who acted, in which channel, and the URL that Slack provided for answers."""

    person: Person
    channel: str
    response_url: str | None = None
    trigger_id: str | None = None
    thread: str | None = None  # of the message whose button was clicked
    is_home: bool = False  # on the Home tab, which shows the result itself


def target_of_command(body: Mapping[str, Any]) -> ReplyTarget:
    """Return the reply target of a slash command."""
    return ReplyTarget(
        person=Person(str(body["team_id"]), str(body["user_id"])),
        channel=str(body.get("channel_id") or ""),
        response_url=body.get("response_url"),
        trigger_id=body.get("trigger_id"),
    )


def target_of_interaction(body: Mapping[str, Any]) -> ReplyTarget:
    """Return the reply target of a click or a submitted modal. The person's team is only what the payload claims.

    On Enterprise Grid, that's their home team, which can differ from their commands' team: the directory decides.
    """
    user, message = body["user"], body.get("message") or {}
    team = user.get("team_id") or (body.get("team") or {}).get("id") or ""
    return ReplyTarget(
        person=Person(str(team), str(user["id"])),
        channel=str((body.get("channel") or {}).get("id", "")),
        response_url=body.get("response_url"),
        trigger_id=body.get("trigger_id"),
        thread=message.get("thread_ts") or message.get("ts"),
        is_home=(body.get("view") or {}).get("type") == "home",
    )


class Replies:
    """Answers one person, and only them. `report_missing_scopes` gets the scopes that uploading a picture needs."""

    def __init__(self, client: WebClient, report_missing_scopes: ReportMissingScopes) -> None:
        self._client = client
        self._report_missing_scopes = report_missing_scopes
        # One connection is kept alive: a new one, with its certificates, costs more than the rest of an answer.
        self._http = httpx.Client(timeout=5, verify=trusted_certificates())

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def send_answer(self, target: ReplyTarget, answer: SlackAnswer) -> None:
        """Send an answer, then post its picture as a direct message, since an ephemeral message can't have a file.

        If Slack rejects the picture, only the answer is sent.
        """
        self.send(target, answer.message)
        files = answer.make_files()
        if not files:
            return
        try:
            direct = str(self._client.conversations_open(users=target.person.user)["channel"]["id"])
            sent = upload_file(self._client, MessageRef(direct, ""), files[0], comment=answer.message.text)
        except (SlackApiError, *CONNECTION_ERRORS) as error:
            log.warning("Slack rejected a picture (%s): sending the answer without it", error)
            self._report_missing_scopes(missing_scopes(error))
            return
        if target.channel not in {"", direct}:
            self.send(target, chart_sent_directly(sent.link))

    def send(self, target: ReplyTarget, message: Message) -> None:
        """Send a message to the response URL, or else in the channel, or else directly; log failures."""
        for send in (self._send_to_response_url, self._send_ephemeral, self._send_direct):
            try:
                if send(target, message):
                    return
            except (SlackApiError, httpx.HTTPError, httpx.InvalidURL, *CONNECTION_ERRORS) as error:
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
        if not target.channel:
            return False
        self._client.chat_postEphemeral(
            channel=target.channel, user=target.person.user, text=message.text, blocks=message.blocks, parse="none"
        )
        return True

    def _send_direct(self, target: ReplyTarget, message: Message) -> bool:
        self._client.chat_postMessage(
            channel=target.person.user, text=message.text, blocks=message.blocks, **POST_OPTIONS
        )
        return True

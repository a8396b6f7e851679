"""Post public answers: the message in the channel, with its files in the thread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_before_delay

from bot.domain.core.errors import SlackUnreachable
from bot.domain.core.sentence import Code, Sentence, say
from bot.ports import DeliveryOutcome, MessageRef
from bot.slack.core.answer import FileUpload, SlackAnswer
from bot.slack.core.blocks import Message
from bot.slack.core.client import (
    CONNECTION_ERRORS,
    POST_OPTIONS,
    delivery_for_error,
    error_code,
    is_posting_restricted,
    is_rate_limited,
    missing_scopes,
)

log = logging.getLogger(__name__)

ReportMissingScopes = Callable[[Iterable[str]], object]  # notifies admins of scopes that the app is missing, if any

# The bot isn't a member of the channel, or it isn't a channel: then the person gets the message directly.
_NOT_REACHABLE_ERRORS = {"not_in_channel", "channel_not_found", "is_archived"}
RETRY_SECONDS = 5.0  # seconds for which a rate-limited post is retried: another message might be ahead in the channel


class PublishedMessage(NamedTuple):
    """Where a message was posted. If that isn't the requested channel, `channel_error` is Slack's error code.

    `failure_text`: what to show the person about files that Slack rejected.
    """

    message_ref: MessageRef
    channel_error: str = ""
    failure_text: str = ""


class Publisher:
    """Posts query results. They bypass the outbox, because people can repeat a query if its result is lost.

    `report_missing_scopes` is called with any scopes missing for file uploads.
    """

    def __init__(self, client: WebClient, report_missing_scopes: ReportMissingScopes) -> None:
        self._client = client
        self._report_missing_scopes = report_missing_scopes
        self._invitations = InvitationRequests()

    def post(self, answer: SlackAnswer, channel: str, *, user_id: str) -> PublishedMessage:
        """Post an answer in `channel`, or directly to `user_id` if the bot can't post there.

        Files are created after the message is posted, and are uploaded to its thread. Returns where the message was
        posted. Raises SlackUnreachable.
        """
        try:
            channel_error = ""
            try:
                message_ref = self._post(answer.message, channel)
            except SlackApiError as error:
                channel_error = error_code(error)
                if channel_error not in _NOT_REACHABLE_ERRORS and not is_posting_restricted(channel_error):
                    raise
                message_ref = self._post_directly(answer.message, user_id)
        except (SlackApiError, *CONNECTION_ERRORS) as error:
            raise SlackUnreachable(_refusal_sentence(error)) from error
        return PublishedMessage(message_ref, channel_error, self.upload_files(answer, message_ref))

    def post_directly(self, message: Message, user_id: str) -> MessageRef:
        """Post a message to a person. Return where it's posted. Raises SlackUnreachable."""
        try:
            return self._post_directly(message, user_id)
        except (SlackApiError, *CONNECTION_ERRORS) as error:
            raise SlackUnreachable(_refusal_sentence(error)) from error

    def _post(self, message: Message, channel: str) -> MessageRef:
        tries = Retrying(
            retry=retry_if_exception(is_rate_limited),
            stop=stop_before_delay(RETRY_SECONDS),
            wait=_retry_after,
            reraise=True,
        )
        answer = tries(
            self._client.chat_postMessage,
            channel=channel,
            text=message.text,
            blocks=message.blocks,
            **POST_OPTIONS,
        )
        return MessageRef(str(answer["channel"]), str(answer["ts"]))

    def _post_directly(self, message: Message, user_id: str) -> MessageRef:
        """Post to a person; if the server doesn't accept a user ID as a channel, use the conversation's ID."""
        try:
            return self._post(message, user_id)
        except SlackApiError as error:
            if error_code(error) != "channel_not_found":
                raise
        return self._post(message, str(self._client.conversations_open(users=user_id)["channel"]["id"]))

    def upload_files(self, answer: SlackAnswer, thread: MessageRef) -> str:
        """Upload an answer's files to a thread or a conversation.

        If Slack rejects one, skip the rest and return the text to show about them, or an empty string if there's none.
        """
        left = list(answer.make_files())
        try:
            while left:
                upload_file(self._client, thread, left[0])
                left.pop(0)
        except (SlackApiError, *CONNECTION_ERRORS) as error:
            log.warning("Slack rejected a file (%s): sending the message without it", error)
            self._report_missing_scopes(missing_scopes(error))
            return (
                self._invitations.request_after(error, thread.channel)
                or " ".join(file.failure_text for file in left).strip()
            )
        return ""


class InvitationRequests:
    """Asks, once for each channel, to be invited to channels where the bot can't attach files."""

    def __init__(self) -> None:
        self._asked_channels: set[str] = set()

    def request_after(self, error: Exception, channel: str) -> str:
        """Return the text to show after a failed upload; empty if an invitation can't help or was requested before."""
        if (
            not isinstance(error, SlackApiError)
            or error_code(error) not in _NOT_REACHABLE_ERRORS
            or channel in self._asked_channels
        ):
            return ""
        self._asked_channels.add(channel)
        return "I'm not in this channel, so I can't attach charts and files. To get them, type `/invite @registrar`"


def upload_file(client: WebClient, destination: MessageRef, file: FileUpload) -> str:
    """Upload a file to a thread or a conversation, and return its ID. Raises the same errors as `upload_files`."""
    [uploaded, *_] = upload_files(client, destination, [file]) or [""]
    return uploaded


def upload_files(
    client: WebClient, destination: MessageRef, files: Sequence[FileUpload], comment: str | None = None
) -> list[str]:
    """Upload files in one message, with a comment as its text, to a thread or a conversation. Return their IDs.

    Raises SlackApiError, and any of CONNECTION_ERRORS.
    """
    answer = client.files_upload_v2(
        channel=destination.channel,
        thread_ts=destination.ts or None,
        file_uploads=[
            {"content": file.content, "filename": file.name, "title": file.title, "alt_txt": file.alt[:1000] or None}
            for file in files
        ],
        initial_comment=comment,
    )
    return [str(uploaded.get("id") or "") for uploaded in answer.get("files") or []]


def _retry_after(state: RetryCallState) -> float:
    """Return how many seconds Slack says to wait."""
    error = state.outcome.exception() if state.outcome else None
    wait = delivery_for_error(error).retry_after if isinstance(error, SlackApiError) else None
    return wait.total_seconds() if wait else 0.0


def _refusal_sentence(error: Exception) -> Sentence:
    """Return the error to show the person; it suggests trying again only if that could help."""
    is_refused = isinstance(error, SlackApiError) and delivery_for_error(error).outcome is DeliveryOutcome.REFUSED
    why = error_code(error) if isinstance(error, SlackApiError) else "no answer"
    return say("Slack rejected the message ({why}).{again}", why=Code(why), again="" if is_refused else " Try again.")

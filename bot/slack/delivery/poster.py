"""Post and edit messages in Slack exactly once: search for a message first if it might already be posted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot.domain.core.sentence import Channel, Code, Sentence, say
from bot.ports import DeliveryOutcome, DeliveryResult, MessageRef, OutboxMessage
from bot.slack.core.blocks import Message, short_form
from bot.slack.core.client import (
    CONNECTION_ERRORS,
    CONTENT_ERRORS,
    POST_OPTIONS,
    delivery_for_error,
    error_code,
)
from bot.slack.core.directory import ChannelDirectory

log = logging.getLogger(__name__)

METADATA_TYPE = "registrar_message"  # of the metadata that holds a message's key; the whole workspace can read it
CALL_TIMEOUT = timedelta(seconds=10)  # the client's time limit
MAX_REMEMBERED = 100  # cards, and links to messages, that are kept in memory
PAGE_SIZE = 200  # messages per call, as Slack recommends
MAX_CLOCK_SKEW = timedelta(minutes=5)  # how far this clock can be ahead of Slack's; beyond that, calls are rejected
SHORT_WAIT = timedelta(seconds=1)  # until the next attempt, if a message only waits for another one or a shorter form
# Why nothing can be posted in a channel, and the fix, by Slack's error code.
_INVITE_HINT = say("Type {invite} there", invite=Code("/invite @registrar"))
_CHANNEL_ERRORS: dict[str, tuple[str, Sentence]] = {
    "channel_not_found": ("it doesn't exist, was renamed, or is private and I'm not a member", _INVITE_HINT),
    "not_in_channel": ("I'm not a member", _INVITE_HINT),
    "is_archived": ("it's archived", say("Unarchive it")),
}
# A message that can't be edited anymore is posted again; if that fails, too, the error says why.
_NOT_EDITABLE_ERRORS = {
    "message_not_found",
    "cant_update_message",
    "edit_window_closed",
    "channel_not_found",
    "is_inactive",
}


class LeaseExpiring(Exception):
    """The lease on an outbox message could end before Slack responds."""


class MessagePoster:
    """Posts and edits outbox messages through Slack's Web API.

    `client` must not retry automatically, because it could post twice. `notify_admins` is called with problems that
    only admins can fix, each with a key.
    """

    def __init__(
        self, client: WebClient, now: Callable[[], datetime], notify_admins: Callable[[str, Sentence], object]
    ) -> None:
        self._client = client
        self._now = now
        self._notify_admins = notify_admins
        self._shortened: set[str] = set()  # ordering keys of messages that Slack rejected at full length
        self._channels = ChannelDirectory(client)
        self._conversations: dict[str, str] = {}  # with people, by user ID

    def channel_id(self, name: str) -> str:
        """Return the ID of the channel with this name; the name itself if Slack doesn't know it."""
        return self._channels.id_of(name)

    def delete_message(self, message_ref: MessageRef) -> None:
        """Delete a duplicate of one of the bot's messages; if that fails, the duplicate stays."""
        try:
            self._client.chat_delete(channel=message_ref.channel, ts=message_ref.ts)
        except (SlackApiError, *CONNECTION_ERRORS) as error:
            log.warning("can't delete a duplicate message (%s)", error)

    def require_lease(self, outbox_message: OutboxMessage) -> None:
        """Raise LeaseExpiring if another process could start delivering the message before Slack responds."""
        if outbox_message.claimed_until is not None and self._now() > outbox_message.claimed_until - CALL_TIMEOUT:
            raise LeaseExpiring

    def post_or_edit(
        self,
        outbox_message: OutboxMessage,
        message: Message,
        existing: MessageRef | None,
        details_command: Sequence[str] = (),
    ) -> DeliveryResult:
        """Edit the message, or post it if it isn't posted yet or can't be edited anymore.

        `existing`: where the message is posted; None if it isn't. `details_command`: the words of the command that
        shows what the short form leaves out. If it's given and Slack rejects the message's blocks, the next attempt
        sends the short form.
        """
        is_short = bool(details_command) and outbox_message.lane in self._shortened
        message = short_form(message, details_command) if is_short else message
        self.require_lease(outbox_message)
        try:
            if existing and self.edit(existing, message):
                delivery = DeliveryResult(DeliveryOutcome.DELIVERED, existing)
            else:
                delivery = self.post(outbox_message, outbox_message.to, message, deleted=existing)
        except SlackApiError as error:
            if not details_command:
                raise
            if error_code(error) in CONTENT_ERRORS and not is_short:
                log.warning("Slack rejected %s (%s): trying a shorter form", outbox_message.key, error_code(error))
                self._shortened.add(outbox_message.lane)
                return DeliveryResult(DeliveryOutcome.RETRY, retry_after=SHORT_WAIT, why=error_code(error))
            if delivery_for_error(error).outcome is DeliveryOutcome.REFUSED:
                self._shortened.discard(outbox_message.lane)
            raise
        self._shortened.discard(outbox_message.lane)
        return delivery

    def edit(self, existing: MessageRef, message: Message) -> bool:
        """Edit a message; return False if it can't be edited anymore. Raises SlackApiError."""
        try:
            self._client.chat_update(
                channel=existing.channel, ts=existing.ts, text=message.text, blocks=message.blocks, parse="none"
            )
        except SlackApiError as error:
            if error_code(error) not in _NOT_EDITABLE_ERRORS:
                raise
            log.warning("the card is gone from Slack (%s): posting it again", error_code(error))
            return False
        return True

    def post(
        self,
        outbox_message: OutboxMessage,
        channel: str,
        message: Message,
        *,
        thread: str | None = None,
        deleted: MessageRef | None = None,
    ) -> DeliveryResult:
        """Post a message, unless an earlier attempt did.

        `channel`: a channel's `#name` or ID, or a user ID. `thread`: the `ts` of the message to reply to. `deleted`:
        a posted message that can't be edited anymore, so it doesn't count as posted.
        """
        posted = self._find_posted(outbox_message, channel, thread) if outbox_message.was_tried else None
        if posted and not (deleted and posted.ts == deleted.ts):
            return DeliveryResult(DeliveryOutcome.DELIVERED, posted)
        self.require_lease(outbox_message)
        metadata = {"event_type": METADATA_TYPE, "event_payload": {"key": _metadata_key(outbox_message)}}
        arguments = {"text": message.text, "blocks": message.blocks, "thread_ts": thread, "metadata": metadata}
        answer = self._send(channel, arguments | POST_OPTIONS)
        return DeliveryResult(
            DeliveryOutcome.DELIVERED, MessageRef(str(answer["channel"]), str(answer["ts"])), is_new=True
        )

    def _send(self, channel: str, arguments: dict[str, Any]) -> Any:
        # A user ID is sent unchanged: if the person has left, Slack's error says so.
        to = channel if _is_user_id(channel) else self._channels.id_of(channel)
        try:
            answer = self._client.chat_postMessage(channel=to, **arguments)
        except SlackApiError as error:
            self._report_closed_channel(channel, error_code(error))
            # Slack itself accepts a user ID as a channel; a server that doesn't gets the conversation's ID.
            if not _is_user_id(channel) or error_code(error) != "channel_not_found":
                raise
            return self._client.chat_postMessage(channel=self._conversation_id(channel), **arguments)
        self._channels.learn(channel, str(answer["channel"]))
        return answer

    def _report_closed_channel(self, channel: str, code: str) -> None:
        """Notify admins, at most once a day, that the bot can't post in a channel, and forget the channel's ID.

        The next attempt looks up the ID again. Errors that don't mean a closed channel are ignored.
        """
        if code not in _CHANNEL_ERRORS or _is_user_id(channel):
            return
        self._channels.forget(channel)
        why, fix = _CHANNEL_ERRORS[code]
        sentence = say(
            "Can't post in {channel} ({code}): {why}. {fix}, or change the channel in {file}. Its messages will wait.",
            channel=Channel(channel),
            code=code,
            why=why,
            fix=fix,
            file=Code("registrar.yml"),
        )
        self._notify_admins(f"channel:{channel}:{code}:{self._now():%Y-%m-%d}", sentence)

    def _find_posted(self, outbox_message: OutboxMessage, channel: str, thread: str | None) -> MessageRef | None:
        """Return where the message is posted; None if it isn't, or if the bot can't read the history."""
        key = _metadata_key(outbox_message)
        try:
            conversation_id = self._conversation_id(channel)
            for message in self.messages_since(outbox_message, conversation_id, thread):
                if self._is_ours(message, key):
                    return MessageRef(conversation_id, str(message["ts"]))
        except SlackApiError as error:
            if error_code(error) not in {"unknown_method", "missing_scope", "not_in_channel", "channel_not_found"}:
                raise
            log.warning("can't check whether %s is already posted (%s); it might appear twice", key, error_code(error))
        return None

    def _is_ours(self, message: dict[str, Any], key: str) -> bool:
        """Return whether this message has the key and the bot posted it; another app could have copied the key."""
        metadata = message.get("metadata") or {}
        if metadata.get("event_type") != METADATA_TYPE or (metadata.get("event_payload") or {}).get("key") != key:
            return False
        own_id, author_id = self._client.auth_test().get("bot_id"), message.get("bot_id")
        return own_id is None or author_id is None or own_id == author_id

    def messages_since(
        self, outbox_message: OutboxMessage, channel: str, thread: str | None
    ) -> Iterator[dict[str, Any]]:
        """Yield the messages in a channel or thread since `outbox_message` was created; its post can't be older."""
        fetch = partial(self._client.conversations_replies, ts=thread) if thread else self._client.conversations_history
        oldest = (
            f"{(outbox_message.created_at - MAX_CLOCK_SKEW).timestamp():.6f}" if outbox_message.created_at else None
        )
        cursor, used_cursors = "", set[str]()
        while cursor not in used_cursors:  # a server that repeats a cursor would cause an infinite loop
            used_cursors.add(cursor)
            page = fetch(
                channel=channel, oldest=oldest, cursor=cursor or None, limit=PAGE_SIZE, include_all_metadata=True
            )
            yield from page.get("messages", [])
            cursor = str((page.get("response_metadata") or {}).get("next_cursor") or "")

    def find_file(self, outbox_message: OutboxMessage, thread: MessageRef, name: str) -> str:
        """Return the ID of the file with this name in a thread; empty if there's none or the thread can't be read."""
        try:
            replies = list(self.messages_since(outbox_message, thread.channel, thread.ts))
        except SlackApiError:
            return ""
        files = [file for message in replies for file in message.get("files") or [] if file.get("name") == name]
        return str(files[0]["id"]) if files else ""

    def _conversation_id(self, channel: str) -> str:
        """Return the ID of a channel by its `#name`, or of a person's direct messages by their user ID."""
        if not _is_user_id(channel):
            return self._channels.id_of(channel)
        if channel not in self._conversations:
            opened = self._client.conversations_open(users=channel)
            self._conversations[channel] = str(opened["channel"]["id"])
        return self._conversations[channel]


def keep_latest(entries: dict[Any, Any]) -> None:
    """Delete all but the latest MAX_REMEMBERED entries."""
    for key in list(entries)[:-MAX_REMEMBERED]:
        del entries[key]


def _metadata_key(outbox_message: OutboxMessage) -> str:
    """Return the key for a message's metadata; a message that's updated in place keeps the same key."""
    kind = outbox_message.kind
    return f"{kind.value}:{outbox_message.lane}" if kind.is_updated_in_place else outbox_message.key


def _is_user_id(channel: str) -> bool:
    return channel[:1] in {"U", "W"}

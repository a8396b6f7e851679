"""The messages of all conversations, by timestamp and by thread."""

from __future__ import annotations

import bisect
from collections.abc import Iterator

from localslack.workspace.records import PostedMessage


class MessageIndex:
    """Messages in timestamp order. Threads don't include ephemeral replies."""

    def __init__(self) -> None:
        self._messages: dict[str, dict[str, PostedMessage]] = {}
        self._order: dict[str, list[str]] = {}
        self._threads: dict[tuple[str, str], list[str]] = {}

    def __iter__(self) -> Iterator[PostedMessage]:
        """Yield every message, by conversation."""
        for messages in self._messages.values():
            yield from messages.values()

    def get(self, channel_id: str, ts: str) -> PostedMessage | None:
        """Return a message, or None."""
        return self._messages.get(channel_id, {}).get(ts)

    def in_channel(self, channel_id: str) -> list[PostedMessage]:
        """Return the messages of a conversation, oldest first."""
        return [self._messages[channel_id][ts] for ts in self._order.get(channel_id, [])]

    def replies(self, parent: PostedMessage) -> list[PostedMessage]:
        """Return the replies to a message, oldest first."""
        reply_ts = self._threads.get((parent.channel, parent.ts), [])
        return [self._messages[parent.channel][ts] for ts in reply_ts]

    def add(self, message: PostedMessage) -> None:
        """Add a new message."""
        self._messages.setdefault(message.channel, {})[message.ts] = message
        bisect.insort(self._order.setdefault(message.channel, []), message.ts, key=ts_to_microseconds)
        if message.is_reply and message.audience is None:
            bisect.insort(self._threads.setdefault(_thread_of(message), []), message.ts, key=ts_to_microseconds)

    def replace(self, message: PostedMessage) -> None:
        """Replace the message with the same timestamp."""
        self._messages[message.channel][message.ts] = message

    def remove(self, message: PostedMessage) -> None:
        """Remove a message."""
        del self._messages[message.channel][message.ts]
        self._order[message.channel].remove(message.ts)
        if message.is_reply and message.audience is None:
            self._threads[_thread_of(message)].remove(message.ts)


def ts_to_microseconds(ts: str) -> int:
    """Return a message's timestamp in microseconds, for comparing and sorting; raises ValueError."""
    seconds, _, fraction = ts.partition(".")
    return int(seconds) * 1_000_000 + int(fraction.ljust(6, "0")[:6] or 0)


def _thread_of(reply: PostedMessage) -> tuple[str, str]:
    return reply.channel, str(reply.thread_ts)

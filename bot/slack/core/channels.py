"""Channel ids: the policy can give a name, for people to read; messages go to the id."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot.slack.core.api_errors import CONNECTION_ERRORS

log = logging.getLogger(__name__)

LOOKUP_PAUSE = 60.0  # seconds before the list is read again for a missing channel; Slack allows 20 pages a minute


class ChannelDirectory:
    """Finds channel ids by name, and remembers them.

    A workspace can have tens of thousands of channels. Its list is read once, page by page, up to the requested
    channel. If Slack stops answering, a later search continues on the same page. A former name resolves to the channel
    that had it, if only one did and no channel has that name now.
    """

    def __init__(self, client: WebClient, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._monotonic = monotonic
        self._ids: dict[str, str] = {}  # by name, `#` included
        self._ids_by_former_name: dict[str, set[str]] = {}  # by an earlier name
        self._cursor: str | None = None
        self._next_lookup = float("-inf")
        self._read_lock = threading.Lock()

    def id_of(self, channel: str) -> str:
        """Return the id of `#name`, or of a known conversation with a person.

        Anything else, and a name that Slack doesn't list now, is returned unchanged.
        """
        if not channel.startswith("#"):
            return self._ids.get(channel, channel)
        with self._read_lock:
            if channel not in self._ids and self._monotonic() >= self._next_lookup:
                self._look_up(channel)
            return self._ids.get(channel, channel)

    def learn(self, channel: str, channel_id: str) -> None:
        """Remember the id that Slack gave for a name, or for a person: that of the conversation with them."""
        self._ids[channel] = channel_id

    def forget(self, channel: str) -> None:
        """Look a name up again next time: its channel is gone, or we can't see it."""
        with self._read_lock:
            if self._ids.pop(channel, None):
                self._ids_by_former_name.pop(channel, None)
                self._cursor = None

    def _look_up(self, channel: str) -> None:
        try:
            while channel not in self._ids and self._read_page():
                pass
        except (SlackApiError, *CONNECTION_ERRORS) as error:
            log.warning("can't look up the id of %s now: %s", channel, error)
        else:
            former = self._ids_by_former_name.get(channel, ())
            if len(former) == 1:  # else it's ambiguous: several channels had this name
                self._ids.setdefault(channel, *former)
        if channel not in self._ids:
            self._next_lookup = self._monotonic() + LOOKUP_PAUSE

    def _read_page(self) -> bool:
        """Read the next page of the list; return whether there's another one."""
        before = self._cursor
        page = self._client.conversations_list(types="public_channel,private_channel", limit=1000, cursor=self._cursor)
        for room in page["channels"]:
            name, former = room.get("name"), room.get("previous_names") or []
            # an archived channel accepts no messages, and another channel can have its name
            if room.get("is_archived"):
                former = [name, *former]
            else:
                self._ids[f"#{name}"] = str(room["id"])
            for listed_name in former:
                self._ids_by_former_name.setdefault(f"#{listed_name}", set()).add(str(room["id"]))
        self._cursor = (page.get("response_metadata") or {}).get("next_cursor") or None
        return self._cursor not in {None, before}

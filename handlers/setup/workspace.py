"""The workspace's channels and people, as choices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

from bot.bootstrap.slack import slack_client
from bot.domain.core.actors import Person
from bot.domain.core.errors import SlackUnreachable
from bot.domain.core.sentence import sanitize_text
from bot.settings import Settings
from bot.slack.core.directory import belongs_to
from handlers.doctor.check import CheckSkippedError
from handlers.doctor.slack.workspace import call_slack

PAGE_SIZE = 1000
LIST_TIMEOUT = 30  # timeout of a page in seconds
MAX_PAGES = 20  # Slack allows 20 calls a minute; in a larger workspace, an ID can be pasted


@dataclass(frozen=True, slots=True)
class SlackChoice:
    """A channel or a person. `handle` has no # or @; `label` is what a person reads."""

    id: str
    handle: str
    label: str
    is_member: bool = True  # the bot is in this channel


class WorkspaceLists:
    """The channels and people that a policy can name."""

    def __init__(self, settings: Settings, team: str) -> None:
        self.client = slack_client(settings, timeout=LIST_TIMEOUT)
        self.client.retry_handlers.append(RateLimitErrorRetryHandler(max_retry_count=3))
        self._team = team
        self._channels: list[SlackChoice] = []
        self._people: list[SlackChoice] = []

    def find_channels(self, typed: str) -> list[SlackChoice]:
        """Return the matching channels: the public ones, and the private ones that the bot is in.

        If nothing matches, the list is read again, because someone could have invited the bot in the meantime. Raises
        Misconfigured and SlackUnreachable.
        """
        if found := matching(self._channels, typed):
            return found
        kinds = partial(self.client.conversations_list, types="public_channel,private_channel", exclude_archived=True)
        self._channels = [channel_choice(room) for room in self._pages(kinds, "channels")]
        return matching(self._channels, typed) or self._look_up(typed, "CG", self._channel)

    def find_people(self, typed: str) -> list[SlackChoice]:
        """Return the matching people who can decide.

        Bots, guests, deactivated accounts, and people from other workspaces are left out. Raises Misconfigured and
        SlackUnreachable.
        """
        if not self._people:
            members = self._pages(self.client.users_list, "members")
            self._people = [person_choice(user) for user in members if can_decide(self._team, user)]
        return matching(self._people, typed) or self._look_up(typed, "UW", self._person)

    def _pages(self, fetch: Callable[..., Any], key: str) -> Iterator[dict[str, Any]]:
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = ask_slack(self.client, partial(fetch, limit=PAGE_SIZE, cursor=cursor))
            yield from page[key]
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or None
            if cursor is None:
                return

    def _look_up(self, typed: str, kinds: str, read: Callable[[str], list[SlackChoice]]) -> list[SlackChoice]:
        """Return the channel or person with this ID; empty if it isn't an ID, or Slack doesn't know it."""
        if not (len(typed) > 1 and typed[0] in kinds and typed.isalnum() and typed.isupper()):
            return []
        try:
            return read(typed)
        except SlackApiError:
            return []

    def _channel(self, channel_id: str) -> list[SlackChoice]:
        room = ask_slack(self.client, partial(self.client.conversations_info, channel=channel_id))["channel"]
        return [] if room.get("is_archived") else [channel_choice(room)]

    def _person(self, user_id: str) -> list[SlackChoice]:
        user = ask_slack(self.client, partial(self.client.users_info, user=user_id))["user"]
        return [person_choice(user)] if can_decide(self._team, user) else []


def matching(choices: list[SlackChoice], typed: str) -> list[SlackChoice]:
    """Return the choices with this ID or handle, or else all whose label contains the text, ignoring case."""
    text = typed.strip().lstrip("#@").casefold()
    exact = [one for one in choices if text in {one.id.casefold(), one.handle.casefold()}]
    return exact or [one for one in choices if text in one.label.casefold()]


def can_decide(team: str, user: dict[str, Any]) -> bool:
    """Return whether a policy can name this account: it must be a person and a full member of the workspace."""
    is_other = user.get("deleted") or user.get("is_bot") or user.get("is_restricted") or user.get("is_ultra_restricted")
    return not is_other and user["id"] != "USLACKBOT" and belongs_to(team, Person(team, user["id"]), user)


def channel_choice(room: dict[str, Any]) -> SlackChoice:
    """Return a channel as a choice."""
    name = sanitize_text(str(room.get("name") or room["id"]))
    label = f"#{name} (private)" if room.get("is_private") else f"#{name}"
    return SlackChoice(room["id"], name, label, bool(room.get("is_member")))


def person_choice(user: dict[str, Any]) -> SlackChoice:
    """Return an account as a choice."""
    handle = sanitize_text(str(user.get("name") or user["id"]))
    name = sanitize_text(str((user.get("profile") or {}).get("real_name") or user.get("real_name") or ""))
    return SlackChoice(user["id"], handle, f"{name} (@{handle})" if name else f"@{handle}")


def ask_slack(client: WebClient, call: Callable[[], Any]) -> Any:
    """Return Slack's answer. Raises Misconfigured, SlackUnreachable, and SlackApiError."""
    try:
        return call_slack(client, call)
    except CheckSkippedError as error:
        raise SlackUnreachable(str(error)) from error

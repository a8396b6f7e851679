"""Trigger IDs and response URLs, which expire."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from localslack.core.clock import WorkspaceClock
from localslack.core.errors import SlackError

TRIGGER_SECONDS = 3.0
RESPONSE_URL_SECONDS = 30 * 60.0
RESPONSE_URL_USES = 5
# Expired ones are kept for a while, so that the error is "expired" instead of "invalid".
MAX_KEPT = 5000


@dataclass
class Trigger:
    """Permission for the app to open a modal for one person, once."""

    user: str
    expires: float
    view: str | None = None
    used: bool = False


class TriggerIds:
    """Trigger IDs, each valid for three seconds and for one use."""

    def __init__(self, clock: WorkspaceClock) -> None:
        self._clock = clock
        self._triggers: dict[str, Trigger] = {}

    def issue(self, user: str, view: str | None = None) -> str:
        """Return a new trigger ID for a person. view: the ID of the modal that it comes from, or None."""
        now = self._clock.now()
        key = f"{int(now * 1000)}.{secrets.randbelow(10**12):012d}.{secrets.token_hex(16)}"
        self._triggers[key] = Trigger(user=user, expires=now + TRIGGER_SECONDS, view=view)
        _forget_oldest(self._triggers)
        return key

    def require_usable(self, key: str) -> Trigger:
        """Return the trigger without using it up.

        Raises invalid_trigger_id, exchanged_trigger_id, or expired_trigger_id.
        """
        trigger = self._triggers.get(key)
        if trigger is None:
            raise SlackError("invalid_trigger_id")
        if trigger.used:
            raise SlackError("exchanged_trigger_id")
        if self._clock.now() > trigger.expires:
            raise SlackError("expired_trigger_id")
        return trigger

    def exchange(self, key: str) -> Trigger:
        """Use up a trigger, and return it. Raises the same errors as `require_usable`."""
        trigger = self.require_usable(key)
        trigger.used = True
        return trigger


@dataclass
class ResponseUrl:
    """Where the app can answer one person's action: the conversation, and the message acted on."""

    user: str
    channel: str
    expires: float
    source_ts: str | None = None
    uses: int = 0


class ResponseUrls:
    """Response URLs, each valid for thirty minutes and for five uses."""

    def __init__(self, clock: WorkspaceClock, team_id: str) -> None:
        self._clock = clock
        self._team = team_id
        self._response_urls: dict[str, ResponseUrl] = {}

    def issue(self, kind: str, user: str, channel: str, source_ts: str | None = None) -> str:
        """Return the path of a new response URL; kind is "commands", "actions", or "app"."""
        key = f"{secrets.randbelow(10**13):013d}/{secrets.token_urlsafe(18)}"
        self._response_urls[key] = ResponseUrl(user, channel, self._clock.now() + RESPONSE_URL_SECONDS, source_ts)
        _forget_oldest(self._response_urls)
        return f"hooks/{kind}/{self._team}/{key}"

    def require_usable(self, key: str) -> ResponseUrl:
        """Return a response URL's target without counting a use.

        Raises invalid_url, expired_url, or used_url (HTTP 404).
        """
        response_url = self._response_urls.get(key)
        if response_url is None:
            raise SlackError("invalid_url", status=404)
        if self._clock.now() > response_url.expires:
            raise SlackError("expired_url", status=404)
        if response_url.uses >= RESPONSE_URL_USES:
            raise SlackError("used_url", status=404)
        return response_url


def _forget_oldest(issued: dict[str, Trigger] | dict[str, ResponseUrl]) -> None:
    while len(issued) > MAX_KEPT:
        del issued[next(iter(issued))]

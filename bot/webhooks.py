"""The outbox's way to those whom the policy tells of every move: signed, with an id that stays over all retries."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from bot import http_client
from bot.domain.core.errors import Misconfigured, Unreachable
from bot.domain.core.sentence import Code, say
from bot.domain.core.signing import EVENT_ID, SIGNATURE, TIMESTAMP, event_id, signature
from bot.domain.policy.policy import Endpoint, Policy
from bot.ports import Delivery, Note, Outcome, Posting

SECONDS = 10.0  # for one try, all of it
WAIT_MOST = timedelta(minutes=5)  # of what an endpoint's Retry-After is believed
AWAY_PAUSE = timedelta(seconds=10)  # in which an endpoint that did not answer is not called: it has other events, too
UNSET_PAUSE = timedelta(seconds=30)  # until it is looked again whether somebody has set the variable
_TRIED_AGAIN = frozenset({408, 425, 429})  # of the 4xx; every other one says that this will never be taken


class Webhooks:
    """`bot.ports.Notifier` for events. `policy` gives the one that holds now; addresses and secrets are read anew."""

    def __init__(
        self,
        policy: Callable[[], Policy],
        variable: Callable[[str], str | None] = os.environ.get,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._policy = policy
        self._variable = variable
        self._now = now
        self._away: dict[str, datetime] = {}  # until when an endpoint is left alone

    def deliver(self, note: Note) -> Delivery:
        """Send one event: see the port. What was lost is sent again; the receiver knows it by its id."""
        endpoint = self._policy().endpoint(note.to)
        if endpoint is None:
            return Delivery(Outcome.NEVER, why="the policy names it no more")
        left = self._away.get(note.to, self._now()) - self._now()
        if left > timedelta(0):
            return Delivery(Outcome.LATER, wait=left, why="it did not answer just now")
        try:
            answer = self._post(endpoint, note.key, str(note.data["body"]).encode())
        except Misconfigured as error:
            return Delivery(Outcome.LATER, wait=UNSET_PAUSE, why=str(error.sentence))
        except Unreachable as error:
            self._away[note.to] = self._now() + AWAY_PAUSE
            return Delivery(Outcome.LATER, why=str(error.sentence))
        return self._sort_out(answer)

    def channel(self, name: str) -> str:
        """Return the name: endpoints have no channels."""
        return name

    def take_back(self, posting: Posting) -> None:
        """Leave it: what was sent twice has the same id, by which the receiver knows it."""

    def _post(self, endpoint: Endpoint, key: str, body: bytes) -> http_client.Answer:
        url = endpoint.url or self._needed(endpoint.url_env)
        stamp = str(int(self._now().timestamp()))
        headers = {"Content-Type": "application/json", EVENT_ID: event_id(key), TIMESTAMP: stamp}
        if endpoint.secret_env:  # what is to be signed never goes out unsigned
            headers[SIGNATURE] = signature(self._needed(endpoint.secret_env), headers[TIMESTAMP], body)
        return http_client.call("POST", url, seconds=SECONDS, headers=headers, content=body)

    def _needed(self, name: str | None) -> str:
        value = (self._variable(str(name)) or "").strip()
        if not value:
            raise Misconfigured(say("{name} is not set", name=Code(name or "")))
        return value

    def _sort_out(self, answer: http_client.Answer) -> Delivery:
        if answer.is_fine:
            return Delivery(Outcome.DELIVERED)
        why = f"HTTP {answer.status}"
        if answer.status >= 500 or answer.status in _TRIED_AGAIN:
            return Delivery(Outcome.LATER, wait=self._asked_to_wait(answer.headers.get("retry-after", "")), why=why)
        return Delivery(Outcome.NEVER, why=f"{why}, a redirect" if 300 <= answer.status < 400 else why)

    def _asked_to_wait(self, text: str) -> timedelta:
        """Return how long a Retry-After says to wait, in seconds or until a date; nothing for what says nothing."""
        try:
            wait = timedelta(seconds=int(text)) if text.isdecimal() else parsedate_to_datetime(text) - self._now()
        except (ValueError, TypeError, OverflowError):
            return timedelta(0)
        return max(timedelta(0), min(wait, WAIT_MOST))

"""The outbox's way to those whom the policy tells of every move: signed, with an id that stays over all retries."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from bot import http_client
from bot.domain.core.errors import Misconfigured, Unreachable
from bot.domain.core.sentence import Code, say
from bot.domain.core.signing import EVENT_ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, encode_event_id, sign_body
from bot.domain.policy.policy import Policy, WebhookEndpoint
from bot.ports import DeliveryOutcome, DeliveryResult, MessageRef, OutboxMessage

TIMEOUT_SECONDS = 10.0  # for one try, all of it
MAX_RETRY_AFTER = timedelta(minutes=5)  # of what an endpoint's Retry-After is believed
UNREACHABLE_PAUSE = timedelta(
    seconds=10
)  # in which an endpoint that did not answer is not called: it has other events, too
UNSET_VARIABLE_PAUSE = timedelta(seconds=30)  # until it is looked again whether somebody has set the variable
_RETRIED_STATUSES = frozenset({408, 425, 429})  # of the 4xx; every other one says that this will never be taken


class WebhookNotifier:
    """`bot.ports.Notifier` for events. `policy` gives the one that holds now; addresses and secrets are read anew."""

    def __init__(
        self,
        policy: Callable[[], Policy],
        get_variable: Callable[[str], str | None] = os.environ.get,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._policy = policy
        self._get_variable = get_variable
        self._now = now
        self._unreachable_until: dict[str, datetime] = {}  # until when an endpoint is left alone

    def deliver(self, message: OutboxMessage) -> DeliveryResult:
        """Send one event: see the port. What was lost is sent again; the receiver knows it by its id."""
        endpoint = self._policy().endpoint(message.to)
        if endpoint is None:
            return DeliveryResult(DeliveryOutcome.REFUSED, why="the policy names it no more")
        left = self._unreachable_until.get(message.to, self._now()) - self._now()
        if left > timedelta(0):
            return DeliveryResult(DeliveryOutcome.RETRY, retry_after=left, why="it did not answer just now")
        try:
            answer = self._post(endpoint, message.key, str(message.data["body"]).encode())
        except Misconfigured as error:
            return DeliveryResult(DeliveryOutcome.RETRY, retry_after=UNSET_VARIABLE_PAUSE, why=str(error.sentence))
        except Unreachable as error:
            self._unreachable_until[message.to] = self._now() + UNREACHABLE_PAUSE
            return DeliveryResult(DeliveryOutcome.RETRY, why=str(error.sentence))
        return self._delivery_for(answer)

    def channel_id(self, name: str) -> str:
        """Return the name: endpoints have no channels."""
        return name

    def delete_message(self, ref: MessageRef) -> None:
        """Leave it: what was sent twice has the same id, by which the receiver knows it."""

    def _post(self, endpoint: WebhookEndpoint, key: str, body: bytes) -> http_client.HttpResponse:
        url = endpoint.url or self._require_variable(endpoint.url_env)
        stamp = str(int(self._now().timestamp()))
        headers = {"Content-Type": "application/json", EVENT_ID_HEADER: encode_event_id(key), TIMESTAMP_HEADER: stamp}
        if endpoint.secret_env:  # what is to be signed never goes out unsigned
            headers[SIGNATURE_HEADER] = sign_body(
                self._require_variable(endpoint.secret_env), headers[TIMESTAMP_HEADER], body
            )
        return http_client.send_request("POST", url, timeout=TIMEOUT_SECONDS, headers=headers, content=body)

    def _require_variable(self, name: str | None) -> str:
        value = (self._get_variable(str(name)) or "").strip()
        if not value:
            raise Misconfigured(say("{name} is not set", name=Code(name or "")))
        return value

    def _delivery_for(self, response: http_client.HttpResponse) -> DeliveryResult:
        if response.is_success:
            return DeliveryResult(DeliveryOutcome.DELIVERED)
        why = f"HTTP {response.status}"
        if response.status >= 500 or response.status in _RETRIED_STATUSES:
            return DeliveryResult(
                DeliveryOutcome.RETRY,
                retry_after=self._parse_retry_after(response.headers.get("retry-after", "")),
                why=why,
            )
        return DeliveryResult(
            DeliveryOutcome.REFUSED, why=f"{why}, a redirect" if 300 <= response.status < 400 else why
        )

    def _parse_retry_after(self, header: str) -> timedelta:
        """Return how long a Retry-After says to wait, in seconds or until a date; nothing for what says nothing."""
        try:
            wait = timedelta(seconds=int(header)) if header.isdecimal() else parsedate_to_datetime(header) - self._now()
        except (ValueError, TypeError, OverflowError):
            return timedelta(0)
        return max(timedelta(0), min(wait, MAX_RETRY_AFTER))

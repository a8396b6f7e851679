"""Deliver events to the policy's endpoints, signed, with an ID that stays the same for all retries."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

from bot import http_client
from bot.domain.core.endpoint import Endpoint
from bot.domain.core.errors import Misconfigured, Unreachable
from bot.domain.core.sentence import Code, say
from bot.domain.core.signing import EVENT_ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, encode_event_id, sign_body
from bot.domain.policy.policy import Policy
from bot.ports import SYSTEM_CLOCK, DeliveryOutcome, DeliveryResult, MessageKind, MessageRef, OutboxMessage

TIMEOUT_SECONDS = 10.0  # for one complete attempt
MAX_RETRY_AFTER = timedelta(minutes=5)  # longest wait accepted from an endpoint's Retry-After
UNREACHABLE_PAUSE = timedelta(seconds=10)  # pause for an endpoint that didn't respond; it has other events waiting, too
UNSET_VARIABLE_PAUSE = timedelta(seconds=30)  # before checking again whether the variable is set
# 4xx codes that can be retried; any other one means that the event will never be accepted
_RETRIED_STATUSES = frozenset({408, 425, 429})


class WebhookNotifier:
    """An implementation of `bot.ports.Notifier` for events.

    `policy` returns the active policy; addresses and secrets are read for each delivery. `read_lines` returns the body
    of a message with audit events.
    """

    def __init__(
        self,
        policy: Callable[[], Policy],
        read_lines: Callable[[OutboxMessage], str],
        get_variable: Callable[[str], str | None] = os.environ.get,
        now: Callable[[], datetime] = SYSTEM_CLOCK.now,
    ) -> None:
        self._policy = policy
        self._read_lines = read_lines
        self._get_variable = get_variable
        self._now = now
        self._unreachable_until: dict[str, datetime] = {}  # when an endpoint can be tried again

    def deliver(self, outbox_message: OutboxMessage) -> DeliveryResult:
        """Send one event; see `Notifier`.

        An event that might be lost is sent again; the receiver recognizes a duplicate by its ID.
        """
        endpoint = self._find_endpoint(outbox_message)
        if endpoint is None:
            return DeliveryResult(DeliveryOutcome.REFUSED, why="it's no longer in the policy")
        left = self._unreachable_until.get(outbox_message.to, self._now()) - self._now()
        if left > timedelta(0):
            return DeliveryResult(DeliveryOutcome.RETRY, retry_after=left, why="it didn't respond a moment ago")
        try:
            answer = self._post(endpoint, outbox_message)
        except Misconfigured as error:
            return DeliveryResult(DeliveryOutcome.RETRY, retry_after=UNSET_VARIABLE_PAUSE, why=str(error.sentence))
        except Unreachable as error:
            self._unreachable_until[outbox_message.to] = self._now() + UNREACHABLE_PAUSE
            return DeliveryResult(DeliveryOutcome.RETRY, why=str(error.sentence))
        result = self._delivery_for(answer)
        return _audit_result(outbox_message, result) if outbox_message.kind is MessageKind.AUDIT else result

    def channel_id(self, name: str) -> str:
        """Return the name, because endpoints don't have channels."""
        return name

    def delete_message(self, message_ref: MessageRef) -> None:
        """Do nothing, because a duplicate has the same ID and the receiver recognizes it."""

    def _find_endpoint(self, message: OutboxMessage) -> Endpoint | None:
        policy = self._policy()
        if message.kind is not MessageKind.AUDIT:
            return policy.endpoint(message.to)
        stream = policy.audit.stream
        return stream if stream and stream.key == message.to else None

    def _post(self, endpoint: Endpoint, message: OutboxMessage) -> http_client.HttpResponse:
        url = endpoint.url or self._require_variable(endpoint.url_env)
        is_audit = message.kind is MessageKind.AUDIT
        body = (self._read_lines(message) if is_audit else str(message.data["body"])).encode()
        headers = {
            "Content-Type": "application/x-ndjson" if is_audit else "application/json",
            EVENT_ID_HEADER: encode_event_id(message.key),
            TIMESTAMP_HEADER: str(int(self._now().timestamp())),
        }
        if endpoint.secret_env:  # never send an event unsigned if it should be signed
            headers[SIGNATURE_HEADER] = sign_body(
                self._require_variable(endpoint.secret_env), headers[TIMESTAMP_HEADER], body
            )
        return http_client.send_request("POST", url, timeout=TIMEOUT_SECONDS, headers=headers, content=body)

    def _require_variable(self, name: str | None) -> str:
        value = (self._get_variable(str(name)) or "").strip()
        if not value:
            raise Misconfigured(say("{name} isn't set", name=Code(name or "")))
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
        return DeliveryResult(DeliveryOutcome.REFUSED, why=f"{why} (redirect)" if 300 <= response.status < 400 else why)

    def _parse_retry_after(self, header: str) -> timedelta:
        """Return how long a Retry-After header says to wait: at most five minutes, or zero if it can't be read.

        The header contains either seconds or a date.
        """
        try:
            wait = timedelta(seconds=int(header)) if header.isdecimal() else parsedate_to_datetime(header) - self._now()
        except (ValueError, TypeError, OverflowError):
            return timedelta(0)
        return max(timedelta(0), min(wait, MAX_RETRY_AFTER))


def _audit_result(message: OutboxMessage, result: DeliveryResult) -> DeliveryResult:
    """Return the result for audit events: the last event's number if they're delivered; otherwise, always a retry."""
    if result.outcome is DeliveryOutcome.DELIVERED:
        return replace(result, message_ref=MessageRef(message.key, str(message.data["last"])))
    return replace(result, outcome=DeliveryOutcome.RETRY)

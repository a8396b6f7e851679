"""Delivers payloads over the configured transport, and redelivers events that aren't acknowledged."""

from __future__ import annotations

import asyncio
from typing import Any

from localslack.core.clock import WorkspaceClock
from localslack.delivery.http import HttpTransport
from localslack.delivery.result import TIMEOUT, PayloadResult, Transport
from localslack.delivery.socket_mode import SocketModeTransport

# Slack redelivers an event immediately, after one minute, and after five more. It never repeats commands and clicks.
RETRY_DELAYS = (0.0, 60.0, 300.0)


class PayloadRouter:
    """Delivers over signed HTTP if a request URL is set, and over Socket Mode otherwise."""

    def __init__(self, clock: WorkspaceClock, socket_mode: SocketModeTransport, signing_secret: str) -> None:
        self.socket_mode = socket_mode
        self._clock = clock
        self._secret = signing_secret
        self._http: HttpTransport | None = None
        self._events: set[asyncio.Task[None]] = set()

    async def set_request_url(self, url: str | None) -> None:
        """Deliver to this URL or, if it's None, over Socket Mode."""
        previous, self._http = self._http, None
        if previous is not None:
            await previous.close()
        if url:
            self._http = HttpTransport(self._clock, self._secret, url)

    @property
    def request_url(self) -> str | None:
        """The URL that payloads are posted to, or None if they're delivered over Socket Mode."""
        return self._http.url if self._http else None

    async def send_command(self, payload: dict[str, Any]) -> PayloadResult:
        """Deliver a slash command. It's never redelivered."""
        return await self._transport().send("slash_commands", payload, accepts_response_payload=True)

    async def send_interaction(self, payload: dict[str, Any]) -> PayloadResult:
        """Deliver an interaction with a block, modal, or shortcut. It's never redelivered."""
        accepts_response = payload["type"] in ("view_submission", "block_suggestion")
        return await self._transport().send("interactive", payload, accepts_response_payload=accepts_response)

    def send_event(self, payload: dict[str, Any]) -> None:
        """Deliver an event in the background, and redeliver it if the app doesn't acknowledge it."""
        task = asyncio.ensure_future(self._send_with_retries(payload))
        self._events.add(task)
        task.add_done_callback(self._events.discard)

    def cancel_events(self) -> None:
        """Stop delivering events that haven't been acknowledged."""
        for task in self._events:
            task.cancel()

    async def close(self) -> None:
        """Stop delivering events, and close the connections to the request URL."""
        self.cancel_events()
        await self.set_request_url(None)

    def _transport(self) -> Transport:
        return self._http or self.socket_mode

    async def _send_with_retries(self, payload: dict[str, Any]) -> None:
        envelope: dict[str, Any] = {"retry_attempt": 0, "retry_reason": ""}
        for attempt, delay in enumerate((0.0, *RETRY_DELAYS)):
            await self._clock.sleep(delay)
            transport = self._transport()
            result = await transport.send("events_api", payload, accepts_response_payload=False, **envelope)
            if result.acked:
                return
            envelope = {"retry_attempt": attempt + 1, "retry_reason": self._retry_reason(transport, result)}

    def _retry_reason(self, transport: Transport, result: PayloadResult) -> str:
        if transport is self.socket_mode:
            return "timeout"
        return "http_timeout" if result.error == TIMEOUT else "http_error"

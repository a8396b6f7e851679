"""Socket Mode: up to ten connections from the app; each payload goes to exactly one of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import uuid
from typing import Any, Protocol

from localslack.core.clock import WorkspaceClock
from localslack.delivery.result import DISPATCH_FAILED, TIMEOUT, PayloadResult

ACK_SECONDS = 3.0
MAX_CONNECTIONS = 10
# How long Slack keeps a connection open after it asks the app to reconnect.
GRACE_SECONDS = 10.0


class WebSocketConnection(Protocol):
    """The WebSocket methods that Socket Mode needs."""

    async def send_text(self, data: str) -> None:
        """Send a text frame."""
        ...

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Send a close frame."""
        ...


class SocketModeTransport:
    """Delivers payloads over the app's open Socket Mode connections."""

    def __init__(self, clock: WorkspaceClock, app_id: str) -> None:
        self._clock = clock
        self._app_id = app_id
        self._connections: list[WebSocketConnection] = []
        self._retiring: set[WebSocketConnection] = set()
        self._turn = 0
        self.connections_so_far = 0
        self._unacknowledged: dict[str, asyncio.Future[dict[str, Any] | None]] = {}
        self._tickets: set[str] = set()
        self._closing_tasks: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> list[WebSocketConnection]:
        """The open connections, oldest first."""
        return list(self._connections)

    def issue_ticket(self) -> str:
        """Return a ticket that opens one connection."""
        ticket = secrets.token_urlsafe(16)
        self._tickets.add(ticket)
        return ticket

    def redeem_ticket(self, ticket: str) -> bool:
        """Use up a ticket, and return whether it was valid."""
        is_valid = ticket in self._tickets
        self._tickets.discard(ticket)
        return is_valid

    async def add_connection(self, connection: WebSocketConnection) -> bool:
        """Add and greet a connection, and return True; if there are already ten, close it, and return False."""
        if len(self._connections) >= MAX_CONNECTIONS:
            await connection.send_text(_disconnect_message("too_many_websockets"))
            await connection.close()
            return False
        self._connections.append(connection)
        self.connections_so_far += 1
        await connection.send_text(json.dumps(self._hello_message()))
        return True

    def remove_connection(self, connection: WebSocketConnection) -> None:
        """Remove a closed connection."""
        self._retiring.discard(connection)
        if connection in self._connections:
            self._connections.remove(connection)

    def handle_frame(self, text: str) -> None:
        """Handle the acknowledgment of an envelope; ignore all other frames."""
        with contextlib.suppress(ValueError, AttributeError):
            frame = json.loads(text)
            waiter = self._unacknowledged.get(frame.get("envelope_id", ""))
            if waiter is not None and not waiter.done():
                waiter.set_result(frame.get("payload") or {})

    async def send(self, kind: str, payload: dict[str, Any], **envelope: Any) -> PayloadResult:
        """Deliver a payload to one connection, and wait up to three seconds for its acknowledgment."""
        connection = self._next_connection()
        if connection is None:
            return PayloadResult(acked=False, seconds=0.0, error=DISPATCH_FAILED)
        envelope_id = str(uuid.uuid4())
        frame = {"envelope_id": envelope_id, "payload": payload, "type": kind, **envelope}
        waiter: asyncio.Future[dict[str, Any] | None] = asyncio.get_running_loop().create_future()
        self._unacknowledged[envelope_id] = waiter
        started_at = asyncio.get_running_loop().time()
        try:
            # A payload sent to a broken connection is lost, as with Slack.
            with contextlib.suppress(Exception):
                await connection.send_text(json.dumps(frame))
            answer = await self._clock.wait_for(waiter, ACK_SECONDS)
        except TimeoutError:
            return PayloadResult(acked=False, seconds=ACK_SECONDS, error=TIMEOUT)
        finally:
            del self._unacknowledged[envelope_id]
        return PayloadResult(acked=True, seconds=asyncio.get_running_loop().time() - started_at, answer=answer)

    async def request_reconnect(self, reason: str) -> int:
        """Ask the app to reconnect, close the old connections later, and return how many there were."""
        connections = self.connections
        for connection in connections:
            self._retiring.add(connection)
            with contextlib.suppress(Exception):
                await connection.send_text(_disconnect_message(reason))
            task = asyncio.ensure_future(self._close_later(connection))
            self._closing_tasks.add(task)
            task.add_done_callback(self._closing_tasks.discard)
        return len(connections)

    async def close_all(self) -> int:
        """Close every connection with a close frame, and return how many there were."""
        connections = self.connections
        for connection in connections:
            with contextlib.suppress(Exception):
                await connection.close()
        return len(connections)

    async def _close_later(self, connection: WebSocketConnection) -> None:
        await self._clock.sleep(GRACE_SECONDS)
        if connection in self._connections:
            with contextlib.suppress(Exception):
                await connection.close()

    def _next_connection(self) -> WebSocketConnection | None:
        candidates = [
            connection for connection in self._connections if connection not in self._retiring
        ] or self._connections
        if not candidates:
            return None
        self._turn += 1
        return candidates[self._turn % len(candidates)]

    def _hello_message(self) -> dict[str, Any]:
        return {
            "type": "hello",
            "num_connections": len(self._connections),
            "debug_info": {"host": "localslack", "build_number": 1, "approximate_connection_time": 18060},
            "connection_info": {"app_id": self._app_id},
        }


def _disconnect_message(reason: str) -> str:
    return json.dumps({"type": "disconnect", "reason": reason, "debug_info": {"host": "localslack"}})

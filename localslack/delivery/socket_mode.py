"""Socket Mode: up to ten connections of the app, each payload on exactly one of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import uuid
from typing import Any, Protocol

from localslack.core.clock import Clock
from localslack.delivery.result import NOBODY, TIMEOUT, Outcome

ACK_SECONDS = 3.0
MAX_CONNECTIONS = 10
# How long Slack leaves a connection open after it has asked for a new one.
GRACE_SECONDS = 10.0


class Socket(Protocol):
    """The part of a WebSocket that Socket Mode uses."""

    async def send_text(self, data: str) -> None:
        """Send one text frame."""
        ...

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Close with a close frame."""
        ...


class Sockets:
    """The app's open connections."""

    def __init__(self, clock: Clock, app_id: str) -> None:
        self._clock = clock
        self._app_id = app_id
        self._open: list[Socket] = []
        self._leaving: set[Socket] = set()
        self._turn = 0
        self.joined = 0
        self._awaited: dict[str, asyncio.Future[dict[str, Any] | None]] = {}
        self._tickets: set[str] = set()
        self._goodbyes: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> list[Socket]:
        """The open connections, oldest first."""
        return list(self._open)

    def ticket(self) -> str:
        """A ticket with which one connection can be opened."""
        ticket = secrets.token_urlsafe(16)
        self._tickets.add(ticket)
        return ticket

    def admit(self, ticket: str) -> bool:
        """Whether the ticket opens a connection; it is used up."""
        known = ticket in self._tickets
        self._tickets.discard(ticket)
        return known

    async def join(self, socket: Socket) -> bool:
        """Greet a new connection; the eleventh is sent away and False returned."""
        if len(self._open) >= MAX_CONNECTIONS:
            await socket.send_text(_goodbye("too_many_websockets"))
            await socket.close()
            return False
        self._open.append(socket)
        self.joined += 1
        await socket.send_text(json.dumps(self._hello()))
        return True

    def leave(self, socket: Socket) -> None:
        """Forget a connection that has closed."""
        self._leaving.discard(socket)
        if socket in self._open:
            self._open.remove(socket)

    def received(self, text: str) -> None:
        """Take in what the app sent: the acknowledgement of an envelope. Anything else is ignored."""
        with contextlib.suppress(ValueError, AttributeError):
            frame = json.loads(text)
            waiter = self._awaited.get(frame.get("envelope_id", ""))
            if waiter is not None and not waiter.done():
                waiter.set_result(frame.get("payload") or {})

    async def send(self, kind: str, payload: dict[str, Any], **envelope: Any) -> Outcome:
        """Deliver a payload to one connection and wait three seconds for its acknowledgement."""
        socket = self._next()
        if socket is None:
            return Outcome(acked=False, seconds=0.0, error=NOBODY)
        envelope_id = str(uuid.uuid4())
        frame = {"envelope_id": envelope_id, "payload": payload, "type": kind, **envelope}
        waiter: asyncio.Future[dict[str, Any] | None] = asyncio.get_running_loop().create_future()
        self._awaited[envelope_id] = waiter
        began = asyncio.get_running_loop().time()
        try:
            # A send to a broken connection is lost as it would be on the way from Slack.
            with contextlib.suppress(Exception):
                await socket.send_text(json.dumps(frame))
            answer = await self._clock.within(waiter, ACK_SECONDS)
        except TimeoutError:
            return Outcome(acked=False, seconds=ACK_SECONDS, error=TIMEOUT)
        finally:
            del self._awaited[envelope_id]
        return Outcome(acked=True, seconds=asyncio.get_running_loop().time() - began, answer=answer)

    async def ask_to_leave(self, reason: str) -> int:
        """Send every connection a disconnect message, close those that stay, and say how many there were."""
        sockets = self.open
        for socket in sockets:
            self._leaving.add(socket)
            with contextlib.suppress(Exception):
                await socket.send_text(_goodbye(reason))
            task = asyncio.ensure_future(self._close_later(socket))
            self._goodbyes.add(task)
            task.add_done_callback(self._goodbyes.discard)
        return len(sockets)

    async def close_all(self) -> int:
        """Close every connection with a close frame, and say how many there were."""
        sockets = self.open
        for socket in sockets:
            with contextlib.suppress(Exception):
                await socket.close()
        return len(sockets)

    async def _close_later(self, socket: Socket) -> None:
        await self._clock.sleep(GRACE_SECONDS)
        if socket in self._open:
            with contextlib.suppress(Exception):
                await socket.close()

    def _next(self) -> Socket | None:
        staying = [socket for socket in self._open if socket not in self._leaving] or self._open
        if not staying:
            return None
        self._turn += 1
        return staying[self._turn % len(staying)]

    def _hello(self) -> dict[str, Any]:
        return {
            "type": "hello",
            "num_connections": len(self._open),
            "debug_info": {"host": "localslack", "build_number": 1, "approximate_connection_time": 18060},
            "connection_info": {"app_id": self._app_id},
        }


def _goodbye(reason: str) -> str:
    return json.dumps({"type": "disconnect", "reason": reason, "debug_info": {"host": "localslack"}})

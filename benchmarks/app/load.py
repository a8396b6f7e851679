"""Signed HTTP requests over several kept-alive connections, and the time to each response."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from benchmarks.app.simulated_slack import Payload

SECRET = b"bench"


class Poster:
    """Posts to one address; each lane has its own connection."""

    def __init__(self, url: str, form: Callable[[Payload], bytes]) -> None:
        self._url = urlsplit(url)
        self._form = form
        self._connections: dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}

    async def __call__(self, lane: int, payload: Payload) -> float:
        """Post one payload, signed like Slack's; return the seconds to its response. Raises RuntimeError unless 200."""
        if lane not in self._connections:
            self._connections[lane] = await asyncio.open_connection(self._url.hostname, self._url.port)
        reader, writer = self._connections[lane]
        request = _request(self._url.path, self._form(payload))
        began = time.perf_counter()
        writer.write(request)
        await _answer(reader)
        return time.perf_counter() - began

    def disconnect(self, lane: int) -> None:
        """Close a lane's connection after an error, so that the next payload opens another."""
        if connection := self._connections.pop(lane, None):
            connection[1].close()


def _request(path: str, body: bytes) -> bytes:
    timestamp = str(int(time.time()))
    signature = hmac.new(SECRET, f"v0:{timestamp}:".encode() + body, hashlib.sha256).hexdigest()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\nX-Slack-Request-Timestamp: {timestamp}\r\n"
        f"X-Slack-Signature: v0={signature}\r\n\r\n"
    )
    return head.encode() + body


async def _answer(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    if not head.startswith("HTTP/1.1 200"):
        raise RuntimeError(head.splitlines()[0])
    length = next(int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-length"))
    await reader.readexactly(length)

"""The stream of changes: numbered notes of what moved, and a way to wait for the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

MAX_ENTRIES = 2000


class ChangeFeed:
    """A short memory of changes. A note says where something moved, never what it says.

    Kinds: message, view (modals), home, people, channel, connection (of the app), call (of the Web API),
    problem, reset.
    """

    def __init__(self) -> None:
        self.seq = 0
        self._entries: deque[dict[str, Any]] = deque(maxlen=MAX_ENTRIES)
        self._waiters: set[asyncio.Future[None]] = set()
        self._closed = False

    def publish(self, kind: str, *, channel: str | None = None, user: str | None = None) -> None:
        """Add a note and wake everybody who waits. With a user it concerns that person only."""
        self.seq += 1
        self._entries.append({"seq": self.seq, "kind": kind, "channel": channel, "user": user})
        self._wake()

    def since(self, after: int) -> dict[str, Any]:
        """The notes after a number; `reset` tells that some have been forgotten."""
        has_gap = after > self.seq or (bool(self._entries) and after < self._entries[0]["seq"] - 1)
        entries = [entry for entry in self._entries if entry["seq"] > after]
        return {"seq": self.seq, "changes": entries, "reset": has_gap}

    async def wait(self, after: int, seconds: float) -> dict[str, Any]:
        """The notes after a number, waiting at most `seconds` for the first one."""
        if after == self.seq and not self._closed:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await asyncio.wait({waiter}, timeout=seconds)
            finally:
                self._waiters.discard(waiter)
        return self.since(after)

    def close(self) -> None:
        """Let everybody go home: waiting returns at once from now on."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

"""The change feed: numbered entries about what changed, and a way to wait for the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

MAX_ENTRIES = 2000


class ChangeFeed:
    """The latest changes. An entry says where something changed, but not the new value.

    Kinds: message, view (modals), home, people, channel, connection (from the app), call (to the Web API), problem,
    reset.
    """

    def __init__(self) -> None:
        self.seq = 0
        self._entries: deque[dict[str, Any]] = deque(maxlen=MAX_ENTRIES)
        self._waiters: set[asyncio.Future[None]] = set()
        self._closed = False

    def publish(self, kind: str, *, channel: str | None = None, user: str | None = None) -> None:
        """Add an entry, and wake all waiters. user: the only person affected, or None."""
        self.seq += 1
        self._entries.append({"seq": self.seq, "kind": kind, "channel": channel, "user": user})
        self._wake()

    def since(self, after: int) -> dict[str, Any]:
        """Return the entries after a number; `reset` is true if some were dropped or the number is too high."""
        has_gap = after > self.seq or (bool(self._entries) and after < self._entries[0]["seq"] - 1)
        entries = [entry for entry in self._entries if entry["seq"] > after]
        return {"seq": self.seq, "changes": entries, "reset": has_gap}

    async def wait(self, after: int, seconds: float) -> dict[str, Any]:
        """Return the entries after a number, waiting up to `seconds` for the first one."""
        if after == self.seq and not self._closed:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await asyncio.wait({waiter}, timeout=seconds)
            finally:
                self._waiters.discard(waiter)
        return self.since(after)

    def close(self) -> None:
        """End all current and future waits, so that the server can stop."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

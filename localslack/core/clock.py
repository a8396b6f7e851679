"""A clock that a test can move forward; all of the workspace's deadlines use it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class WorkspaceClock:
    """The wall clock plus an offset, for use in a single event loop."""

    def __init__(self) -> None:
        self._offset = 0.0
        self._sleepers: set[asyncio.Future[None]] = set()

    def now(self) -> float:
        """Return the workspace's time, in seconds since the epoch."""
        return time.time() + self._offset

    def advance(self, seconds: float) -> float:
        """Move the clock forward, wake everything that's due, and return the new time."""
        self._offset += seconds
        for sleeper in self._sleepers:
            if not sleeper.done():
                sleeper.set_result(None)
        return self.now()

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` on this clock."""
        deadline = self.now() + seconds
        while (remaining := deadline - self.now()) > 0:
            await self._sleep_or_wake(remaining)

    async def wait_for(self, awaitable: Awaitable[T], seconds: float) -> T:
        """Await something for up to `seconds` on this clock; after that, cancel it. Raises TimeoutError."""
        task = asyncio.ensure_future(awaitable)
        timer = asyncio.ensure_future(self.sleep(seconds))
        try:
            await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                task.cancel()
                raise TimeoutError(f"nothing happened within {seconds} s")
            return task.result()
        finally:
            timer.cancel()
            if not task.done():
                task.cancel()

    async def _sleep_or_wake(self, timeout: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.add(woken)
        try:
            await asyncio.wait({woken}, timeout=timeout)
        finally:
            self._sleepers.discard(woken)

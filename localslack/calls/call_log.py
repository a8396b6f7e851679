"""The log of received Web API calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class CallLog:
    """Received Web API calls, oldest first, for tests to count and inspect."""

    MAX_KEPT = 10_000

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._calls: list[dict[str, Any]] = []

    def add(self, method: str, args: dict[str, Any]) -> dict[str, Any]:
        """Add a call, and return its record; the caller sets the outcome later."""
        call = {"method": method, "args": args, "at": self._now(), "ok": None, "error": None}
        self._calls.append(call)
        del self._calls[: -self.MAX_KEPT]
        return call

    def calls_to(self, method: str | None) -> list[dict[str, Any]]:
        """Return the calls to one method, or all calls if `method` is None."""
        return [call for call in self._calls if method in (None, call["method"])]

    def clear(self) -> None:
        """Remove all calls."""
        self._calls.clear()

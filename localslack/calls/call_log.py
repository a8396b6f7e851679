"""The log of the Web API calls that a workspace received."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class CallLog:
    """The Web API calls received, oldest first; tests count and inspect them."""

    MAX_KEPT = 10_000

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._calls: list[dict[str, Any]] = []

    def add(self, method: str, args: dict[str, Any]) -> dict[str, Any]:
        """Add a call, and return its record, in which the caller sets the outcome later."""
        call = {"method": method, "args": args, "at": self._now(), "ok": None, "error": None}
        self._calls.append(call)
        del self._calls[: -self.MAX_KEPT]
        return call

    def calls_to(self, method: str | None) -> list[dict[str, Any]]:
        """Return the calls of one method, or all calls for None."""
        return [call for call in self._calls if method in (None, call["method"])]

    def clear(self) -> None:
        """Forget all calls."""
        self._calls.clear()

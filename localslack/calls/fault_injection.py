"""Failures that a test orders: per method, a number of times, taken before or after the effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# What can go wrong with one call:
RATE_LIMITED = "ratelimited"  # HTTP 429 with Retry-After, no effect
RESET_BEFORE = "reset_before"  # the connection breaks before anything happened
RESET_AFTER = "reset_after"  # the call takes effect and the answer is lost
SERVER_ERROR = "server_error"  # HTTP 500, no effect
SLOW = "slow"  # the answer takes `seconds`
UNKNOWN = "unknown"  # the method does not exist
ERROR = "error"  # the Slack error `error`, no effect
KINDS = (RATE_LIMITED, RESET_BEFORE, RESET_AFTER, SERVER_ERROR, SLOW, UNKNOWN, ERROR)
ANY = "*"


@dataclass
class Fault:
    """One order. times None means until healed."""

    method: str
    kind: str
    times: int | None = 1
    seconds: float = 1.0
    error: str = "internal_error"


class Faults:
    """The standing orders."""

    def __init__(self) -> None:
        self._orders: list[Fault] = []

    def order(self, fault: Fault) -> None:
        """Add an order; raises ValueError for an unknown kind."""
        if fault.kind not in KINDS:
            raise ValueError(f"no fault {fault.kind!r}; there is {', '.join(KINDS)}")
        self._orders.append(fault)

    def take(self, method: str) -> list[Fault]:
        """The faults of this call: all slow ones that apply, and the first of the others."""
        slow = [fault for fault in self._for(method) if fault.kind == SLOW]
        other = [fault for fault in self._for(method) if fault.kind != SLOW][:1]
        for fault in slow + other:
            self._count(fault)
        return slow + other

    def heal(self) -> None:
        """Forget all orders."""
        self._orders.clear()

    def _for(self, method: str) -> list[Fault]:
        return [fault for fault in self._orders if fault.method in (method, ANY)]

    def _count(self, fault: Fault) -> None:
        if fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                self._orders.remove(fault)


class Calls:
    """The Web API calls received, in order, for tests to count and inspect."""

    KEPT = 10_000

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._calls: list[dict[str, Any]] = []

    def add(self, method: str, args: dict[str, Any]) -> dict[str, Any]:
        """Note a call that arrived; the returned record takes its outcome later."""
        call = {"method": method, "args": args, "at": self._now(), "ok": None, "error": None}
        self._calls.append(call)
        del self._calls[: -self.KEPT]
        return call

    def of(self, method: str | None) -> list[dict[str, Any]]:
        """The calls of one method, or all."""
        return [call for call in self._calls if method in (None, call["method"])]

    def clear(self) -> None:
        """Forget all calls."""
        self._calls.clear()

"""Faults that a test injects into calls to a method: how many times, and before or after the effect."""

from __future__ import annotations

from dataclasses import dataclass

# What can go wrong with one call:
RATE_LIMITED = "ratelimited"  # HTTP 429 with Retry-After, no effect
RESET_BEFORE = "reset_before"  # the connection breaks before the call takes effect
RESET_AFTER = "reset_after"  # the call takes effect, and the answer is lost
SERVER_ERROR = "server_error"  # HTTP 500, no effect
SLOW = "slow"  # the answer takes `seconds`
UNKNOWN = "unknown"  # the method doesn't exist
ERROR = "error"  # the Slack error `error`, no effect
FAULT_KINDS = (RATE_LIMITED, RESET_BEFORE, RESET_AFTER, SERVER_ERROR, SLOW, UNKNOWN, ERROR)
ANY_METHOD = "*"


@dataclass
class InjectedFault:
    """A fault for calls to a method. times: how many calls it affects, or None for all until `heal` is called."""

    method: str
    kind: str
    times: int | None = 1
    seconds: float = 1.0
    error: str = "internal_error"


class FaultInjector:
    """The injected faults that can still affect calls."""

    def __init__(self) -> None:
        self._faults: list[InjectedFault] = []

    def inject(self, fault: InjectedFault) -> None:
        """Add a fault. Raises ValueError for an unknown kind."""
        if fault.kind not in FAULT_KINDS:
            raise ValueError(f"unknown fault {fault.kind!r}; use one of: {', '.join(FAULT_KINDS)}")
        self._faults.append(fault)

    def take_faults(self, method: str) -> list[InjectedFault]:
        """Return the faults for one call: all slow ones, and the first of the others. Remove those that are used up."""
        slow = [fault for fault in self._matching(method) if fault.kind == SLOW]
        other = [fault for fault in self._matching(method) if fault.kind != SLOW][:1]
        for fault in slow + other:
            self._use_up(fault)
        return slow + other

    def heal(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    def _matching(self, method: str) -> list[InjectedFault]:
        return [fault for fault in self._faults if fault.method in (method, ANY_METHOD)]

    def _use_up(self, fault: InjectedFault) -> None:
        if fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                self._faults.remove(fault)

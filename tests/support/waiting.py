"""Wait for a condition that no workspace reports: in a ledger, a log, or another server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE = 60.0  # seconds until a test gives up; a busy machine isn't a failure


def wait_until(holds: Callable[[], T], limit: float = PATIENCE) -> T:
    """Return the first true value of `holds`, checked repeatedly, or fail after `limit` seconds."""
    until, pause = time.monotonic() + limit, threading.Event()
    while not (found := holds()):
        assert time.monotonic() < until, "it did not come true"
        pause.wait(0.02)
    return found

"""Waiting for what no workspace tells of: a ledger, a log, another server. It ends as soon as it holds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE = 60.0  # seconds after which a test gives up; a busy machine is no failure


def wait_until(holds: Callable[[], T], limit: float = PATIENCE) -> T:
    """Return the first true value of what is asked, again and again, or fail."""
    until, pause = time.monotonic() + limit, threading.Event()
    while not (found := holds()):
        assert time.monotonic() < until, "it did not come true"
        pause.wait(0.02)
    return found

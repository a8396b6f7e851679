"""The notice that an answer takes longer than a person expects."""

from __future__ import annotations

import threading
from collections.abc import Callable

from bot import logging_context

SLOW_NOTICE_SECONDS = 2.0  # seconds that a person waits before hearing that the registry is slow


class SlowNotice:
    """Sends a notice once if a task takes too long, including the wait for a thread, or on request."""

    def __init__(self, send: Callable[[], None]) -> None:
        self._send = send
        self._timer = threading.Timer(SLOW_NOTICE_SECONDS, logging_context.with_context(self.send_now))
        self._timer.daemon = True
        self._sent_lock = threading.Lock()
        self._timer.start()

    def __enter__(self) -> SlowNotice:
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def send_now(self) -> None:
        """Speak, unless it was done before."""
        if self._sent_lock.acquire(blocking=False):
            self._send()

"""Runs batches of checks on threads of this process: the dispatcher for a single machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from bot.ports import CheckBatch

SHUTDOWN_SECONDS = 3.0  # seconds that a shutdown waits for running checks


class ThreadDispatcher:
    """A `bot.ports.Dispatcher` with a thread for each batch, so that a hanging batch doesn't block others."""

    def __init__(self) -> None:
        self._run_batch: Callable[[CheckBatch], None] = lambda batch: None
        self._threads: list[threading.Thread] = []

    def set_handler(self, handler: Callable[[CheckBatch], None]) -> None:
        """Set the function that runs a dispatched batch."""
        self._run_batch = handler

    def start(self) -> None:
        """Do nothing, because each batch gets its own thread."""

    def dispatch(self, batches: Sequence[CheckBatch]) -> None:
        """Start each batch immediately, in its own thread."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        for batch in batches:
            thread = threading.Thread(
                target=self._run_batch, args=(batch,), name=f"checks of {batch.source}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Wait briefly for running batches."""
        until = time.monotonic() + SHUTDOWN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

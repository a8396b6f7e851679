"""TODO bot.services.core.endpoint_outboxes"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from bot import logging_context
from bot.domain.core.errors import RegistrarError
from bot.ports import NoteKind, Notifier
from bot.services.core.context import Context
from bot.services.core.outbox import GivenUp, Outbox, log

FOR_ENDPOINTS = frozenset({NoteKind.EVENT})


LEAVING = 5.0  # seconds that the end of the process waits for endpoints


class Endpoints:
    """Delivers events: each endpoint has an outbox and, while events wait for it, a thread of its own.

    So one that hangs, fails, or has much to hear delays no other, and there are never more threads than endpoints.
    `at_once` models' events go to one endpoint at the same time; `limit` and `given_up` are as for an outbox.
    """

    def __init__(
        self,
        context: Context,
        notifier: Notifier,
        *,
        at_once: int = 1,
        limit: timedelta | None = None,
        given_up: GivenUp = lambda *_: None,
    ) -> None:
        self._it = context
        self._outbox = partial(
            Outbox, context, notifier, kinds=FOR_ENDPOINTS, at_once=at_once, limit=limit, given_up=given_up
        )
        self._lock = threading.Lock()
        self._outboxes: dict[str, Outbox] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._is_closed = False

    def deliver(self, *, wait: float = 0.0) -> None:
        """Begin to deliver what is due, and wait up to `wait` seconds until that was tried.

        An endpoint that is still being told gets what is new from the same thread, or at the next call.
        """
        with self._it.ledger.read() as reading:
            waited_for = reading.waited_for(NoteKind.EVENT)
        with self._lock:
            for to in waited_for:
                self._begin(to)
        self._wait(wait)

    def close(self, *, wait: float = LEAVING) -> None:
        """Begin nothing new, and wait a moment for what is under way; what is left is sent after the next start."""
        with self._lock:
            self._is_closed = True
        self._wait(wait)

    def _begin(self, to: str) -> None:
        running = self._threads.get(to)
        if self._is_closed or (running and running.is_alive()):
            return
        outbox = self._outboxes.setdefault(to, self._outbox(to=to))
        thread = threading.Thread(target=_quietly, args=(outbox.deliver,), name=f"tell {to}", daemon=True)
        self._threads[to] = thread
        thread.start()

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._lock:
            threads = list(self._threads.values())
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))


def _quietly(deliver: Callable[[], None]) -> None:
    """Deliver; what goes wrong is logged, and the next call tries again."""
    with logging_context.about():
        try:
            deliver()
        except RegistrarError as error:
            log.warning("%s", error)
        except Exception:
            log.exception("an endpoint cannot be told")

"""One outbox and one thread for each webhook endpoint."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from bot import logging_context
from bot.domain.core.errors import RegistrarError
from bot.ports import ENDPOINT_KINDS, Notifier
from bot.services.core.context import Context
from bot.services.core.outbox import GiveUpHandler, Outbox, log

SHUTDOWN_TIMEOUT = 5.0  # seconds to wait for endpoints at shutdown


class EndpointOutboxes:
    """Delivers events. Each endpoint has its own outbox and, while events wait for it, its own thread.

    An endpoint that hangs, fails, or has many events doesn't delay others, and there are never more threads than
    endpoints. The parameters are those of `Outbox`; `concurrency` is how many models' events can go to an endpoint at
    the same time.
    """

    def __init__(
        self,
        context: Context,
        notifier: Notifier,
        *,
        concurrency: int = 1,
        max_age: timedelta | None = None,
        on_give_up: GiveUpHandler = lambda *_: None,
    ) -> None:
        self._context = context
        self._make_outbox = partial(
            Outbox,
            context,
            notifier,
            kinds=ENDPOINT_KINDS,
            concurrency=concurrency,
            max_age=max_age,
            on_give_up=on_give_up,
        )
        self._lock = threading.Lock()
        self._outboxes: dict[str, Outbox] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._is_closed = False

    def deliver(self, *, patience: float = 0.0) -> None:
        """Start delivering what's due, and wait up to `patience` seconds until all of it has been tried.

        If an endpoint's thread is still running, that thread or the next call delivers new events.
        """
        with self._context.ledger.read() as reader:
            recipients = {one for kind in ENDPOINT_KINDS for one in reader.pending_recipients(kind)}
        with self._lock:
            for recipient in recipients:
                thread_before = self._threads.get(recipient)
                if self._is_closed or (thread_before and thread_before.is_alive()):
                    continue
                outbox = self._outboxes.setdefault(recipient, self._make_outbox(recipient=recipient))
                self._threads[recipient] = threading.Thread(
                    target=_deliver_and_log, args=(outbox.deliver,), name=f"tell {recipient}", daemon=True
                )
                self._threads[recipient].start()
        self._join_threads(patience)

    def close(self, *, patience: float = SHUTDOWN_TIMEOUT) -> None:
        """Start no more deliveries, and wait up to `patience` seconds for running ones; a restart sends the rest."""
        with self._lock:
            self._is_closed = True
        self._join_threads(patience)

    def _join_threads(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with self._lock:
            threads = list(self._threads.values())
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def _deliver_and_log(deliver: Callable[[], None]) -> None:
    """Deliver, and log any error; the next call tries again."""
    with logging_context.bound():
        try:
            deliver()
        except RegistrarError as error:
            log.warning("%s", error)
        except Exception:
            log.exception("can't deliver to an endpoint")

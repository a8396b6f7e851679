"""Start a listener's slow work after the acknowledgment is sent, and tell the person if it takes a while."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from slack_bolt import App, BoltRequest, BoltResponse

from bot import logging_context
from bot.domain.core.actors import Person, actor_id
from handlers.errors import new_error_id

Task = Callable[[], object]

SLOW_NOTICE_SECONDS = 2.0  # seconds that a person waits before hearing that the registry is slow

_deferred: ContextVar[list[Task] | None] = ContextVar("collected", default=None)


def dispatch_request(app: App, request: BoltRequest) -> tuple[BoltResponse, Task]:
    """Let Bolt handle the request; return its response, and what starts the slow work once the response is sent.

    Everything logged for it, also by the slow work, includes the actor and the ID that they see if something fails.
    """
    tasks: list[Task] = []
    token = _deferred.set(tasks)
    try:
        with logging_context.bound(quote=new_error_id(), actor=_actor_id(request.body)):
            response = app.dispatch(request)
    finally:
        _deferred.reset(token)

    def start() -> None:
        for task in tasks:
            task()

    return response, start


def after_acknowledgement(task: Task) -> None:
    """Start a task once the acknowledgment is sent; immediately if nothing is being acknowledged."""
    tasks = _deferred.get()
    if tasks is None:
        task()
    else:
        tasks.append(logging_context.with_context(task))


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
        """Send the notice, unless it was already sent."""
        if self._sent_lock.acquire(blocking=False):
            self._send()


def _actor_id(body: Mapping[str, Any]) -> str | None:
    """Return who acts, according to the payload; None if it isn't in Slack's format."""
    user = body.get("user")
    fields: Mapping[str, Any] = user if isinstance(user, Mapping) else {}
    team = fields.get("team_id") or body.get("team_id") or (body.get("team") or {}).get("id")
    ids = (str(team or ""), str(fields.get("id") or body.get("user_id") or ""))
    return actor_id(Person(*ids)) if all(re.fullmatch(r"[A-Z0-9]{1,30}", id_) for id_ in ids) else None

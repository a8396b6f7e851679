"""Starts a listener's slow work after the acknowledgement is sent, so that it can't delay it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from slack_bolt import App, BoltRequest, BoltResponse

from bot import logging_context
from bot.domain.core.actors import Person, actor_id
from handlers.errors import new_error_id

Task = Callable[[], object]

_deferred: ContextVar[list[Task] | None] = ContextVar("collected", default=None)


def dispatch_request(app: App, request: BoltRequest) -> tuple[BoltResponse, Task]:
    """Let Bolt handle the request; return its response, and what starts the slow work once the response is sent.

    Everything logged for it, also by the slow work, includes the actor and the id that they read if something fails.
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
    """Start a task once the acknowledgement is sent; at once if nothing is being acknowledged."""
    tasks = _deferred.get()
    if tasks is None:
        task()
    else:
        tasks.append(logging_context.with_context(task))


def _actor_id(body: Mapping[str, Any]) -> str | None:
    """Return who acts, according to the payload; None if it isn't in Slack's format."""
    user = body.get("user")
    fields: Mapping[str, Any] = user if isinstance(user, Mapping) else {}
    team = fields.get("team_id") or body.get("team_id") or (body.get("team") or {}).get("id")
    ids = (str(team or ""), str(fields.get("id") or body.get("user_id") or ""))
    return actor_id(Person(*ids)) if all(re.fullmatch(r"[A-Z0-9]{1,30}", id_) for id_ in ids) else None

"""Handle Slack's requests: first the acknowledgment, then a listener's slow work.

People take turns, and someone who floods the bot with requests is refused. If the slow work takes a while, the person
gets a notice.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextvars import ContextVar
from functools import partial
from typing import Any

from slack_bolt import App, BoltRequest, BoltResponse

from bot import logging_context
from bot.domain.core.actors import Person, actor_id
from bot.domain.core.messages import too_many_commands_notice
from bot.domain.core.sentence import Sentence
from bot.registrar import Registrar
from handlers.errors import new_error_id
from handlers.recent_keys import RecentKeys

log = logging.getLogger(__name__)

Task = Callable[[], object]
Dispatch = Callable[[BoltRequest], Future[tuple[BoltResponse, Task]]]

MAX_IN_PROGRESS = 50  # a person's tasks that wait or run; a person who waits for each answer has one or two
LOG_PAUSE = 60.0  # seconds in which a person's refusals are logged once
SLOW_NOTICE_SECONDS = 2.0  # seconds that a person waits before hearing that the registry is slow

_deferred: ContextVar[list[Task] | None] = ContextVar("collected", default=None)


class RequestDispatcher:
    """Dispatches requests from HTTP and Socket Mode. It never blocks, so an event loop can call it."""

    def __init__(self, app: App, registrar: Registrar) -> None:
        self._app = app
        self._registrar = registrar
        self._logged = RecentKeys(LOG_PAUSE, time.monotonic)

    def dispatch(self, request: BoltRequest) -> Future[tuple[BoltResponse, Task]]:
        """Return a future response, and a task that starts the slow work once the response is sent.

        If the person has too many commands in progress, the response is a refusal, and nothing else happens.
        """
        user = _user_in(request.body)
        if self._registrar.in_progress(user) < MAX_IN_PROGRESS:
            return self._registrar.submit_listener(partial(dispatch_request, self._app, request), user)
        if self._logged.is_new(user):
            log.warning("refusing more commands from %s, who has %d in progress", user, MAX_IN_PROGRESS)
        refused: Future[tuple[BoltResponse, Task]] = Future()
        refused.set_result((_refusal(request.body), lambda: None))
        return refused


def dispatch_request(app: App, request: BoltRequest) -> tuple[BoltResponse, Task]:
    """Let Bolt handle the request; return its response, and a task that starts the slow work once that's sent.

    All its log lines have the actor and the error ID that they see if something fails.
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
    """Start a task once the acknowledgment is sent, or immediately if nothing is being acknowledged."""
    tasks = _deferred.get()
    if tasks is None:
        task()
    else:
        tasks.append(logging_context.with_context(task))


class SlowNotice:
    """Sends a notice once: on request, or if a task takes too long, including its wait for a thread."""

    def __init__(self, send: Callable[[Sentence | None], None]) -> None:
        self._send = send
        self._timer = threading.Timer(SLOW_NOTICE_SECONDS, logging_context.with_context(self.send_now))
        self._timer.daemon = True
        self._sent_lock = threading.Lock()
        self._timer.start()

    def __enter__(self) -> SlowNotice:
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def send_now(self, sentence: Sentence | None = None) -> None:
        """Send the notice, or `sentence` instead, unless it was already sent."""
        if self._sent_lock.acquire(blocking=False):
            self._send(sentence)


def _refusal(body: Mapping[str, Any]) -> BoltResponse:
    """Return a refusal that acknowledges a command or a form.

    Other requests can't show a sentence: Slack marks a clicked button as failed, and delivers an event again later.
    """
    sentence = str(too_many_commands_notice(MAX_IN_PROGRESS))
    fields = list(((body.get("view") or {}).get("state") or {}).get("values") or {})
    if "command" in body:
        answer: dict[str, Any] = {"response_type": "ephemeral", "text": sentence}
    elif body.get("type") == "view_submission" and fields:
        answer = {"response_action": "errors", "errors": {fields[0]: sentence}}
    else:
        return BoltResponse(status=429, body=sentence)
    return BoltResponse(status=200, body=json.dumps(answer), headers={"Content-Type": "application/json"})


def _user_in(body: Mapping[str, Any]) -> str:
    """Return the acting user's ID, or an empty string if there isn't one."""
    event = body.get("event")
    fields: Mapping[str, Any] = event if isinstance(event, Mapping) else {}
    # An edited or deleted message names its author only inside.
    for source in (body.get("user"), body, fields, fields.get("message"), fields.get("previous_message")):
        if isinstance(source, Mapping) and (user := source.get("id") or source.get("user_id") or source.get("user")):
            return str(user)
    return ""


def _actor_id(body: Mapping[str, Any]) -> str | None:
    """Return the actor that the payload names; None if the IDs aren't in Slack's format."""
    user = body.get("user")
    fields: Mapping[str, Any] = user if isinstance(user, Mapping) else {}
    team = fields.get("team_id") or body.get("team_id") or (body.get("team") or {}).get("id")
    ids = (str(team or ""), str(fields.get("id") or body.get("user_id") or ""))
    return actor_id(Person(*ids)) if all(re.fullmatch(r"[A-Z0-9]{1,30}", id_) for id_ in ids) else None

"""Crash points: before and after each write to the ledger, the registry, Slack, and an endpoint."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mlflow.tracking._model_registry.client import ModelRegistryClient
from slack_sdk import WebClient
from slack_sdk.webhook import WebhookClient
from sqlalchemy import event

from bot import http_client
from bot.ledger import SqlLedger
from bot.ledger.stores.transaction import SqlLedgerTransaction
from tests.support.app.harness import Tap

KILLED = 137
READS = {
    "auth.test",
    "users.info",
    "usergroups.list",
    "usergroups.users.list",
    "conversations.history",
    "conversations.replies",
    "conversations.list",
    "conversations.info",
    "conversations.open",
}
REGISTRY_WRITES = ("create_", "update_", "rename_", "transition_", "set_", "delete_")  # MLflow's methods that write
_WRITES = re.compile(r"\s*(?:WITH\b.*?\b)?(INSERT INTO|UPDATE|DELETE FROM)\s+\"?(\w+)", re.DOTALL)


class CrashInjector:
    """Counts the writes since it was armed, and kills the process before or after the given one."""

    def __init__(self) -> None:
        self._log: Callable[[str], object] | None = None
        self._point: int | None = None
        self._when = "before"
        self._count = 0

    def arm(self, point: int | None, when: str, log: Callable[[str], object]) -> None:
        """Start counting; crash `when` ("before" or "after") write number `point` is done, or never for None."""
        self._log, self._point, self._when, self._count = log, point, when, 0

    def rest(self) -> None:
        """Stop counting, without a crash."""
        self._log = None

    def __call__(self, when: str, name: str) -> None:
        if self._log is None:
            return
        if when == "before":
            self._log(f"point {name}")
            self._count += 1
        if self._count - 1 == self._point and when == self._when:
            os._exit(KILLED)


class CrashingLedger(SqlLedger):
    """The ledger; each writing statement and commit is a crash point. Nothing here survives a power failure."""

    def __init__(self, url: str, tap: Tap) -> None:
        super().__init__(url, timeout=20)
        self._tap = tap

        @event.listens_for(self._writer, "connect")
        def connect(connection: Any, _: object) -> None:
            if self._is_sqlite:
                connection.execute("PRAGMA synchronous = OFF")

        @event.listens_for(self._writer, "before_cursor_execute")
        def before(_: Any, __: Any, statement: str, *___: Any) -> None:
            if name := written_by(statement):
                tap("before", name)

        @event.listens_for(self._writer, "after_cursor_execute")
        def after(_: Any, __: Any, statement: str, *___: Any) -> None:
            if name := written_by(statement):
                tap("after", name)

    @contextmanager
    def write(self) -> Iterator[SqlLedgerTransaction]:
        """Open one transaction; its commit is a crash point."""
        with super().write() as tx:
            event.listen(tx._connection, "commit", lambda _: self._tap("before", "COMMIT"))
            yield tx
        self._tap("after", "COMMIT")


def written_by(statement: str) -> str:
    """Return what a statement writes, such as "UPDATE moves"; empty if it only reads."""
    found = _WRITES.match(statement)
    return f"{found[1]} {found[2]}" if found else ""


def tap_everything(tap: Tap) -> None:
    """Make every call that changes Slack, the registry, or an endpoint a crash point in this process."""
    _tap(WebClient, "api_call", tap, lambda _, method, *__: None if method in READS else method)
    _tap(WebClient, "_upload_file", tap, lambda *_: "upload")
    _tap(WebhookClient, "send", tap, lambda *_: "response_url")
    for name in vars(ModelRegistryClient):
        if name.startswith(REGISTRY_WRITES):
            _tap(ModelRegistryClient, name, tap, lambda *_, name=name: name)
    _tap(http_client, "send_request", tap, lambda *_: "event")


def _tap(owner: Any, method: str, tap: Tap, name_of: Callable[..., str | None]) -> None:
    inner = getattr(owner, method)

    def call(*args: Any, **more: Any) -> Any:
        name = name_of(*args, *more.values())
        if name is None:
            return inner(*args, **more)
        tap("before", name)
        answer = inner(*args, **more)
        tap("after", name)
        return answer

    setattr(owner, method, call)

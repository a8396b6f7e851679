"""Which thread handles a message from Slack's connection."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing

import pytest
from slack_bolt import App
from slack_sdk import WebClient

from handlers.slack.socket_mode import SocketModeConnection

ENVELOPE = {
    "type": "slash_commands",
    "envelope_id": "e1",
    "payload": {"command": "/model", "team_id": "T1", "user_id": "U1", "text": "list"},
}


@pytest.fixture
def threads() -> list[str]:
    """The threads on which requests were dispatched."""
    return []


@pytest.fixture
def connection(threads: list[str]) -> Iterator[SocketModeConnection]:
    def dispatch(request: object) -> Future[object]:
        threads.append(threading.current_thread().name)
        return Future()

    bolt = App(client=WebClient(token="xoxb-made-up"), token_verification_enabled=False)
    with closing(SocketModeConnection(bolt, dispatch, "xapp-made-up")) as connection:  # type: ignore[arg-type]
        yield connection


def test_a_command_is_dispatched_by_the_thread_that_reads(connection: SocketModeConnection, threads: list[str]) -> None:
    connection.enqueue_message(json.dumps(ENVELOPE))
    assert threads == [threading.current_thread().name]


def test_another_thread_reconnects(connection: SocketModeConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    reconnected: Future[int] = Future()
    monkeypatch.setattr(
        connection, "connect_to_new_endpoint", lambda force: reconnected.set_result(threading.get_ident())
    )
    connection.enqueue_message('{"type": "disconnect"}')
    assert reconnected.result(10) != threading.get_ident()

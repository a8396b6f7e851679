"""Slack's Socket Mode client, extended to lose nothing while it reconnects and to close immediately."""

from __future__ import annotations

import json
import logging
import socket
import time
from concurrent.futures import Future
from contextlib import suppress
from threading import Lock, Thread, Timer, current_thread
from typing import Any, NamedTuple

from slack_bolt import App, BoltRequest, BoltResponse
from slack_bolt.adapter.socket_mode.internals import build_headers, send_response
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.builtin import SocketModeClient
from slack_sdk.socket_mode.builtin.connection import Connection, ConnectionState
from slack_sdk.socket_mode.client import BaseSocketModeClient
from slack_sdk.socket_mode.interval_runner import IntervalRunner
from slack_sdk.socket_mode.request import SocketModeRequest

from bot.domain.core.errors import BadInput, Misconfigured, SlackUnreachable
from bot.domain.core.sentence import Code, say
from bot.slack.core.client import CONNECTION_ERRORS, error_code
from handlers.slack.deferred import Dispatch, Task
from handlers.slack.payload_schema import validate_payload

log = logging.getLogger(__name__)

# Seconds. A connection is closed at the first ping after four unanswered ones, or after five that couldn't be
# sent, and its reader can delay that by three seconds: 13 without events at most. With Bolt's 10, it's a minute.
PING_INTERVAL = 2

# Seconds for which a replaced connection is still read, unless Slack closes it before.
MAX_DRAIN_SECONDS = 30


class _Replaced(NamedTuple):
    """A connection that a newer one has replaced, its state, and the thread that reads it."""

    connection: Connection
    state: ConnectionState
    reader: Thread

    def end(self) -> None:
        """Stop reading the connection, and close it."""
        self.state.terminated = True
        _wake_reader(self.connection)
        with suppress(AttributeError):  # slack_sdk fails on its own socket if the reader closes it meanwhile
            self.connection.disconnect()


class SocketModeConnection(SocketModeClient):
    """The connection to Slack, including its replacements."""

    def __init__(self, app: App, dispatch: Dispatch, app_token: str) -> None:
        super().__init__(
            app_token, logger=app.logger, web_client=app.client, proxy=app.client.proxy, ping_interval=PING_INTERVAL
        )
        self.socket_mode_request_listeners.append(self._handle)
        self._dispatch = dispatch
        self._leaving: Connection | None = None  # Slack asked to replace this one
        self._replaced: list[_Replaced] = []
        self._reader_lock = Lock()

    def enqueue_message(self, message: str) -> None:
        """Handle a message on the thread that reads the connection, because dispatching never blocks.

        slack_sdk passes each message through two more threads, which takes longer than handling it. Only requests to
        reconnect still go through slack_sdk, since reconnecting blocks.
        """
        content: dict[str, Any] = {}
        if message.startswith("{"):
            with suppress(ValueError, RecursionError):  # it's then passed on as text
                content = json.loads(message)
        if content.get("type") == "disconnect":
            if not self._is_being_replaced():
                self._leaving = self.current_session
                super().enqueue_message(message)
        else:
            self.run_message_listeners(content, message)

    def open(self) -> None:
        """Connect. Raises Misconfigured if Slack rejects the token, and SlackUnreachable."""
        try:
            self.connect()
        except SlackApiError as error:
            raise Misconfigured(
                say(
                    "Slack rejected the Socket Mode connection ({why}). Check that {name} is valid and has {scope}.",
                    why=error_code(error),
                    name=Code("SLACK_APP_TOKEN"),
                    scope=Code("connections:write"),
                )
            ) from error
        except CONNECTION_ERRORS as error:
            raise SlackUnreachable("Slack isn't responding, so Socket Mode can't connect.") from error

    def connect(self) -> None:
        """Connect, and keep reading the replaced connection until Slack closes it.

        slack_sdk would close it first and wait up to three seconds for its reader. Meanwhile, nothing would read the
        new connection, so whatever Slack sends there wouldn't be acknowledged in time, and Slack doesn't repeat
        commands or clicks.
        """
        connection, state = self.current_session, self.current_session_state
        if connection is None or not connection.is_active():
            super().connect()
            return
        connection.close = lambda: None  # type: ignore[method-assign]  # `connect` would wait for its reader
        self.current_session_state = ConnectionState()  # type: ignore[no-untyped-call]  # `connect` would end its reader
        replaced = _Replaced(connection, state, self.current_session_runner.thread)
        with self._reader_lock:
            self._replaced = [old for old in self._replaced if not old.state.terminated] + [replaced]
        super().connect()
        with self._reader_lock:
            if not self.closed:
                self.current_session_runner.event.set()  # its thread ends with the replaced connection
                self.current_session_runner = IntervalRunner(self._run_current_session, 0.1).start()
        deadline = Timer(0 if self.closed else MAX_DRAIN_SECONDS, replaced.end)
        deadline.daemon = True
        deadline.start()

    def _is_being_replaced(self) -> bool:
        """Return whether the connection that this thread reads has been replaced, or is about to be."""
        is_replaced = current_thread() in [replaced.reader for replaced in self._replaced]
        return is_replaced or (self._leaving is not None and self._leaving is self.current_session)

    def _handle(self, client: BaseSocketModeClient, req: SocketModeRequest) -> None:
        """Validate an envelope, and let a listener handle it on the listener's own thread.

        Once the listener returns, acknowledge, then start the slow work, even if the connection has broken in the
        meantime.
        """
        began = time.time()
        try:
            validate_payload(req.payload)
        except BadInput as error:
            log.warning("%s", error)
            return
        request = BoltRequest(mode="socket_mode", body=req.payload, headers=build_headers(req))

        def respond(dispatched: Future[tuple[BoltResponse, Task]]) -> None:
            response, start_the_rest = dispatched.result()
            try:
                send_response(client, req, response, began)
            finally:
                start_the_rest()

        self._dispatch(request).add_done_callback(respond)

    def shut_down(self) -> None:
        """Close everything. Shut down the sockets, or else their readers sleep in `recv` for a whole ping interval."""
        with self._reader_lock:
            self.closed = True
            replaced = list(self._replaced)
        for old in replaced:
            old.end()
        if self.current_session is not None:
            _wake_reader(self.current_session)
        with suppress(AttributeError):  # as in `end`
            self.disconnect()
        self.close()
        self.disconnect()  # a connection that was being reopened; no other one can be opened now


def _wake_reader(connection: Connection) -> None:
    """Make the connection's reader return from `recv`."""
    if (sock := connection.sock) is not None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RD)

"""Bolt's Socket Mode handler, extended to start slow work after the acknowledgment and to close immediately."""

from __future__ import annotations

import json
import logging
import socket
import time
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from slack_bolt import App, BoltRequest, BoltResponse
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_bolt.adapter.socket_mode.internals import build_headers, send_response
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.builtin import SocketModeClient
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


class SocketModeConnection(SocketModeHandler):
    """One connection to Slack."""

    def __init__(self, app: App, dispatch: Dispatch, app_token: str) -> None:
        super().__init__(app, app_token, ping_interval=PING_INTERVAL)
        self._dispatch = dispatch
        self._enqueue = self.client.enqueue_message
        self.client.enqueue_message = self._receive  # type: ignore[method-assign]  # the client has no setting for it

    def _receive(self, message: str) -> None:
        """Handle a message on the thread that reads the connection, because dispatching never blocks.

        slack_sdk passes each message through two more threads, which takes longer than handling it. It still gets the
        requests to reconnect, since that does block.
        """
        content: dict[str, Any] = {}
        if message.startswith("{"):
            with suppress(ValueError, RecursionError):  # it's then passed on as text
                content = json.loads(message)
        if content.get("type") == "disconnect":
            self._enqueue(message)
        else:
            self.client.run_message_listeners(content, message)

    def open(self) -> None:
        """Connect. Raises Misconfigured for a token that Slack rejects, and SlackUnreachable."""
        try:
            self.connect()  # type: ignore[no-untyped-call]  # Bolt has no annotation there
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

    def is_connected(self) -> bool:
        """Return whether there's a connection now; a broken one is reopened automatically."""
        return bool(self.client.is_connected())

    def handle(self, client: SocketModeClient, req: SocketModeRequest) -> None:  # type: ignore[override]  # as Bolt's
        """Let a listener handle one envelope on its own thread: acknowledge, then start the slow work, even if the
        connection broke in between.
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
        """Close. The reader sleeps in `recv` for an entire ping interval unless the socket is shut down."""
        session = getattr(self.client, "current_session", None)
        sock = session.sock if session is not None else None
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RD)
        with suppress(AttributeError):  # slack_sdk fails on its own socket if the reader closes it meanwhile
            self.client.disconnect()
        self.close()  # type: ignore[no-untyped-call]  # Bolt has no annotation there
        self.client.disconnect()  # a connection that was being reopened; no other one can be opened now

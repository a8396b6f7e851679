"""Unmodified Bolt apps for the tests, over Socket Mode or HTTP."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
from slack_bolt import App, BoltRequest
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk import WebClient
from websockets.sync.client import ClientConnection, connect

from localslack import LocalSlack

JSON = dict[str, Any]
# The fixture `refused`: calls a method, and returns its Slack error.
SlackErrorOf = Callable[..., str]


MANIFEST: JSON = {
    "display_information": {"name": "Tester"},
    "features": {
        "bot_user": {"display_name": "tester"},
        "slash_commands": [
            {"command": "/ask", "description": "Ask", "usage_hint": "[what]"},
            {"command": "/tell", "description": "Tell", "should_escape": True},
        ],
        "shortcuts": [
            {"type": "message", "name": "Look into this", "callback_id": "look_into", "description": "Look"},
            {"type": "global", "name": "Start a round", "callback_id": "start_round", "description": "Start"},
        ],
    },
    "oauth_config": {
        "scopes": {
            "bot": [
                "commands",
                "chat:write",
                "chat:write.public",
                "channels:read",
                "channels:history",
                "channels:join",
                "groups:read",
                "groups:history",
                "im:read",
                "im:write",
                "im:history",
                "users:read",
                "usergroups:read",
                "team:read",
                "files:read",
                "files:write",
                "reactions:read",
                "reactions:write",
            ]
        }
    },
    "settings": {
        "event_subscriptions": {"bot_events": ["message.channels", "app_mention"]},
        "socket_mode_enabled": True,
    },
}


HOME_MANIFEST: JSON = {
    **MANIFEST,
    "features": MANIFEST["features"] | {"app_home": {"home_tab_enabled": True}},
    "settings": {"event_subscriptions": {"bot_events": ["message.channels", "app_home_opened"]}},
}


def manifest_without(*scopes: str) -> JSON:
    other_scopes = [scope for scope in MANIFEST["oauth_config"]["scopes"]["bot"] if scope not in scopes]
    return {**MANIFEST, "oauth_config": {"scopes": {"bot": other_scopes}}}


def web_client(slack: LocalSlack) -> WebClient:
    return WebClient(token=slack.bot_token, base_url=slack.api_url, retry_handlers=[])


def bolt_app(slack: LocalSlack) -> App:
    return App(client=web_client(slack), signing_secret=slack.signing_secret)


@contextlib.contextmanager
def over_socket_mode(slack: LocalSlack, app: App) -> Iterator[SocketModeHandler]:
    handler = SocketModeHandler(app, slack.app_token, ping_interval=0.5)
    handler.client.connect()
    slack.wait_until_connected()
    try:
        yield handler
    finally:
        _disconnect(slack, handler)


def _disconnect(slack: LocalSlack, handler: SocketModeHandler) -> None:
    """End the connection from our side: the client's own close waits up to three seconds for its next read."""
    client = handler.client
    with client.connect_operation_lock:  # otherwise, closing would interfere with a reconnection in progress
        client.auto_reconnect_enabled = client.default_auto_reconnect_enabled = False
        slack.disconnect_sockets("close")
    threading.Thread(target=_close_client, args=(handler,), daemon=True).start()
    slack.wait_for(lambda: slack.status()["connections"] == 0)


def _close_client(handler: SocketModeHandler) -> None:
    # The client fails if both sides close at the same time, and then doesn't close the rest.
    with contextlib.suppress(AttributeError):
        handler.client.disconnect()
    handler.client.close()
    handler.client.disconnect()  # opened by a late reconnection


@contextlib.contextmanager
def http_server(answer: Callable[[str, dict[str, str]], tuple[int, str, str]]) -> Iterator[str]:
    """A request URL; answer(body, headers) returns status, content type, and body."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, content_type, response_body = answer(body, dict(self.headers))
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.end_headers()
            self.wfile.write(response_body.encode())

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/slack/events"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def over_http(slack: LocalSlack, app: App) -> Iterator[str]:
    def answer(body: str, headers: dict[str, str]) -> tuple[int, str, str]:
        response = app.dispatch(BoltRequest(body=body, headers={k: [v] for k, v in headers.items()}))
        return response.status, response.first_headers().get("content-type", "text/plain"), response.body

    with http_server(answer) as url:
        slack.deliver_to(url)
        yield url
        slack.deliver_to(None)


def open_url(slack: LocalSlack) -> str:
    headers = {"Authorization": f"Bearer {slack.app_token}"}
    answer = httpx2.post(f"{slack.api_url}apps.connections.open", headers=headers, trust_env=False)
    return str(answer.json()["url"])


@contextlib.contextmanager
def silent_connection(slack: LocalSlack) -> Iterator[ClientConnection]:
    """A connection that doesn't acknowledge anything automatically."""
    with connect(open_url(slack), proxy=None) as socket:
        yield socket
    slack.wait_for(lambda: slack.status()["connections"] == 0)


def receive(socket: ClientConnection) -> JSON:
    return dict(json.loads(socket.recv(timeout=5)))


def in_background(action: Any, *args: Any) -> Any:
    return ThreadPoolExecutor(1).submit(action, *args)

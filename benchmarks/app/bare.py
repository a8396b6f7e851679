"""Bare Bolt for comparison: the same adapters, inline acknowledgement, and an empty listener."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from slack_bolt import Ack, App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_bolt.adapter.starlette.handler import to_bolt_request, to_starlette_response
from slack_sdk import WebClient
from starlette.concurrency import run_in_threadpool


def main() -> None:
    """Serve over HTTP on the given port, or over Socket Mode if the port is 0."""
    port = int(sys.argv[1])
    app = _app()
    if port:
        uvicorn.run(_web(app), host="127.0.0.1", port=port, log_config=None, access_log=False)
        return
    SocketModeHandler(app, "xapp-bench", concurrency=40).connect()  # type: ignore[no-untyped-call]
    threading.Event().wait()


def _app() -> App:
    client = WebClient(token="xoxb-bench", base_url=os.environ["SLACK_API_URL"])  # noqa: S106 - not a real token
    app = App(client=client, signing_secret="bench", process_before_response=True)  # noqa: S106

    def on_command(ack: Ack) -> None:
        ack()

    def on_click(ack: Ack, body: dict[str, Any]) -> None:
        ack()

    app.command("/model")(on_command)
    app.action("request_approve")(on_click)
    return app


def _web(app: App) -> FastAPI:
    web = FastAPI()

    @web.post("/slack/events")
    async def events(request: Request) -> Response:
        body = await request.body()
        return to_starlette_response(await run_in_threadpool(app.dispatch, to_bolt_request(request, body)))

    return web


if __name__ == "__main__":
    main()

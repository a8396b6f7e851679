"""Bare Bolt for comparison: the same adapters, inline acknowledgement, and listeners that do the minimum.

The command's listener is empty. The button's commits the same rows as Registrar does for a vote.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
import threading
from datetime import UTC, datetime
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from slack_bolt import Ack, App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_bolt.adapter.starlette.handler import to_bolt_request, to_starlette_response
from slack_sdk import WebClient
from starlette.concurrency import run_in_threadpool

from benchmarks.app.simulated_slack import TEAM


def main() -> None:
    """Serve over HTTP on the given port, or over Socket Mode if the port is 0; the second argument is the ledger."""
    port = int(sys.argv[1])
    app = _app(BareLedger(sys.argv[2]))
    if port:
        uvicorn.run(_web(app), host="127.0.0.1", port=port, log_config=None, access_log=False)
        return
    SocketModeHandler(app, "xapp-bench", concurrency=40).connect()  # type: ignore[no-untyped-call]
    threading.Event().wait()


class BareLedger:
    """The tables of a SQLite ledger, written with plain `sqlite3` over one connection."""

    def __init__(self, file: str) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            self._connection.execute(f"PRAGMA {pragma}")

    def commit_vote(self, request: str, user: str) -> None:
        """Commit the first of two approvals: the vote, its audit event, and the message that redraws the card."""
        now = str(datetime.now(UTC).replace(tzinfo=None))
        voter = f"slack:{TEAM}/{user}"
        message = (f"card:{request}:vote:{user}:{now}", request, "card", "#ml-models", "{}", 0, 0, now, "waiting", "")
        with self._lock:
            run = self._connection.execute
            run("BEGIN IMMEDIATE")
            run(_INSERT_VOTE, (request, voter, "approve", "", now, ""))
            run(_INSERT_MESSAGE, message)
            (number, before), *_ = run("SELECT number, hash FROM audit_head")
            body = _EVENT % {"request": request, "voter": voter, "at": now, "number": number + 1}
            after = hashlib.sha256(f"{before}\n{body}".encode()).hexdigest()
            run(_INSERT_EVENT, (number + 1, now, voter, "person:request:voted", request, body, before, after))
            run("UPDATE audit_head SET number = ?, hash = ?", (number + 1, after))
            run("COMMIT")


_INSERT_VOTE = "INSERT INTO votes (request, voter, choice, reason, at, lapsed) VALUES (?, ?, ?, ?, ?, ?)"
_INSERT_MESSAGE = """INSERT INTO notes ("key", lane, kind, "to", data, attempts, was_tried, created_at, state, why)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_INSERT_EVENT = """INSERT INTO audit_events (number, at, actor, tag, model, body, previous, hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
_EVENT = (
    '{"actor":"%(voter)s","after":null,"at":"%(at)s","before":null,"evidence":{"approvals":1,"by":{"groups":[],'
    '"name":"","roles":["lead"]},"choice":"approve","facts":{"policy":"","profile":{"groups":[],"is_bot":false,'
    '"is_deleted":false,"is_guest":false,"is_home":true,"person":{"team":"T0BENCH","user":"U0LEAD"}},'
    '"rule":"approver"},"incumbent":null,"policy":"","reason":"","requester":"slack:T0BENCH/U0ASKER","required":2,'
    '"target":"Production","version":1},"model":"%(request)s","number":%(number)d,"origin":"slack",'
    '"subject":"%(request)s","tag":"person:request:voted","why":""}'
)


def _app(ledger: BareLedger) -> App:
    client = WebClient(token="xoxb-bench", base_url=os.environ["SLACK_API_URL"])  # noqa: S106 - not a real token
    app = App(client=client, signing_secret="bench", process_before_response=True)  # noqa: S106

    def on_command(ack: Ack) -> None:
        ack()

    def on_click(ack: Ack, body: dict[str, Any]) -> None:
        ledger.commit_vote(body["actions"][0]["value"], body["user"]["id"])
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

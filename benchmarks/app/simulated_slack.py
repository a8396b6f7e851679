"""A minimal Slack for measuring: answers every method, and measures the time to acknowledgement."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from types import TracebackType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

TEAM = "T0BENCH"
Payload = tuple[str, dict[str, Any]]
Send = Callable[[int, Payload], Awaitable[float]]


class BenchSlack:
    """Web API and Socket Mode on 127.0.0.1, in a thread with its own event loop.

    `on_call` gets each call's method and arguments. `pause`: seconds that people wait before each payload.
    """

    pause = 0.0

    def __init__(self, on_call: Callable[[str, dict[str, Any]], object] | None = None) -> None:
        self._on_call = on_call
        self._ts = itertools.count(1)
        self._sockets: list[WebSocket] = []
        self._acks: dict[str, asyncio.Future[float]] = {}
        self._answers: dict[str, asyncio.Event] = {}
        self._connected = threading.Event()
        routes = [
            Route("/api/{method}", self._method, methods=["GET", "POST"]),
            Route("/answer/{id}", self._answer, methods=["POST"]),
            WebSocketRoute("/socket", self._socket),
        ]
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        config = uvicorn.Config(Starlette(routes=routes), log_config=None, access_log=False, ws="websockets-sansio")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> BenchSlack:
        self._loop_ready = threading.Event()
        self._thread.start()
        self._loop_ready.wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=5)

    def wait_for_socket(self, timeout: float = 60.0) -> Send:
        """Wait until an app has connected over Socket Mode; return what sends to it. Raises TimeoutError."""
        if not self._connected.wait(timeout):
            raise TimeoutError("no Socket Mode connection")
        return partial(self._send, self._sockets[-1])

    def forget_sockets(self) -> None:
        """Reset, so that the next wait is for a new connection."""
        self._sockets.clear()
        self._connected.clear()

    def people(self, payloads: Iterable[Payload], at_once: int, send: Send, *, patient: bool) -> list[float]:
        """Let this many people send payloads one after the other; return the seconds to each acknowledgement.

        Patient people wait for the answer at their response URL before they send the next payload; others don't.
        """
        lanes = self._lanes(iter(list(payloads)), at_once, send, patient)
        return asyncio.run_coroutine_threadsafe(lanes, self._loop).result()

    async def _lanes(self, waiting: Iterator[Payload], at_once: int, send: Send, patient: bool) -> list[float]:
        seconds: list[float] = []

        async def person(lane: int) -> None:
            for payload in waiting:
                await asyncio.sleep(self.pause)
                answered = self._answers[payload[1]["response_url"].rsplit("/", 1)[1]] = asyncio.Event()
                seconds.append(await send(lane, payload))
                if patient:
                    await asyncio.wait_for(answered.wait(), 60)

        await asyncio.gather(*(person(lane) for lane in range(at_once)))
        return seconds

    def _run(self) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            self._loop_ready.set()
            await self._server.serve(sockets=[self._listener])

        asyncio.run(serve())

    async def _send(self, connection: WebSocket, lane: int, payload: Payload) -> float:
        """Send one envelope over Socket Mode, and return the seconds to its acknowledgement."""
        envelope = str(uuid.uuid4())
        acked: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._acks[envelope] = acked
        kind, fields = payload
        body = {"type": kind, "envelope_id": envelope, "payload": fields, "accepts_response_payload": True}
        began = time.perf_counter()
        await connection.send_text(json.dumps(body))
        return await asyncio.wait_for(acked, 30) - began

    async def _socket(self, connection: WebSocket) -> None:
        await connection.accept()
        await connection.send_text(json.dumps({"type": "hello", "num_connections": 1}))
        self._sockets.append(connection)
        self._connected.set()
        try:
            while True:
                answer = json.loads(await connection.receive_text())
                acked = self._acks.pop(answer.get("envelope_id", ""), None)
                if acked and not acked.done():
                    acked.set_result(time.perf_counter())
        except (WebSocketDisconnect, ValueError):
            return

    async def _answer(self, request: Request) -> JSONResponse:
        if answered := self._answers.pop(request.path_params["id"], None):
            answered.set()
        return JSONResponse({"ok": True})

    async def _method(self, request: Request) -> JSONResponse:
        method = request.path_params["method"]
        more: dict[str, Any] = {}
        if self._on_call:
            is_json = request.headers.get("content-type", "").startswith("application/json")
            self._on_call(method, json.loads(await request.body() or "{}") if is_json else dict(await request.form()))
        if method == "auth.test":
            more = {"team_id": TEAM, "user_id": "U0BOT", "bot_id": "B0BOT", "user": "registrar", "team": "bench"}
        elif method == "apps.connections.open":
            more = {"url": f"{self.url.replace('http', 'ws', 1)}/socket"}
        elif method == "users.info":
            fields = {**request.query_params, **(await request.form())}
            more = {"user": {"id": fields.get("user"), "team_id": TEAM}}
        elif method == "conversations.list":
            more = {"channels": [{"id": "C0BENCH", "name": "ml-models", "is_member": True}]}
        elif method.startswith("chat."):
            more = {"channel": "C0BENCH", "ts": f"{next(self._ts)}.000100"}
        return JSONResponse({"ok": True, **more})

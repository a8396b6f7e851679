"""The side of the app: the Web API, response urls and Socket Mode connections."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from localslack import api
from localslack.api import response_urls
from localslack.api.arguments import Args
from localslack.backend import Core
from localslack.calls import fault_injection
from localslack.core.errors import SlackError
from localslack.web.connection_faults import Wire
from localslack.web.requests import arguments, token_of, uploaded
from localslack.workspace.uploads import MOST_BYTES

JSON = dict[str, Any]
# What the sending of a file's bytes is called among the calls and the failures that can be ordered.
UPLOAD = "upload"


class AppSide:
    """The endpoints that an unchanged Slack app uses."""

    def __init__(self, core: Core, wire: Wire) -> None:
        self._core = core
        self._wire = wire
        self._scopes: dict[Any, Any] = {}

    def routes(self) -> list[BaseRoute]:
        """The routes of this side."""
        return [
            Route("/api/{method:path}", self.call, methods=["GET", "POST"]),
            Route("/upload/v1/{key}", self.upload, methods=["POST"]),
            Route("/hooks/{kind}/{team}/{key:path}", self.hook, methods=["POST"]),
            WebSocketRoute("/link/", self.link),
        ]

    async def call(self, request: Request) -> Response:
        """Answer a Web API call, with whatever failure has been ordered for it."""
        method = request.path_params["method"]
        known = api.METHODS.get(method)
        try:
            raw = await arguments(request, reads_json=known is None or known.reads_json)
        except SlackError as refusal:
            return _refused(refusal)
        record = self._core.calls.add(method, Args(raw).raw)
        return await self._outcome(request, record, lambda: self._answer(request, method, raw))

    async def upload(self, request: Request) -> Response:
        """Take the bytes of a promised file, with whatever failure has been ordered for "upload"."""
        try:
            content = await uploaded(request, MOST_BYTES)
        except SlackError as refusal:
            return _refused(refusal)
        record = self._core.calls.add(UPLOAD, {"length": len(content)})
        return await self._outcome(request, record, lambda: self._received(request, content))

    def _answer(self, request: Request, method: str, raw: JSON) -> Response:
        answer = api.call(self._core, method, token_of(request, raw), Args(raw))
        scopes = ",".join(sorted(self._core.manifest.scopes))
        return JSONResponse(answer, headers={"X-OAuth-Scopes": scopes})

    def _received(self, request: Request, content: bytes) -> Response:
        self._core.uploads.receive(request.path_params["key"], content)
        return PlainTextResponse(f"OK - {len(content)}")

    async def _outcome(self, request: Request, record: JSON, act: Callable[[], Response]) -> Response:
        fault = await self._fault(record["method"])
        kind = fault.kind if fault else None
        if kind == fault_injection.RESET_BEFORE:
            return self._broken(request, record)
        if kind == fault_injection.SERVER_ERROR:
            return self._noted(record, PlainTextResponse("internal error", status_code=500), "http_500")
        try:
            _raise_ordered(record["method"], fault)
            response = act()
        except SlackError as refusal:
            # Only the Web API says with HTTP 200 that something went wrong.
            instead = 400 if record["method"] == UPLOAD else 200
            return self._noted(record, _refused(refusal, instead), refusal.code)
        if kind == fault_injection.RESET_AFTER:
            return self._broken(request, record, had_effect=True)
        return self._noted(record, response, None)

    async def _fault(self, method: str) -> fault_injection.Fault | None:
        ordered = self._core.faults.take(method)
        for slow in (fault for fault in ordered if fault.kind == fault_injection.SLOW):
            await self._core.clock.sleep(slow.seconds)
        return next((fault for fault in ordered if fault.kind != fault_injection.SLOW), None)

    def _broken(self, request: Request, record: JSON, had_effect: bool = False) -> Response:
        self._wire.reset(request.scope)
        error = fault_injection.RESET_AFTER if had_effect else fault_injection.RESET_BEFORE
        return self._noted(record, Response(status_code=500), error, ok=had_effect)

    def _noted(self, record: JSON, response: Response, error: str | None, ok: bool = False) -> Response:
        record |= {"ok": ok or error is None, "error": error}
        self._core.changes.publish("call")
        return response

    async def hook(self, request: Request) -> Response:
        """Take what an app posts to a response url."""
        record = self._core.calls.add("response_url", {})
        try:
            body = _hook_body(await request.body())
            record["args"] = body
            response_urls.respond(self._core, request.path_params["key"], body)
        except SlackError as refusal:
            return self._noted(record, _refused(refusal, 400), refusal.code)
        return self._noted(record, PlainTextResponse("ok"), None)

    async def link(self, websocket: WebSocket) -> None:
        """Serve one Socket Mode connection until either side closes it."""
        sockets = self._core.post.sockets
        if not sockets.admit(websocket.query_params.get("ticket", "")):
            await websocket.close(1008)
            return
        await websocket.accept()
        try:
            if await sockets.join(websocket):
                self._scopes[websocket] = websocket.scope
                self._core.changes.publish("connection")
                while True:
                    sockets.received(await websocket.receive_text())
        except (WebSocketDisconnect, RuntimeError, KeyError):
            # Closed, by either side, in one of the ways that Starlette reports it.
            pass
        finally:
            sockets.leave(websocket)
            self._scopes.pop(websocket, None)
            self._core.changes.publish("connection")

    async def disconnect(self, how: str, reason: str) -> int:
        """End or deafen every Socket Mode connection; raises ValueError for an unknown way.

        graceful asks the app to reconnect, close sends close frames, abrupt resets the connections, silent
        stops reading from them.
        """
        sockets = self._core.post.sockets
        if how == "graceful":
            return await sockets.ask_to_leave(reason)
        if how == "close":
            return await sockets.close_all()
        act = {"abrupt": self._wire.reset, "silent": self._wire.deafen}.get(how)
        if act is None:
            raise ValueError(f"sockets disconnect graceful, close, abrupt or silent, not {how!r}")
        return sum(act(scope) for scope in list(self._scopes.values()))


def _raise_ordered(method: str, fault: fault_injection.Fault | None) -> None:
    if fault is None:
        return
    if fault.kind == fault_injection.RATE_LIMITED:
        after = {"Retry-After": str(max(1, round(fault.seconds)))}
        raise SlackError("ratelimited", status=429, headers=after)
    if fault.kind == fault_injection.UNKNOWN:
        raise api.unknown(method)
    if fault.kind == fault_injection.ERROR:
        raise SlackError(fault.error)


def _refused(refusal: SlackError, instead_of_200: int = 200) -> Response:
    status = instead_of_200 if refusal.status == 200 else refusal.status
    return JSONResponse(refusal.body(), status_code=status, headers=refusal.headers)


def _hook_body(body: bytes) -> JSON:
    try:
        found = json.loads(body)
    except ValueError:
        raise SlackError("invalid_payload") from None
    if not isinstance(found, dict):
        raise SlackError("invalid_payload")
    return found

"""The endpoints for the app: the Web API, response URLs, and Socket Mode."""

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
from localslack.api.arguments import Arguments
from localslack.backend import Backend
from localslack.calls import fault_injection
from localslack.core.errors import SlackError
from localslack.web.connection_faults import ConnectionFaults
from localslack.web.requests import read_arguments, read_token, read_upload
from localslack.workspace.uploads import MAX_FILE_BYTES

JSON = dict[str, Any]
# The name of a file upload in the call log and in injected faults.
UPLOAD = "upload"


class AppEndpoints:
    """The endpoints that an unmodified Slack app uses."""

    def __init__(self, backend: Backend, connection_faults: ConnectionFaults) -> None:
        self._backend = backend
        self._connection_faults = connection_faults
        self._scopes: dict[Any, Any] = {}

    def routes(self) -> list[BaseRoute]:
        """Return the routes for the app."""
        return [
            Route("/api/{method:path}", self.call_method, methods=["GET", "POST"]),
            Route("/upload/v1/{key}", self.receive_upload, methods=["POST"]),
            Route("/hooks/{kind}/{team}/{key:path}", self.respond, methods=["POST"]),
            WebSocketRoute("/link/", self.serve_socket_mode),
        ]

    async def call_method(self, request: Request) -> Response:
        """Handle a Web API call, with the faults injected for its method."""
        method = request.path_params["method"]
        api_method = api.METHODS.get(method)
        try:
            raw = await read_arguments(request, reads_json=api_method is None or api_method.reads_json)
        except SlackError as refusal:
            return _error_response(refusal)
        record = self._backend.calls.add(method, Arguments(raw).raw)
        return await self._answer_with_faults(request, record, lambda: self._call_api(request, method, raw))

    async def receive_upload(self, request: Request) -> Response:
        """Receive a file's bytes, with the faults injected for "upload"."""
        try:
            content = await read_upload(request, MAX_FILE_BYTES)
        except SlackError as refusal:
            return _error_response(refusal)
        record = self._backend.calls.add(UPLOAD, {"length": len(content)})
        return await self._answer_with_faults(request, record, lambda: self._store_upload(request, content))

    def _call_api(self, request: Request, method: str, raw: JSON) -> Response:
        answer = api.call(self._backend, method, read_token(request, raw), Arguments(raw))
        scopes = ",".join(sorted(self._backend.manifest.scopes))
        return JSONResponse(answer, headers={"X-OAuth-Scopes": scopes})

    def _store_upload(self, request: Request, content: bytes) -> Response:
        self._backend.uploads.receive(request.path_params["key"], content)
        return PlainTextResponse(f"OK - {len(content)}")

    async def _answer_with_faults(self, request: Request, record: JSON, action: Callable[[], Response]) -> Response:
        fault = await self._take_fault(record["method"])
        kind = fault.kind if fault else None
        if kind == fault_injection.RESET_BEFORE:
            return self._reset_connection(request, record)
        if kind == fault_injection.SERVER_ERROR:
            return self._log_outcome(record, PlainTextResponse("internal error", status_code=500), "http_500")
        try:
            _raise_injected(record["method"], fault)
            response = action()
        except SlackError as refusal:
            # Only the Web API reports errors with HTTP 200.
            error_status = 400 if record["method"] == UPLOAD else 200
            return self._log_outcome(record, _error_response(refusal, error_status), refusal.code)
        if kind == fault_injection.RESET_AFTER:
            return self._reset_connection(request, record, had_effect=True)
        return self._log_outcome(record, response, None)

    async def _take_fault(self, method: str) -> fault_injection.InjectedFault | None:
        faults = self._backend.faults.take_faults(method)
        for slow in (fault for fault in faults if fault.kind == fault_injection.SLOW):
            await self._backend.clock.sleep(slow.seconds)
        return next((fault for fault in faults if fault.kind != fault_injection.SLOW), None)

    def _reset_connection(self, request: Request, record: JSON, had_effect: bool = False) -> Response:
        self._connection_faults.reset(request.scope)
        error = fault_injection.RESET_AFTER if had_effect else fault_injection.RESET_BEFORE
        return self._log_outcome(record, Response(status_code=500), error, ok=had_effect)

    def _log_outcome(self, record: JSON, response: Response, error: str | None, ok: bool = False) -> Response:
        record |= {"ok": ok or error is None, "error": error}
        self._backend.changes.publish("call")
        return response

    async def respond(self, request: Request) -> Response:
        """Receive a post to a response URL."""
        record = self._backend.calls.add("response_url", {})
        try:
            body = _response_url_body(await request.body())
            record["args"] = body
            response_urls.respond(self._backend, request.path_params["key"], body)
        except SlackError as refusal:
            return self._log_outcome(record, _error_response(refusal, 400), refusal.code)
        return self._log_outcome(record, PlainTextResponse("ok"), None)

    async def serve_socket_mode(self, websocket: WebSocket) -> None:
        """Serve one Socket Mode connection until either side closes it."""
        socket_mode = self._backend.router.socket_mode
        if not socket_mode.redeem_ticket(websocket.query_params.get("ticket", "")):
            await websocket.close(1008)
            return
        await websocket.accept()
        try:
            if await socket_mode.add_connection(websocket):
                self._scopes[websocket] = websocket.scope
                self._backend.changes.publish("connection")
                while True:
                    socket_mode.handle_frame(await websocket.receive_text())
        except (WebSocketDisconnect, RuntimeError, KeyError):
            # Either side closed the connection; Starlette reports that in several ways.
            pass
        finally:
            socket_mode.remove_connection(websocket)
            self._scopes.pop(websocket, None)
            self._backend.changes.publish("connection")

    async def disconnect(self, how: str, reason: str) -> int:
        """End or silence every Socket Mode connection, and return how many there were.

        how: "graceful" asks the app to reconnect, "close" sends close frames, "abrupt" resets the connections, and
        "silent" stops reading from them. Raises ValueError for anything else.
        """
        socket_mode = self._backend.router.socket_mode
        if how == "graceful":
            return await socket_mode.request_reconnect(reason)
        if how == "close":
            return await socket_mode.close_all()
        break_connection = {
            "abrupt": self._connection_faults.reset,
            "silent": self._connection_faults.stop_reading,
        }.get(how)
        if break_connection is None:
            raise ValueError(f"the disconnect mode must be graceful, close, abrupt, or silent, not {how!r}")
        return sum(break_connection(scope) for scope in list(self._scopes.values()))


def _raise_injected(method: str, fault: fault_injection.InjectedFault | None) -> None:
    if fault is None:
        return
    if fault.kind == fault_injection.RATE_LIMITED:
        headers = {"Retry-After": str(max(1, round(fault.seconds)))}
        raise SlackError("ratelimited", status=429, headers=headers)
    if fault.kind == fault_injection.UNKNOWN:
        raise api.unknown_method(method)
    if fault.kind == fault_injection.ERROR:
        raise SlackError(fault.error)


def _error_response(error: SlackError, instead_of_200: int = 200) -> Response:
    status = instead_of_200 if error.status == 200 else error.status
    return JSONResponse(error.body(), status_code=status, headers=error.headers)


def _response_url_body(body: bytes) -> JSON:
    try:
        parsed = json.loads(body)
    except ValueError:
        raise SlackError("invalid_payload") from None
    if not isinstance(parsed, dict):
        raise SlackError("invalid_payload")
    return parsed

"""Rejects requests from other sites, because any page in a browser can reach 127.0.0.1."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

# Only apps use these, with tokens or secret URLs, so only the Host header is checked.
APP_PATHS = ("/api/", "/hooks/", "/link/", "/upload/", "/files-pri/", "/files-tmb/")
LOCAL_NAMES = ("127.0.0.1", "localhost")


class AccessGuard:
    """Rejects foreign Host headers, and cross-origin requests to the page's endpoints."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        names = {*LOCAL_NAMES, host}
        self._app = app
        self._origins = {f"http://{name}:{port}" for name in names}
        # The Socket Mode client of slack_sdk leaves the port out of its Host header.
        self._hosts = names | {f"{name}:{port}" for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on the request, or reject it: with HTTP 403, or by closing the WebSocket."""
        if scope["type"] in ("http", "websocket") and (reason := self._refusal(scope)):
            response = JSONResponse({"ok": False, "error": "forbidden", "reason": reason}, status_code=403)
            if scope["type"] == "http":
                await response(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008})
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        if headers.get("host", "").lower() not in self._hosts:
            return "foreign host"
        if scope["path"].startswith(APP_PATHS):
            return "cross-origin" if headers.get("origin") and scope["type"] == "websocket" else None
        if headers.get("origin", "") not in {"", *self._origins}:
            return "cross-origin"
        is_navigation = headers.get("sec-fetch-mode") == "navigate" and scope.get("method") == "GET"
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not is_navigation:
            return "cross-site"
        return self._content_type_refusal(scope, headers)

    def _content_type_refusal(self, scope: Scope, headers: Headers) -> str | None:
        # Browsers allow any site to post a form without a preflight request, but not JSON.
        is_json = headers.get("content-type", "").split(";")[0].strip() == "application/json"
        return "only JSON is accepted" if scope.get("method") == "POST" and not is_json else None

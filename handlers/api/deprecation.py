"""Marks responses to calls that a later release won't accept."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

DEPRECATED_AT = 1_796_083_200  # seconds since 1970: when signing these calls with v1= was deprecated


class DeprecationHeader:
    """Adds the `Deprecation` header (RFC 9745) to the response if the call's `request.state.is_deprecated` is set."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one call."""

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start" and scope.get("state", {}).get("is_deprecated"):
                MutableHeaders(scope=message)["Deprecation"] = f"@{DEPRECATED_AT}"
            await send(message)

        await self._app(scope, receive, send_marked)

"""Reading what somebody sends us over HTTP, and no more of it than anybody needs."""

from __future__ import annotations

from fastapi import Request

MAX_BODY_BYTES = 1_000_000  # bytes; Slack's largest payload holds a view of 250 kB


async def read_body(request: Request) -> bytes | None:
    """Return the body, or None for one that is too long, of which no more is read."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)

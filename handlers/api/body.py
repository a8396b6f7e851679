"""Reads the body of an HTTP request, up to a limit."""

from __future__ import annotations

from fastapi import Request

MAX_BODY_BYTES = 1_000_000  # bytes; Slack's largest payload, with a view, is 250 kB


async def read_body(request: Request) -> bytes | None:
    """Return the body, or None if it's longer than MAX_BODY_BYTES; in that case, the rest isn't read."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)

"""Slack's v0 request signature, for deliveries over HTTP and for tests that forge it."""

from __future__ import annotations

import hashlib
import hmac
import time


def signature(secret: str, body: bytes, timestamp: str) -> str:
    """Return the value of X-Slack-Signature for a body sent at a timestamp."""
    base = b"v0:" + timestamp.encode() + b":" + body
    return "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()


def signed_headers(secret: str, body: bytes, timestamp: int | None = None) -> dict[str, str]:
    """Return both signature headers for a body. timestamp: in seconds since the epoch; by default, now."""
    sent_at = str(int(time.time()) if timestamp is None else timestamp)
    return {"X-Slack-Request-Timestamp": sent_at, "X-Slack-Signature": signature(secret, body, sent_at)}

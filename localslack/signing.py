"""Slack's v0 request signature: what a delivery over HTTP carries, and what a test forges."""

from __future__ import annotations

import hashlib
import hmac
import time


def signature(secret: str, body: bytes, timestamp: str) -> str:
    """The value of X-Slack-Signature for a body sent at a timestamp."""
    base = b"v0:" + timestamp.encode() + b":" + body
    return "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()


def signed_headers(secret: str, body: bytes, timestamp: int | None = None) -> dict[str, str]:
    """Both signature headers for a body; the timestamp is the present second unless given."""
    sent_at = str(int(time.time()) if timestamp is None else timestamp)
    return {"X-Slack-Request-Timestamp": sent_at, "X-Slack-Signature": signature(secret, body, sent_at)}

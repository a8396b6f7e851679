"""How Registrar signs what it tells others, and others what they tell Registrar."""

from __future__ import annotations

import hashlib
import hmac

TIMESTAMP, SIGNATURE, EVENT_ID = "X-Registrar-Timestamp", "X-Registrar-Signature", "X-Registrar-Event-Id"


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return `v1=` and the hex HMAC-SHA256 of `timestamp.body`. Compare it with `hmac.compare_digest`."""
    signed = timestamp.encode() + b"." + body
    return f"v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"

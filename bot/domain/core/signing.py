"""Signatures for webhooks and HTTP API calls."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import quote

TIMESTAMP_HEADER, SIGNATURE_HEADER, NONCE_HEADER, EVENT_ID_HEADER = (
    "X-Registrar-Timestamp",
    "X-Registrar-Signature",
    "X-Registrar-Nonce",
    "X-Registrar-Event-Id",
)
_UNQUOTED_CHARACTERS = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


def sign_body(secret: str, timestamp: str, body: bytes) -> str:
    """Return `v1=` and the hex HMAC-SHA256 of `timestamp.body`. Compare it with `hmac.compare_digest`."""
    signed = timestamp.encode() + b"." + body
    return f"v1={_hmac(secret, signed)}"


def sign_call(secret: str, *, method: str, path: bytes, nonce: str, timestamp: str, body: bytes) -> str:
    """Return `v2=` and the hex HMAC-SHA256 of these parts, one per line, with the body last.

    `path` is the path as sent: percent-encoded, with `?` and the query string, if any. Only the body can contain a line
    break, so no two calls produce the same signed text. Compare it with `hmac.compare_digest`.
    """
    signed = b"\n".join([method.encode(), path, nonce.encode(), timestamp.encode(), body])
    return f"v2={_hmac(secret, signed)}"


def _hmac(secret: str, signed: bytes) -> str:
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def encode_event_id(key: str) -> str:
    """Return an event's key as a header-safe ID, percent-encoding `%` and all but printable ASCII, as UTF-8.

    The key can contain the model's name, so it can have any character.
    """
    return quote(key, safe=_UNQUOTED_CHARACTERS)

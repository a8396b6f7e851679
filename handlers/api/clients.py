"""Authenticates callers of the HTTP API: programs that the policy lists, by a token, a signature, or both."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from bot.domain.core import signing
from bot.domain.core.errors import Refused
from bot.domain.core.sentence import Code, say
from bot.domain.policy.policy import ApiClient, Policy

SIGNATURE_SECONDS = 300  # seconds for which a signature is valid, before and after its timestamp
_MAX_TOKEN_BYTES = 10_000  # bytes that are read from a token file


def authenticate(
    headers: Mapping[str, str], body: bytes, policy: Policy, environ: Mapping[str, str], now: datetime
) -> tuple[str, bool]:
    """Return the name of the calling client, and whether the call is signed. Raises Refused.

    A bearer token identifies and authenticates the client. A signature, if there's one, must be valid with the client's
    token as the secret. Without a bearer token, it authenticates the client whose token produced it.
    """
    if not policy.clients:
        raise Refused(
            say(
                "The policy has no clients. Add one under {key}, with a token and {may}.",
                key=Code("clients"),
                may=Code("may: [push]"),
            )
        )
    signature, bearer = _signature(headers, now), headers.get("authorization")
    if bearer is None and signature is None:
        raise Refused(say("Missing client token. Send it as {header}.", header=Code("Authorization: Bearer …")))
    tokens = {name: token for name, client in policy.clients.items() if (token := _token(client, environ))}
    matching = [name for name, token in tokens.items() if bearer is None or _matches_bearer(bearer, token)]
    if bearer is not None and not matching:
        raise Refused("This token doesn't belong to a client in the policy.")
    if signature:
        timestamp, value = signature
        matching = [
            name
            for name in matching
            if hmac.compare_digest(signing.sign_body(tokens[name], timestamp, body), value.lower())
        ]
    if len(matching) > 1:
        raise Refused("Several clients share this token. Give each client its own.")
    if not matching:
        raise Refused("The signature isn't valid.")
    return matching[0], signature is not None


def _token(client: ApiClient, environ: Mapping[str, str]) -> str:
    """Return the client's current token; empty if it has none."""
    if client.token_env is not None:
        return environ.get(client.token_env, "").strip()
    if client.token_file is None:
        return ""
    try:
        with Path(client.token_file).open("rb") as file:
            return file.read(_MAX_TOKEN_BYTES).decode().strip()
    except (OSError, ValueError):
        return ""


def _matches_bearer(header: str, token: str) -> bool:
    """Return whether the header has this token. The time it takes reveals nothing about the token or its length."""
    scheme, _, sent = header.partition(" ")
    sent_digest, digest = (
        hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (sent.strip(), token)
    )
    return hmac.compare_digest(sent_digest, digest) and scheme.lower() == "bearer"


def _signature(headers: Mapping[str, str], now: datetime) -> tuple[str, str] | None:
    """Return the timestamp and the signature; None if both are missing. Raises Refused if one is malformed."""
    timestamp, value = headers.get("x-registrar-timestamp"), headers.get("x-registrar-signature")
    if timestamp is None and value is None:
        return None
    if not re.fullmatch(r"[0-9]{1,12}", timestamp or "") or not re.fullmatch(r"v1=[0-9a-fA-F]{64}", value or ""):
        raise Refused(
            say(
                "A signed call needs two headers: {timestamp}, in Unix seconds, and {signature}.",
                timestamp=Code("X-Registrar-Timestamp"),
                signature=Code("X-Registrar-Signature: v1=…"),
            )
        )
    if abs(now.timestamp() - int(timestamp or 0)) > SIGNATURE_SECONDS:
        raise Refused(say("The signature's timestamp is off by more than {n} seconds.", n=SIGNATURE_SECONDS))
    return timestamp or "", value or ""

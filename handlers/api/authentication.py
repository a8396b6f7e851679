"""Authenticates callers of the HTTP API, which are programs listed in the policy, by token, signature, or both."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fastapi import Request
from starlette.datastructures import Headers

from bot.domain.core.errors import Refused
from bot.domain.core.sentence import Code, say
from bot.domain.core.signing import NONCE_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, sign_body, sign_call
from bot.domain.policy.callers.api_clients import ApiClient
from bot.domain.policy.policy import Policy

SIGNATURE_SECONDS = 300  # seconds for which a signature is valid, before and after its timestamp
_MAX_TOKEN_BYTES = 10_000  # bytes that are read from a token file


@dataclass(frozen=True, slots=True)
class CallSignature:
    """A call's signature as it was sent, with its timestamp; `nonce` is empty for `v1=`."""

    value: str
    timestamp: str
    nonce: str

    @property
    def expires_at(self) -> datetime:
        """The time after which no process accepts the signature, even if its clock is SIGNATURE_SECONDS behind."""
        return datetime.fromtimestamp(int(self.timestamp) + 2 * SIGNATURE_SECONDS, UTC)

    def matches(self, token: str, request: Request, body: bytes) -> bool:
        """Return whether the signature was made with this token, for this call."""
        if self.nonce:
            path, query = request.scope["raw_path"], request.scope["query_string"]
            path += b"?" + query if query else b""
            expected = sign_call(
                token, method=request.method, path=path, nonce=self.nonce, timestamp=self.timestamp, body=body
            )
        else:
            expected = sign_body(token, self.timestamp, body)
        return hmac.compare_digest(expected, self.value.lower())


def authenticate(
    request: Request, body: bytes, policy: Policy, environ: Mapping[str, str], now: datetime
) -> tuple[str, CallSignature | None]:
    """Return the calling client's name, and the call's signature if it has one. Raises Refused.

    A bearer token identifies and authenticates the client. If there's also a signature, it must be valid with the
    client's token as the secret. Without a bearer token, the signature authenticates the client whose token produced
    it. The caller has to check that the signature's nonce is new.
    """
    if not policy.clients:
        raise Refused(
            say(
                "The policy has no clients. Add one under {key}, with a token and {may}.",
                key=Code("clients"),
                may=Code("may: [push]"),
            )
        )
    signature, bearer = _parse_signature(request.headers, now), request.headers.get("authorization")
    if bearer is None and signature is None:
        raise Refused(say("Missing client token. Send it as {header}.", header=Code("Authorization: Bearer …")))
    tokens = {name: token for name, client in policy.clients.items() if (token := _token(client, environ))}
    matching = [name for name, token in tokens.items() if bearer is None or _matches_bearer(bearer, token)]
    if bearer is not None and not matching:
        raise Refused("This token doesn't belong to a client in the policy.")
    if signature:
        matching = [name for name in matching if signature.matches(tokens[name], request, body)]
    if len(matching) > 1:
        raise Refused("Several clients share this token. Give each client its own.")
    if not matching:
        raise Refused("The signature isn't valid.")
    return matching[0], signature


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


def _parse_signature(headers: Headers, now: datetime) -> CallSignature | None:
    """Return the call's signature; None if it has none.

    Raises Refused if a header is missing, malformed, or repeated, or if the timestamp is off by more than
    SIGNATURE_SECONDS. The headers determine how it's verified: a nonce requires `v2=`, and `v2=` requires a nonce.
    """
    sent = [headers.getlist(name) for name in (SIGNATURE_HEADER, TIMESTAMP_HEADER, NONCE_HEADER)]
    if not any(sent):
        return None
    value, timestamp, nonce = (", ".join(values) for values in sent)  # a repeated header matches no pattern
    has_form = re.fullmatch(r"v2=[0-9a-fA-F]{64}" if nonce else r"v1=[0-9a-fA-F]{64}", value)
    if not has_form or not re.fullmatch(r"[0-9]{1,12}", timestamp) or not re.fullmatch(r"([!-~]{16,128})?", nonce):
        raise Refused(
            say(
                "A signed call needs {timestamp} (in Unix seconds), {nonce}, and {signature}. "
                "The nonce must be 16 to 128 visible ASCII characters.",
                timestamp=Code(TIMESTAMP_HEADER),
                nonce=Code(NONCE_HEADER),
                signature=Code(f"{SIGNATURE_HEADER}: v2=…"),
            )
        )
    if abs(now.timestamp() - int(timestamp)) > SIGNATURE_SECONDS:
        raise Refused(say("The signature's timestamp is off by more than {n} seconds.", n=SIGNATURE_SECONDS))
    return CallSignature(value, timestamp, nonce)

"""Who calls the HTTP API: programs that the policy names, by a token, a signature, or both."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bot.domain.core import signing
from bot.domain.core.actors import Client
from bot.domain.core.sentence import Code, Sentence, say
from bot.domain.policy.policy import ApiClient, Policy

SIGNATURE_SECONDS = 300  # seconds for which a signature is good, before and after its time
_MAX_TOKEN_BYTES = 10_000  # bytes of a file with a token


@dataclass(frozen=True, slots=True)
class AuthenticatedClient:
    """An authenticated caller."""

    client: Client
    rules: ApiClient
    is_signed: bool


@dataclass(frozen=True, slots=True)
class AuthenticationFailure:
    """A caller that did not, and why."""

    why: Sentence


def authenticate(
    headers: Mapping[str, str], body: bytes, policy: Policy, environ: Mapping[str, str], now: datetime
) -> AuthenticatedClient | AuthenticationFailure:
    """Return the authenticated caller.

    A bearer token names and authenticates the client. A signature, if there's one, must be valid, with the client's
    token as the secret; without a bearer token, it authenticates the client whose token it's valid with.
    """
    if not policy.clients:
        return AuthenticationFailure(
            say(
                "The policy names no clients; add one under {key}, with a token and {may}.",
                key=Code("clients"),
                may=Code("may: [push]"),
            )
        )
    tokens = dict(_tokens(policy, environ))
    signature = _signature(headers, body, now)
    if isinstance(signature, AuthenticationFailure):
        return signature
    bearer = headers.get("authorization")
    if bearer is None and signature is None:
        return AuthenticationFailure(
            say("Send {header} with the token of a client.", header=Code("Authorization: Bearer …"))
        )
    matching = [name for name, token in tokens.items() if (bearer is None or _matches_bearer(bearer, token))]
    if bearer is not None and not matching:
        return AuthenticationFailure(say("This token is that of no client."))
    if signature is not None:
        matching = [name for name in matching if _verify_signature(signature, body, tokens[name])]
    if len(matching) > 1:
        return AuthenticationFailure(say("Several clients have this token; give each its own."))
    if not matching:
        return AuthenticationFailure(say("The signature does not hold."))
    return AuthenticatedClient(Client(matching[0]), policy.clients[matching[0]], signature is not None)


def _tokens(policy: Policy, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the clients that have a token now; an empty one is none."""
    for name, client in policy.clients.items():
        if token := _token(client, environ):
            yield name, token


def _token(client: ApiClient, environ: Mapping[str, str]) -> str:
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
    """Compare in constant time, so that the duration reveals nothing about the token, not even its length."""
    scheme, _, sent = header.partition(" ")
    is_same = hmac.compare_digest(_digest(sent.strip()), _digest(token))
    return is_same and scheme.lower() == "bearer"


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class _Signature:
    timestamp: str
    value: str


def _signature(headers: Mapping[str, str], body: bytes, now: datetime) -> _Signature | AuthenticationFailure | None:
    timestamp, value = headers.get("x-registrar-timestamp"), headers.get("x-registrar-signature")
    if timestamp is None and value is None:
        return None
    if not re.fullmatch(r"[0-9]{1,12}", timestamp or "") or not re.fullmatch(r"v1=[0-9a-fA-F]{64}", value or ""):
        why = say(
            "A signature takes {timestamp}, in seconds, and {signature}.",
            timestamp=Code("X-Registrar-Timestamp"),
            signature=Code("X-Registrar-Signature: v1=…"),
        )
        return AuthenticationFailure(why)
    if abs(now.timestamp() - int(timestamp or 0)) > SIGNATURE_SECONDS:
        return AuthenticationFailure(
            say("The signature is older than {n} seconds, or from the future.", n=SIGNATURE_SECONDS)
        )
    return _Signature(timestamp or "", (value or "").lower())


def _verify_signature(signature: _Signature, body: bytes, token: str) -> bool:
    return hmac.compare_digest(signing.sign_body(token, signature.timestamp, body), signature.value)

"""A CI service that signs ID tokens for its jobs, and publishes its keys, over real sockets."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jws, jwt
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from tests.support.network.http_receiver import HttpReceiver, PlannedReply, ReceivedRequest

DISCOVERY, KEYS, TOKEN = "/.well-known/openid-configuration", "/keys", "/token"
CLAIMS: dict[str, Any] = {
    "sub": "repo:acme/churn:ref:refs/heads/main",
    "aud": "registrar",
    "repository": "acme/churn",
    "ref": "refs/heads/main",
    "sha": "9fceb02d0ae598e95dc970b74767f19372d61af8",
    "run_id": "4711",
    "run_attempt": "1",
    "actor": "octocat",
}


@cache
def make_key(kind: str = "RSA", name: str = "first", **parameters: Any) -> Key:
    """Return a private key; the same one for the same arguments. `kind`: RSA, an elliptic curve, or Ed25519."""
    members: Any = {"kid": name, **parameters}
    if kind == "RSA":
        return RSAKey.generate_key(2048, parameters=members)
    return (
        OKPKey.generate_key("Ed25519", parameters=members)
        if kind == "Ed25519"
        else ECKey.generate_key(kind, parameters=members)
    )


class OidcIssuer(HttpReceiver):
    """The issuer. A test can change its keys, its discovery document, and the replies on each path."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        super().__init__()
        self.now = now
        self.keys: list[Any] = [make_key()]
        self.discovery: dict[str, Any] = {}  # what differs from a correct document
        self.planned: dict[str, PlannedReply] = {}  # by path, instead of the issuer's own replies
        self._numbers = itertools.count(1)

    def reply_to(self, got: ReceivedRequest) -> PlannedReply:
        """Return the discovery document, the keys, or a token for a job."""
        parts = urlsplit(got.path)
        if parts.path in self.planned:
            return self.planned[parts.path]
        if parts.path == DISCOVERY:
            return _json({"issuer": self.url, "jwks_uri": f"{self.url}{KEYS}"} | self.discovery)
        if parts.path == KEYS:
            return _json({"keys": [key if isinstance(key, dict) else key.as_dict(private=False) for key in self.keys]})
        claims = json.loads(got.headers["authorization"].removeprefix("Bearer "))
        return _json({"value": self.sign(claims | {"aud": parse_qs(parts.query)["audience"][0]})})

    def sign(
        self,
        claims: Mapping[str, Any] | None = None,
        *,
        key: Key | None = None,
        alg: str = "RS256",
        header: Mapping[str, Any] | None = None,
    ) -> str:
        """Return a token that's valid for five minutes, with these differences; `...` removes a claim or a header."""
        signer, at = key or make_key(), int(self.now().timestamp())
        fresh = {"iss": self.url, "iat": at, "nbf": at, "exp": at + 300, "jti": f"token-{next(self._numbers)}"}
        given = {name: value for name, value in {**CLAIMS, **fresh, **(claims or {})}.items() if value is not ...}
        full: Any = {"alg": alg, "kid": signer.kid, **(header or {})}
        registry = jws.JWSRegistry(algorithms=[alg], strict_check_header=False)
        return jwt.encode(
            {name: value for name, value in full.items() if value is not ...}, given, signer, registry=registry
        )

    def paths(self) -> list[str]:
        """Return the paths of the calls so far."""
        return [got.path for got in self.got]


def _json(document: Any) -> PlannedReply:
    return PlannedReply(body=json.dumps(document).encode(), headers={"Content-Type": "application/json"})

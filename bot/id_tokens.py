"""Verifies ID tokens: JSON Web Tokens that a CI service signs for its jobs (OpenID Connect)."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import ClaimError, ExpiredTokenError, JoseError
from joserfc.jwk import Key, OctKey, import_key

from bot.domain.core.errors import Refused, Unreachable
from bot.domain.core.sentence import Code, say
from bot.domain.policy.callers.api_clients import is_safe_url
from bot.http_client import send_request

ALGORITHMS = [f"{family}{bits}" for family in ("RS", "PS", "ES") for bits in (256, 384, 512)] + ["Ed25519"]
CLOCK_SKEW = timedelta(seconds=60)  # how far the issuer's clock can be off
PROCESS_SKEW = timedelta(minutes=5)  # how far the clocks of our own processes can differ
MAX_LIFETIME = timedelta(hours=24)  # a CI job's token lasts minutes, or as long as the job
REFRESH_AFTER = 1800.0  # seconds after which an issuer's keys are fetched again
KEYS_LIFETIME = 3600.0  # seconds for which they can be used if the issuer isn't responding
FETCH_PAUSE = 30.0  # seconds between two fetches, no matter how many unknown keys strangers name
FETCH_TIMEOUT = 5.0  # seconds for each of the two calls
MAX_DOCUMENT_BYTES = 200_000  # bytes; GitHub's keys are 12 kB

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IdToken:
    """A verified token.

    `nonce` is unique among the issuer's tokens. After `expires_at`, no process accepts the token.
    """

    issuer: str
    claims: Mapping[str, Any]
    nonce: str
    expires_at: datetime


class IdTokenVerifier:
    """Verifies tokens with the keys that their issuers publish. `monotonic`: a clock in seconds, for the keys' age."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._keys_by_issuer: dict[str, _IssuerKeys] = {}

    def verify(self, token: str, issuer: str, now: datetime) -> IdToken:
        """Return the token if this issuer signed it and it's valid at `now`. The audience isn't checked.

        Contacts only `issuer` and the address that it publishes for its keys, no matter what the token says. Raises
        Refused if the token isn't valid. Raises Unreachable if the issuer's keys aren't known and can't be fetched.
        """
        keys = self._keys_by_issuer.setdefault(issuer, _IssuerKeys(issuer, self._monotonic))
        registry = jws.JWSRegistry(algorithms=ALGORITHMS)
        # Only the policy determines the key: no header can contain a key, or say where to find one.
        for header in ("jwk", "jku", "x5c", "x5u", "crit", "b64", "cty"):
            del registry.header_registry[header]
        claims_registry = jwt.JWTClaimsRegistry(
            now=int(now.timestamp()),
            leeway=int(CLOCK_SKEW.total_seconds()),
            iss={"essential": True, "value": issuer},
            exp={"essential": True},
            iat={"essential": True},
        )
        try:
            registry.check_header(unverified := jws.extract_compact(token.encode(), registry=registry).headers())
            claims = jwt.decode(token, keys.find(str(unverified.get("kid"))), registry=registry).claims
            claims_registry.validate(claims)
        except ExpiredTokenError as error:
            raise Refused("The ID token has expired.") from error
        except ClaimError as error:
            raise Refused(say("The ID token's {claim} isn't valid.", claim=Code(error.claim))) from error
        except (JoseError, ValueError, TypeError, RecursionError) as error:  # TypeError: crit isn't a list
            raise Refused("The ID token's signature isn't valid.") from error
        if claims["exp"] - claims["iat"] > MAX_LIFETIME.total_seconds():
            raise Refused(say("The ID token is valid for more than {n} hours.", n=MAX_LIFETIME // timedelta(hours=1)))
        expires_at = datetime.fromtimestamp(claims["exp"], UTC) + CLOCK_SKEW + PROCESS_SKEW
        return IdToken(issuer, claims, _nonce(token, claims), expires_at)


def unverified_issuer(token: str) -> str | None:
    """Return the issuer that a token claims to be from, unverified, or None if it isn't an ID token."""
    try:
        claims = json.loads(jws.extract_compact(token.encode()).payload)
        return str(claims["iss"])
    except (JoseError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _nonce(token: str, claims: Mapping[str, Any]) -> str:
    """Return the hash of the token's ID or, without one, of the part that's signed.

    The signature is left out, because it can be written in more than one way.
    """
    unique = claims.get("jti") or token.rpartition(".")[0]
    return hashlib.sha256(str(unique).encode()).hexdigest()


class _IssuerKeys:
    """An issuer's cached keys. Only one thread at a time fetches them; the others don't wait for it."""

    def __init__(self, issuer: str, monotonic: Callable[[], float]) -> None:
        self._issuer, self._monotonic = issuer, monotonic
        self._keys: Mapping[str, Key] = {}
        self._tried_at = self._fetched_at = float("-inf")
        self._fetching = threading.Lock()

    def find(self, key_id: str) -> Key:
        """Return the key with this ID. Raises Refused if it isn't published, or Unreachable if that's unknown."""
        if key_id not in self._keys or self._age(self._fetched_at) >= REFRESH_AFTER:
            self._fetch()
        has_failed = self._fetched_at < self._tried_at
        if self._age(self._fetched_at) >= KEYS_LIFETIME or (has_failed and key_id not in self._keys):
            raise Unreachable("The issuer of the ID token isn't responding. Try again in a moment.")
        if key_id not in self._keys:
            raise Refused("The issuer doesn't publish the ID token's key.")
        return self._keys[key_id]

    def _age(self, moment: float) -> float:
        return self._monotonic() - moment

    def _fetch(self) -> None:
        """Fetch the keys, unless a fetch was just tried or is in progress. If it fails, keep the old keys."""
        if not self._fetching.acquire(blocking=False):
            return
        try:
            if self._age(self._tried_at) < FETCH_PAUSE:
                return
            self._tried_at = self._monotonic()
            self._keys = _fetch_keys(self._issuer)
            self._fetched_at = self._tried_at
        except Unreachable as error:
            log.warning("couldn't fetch the keys of %s: %s", self._issuer, error)
        finally:
            self._fetching.release()


def _fetch_keys(issuer: str) -> dict[str, Key]:
    """Return the public keys that an issuer publishes, by key ID. Raises Unreachable."""
    discovery = _fetch_json(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    url = str(discovery.get("jwks_uri"))
    if discovery.get("issuer") != issuer:
        raise Unreachable("its configuration names another issuer")
    if not is_safe_url(url, issuer):
        raise Unreachable("its configuration has no https address for its keys")
    documents = _fetch_json(url).get("keys")
    keys: dict[str, Key] = {}
    for document in documents if isinstance(documents, list) else []:
        with suppress(JoseError, ValueError, TypeError, LookupError, AttributeError):  # a key of an unknown kind
            key = import_key(document)
            if key.kid and not isinstance(key, OctKey):
                keys[key.kid] = key
    return keys


def _fetch_json(url: str) -> dict[str, Any]:
    answer = send_request("GET", url, timeout=FETCH_TIMEOUT, headers={}, max_bytes=MAX_DOCUMENT_BYTES)
    try:
        document = json.loads(answer.body) if answer.is_success else None
    except (ValueError, RecursionError) as error:
        raise Unreachable("its answer isn't JSON") from error
    if not isinstance(document, dict):
        raise Unreachable(f"HTTP {answer.status}")
    return document

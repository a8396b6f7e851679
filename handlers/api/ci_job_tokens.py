"""Authenticates CI jobs by their ID tokens, for clients with `oidc` in the policy."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from bot.domain.core.ci_run import CiRun
from bot.domain.core.errors import Refused
from bot.domain.core.sentence import Code, say
from bot.domain.core.signing import SIGNATURE_HEADER
from bot.domain.policy.policy import Policy
from bot.id_tokens import IdToken, IdTokenVerifier, unverified_issuer
from bot.ports import Ledger


def identify_ci_job(
    headers: Mapping[str, str], policy: Policy, verifier: IdTokenVerifier, now: datetime
) -> tuple[str, CiRun, IdToken] | None:
    """Return the name of the CI job's client, the job's run as its ID token describes it, and the token.

    Return None if the call has no ID token from an issuer in the policy. Raises Refused, or Unreachable if the
    issuer's keys can't be read.
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    issuer = unverified_issuer(token.strip())  # only to choose whose keys verify the token
    identities = {
        name: client.oidc
        for name, client in policy.clients.items()
        if client.oidc and client.oidc.issuer == issuer and scheme.lower() == "bearer"
    }
    if issuer is None or not identities:
        return None
    if SIGNATURE_HEADER in headers:
        raise Refused("A call with an ID token can't also be signed.")
    verified = verifier.verify(token.strip(), issuer, now)
    mismatches = {name: identity.mismatch(verified.claims) for name, identity in identities.items()}
    matching = [name for name, mismatch in mismatches.items() if mismatch is None]
    if not matching:
        claims = [Code(claim) for claim in dict.fromkeys(mismatches.values()) if claim]
        raise Refused(say("No client in the policy matches this ID token's {claims}.", claims=claims))
    if len(matching) > 1:
        raise Refused("Several clients match this ID token. Make the claims of each client different.")
    return matching[0], identities[matching[0]].ci_run(verified.claims), verified


def use_token(token: IdToken, ledger: Ledger) -> None:
    """Record that the token is used for a change. Raises Refused if it was used before, and LedgerUnavailable."""
    with ledger.write() as tx:
        if not tx.add_nonce(f"issuer:{token.issuer}", token.nonce, token.expires_at):
            raise Refused("This ID token has already been used for a change. Get a new one for each change.")

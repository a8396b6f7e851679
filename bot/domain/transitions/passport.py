"""Passports: signed statements that people, or a rule, put exactly these files into a stage."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.domain.audit.events import ChainedEvent, canonical_time
from bot.domain.core.actors import actor_id
from bot.domain.integrity.digest import VersionDigest
from bot.domain.integrity.manifest import STATEMENT_TYPE, canonical_bytes
from bot.domain.promotions.request import Request
from bot.domain.promotions.votes import Vote, counting_approvals
from bot.domain.registry.model import Stage, VersionIdentity
from bot.domain.transitions.transition import Transition

PASSPORT_TYPE = "urn:registrar:passport:v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passport:
    """A passport as stored in the ledger. It's never edited; whether it's valid depends on what happens later.

    `envelope` is the signed DSSE envelope as JSON. `digest` is the digest of the version's manifest, and `key` is the
    ID of the key that signed the envelope. A transition has several passports if its passport was reissued, for example
    with another key.
    """

    id: str
    move: str  # the transition's ID
    model: str
    version: int
    stage: Stage
    identity: VersionIdentity
    digest: str
    key: str
    envelope: str
    issued_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PassportFacts:
    """What a passport states besides the transition and the digest. A rollback has no request and no votes.

    `policy` is the policy revision that was in effect. `event` is the transition's audit event.
    """

    request: Request | None
    votes: Sequence[Vote]
    policy: str
    event: ChainedEvent


def signed_envelope(payload_type: str, payload: object, key_id: str, sign: Callable[[bytes], bytes]) -> str:
    """Return the DSSE envelope with the payload as canonical JSON. `sign` returns a signature for the given bytes."""
    body, kind = canonical_bytes(payload), payload_type.encode()
    signature = sign(b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body))
    signatures = [{"keyid": key_id, "sig": base64.b64encode(signature).decode()}]
    envelope = {"payloadType": payload_type, "payload": base64.b64encode(body).decode(), "signatures": signatures}
    return canonical_bytes(envelope).decode()


def passport_statement(
    passport_id: str,
    transition: Transition,
    digest: VersionDigest,
    facts: PassportFacts,
    issued: datetime,
    expires: datetime,
) -> dict[str, Any]:
    """Return what a passport states, as an in-toto statement."""
    manifest, identity = digest.manifest, digest.identity
    predicate: dict[str, Any] = {
        "id": passport_id,
        "model": transition.model,
        "version": transition.version,
        "stage": transition.target.value,
        "run": identity.run_id,
        "created": identity.created_at and canonical_time(identity.created_at),
        "manifest": {
            "sha256": manifest.digest,
            "files": len(manifest.files),
            "bytes": manifest.size,
            "recorded": digest.recorded_at and canonical_time(digest.recorded_at),
        },
        "move": transition.id,
        "cause": transition.kind.value,
        "request": transition.request,
        "policy": facts.policy,
        "executed_for": actor_id(transition.actor),
        "audit": {"number": facts.event.number, "hash": facts.event.hash},
        "issued": canonical_time(issued),
        "expires": canonical_time(expires),
    }
    name = f"{transition.model}/{transition.version}"
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": manifest.root_digest}}],
        "predicateType": PASSPORT_TYPE,
        "predicate": {**predicate, **_decision(transition, facts)},
    }


def _decision(transition: Transition, facts: PassportFacts) -> Mapping[str, Any]:
    """Return who made the decision, and the gates that it was based on."""
    request = facts.request
    gates = request.seen.gates if request and request.seen else ()
    return {
        "gates": [
            {"name": gate.name, "bound": gate.bound, "value": gate.value, "passed": gate.passed} for gate in gates
        ],
        "overridden_by": actor_id(request.overridden_by) if request and request.overridden_by else None,
        "requested_by": actor_id(request.requester if request else transition.actor),
        "approved_by": [actor_id(vote.voter) for vote in counting_approvals(facts.votes)],
    }

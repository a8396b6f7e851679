"""Passports: signed statements that people, or a rule, put exactly these files into a stage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bot.domain.registry.model import Stage, VersionIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class Passport:
    """A passport as the ledger keeps it. It's never edited: whether it's valid follows from later transitions.

    `envelope` is the signed DSSE envelope as JSON. `digest` is the digest of the version's manifest, and `key` the ID
    of the key that signed it. A transition has several if it was issued again, with another key for example.
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

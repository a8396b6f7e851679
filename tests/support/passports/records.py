"""Passports for tests of the rules and of ledgers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bot.domain.registry.model import VersionIdentity
from bot.domain.transitions.passport import Passport
from bot.domain.transitions.transition import Transition

FILES = VersionIdentity(run_id="one run", source="s3://one")


def passport(of: Transition, number: int = 1, **fields: Any) -> Passport:
    """Return a passport of a transition: its n-th."""
    return replace(
        Passport(
            id=f"{of.id}:{number}",
            move=of.id,
            model=of.model,
            version=of.version,
            stage=of.target,
            identity=FILES,
            digest="d1",
            key="k1",
            envelope="",
            issued_at=of.intended_at,
            expires_at=of.intended_at,
        ),
        **fields,
    )

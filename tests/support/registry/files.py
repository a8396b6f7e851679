"""Versions whose files are hashed, and changed."""

from __future__ import annotations

from typing import Any

from bot.domain.integrity.digest import VersionDigest, digest_id
from bot.domain.promotions.request import Request
from bot.domain.registry.model import VersionInfo
from bot.domain.transitions.transition import Transition
from bot.ports import LedgerTransaction
from tests.support.services.bench import Bench
from tests.support.services.gates import set_gates


def no_changes(version: VersionInfo) -> tuple[str, ...]:
    """Say that no file was added, removed, or resized."""
    return ()


def no_entry_hook(tx: LedgerTransaction, transition: Transition) -> None:
    """Do nothing when a version enters Production."""


def require_files(bench: Bench, level: object = "required", **production: Any) -> None:
    """Set `integrity` in the rule for Production of every model."""
    set_gates(bench, **{"integrity": level} | production)


def write_file(bench: Bench, path: str = "model.pkl", contents: bytes = b"good", *, version: int = 4) -> None:
    """Write a file of a version of churn."""
    bench.registry.add_file(bench.registry.version("churn", version), path, contents)


def digest_of(bench: Bench, version: int = 4) -> VersionDigest | None:
    """Return the digest of a version of churn."""
    with bench.ledger.read() as reading:
        return reading.digest(digest_id(bench.registry.version("churn", version)))


def hash_files(bench: Bench) -> None:
    """Hash or compare the files of every version that is due."""
    bench.digests.run_due()


def move(bench: Bench, request: Request, *, seconds: int = 10) -> Request:
    """Execute the request's transition, `seconds` later; return the request afterwards."""
    bench.clock.advance(seconds=seconds)
    bench.moves.execute_due(request.model)
    return bench.now(request)


def compare_and_move(bench: Bench, request: Request) -> Request:
    """Execute the request's transition, compare the files that it waits for, and execute it again."""
    move(bench, request)
    hash_files(bench)
    return move(bench, request)

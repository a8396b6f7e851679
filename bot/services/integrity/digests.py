"""Hash the files of versions in the background, and compare them later with what was recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain.integrity.digest import VersionDigest
from bot.domain.registry.model import VersionInfo
from bot.ports import LedgerTransaction
from bot.services.core.context import Context

DigestHook = Callable[[LedgerTransaction, VersionDigest], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestLimits:
    """Limits of reading files: bytes per second, the size of a version in bytes, and the interval of comparisons."""

    rate: int
    max_bytes: int
    recheck: timedelta


def request_digest(tx: LedgerTransaction, context: Context, version: VersionInfo, *, now: datetime) -> VersionDigest:
    """Have a version's files hashed soon, unless they are already; return the row."""
    raise NotImplementedError


def request_comparison(tx: LedgerTransaction, digest: VersionDigest, *, since: datetime) -> None:
    """Have the files compared soon with what was recorded, by a comparison that begins at `since` or later.

    It's idempotent: it does nothing if such a comparison has ended (`digest.compared_at >= since`) or is running, or
    if nothing is recorded yet. `compared_at` is when the last completed comparison began, so all files were read after
    it; `changed` has the paths that differed.
    """
    raise NotImplementedError


class Digests:
    """Hashes and compares the files of versions whose digests are due.

    `on_recorded` is called in the transaction that records a manifest, and `on_changed` in the one that ends a
    comparison whose result is different from the one before: `changed` names the files, or is empty if they match
    again.
    """

    def __init__(
        self, context: Context, limits: DigestLimits, *, on_recorded: DigestHook, on_changed: DigestHook
    ) -> None:
        self._context = context
        self._limits = limits
        self._on_recorded = on_recorded
        self._on_changed = on_changed

    def run_due(self, stop: threading.Event | None = None) -> int:
        """Hash or compare the files of all due digests; return how many were completed. `stop` interrupts it."""
        raise NotImplementedError

    def compare_listing(self, version: VersionInfo) -> tuple[str, ...]:
        """Return the paths that were added, removed, or have another size than recorded, without reading any file.

        Empty if nothing is recorded. One listing of the files: call it right before a move. Raises RegistryRefused,
        and FilesUnreachable or RegistryUnreachable if the files can't be listed now.
        """
        raise NotImplementedError

    def compare_now(self, version: VersionInfo) -> tuple[str, ...]:
        """Return the paths that differ from what was recorded, after hashing all files: minutes for large ones.

        Raises what `compare_listing` does.
        """
        raise NotImplementedError

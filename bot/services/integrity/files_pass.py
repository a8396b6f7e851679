"""One pass over a version's files, saved as it progresses."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot.domain.integrity.digest import VersionDigest
from bot.domain.integrity.manifest import FileEntry, FileManifest
from bot.domain.promotions.request import OPEN_STATES
from bot.ports import LedgerTransaction
from bot.services.core.context import Context
from bot.services.core.outbox_messages import card_message

LEASE = timedelta(seconds=60)  # extended while files are read; if the process dies, another one takes over then
EXTEND_SECONDS = 20.0  # between two extensions
SAVE_SECONDS = 1.0  # between two saves of what's hashed
MAX_SAVING = 0.05  # share of the time that saving may take
REDRAW_SECONDS = 10.0  # between two redraws of the cards that show the progress


class ClaimLostError(Exception):
    """Another process has claimed the files, or they have to be read again from the beginning."""


class FilesPass:
    """A pass over a claimed version's files. `digest` is its row; only the process with the claim changes it."""

    def __init__(self, context: Context, digest: VersionDigest) -> None:
        self.digest = digest
        self._context = context
        self._hashed = {entry.path: entry for entry in digest.partial.files}
        self._saved_at = self._redrawn_at = time.monotonic()
        self._save_seconds = SAVE_SECONDS

    def hashed(self, path: str, size: int | None) -> FileEntry | None:
        """Return the entry of a file hashed before a restart, or None if there isn't one or its size has changed."""
        entry = self._hashed.get(path)
        return entry if entry is not None and size in {None, entry.size} else None

    def add(self, entry: FileEntry) -> FileEntry:
        """Add a file's entry, save the entries if that's due, and return the entry. Raises ClaimLostError."""
        self._hashed[entry.path] = entry
        self.digest = replace(self.digest, attempts=0)  # the store responds
        self._save_after(self._save_seconds)
        return entry

    def extend(self) -> None:
        """Extend the claim if that's due. Raises ClaimLostError."""
        self._save_after(EXTEND_SECONDS)

    def save(self, **changes: Any) -> None:
        """Save the entries and other `changes` to the row, and extend the claim. Raises ClaimLostError."""
        began = time.monotonic()
        with self._context.ledger.write() as tx:
            self.require_claim(tx)
            partial, until = FileManifest.of(self._hashed.values()), self._context.clock.now() + LEASE
            self.digest = replace(self.digest, **{"partial": partial, "due_at": until, "why": "", **changes})
            tx.save_digest(self.digest)
            if began - self._redrawn_at >= REDRAW_SECONDS:
                self.redraw_cards(tx)
                self._redrawn_at = began
        self._saved_at = time.monotonic()
        self._save_seconds = max(SAVE_SECONDS, (self._saved_at - began) / MAX_SAVING)

    def require_claim(self, tx: LedgerTransaction) -> None:
        """Raise ClaimLostError if the pass has been claimed or requested again in the meantime."""
        current = tx.digest(self.digest.id)
        if current is None or current.due_at != self.digest.due_at:
            raise ClaimLostError

    def redraw_cards(self, tx: LedgerTransaction) -> None:
        """Redraw the cards of the version's open requests."""
        now, digest = self._context.clock.now(), self.digest
        channel = self._context.policy.channel_for(digest.model)
        for request in tx.requests(model=digest.model, version=digest.version, states=OPEN_STATES):
            tx.add_message(card_message(request, f"files:{now.isoformat()}", channel))

    def _save_after(self, seconds: float) -> None:
        if time.monotonic() - self._saved_at >= seconds:
            self.save()

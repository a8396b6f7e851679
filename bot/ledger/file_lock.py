"""Let only one process use an SQLite ledger, because two bots would block each other's writes."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from bot.domain.core.errors import LedgerUnavailable, Misconfigured
from bot.domain.core.sentence import Code, say


class LedgerFileLock:
    """A lock file next to the ledger. The operating system releases it no matter how the process ends."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._lock = FileLock(ledger.with_name(f"{ledger.name}.lock"), mode=0o600)

    def acquire(self) -> None:
        """Acquire the lock. Raises Misconfigured if another process has it, or LedgerUnavailable if locking fails."""
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise Misconfigured(
                say(
                    "Another Registrar process is already using the ledger {file}. Stop it, choose another folder with "
                    "{home}, or run several processes on PostgreSQL with {url} "
                    "(see docs/how-to/move-to-postgresql.md).",
                    file=Code(str(self._ledger)),
                    home=Code("REGISTRAR_HOME"),
                    url=Code("REGISTRAR_DATABASE_URL"),
                )
            ) from None
        except OSError as error:
            raise LedgerUnavailable(
                say(
                    "Can't lock {file}. Check who can write to its folder.",
                    file=Code(str(self._ledger)),
                )
            ) from error

    def is_locked(self) -> bool:
        """Return whether this or another process has the lock."""
        if self._lock.is_locked:
            return True
        try:
            with self._lock.acquire(blocking=False):
                return False
        except Timeout:
            return True

    def release(self) -> None:
        """Release the lock."""
        self._lock.release()

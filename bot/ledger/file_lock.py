"""Lets only one process serve an SQLite ledger: with a single writer, two bots would block each other."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from bot.domain.core.errors import LedgerUnavailable, Misconfigured
from bot.domain.core.sentence import Code, say


class LedgerFileLock:
    """A lock file beside the ledger. The operating system releases it however the process ends."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._lock = FileLock(ledger.with_name(f"{ledger.name}.lock"), mode=0o600)

    def acquire(self) -> None:
        """Acquire the lock. Raises Misconfigured if another process has it, and LedgerUnavailable."""
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise Misconfigured(
                say(
                    "Another Registrar serves the ledger {file} already. Stop that one, or choose another folder with "
                    "{home}. For several at once the ledger has to be PostgreSQL: set {url}, and see "
                    "docs/operations.md.",
                    file=Code(str(self._ledger)),
                    home=Code("REGISTRAR_HOME"),
                    url=Code("REGISTRAR_DATABASE_URL"),
                )
            ) from None
        except OSError as error:
            raise LedgerUnavailable(
                say(
                    "The lock beside {file} cannot be taken; look at who may write to that folder.",
                    file=Code(str(self._ledger)),
                )
            ) from error

    def is_locked(self) -> bool:
        """Return whether a process, this one or another, has the lock."""
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

"""One process serves a ledger that is a file: SQLite's one writer would keep two bots waiting for each other."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from bot.domain.core.errors import LedgerUnavailable, Misconfigured
from bot.domain.core.sentence import Code, say


class LedgerFileLock:
    """The lock beside the ledger's file. The system lets it go when the process ends, however it ends."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._lock = FileLock(ledger.with_name(f"{ledger.name}.lock"), mode=0o600)

    def acquire(self) -> None:
        """Take it. Raises Misconfigured where another process has it, and LedgerUnavailable."""
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
        """Tell whether a process has it, this one or another."""
        if self._lock.is_locked:
            return True
        try:
            with self._lock.acquire(blocking=False):
                return False
        except Timeout:
            return True

    def release(self) -> None:
        """Let it go."""
        self._lock.release()

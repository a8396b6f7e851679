"""Our database, and who shares its work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from bot.ports.reading import Reading
from bot.ports.records import (
    Batch,
)
from bot.ports.writing import Writing


class Ledger(Protocol):
    """Our database: the truth for decisions. Opening either raises LedgerUnavailable within its time limit."""

    def write(self) -> AbstractContextManager[Writing]:
        """Open one transaction; it commits when the block ends and rolls back when it raises."""
        ...

    def read(self) -> AbstractContextManager[Reading]:
        """Open one consistent reading."""
        ...

    def recognize(self, operators: Callable[[], Mapping[str, str]]) -> None:
        """Read every operator together with the Slack id that `operators` gives them at that moment."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


class Dispatcher(Protocol):
    """Lets batches of checks be made by somebody: a thread of ours, or a worker on another machine."""

    def use(self, work: Callable[[Batch], None]) -> None:
        """Let `work` make the batches that this process takes. It never raises, and is called for several at once."""
        ...

    def open(self) -> None:
        """Begin to take batches."""
        ...

    def dispatch(self, batches: Sequence[Batch]) -> None:
        """Let these be made soon; it does not wait for them. Raises LedgerUnavailable where that is not sure."""
        ...

    def close(self) -> None:
        """Take nothing new, and wait a moment for what is being made."""
        ...

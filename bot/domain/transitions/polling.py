"""Which models a poll of the registry has to read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.domain.registry.model import ModelInfo

SWEEP_SECONDS = 600.0  # after this time, a poll reads all models, since aliases and deletions aren't listed as changes
# Two servers' clocks can differ by this much, or a change can be visible this long after its time.
OVERLAP = timedelta(minutes=1)
LISTED_PER_READ = 20  # listing so many models costs as much as reading one
MAX_SINGLE_READS = 50  # models that are read one by one even if listing all is cheaper


def is_listing_cheaper(reads: int, models: int) -> bool:
    """Return whether listing all `models` is cheaper than reading `reads` of them one by one."""
    return reads * LISTED_PER_READ > models


@dataclass(frozen=True, slots=True, kw_only=True)
class PollCursor:
    """What this process has read from the registry so far.

    `newest` is the latest `updated_at`, by the registry's clock. The other times are seconds of a monotonic clock.
    `models` is the number of models at the last sweep, and `unrecorded` has the names of the models to read again.
    """

    newest: datetime | None
    newest_at: float  # when `newest` was first read
    polled_at: float
    swept_at: float
    models: int
    unrecorded: frozenset[str] = frozenset()  # they changed, but couldn't be recorded then

    @classmethod
    def after_sweep(cls, models: Sequence[ModelInfo], at: float, unrecorded: frozenset[str]) -> PollCursor:
        """Return the cursor after a sweep that began at `at` and returned these models."""
        empty = cls(newest=None, newest_at=at, polled_at=at, swept_at=at, models=len(models))
        return empty.after_poll(models, at, unrecorded)

    def after_poll(self, models: Iterable[ModelInfo], at: float, unrecorded: frozenset[str]) -> PollCursor:
        """Return the cursor after a poll that began at `at` and returned these models."""
        times = [time for time in (self.newest, *(model.updated_at for model in models)) if time is not None]
        newest = max(times, default=None)
        newest_at = self.newest_at if newest == self.newest else at
        return replace(self, newest=newest, newest_at=newest_at, polled_at=at, unrecorded=unrecorded)

    @property
    def since(self) -> datetime | None:
        """The time of the earliest change that the next poll can find; None if no model has an update time.

        At first, it's `OVERLAP` before `newest`; the longer nothing newer is seen, the closer it gets to `newest`, but
        never past it.
        """
        waited = timedelta(seconds=self.polled_at - self.newest_at)
        return self.newest and self.newest - max(OVERLAP - waited, timedelta())

    def needs_sweep(self, at: float, watched: int) -> bool:
        """Return whether a poll at `at` should list all models: it's due, or cheaper than `watched` single reads."""
        return at - self.swept_at >= SWEEP_SECONDS or is_listing_cheaper(watched, self.models)

"""Delays between attempts: doubled with each failure, up to a limit."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.domain.core.backoff import Backoff

SECOND = timedelta(seconds=1)
BACKOFF = Backoff(2 * SECOND, timedelta(minutes=1))


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 2), (1, 2), (2, 4), (3, 8), (4, 16), (5, 32), (6, 60), (7, 60), (10**9, 60)]
)
def test_each_failure_doubles_the_delay_up_to_the_limit(failures: int, seconds: int) -> None:
    assert BACKOFF.delay(failures) == seconds * SECOND

"""How much of a long suite is played: all of it under `make chaos`, elsewhere what CI has minutes for."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")
CHAOS = bool(os.environ.get("CHAOS"))


def suite_size(whole: T, part: T) -> T:
    """Return how much of something to do: `whole` under `make chaos`, otherwise `part`."""
    return whole if CHAOS else part

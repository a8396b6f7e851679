"""How much of a long suite runs: all of it with `make chaos`, and otherwise what fits in CI."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")
CHAOS = bool(os.environ.get("CHAOS"))


def suite_size(whole: T, part: T) -> T:
    """Return `whole` with `make chaos`, and `part` otherwise."""
    return whole if CHAOS else part

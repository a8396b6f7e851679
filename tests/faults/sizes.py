"""How much of a long suite is played: all of it under `make chaos`, elsewhere what CI has minutes for."""

from __future__ import annotations

import os

CHAOS = bool(os.environ.get("CHAOS"))


def size(whole: int, part: int) -> int:
    """Return how often to do something: `whole` under `make chaos`, `part` else."""
    return whole if CHAOS else part

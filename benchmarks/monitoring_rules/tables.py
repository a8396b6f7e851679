"""Helpers for the tables of results."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

SURE = 0.95  # of an upper confidence bound


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def dice(seed: int) -> str:
    """Return the seed and the NumPy version, which are needed to repeat a run."""
    return f"Seed {seed}, numpy {np.__version__}"


def share(some: int, of: int) -> str:
    """Return a share as a percentage."""
    return f"{100 * some / of:.3g}%"


def most(some: int, of: int) -> float:
    """Return the upper confidence bound of a probability from this many events (Clopper and Pearson 1934)."""
    return 1.0 if some >= of else float(beta.ppf(SURE, some + 1, of - some))


def bounded(some: int, of: int) -> str:
    """Return a count with the upper confidence bound of its probability."""
    return f"{some:,} (≤ {100 * most(some, of):.2g}%)"


def minutes(found: npt.ArrayLike, part: float = 0.5) -> str:
    """Return a quantile of the times, by default the median, in minutes."""
    value = quantile(found, part)
    return f"{value:,.0f}" if np.isfinite(value) else "> 3d"


def quantile(found: npt.ArrayLike, part: float = 0.5) -> float:
    """Return a quantile; infinite if too many values are."""
    ordered = np.sort(np.atleast_1d(np.asarray(found, dtype=np.float64)))
    at = part * (len(ordered) - 1)
    low, high = ordered[int(at)], ordered[-int(-at // 1)]
    return float(low if low == high else low + (high - low) * (at % 1))


def note(text: str) -> None:
    """Print the progress."""
    print(text, file=sys.stderr, flush=True)

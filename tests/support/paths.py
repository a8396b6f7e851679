"""Where the repository is, and what the tests keep in it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
OLD_LEDGER = DATA / "ledger-0001.sql"  # as the first version wrote it

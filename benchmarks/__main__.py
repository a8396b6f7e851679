"""Run all or the given benchmarks, and print docs/reference/benchmarks.md's tables; `--write` updates that page."""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.app.acknowledgements import answering
from benchmarks.app.clicks import clicking
from benchmarks.app.flood import flooding
from benchmarks.audit import verifying
from benchmarks.compare import comparing
from benchmarks.monitors import monitoring
from benchmarks.pages import paging
from benchmarks.rollback import rolling
from benchmarks.terminal import typing
from benchmarks.workers import working

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference/benchmarks.md"


def main() -> None:
    """Run all or the given benchmarks, print the results, and update the page if asked to."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"only {' or '.join(PARTS)}")
    parser.add_argument("--write", action="store_true", help=f"write the tables to {PAGE.name}")
    told = parser.parse_args()
    if unknown := set(told.parts) - PARTS.keys():
        parser.error(f"unknown part {' '.join(unknown)}")
    for part in told.parts or PARTS:
        machine = _machine()
        with tempfile.TemporaryDirectory() as folder:
            text = f"{machine}\n\n{PARTS[part](Path(folder))}"
        print(text, end="\n\n")
        if told.write:
            write(part, text)


def write(part: str, text: str) -> None:
    """Replace a part's results on the page."""
    mark = f"<!-- figures: {part} -->"
    before, found, after = PAGE.read_text(encoding="utf-8").partition(mark)
    _, _, tail = after.partition("<!-- end -->")
    assert found, f"{PAGE.name} has no {mark}"
    PAGE.write_text(f"{before}{mark}\n{text}\n<!-- end -->{tail}", encoding="utf-8")


def auditing(folder: Path) -> str:
    """Return the tables of verifying the audit log and of its pages."""
    return f"{verifying(folder)}\n\n{paging(folder)}"


PARTS: dict[str, Callable[[Path], str]] = {
    "slack": answering,
    "clicks": clicking,
    "flood": flooding,
    "compare": comparing,
    "audit": auditing,
    "rollback": rolling,
    "monitors": monitoring,
    "terminal": typing,
    "workers": working,
}


def _machine() -> str:
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    cores = os.cpu_count()
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"Measured on {day}: {cores} cores, {machine}; load average before: {os.getloadavg()[0]:.1f}."


if __name__ == "__main__":
    main()

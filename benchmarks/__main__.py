"""Run all or the given benchmarks, and print docs/reference/benchmarks.md's tables.

`--write` updates that page, the release's figures, and the pictures. `--vs` compares with another commit.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from benchmarks.parts import PARTS, ROOT, run
from benchmarks.releases import figures, picture
from benchmarks.versus import NoSuchCommit, versus
from bot.version import version

PAGE = ROOT / "docs" / "reference/benchmarks.md"
PICTURES = ROOT / "docs" / "pictures"


def main(argv: Sequence[str] | None = None) -> None:
    """Run all or the given benchmarks, print the results, and update the page if asked to."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"only {' or '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=3, help="with --vs: how often to run each part of both (3)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--write", action="store_true", help=f"write the results to {PAGE.name}, with their pictures")
    how.add_argument("--vs", metavar="REV", help="compare this checkout with another commit")
    told = parser.parse_args(argv)
    if unknown := set(told.parts) - PARTS.keys():
        parser.error(f"unknown part {' '.join(sorted(unknown))}")
    if told.rounds < 1:
        parser.error("--rounds must be 1 or more")
    parts = told.parts or list(PARTS)
    if not told.vs:
        for part in parts:
            report(part, is_written=told.write)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the temporary checkout is removed
    try:
        for text in versus(told.vs, parts, told.rounds):
            print(text, end="\n\n", flush=True)
    except NoSuchCommit as problem:
        sys.exit(str(problem))


def report(part: str, *, is_written: bool) -> None:
    """Run a part and print its results; if wanted, write them to the page, the release's figures, and the pictures."""
    day, machine = f"{datetime.now(UTC):%Y-%m-%d}", _machine()
    found = run(part, PICTURES if is_written else None)
    text = f"Measured on {day}: {machine}.\n\n{found.text}"
    print(text, end="\n\n", flush=True)
    if is_written:
        write(part, text)
        figures.write(version(), part, figures.Measured(day, machine, dict(found.figures)))
        (PICTURES / picture.NAME).write_text(picture.benchmark_picture(), encoding="utf-8")


def write(part: str, text: str) -> None:
    """Replace a part's results on the page."""
    mark = f"<!-- figures: {part} -->"
    before, found, after = PAGE.read_text(encoding="utf-8").partition(mark)
    _, _, tail = after.partition("<!-- end -->")
    assert found, f"{PAGE.name} has no {mark}"
    PAGE.write_text(f"{before}{mark}\n{text}\n<!-- end -->{tail}", encoding="utf-8")


def _machine() -> str:
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {machine}; load average before: {os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    main()

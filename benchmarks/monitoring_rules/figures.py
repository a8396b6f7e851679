"""The results for the monitor's rules in docs/reference/rule-benchmarks.md: `make bench-rules`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.monitoring_rules import counts, real_series, scenarios, simulated_tables
from benchmarks.monitoring_rules import months as simulation
from benchmarks.monitoring_rules.tables import note

PAGE = Path(__file__).parents[2] / "docs" / "reference/rule-benchmarks.md"

Part = Callable[[int, int], str]  # of the months of each harder kind, and the seed


def parts() -> dict[str, Part]:
    """Return the tables by the name of their place on the page, slowest first."""
    return {
        "harder": simulated_tables.harder_tables,
        "real": lambda _, seed: real_series.real_tables(seed),
        "aims": scenarios.aims_tables,
        "counts": counts.counts_table,
        "peers": lambda _, seed: scenarios.peers_table(seed),
        "choices": simulated_tables.choices_table,
        "weeks": simulated_tables.weeks_table,
        "shapes": scenarios.shapes_table,
        "first": lambda _, seed: simulated_tables.first_table(seed),
        "decay": lambda _, seed: scenarios.decay_table(seed),
    }


def main() -> None:
    """Simulate the months, print the tables, and update the page if asked to."""
    parser = argparse.ArgumentParser(prog="make bench-rules")
    parser.add_argument("parts", nargs="*", help=f"only these tables, of {', '.join(parts())}")
    parser.add_argument("--months", type=int, default=3_000, help="how many months of each harder kind")
    parser.add_argument("--seed", type=int, default=simulation.SEED, help="another one gives other dice")
    parser.add_argument("--jobs", type=int, default=2, help="how many processes play at once")
    parser.add_argument("--write", action="store_true", help=f"write the tables into {PAGE.name}")
    told = parser.parse_args()
    if unknown := set(told.parts) - set(parts()):
        parser.error(f"there's no table {', '.join(sorted(unknown))}")
    wanted = told.parts or list(parts())
    began = time.perf_counter()
    with ProcessPoolExecutor(told.jobs) as pool:
        found = pool.map(partial(played, months=told.months, seed=told.seed), wanted)
        for part, text in zip(wanted, found, strict=True):
            print(text, end="\n\n", flush=True)
            if told.write:
                write(part, text)
    note(f"done in {time.perf_counter() - began:.0f} s")


def played(part: str, *, months: int, seed: int) -> str:
    """Return one part's tables."""
    began = time.perf_counter()
    text = parts()[part](months, seed)
    note(f"{part}: done in {time.perf_counter() - began:.0f} s")
    return text


def write(part: str, text: str) -> None:
    """Replace a part's results on the page."""
    mark = f"<!-- figures: {part} -->"
    before, found, after = PAGE.read_text(encoding="utf-8").partition(mark)
    _, _, tail = after.partition("<!-- end -->")
    assert found, f"{PAGE.name} has no {mark}"
    PAGE.write_text(f"{before}{mark}\n{text}\n<!-- end -->{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()

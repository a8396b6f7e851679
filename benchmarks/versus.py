"""Compare this checkout with another commit: the same measurements of both, alternating in one run."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.ways import table

ROOT = Path(__file__).parent.parent

Rounds = Sequence[Mapping[str, float]]  # the figures of each round


class NoSuchCommit(Exception):
    """Git doesn't know the commit."""


def versus(revision: str, parts: Sequence[str], rounds: int, root: Path = ROOT) -> Iterator[str]:
    """Yield a table for each part. A part that fails on either side yields a sentence instead.

    Both sides run this checkout's `benchmarks/`. Raises NoSuchCommit.
    """
    with checked_out(revision, root) as other:
        for part in parts:
            yield f"**{part}**\n\n{_compared(part, revision, rounds, (root, other))}"


@contextmanager
def checked_out(revision: str, root: Path) -> Iterator[Path]:
    """Check out a commit into a temporary worktree with this checkout's `benchmarks/`. Raises NoSuchCommit."""
    commit = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if commit is None:
        raise NoSuchCommit(f"Git knows no commit `{revision}`.")
    with tempfile.TemporaryDirectory(prefix="registrar-bench-") as folder:
        tree = Path(folder) / "tree"
        try:
            if _git(root, "worktree", "add", "--detach", "--quiet", str(tree), commit) is None:
                raise RuntimeError(f"Git couldn't check out {commit}.")
            shutil.rmtree(tree / "benchmarks", ignore_errors=True)
            shutil.copytree(root / "benchmarks", tree / "benchmarks", ignore=shutil.ignore_patterns("__pycache__"))
            yield tree.resolve()
        finally:
            _git(root, "worktree", "remove", "--force", str(tree))


def _git(root: Path, *words: str) -> str | None:
    """Return what git prints, or None if it fails."""
    done = subprocess.run(["git", *words], cwd=root, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603, S607
    return done.stdout.strip() if done.returncode == 0 else None


def _compared(part: str, revision: str, rounds: int, trees: tuple[Path, Path]) -> str:
    this: list[Mapping[str, float]] = []
    other: list[Mapping[str, float]] = []
    for number in range(rounds):
        for side, name, tree in zip((this, other), ("this checkout", revision), trees, strict=True):
            print(f"{part}: {name}, round {number + 1} of {rounds}", file=sys.stderr)
            figures = measured(part, tree)
            if figures is None:
                return f"`{part}` failed in {name}; its error is above."
            side.append(figures)
    return comparison(this, other, revision)


def measured(part: str, tree: Path) -> Mapping[str, float] | None:
    """Run a part in a separate process that imports this tree, and return its figures, or None if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.json"
        done = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", "benchmarks.parts", part, str(file)],
            cwd=tree,
            env=os.environ | {"PYTHONPATH": str(tree)},  # the programs that it starts import this tree, too
            stdout=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode != 0:
            return None
        figures: dict[str, float] = json.loads(file.read_text(encoding="utf-8"))
        return figures


def comparison(this: Rounds, other: Rounds, revision: str) -> str:
    """Return the table of every figure: the medians, their ratio, and whether that's more than noise."""
    names = dict.fromkeys(name for figures in [*this, *other] for name in figures)
    rows = []
    for name in names:
        ours, theirs = ([figures[name] for figures in side if name in figures] for side in (this, other))
        rows.append([name, _shown(ours), _shown(theirs), _ratio(ours, theirs), verdict(ours, theirs)])
    return table(["figure (lower is better)", "this checkout", revision, "ratio", ""], *rows)


def _shown(figures: Sequence[float]) -> str:
    if not figures:
        return "–"
    middle, low, high = (f"{figure:.3g}" for figure in (statistics.median(figures), min(figures), max(figures)))
    return f"{middle} ({low}–{high})"


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    if not ours or not theirs or not statistics.median(theirs):
        return "–"
    return f"{statistics.median(ours) / statistics.median(theirs):.2f} ×"


def verdict(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Return "better" or "worse" if the two ranges don't overlap. One round has no range."""
    if not ours or not theirs:
        return "only here" if ours else "only there"
    if min(len(ours), len(theirs)) == 1:
        return "one round only"
    if min(ours) > max(theirs):
        return "**worse**"
    return "better" if max(ours) < min(theirs) else "within noise"

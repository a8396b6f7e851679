"""Mutation testing: make small changes to the rules, one at a time, and check that a test fails for each.

`make mutate` installs cosmic-ray in a separate virtual environment and copies the tree to `.mutate/`, so that it
doesn't change the checkout. A mutant that no test notices has to be in docs/mutants.md, with a reason. Apart from
those, no mutant of permissions or state machines can survive, and one in ten of gates and guards can.
"""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".mutate"
TREE = HOME / "tree"
TOOL = "cosmic-ray==8.7.0"
LONGEST = 200  # columns in a line
PAGE = ROOT / "docs" / "mutants.md"


@dataclass(frozen=True)
class Target:
    """A module, and the tests that have to notice its mutants; `floor` is the required share of noticed mutants."""

    module: str
    tests: tuple[str, ...]
    floor: float


TARGETS = (
    Target(
        "bot/domain/policy/authorization.py",
        ("tests/domain/policy/test_authorization.py", "tests/domain/policy/test_members_and_reviewers.py"),
        1.0,
    ),
    Target(
        "bot/domain/promotions/request.py",
        ("tests/domain/promotions/test_request.py", "tests/domain/promotions/test_gates.py"),
        1.0,
    ),
    Target("bot/domain/promotions/votes.py", ("tests/domain/promotions/test_request.py",), 1.0),
    Target(
        "bot/domain/transitions/transition.py",
        ("tests/domain/transitions/test_transition_plan.py", "tests/domain/transitions/test_transition.py"),
        1.0,
    ),
    Target("bot/domain/promotions/gates.py", ("tests/domain/promotions/test_gates.py",), 0.9),
    Target("bot/domain/policy/freezes.py", ("tests/domain/policy/test_freezes.py",), 0.9),
    Target("bot/domain/core/cron_windows.py", ("tests/domain/policy/test_freezes.py",), 0.9),
    Target(
        "bot/services/core/access.py",
        (
            "tests/services/policy/test_freezes.py",
            "tests/services/core/test_access.py",
            "tests/services/core/test_commands.py",
        ),
        0.9,
    ),
    Target(
        "bot/services/promotions/voting.py",
        (
            "tests/services/promotions/test_deciding_requests.py",
            "tests/services/promotions/test_gate_checks.py",
            "tests/services/promotions/test_gates_before_transition.py",
            "tests/services/promotions/test_reminders.py",
            "tests/services/promotions/test_opening_requests.py",
            "tests/services/promotions/approvals/test_break_glass.py",
            "tests/services/promotions/test_attacks.py",
            "tests/services/transitions/test_registry_tags.py",
        ),
        0.9,
    ),
    Target(
        "bot/services/promotions/decisions.py",
        (
            "tests/services/promotions/test_deciding_requests.py",
            "tests/services/promotions/test_gate_checks.py",
            "tests/services/promotions/test_gates_before_transition.py",
            "tests/services/promotions/test_reminders.py",
            "tests/services/promotions/test_opening_requests.py",
            "tests/services/promotions/approvals/test_break_glass.py",
            "tests/services/promotions/test_attacks.py",
            "tests/services/transitions/test_registry_tags.py",
        ),
        0.9,
    ),
    Target(
        "bot/services/transitions/executor.py",
        (
            "tests/services/transitions/test_executor.py",
            "tests/services/transitions/test_executor_edge_cases.py",
            "tests/services/transitions/test_backoff.py",
            "tests/services/promotions/test_gate_checks.py",
            "tests/services/promotions/test_gates_before_transition.py",
            "tests/services/promotions/test_reminders.py",
            "tests/services/policy/test_freezes.py",
            "tests/services/transitions/test_drift_notices.py",
            "tests/services/rollbacks/test_rollbacks.py",
            "tests/services/promotions/approvals/test_break_glass.py",
            "tests/services/monitoring/incidents/test_rollback_loadability.py",
            "tests/services/registry/test_edits.py",
            "tests/services/transitions/test_registry_tags.py",
        ),
        0.9,
    ),
    Target(
        "bot/services/core/outbox.py",
        (
            "tests/services/core/test_outbox.py",
            "tests/services/core/test_channel_pacing.py",
            "tests/services/core/test_webhook_events.py",
        ),
        0.9,
    ),
    Target(
        "bot/services/rollbacks/rollbacks.py",
        (
            "tests/services/rollbacks/test_rollbacks.py",
            "tests/services/monitoring/incidents/test_rollback_loadability.py",
        ),
        0.9,
    ),
)

# Two ways to replace an operator are as good as twelve, so most are left out. So are annotations, which are never
# evaluated, and decorators such as dataclass, which a test could only repeat.
_SKIPPED = re.compile(
    r"RemoveDecorator"
    r"|ReplaceBinaryOperator_\w+_(?:RShift|LShift|Pow|Mod|FloorDiv|BitXor|Div)$"
    r"|ReplaceComparisonOperator_(?:Is|IsNot|Eq|NotEq)_(?:Lt|LtE|Gt|GtE)$"
    r"|ReplaceComparisonOperator_(?:Lt|LtE|Gt|GtE)_(?:Is|IsNot)$"
    r"|ReplaceComparisonOperator_(?:Is_Eq|Eq_Is|IsNot_NotEq|NotEq_IsNot|Eq_IsNot|Is_NotEq|NotEq_Is|IsNot_Eq)$"
)


@dataclass(frozen=True)
class Mutant:
    """One change and its location."""

    job: str
    module: str
    operator: str
    row: int
    column: int
    function: str
    line: str

    @property
    def name(self) -> str:
        """A unique name that doesn't depend on line numbers: operator, function, and the line's text."""
        return f"{self.module} {self.function}: {self.operator.removeprefix('core/')} in `{self.line}`"


def prepare() -> Path:
    """Create the tool's environment and the copy of the tree; return the tool's path."""
    tool = HOME / "venv" / "bin" / "cosmic-ray"
    if not tool.exists():
        HOME.mkdir(exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", HOME / "venv"], check=True)
        pip = [HOME / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet", TOOL]
        subprocess.run(pip, check=True)
    shutil.rmtree(TREE, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (TREE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, TREE / name)
    return tool


def run(tool: Path, target: Target) -> tuple[int, list[Mutant]]:
    """Test every mutant of a module; return their number, and those that no test noticed."""
    name = target.module.replace("/", "-")
    session, config = HOME / f"{name}.sqlite", HOME / f"{name}.toml"
    session.unlink(missing_ok=True)
    tests = " ".join(one for one in target.tests if (TREE / one).exists())
    command = f"{sys.executable} -m pytest -x -q -p no:cacheprovider -p no:xdist -W ignore {tests}"
    config.write_text(
        f'[cosmic-ray]\nmodule-path = "{target.module}"\ntimeout = 120.0\nexcluded-modules = []\n'
        f'test-command = "env PYTHONPATH={TREE} PYTHONDONTWRITEBYTECODE=1 {command}"\n'
        '[cosmic-ray.distributor]\nname = "local"\n',
        encoding="utf-8",
    )
    subprocess.run([tool, "init", config, session], cwd=TREE, check=True)
    skip(session)
    subprocess.run([tool, "exec", config, session], cwd=TREE, check=True)
    return outcome(session)


def skip(session: Path) -> None:
    """Remove the mutants that aren't worth testing from the session."""
    with sqlite3.connect(session) as database:
        unworthy = [mutant.job for mutant in mutants(database) if _is_unworthy(mutant)]
        database.executemany("DELETE FROM mutation_specs WHERE job_id = ?", [(job,) for job in unworthy])
        database.executemany("DELETE FROM work_items WHERE job_id = ?", [(job,) for job in unworthy])


def _is_unworthy(mutant: Mutant) -> bool:
    return bool(_SKIPPED.search(mutant.operator)) or (mutant.row, mutant.column) in _annotations(mutant.module)


def _annotations(module: str) -> set[tuple[int, int]]:
    """Return every position in an annotation or a decorator, by row and column."""
    found: set[tuple[int, int]] = set()
    for node in ast.walk(ast.parse((TREE / module).read_text(encoding="utf-8"))):
        pieces = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        for piece in [*pieces, *getattr(node, "decorator_list", [])]:
            found |= set(_places(piece)) if piece is not None else set()
    return found


def _places(piece: ast.expr) -> Iterator[tuple[int, int]]:
    end = piece.end_lineno or piece.lineno
    for row in range(piece.lineno, end + 1):
        first = piece.col_offset if row == piece.lineno else 0
        last = (piece.end_col_offset or 0) if row == end else LONGEST
        yield from ((row, column) for column in range(first, last + 1))


def mutants(database: sqlite3.Connection, where: str = "") -> Iterator[Mutant]:
    """Yield the session's mutants."""
    query = (
        "SELECT s.job_id, s.module_path, s.operator_name, s.start_pos_row, s.start_pos_col, s.definition_name "  # noqa: S608 - no user input
        f"FROM mutation_specs s {where} ORDER BY s.start_pos_row, s.start_pos_col, s.operator_name"
    )
    for job, module, operator, row, column, function in database.execute(query).fetchall():
        line = (TREE / module).read_text(encoding="utf-8").splitlines()[row - 1].strip()
        yield Mutant(job, module, operator, row, column, function or "module", line)


def outcome(session: Path) -> tuple[int, list[Mutant]]:
    """Return the number of tested mutants, and those that survived."""
    with sqlite3.connect(session) as database:
        [(tried,)] = database.execute("SELECT count(*) FROM work_results").fetchall()
        survived = "JOIN work_results r ON r.job_id = s.job_id WHERE r.test_outcome LIKE '%SURVIVED%'"
        return tried, list(mutants(database, survived))


def explained() -> set[str]:
    """Return the survivors that have a reason in docs/mutants.md."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    return set(re.findall(r"^- (bot/.+`)$", text, flags=re.MULTILINE))


def main(argv: Sequence[str] | None = None) -> int:
    """Test the mutants of the given modules, or of all; return 1 if too many survive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", help="only these modules, such as bot/domain/promotions/gates.py")
    wanted = parser.parse_args(argv).modules
    tool, known, failed = prepare(), explained(), False
    for target in TARGETS:
        if wanted and target.module not in wanted:
            continue
        tried, survivors = run(tool, target)
        fresh = [mutant for mutant in survivors if mutant.name not in known]
        noticed = 1 - len(fresh) / tried if tried else 1.0
        failed |= noticed < target.floor
        print(f"{target.module}: {tried} mutants, {len(survivors)} survived, {len(fresh)} without a reason")
        for mutant in fresh:
            print(f"- {mutant.name}  (line {mutant.row})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

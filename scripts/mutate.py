"""Mutation testing: make small changes to the rules, one at a time, and check that a test fails for each.

`make mutate` installs cosmic-ray, which lists the changes, in a separate virtual environment, and copies the tree to
`.mutate/`, so that it doesn't change the checkout. Each mutant is tested with the tests that execute its line, which
one run of the tests with coverage determines. A mutant that no test notices must be in docs/reference/mutants.md, with
a reason. Apart from those, no mutant of permissions or state machines can survive, and in every other area, at most one
in ten can.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, groupby, islice
from pathlib import Path
from signal import SIGKILL
from tempfile import gettempdir
from typing import Any

import pytest
from coverage import CoverageData
from hypothesis import Phase, settings

from scripts.mutants import COSMIC_RAY, HOME, ROOT, Mutant, apply, function_at, mutants, replace_function

TREES = (HOME / "tree-1", HOME / "tree-2")  # one for each mutant that's tested at the same time
MAP, RESULTS = HOME / "coverage", HOME / "results.jsonl"
PAGE = ROOT / "docs" / "reference/mutants.md"
TOOL = "cosmic-ray==8.7.0"
MOST_TESTS = 200  # tests for one mutant
CPU_SECONDS, MEMORY_BYTES = 900, 6 * 1024**3  # of the tests of one mutant, which can loop forever
# The tests that can notice a mutant: those that need no browser or PostgreSQL, and take less than ten seconds.
TESTS = (
    "tests/domain",
    "tests/services",
    "tests/handlers",
    "tests/slack",
    "tests/contracts/ledger",
    "tests/contracts/test_api_schema.py",
    "tests/journeys/promotions/ci",
)
OPTIONS = ("-q", "-rfE", "-p", "no:cacheprovider", "-W", "ignore", "-m", "not postgres and not slow and not browser")
# A test that hangs counts as failed.
ONE_BY_ONE = ("-p", "no:xdist", "-p", "no:pytest_cov", "--timeout=60", "--timeout-method=thread")


@dataclass(frozen=True)
class Area:
    """Modules that belong together. A module belongs to the first area that matches it.

    `floor` is the share of mutants that must be noticed or, if they survive, have a reason.
    """

    name: str
    modules: tuple[str, ...]
    floor: float = 0.9


def _modules(subject: str, name: str = "*") -> tuple[str, ...]:
    return f"bot/domain/{subject}/**/{name}.py", f"bot/services/{subject}/{name}.py"


# Modules with only messages aren't here: tests/project/words checks them, and their wording isn't a rule.
_EXCLUDED = re.compile(r"bot/domain/.*(?:messages|views|markdown)\.py$|__init__\.py$")
_STATE_MACHINES = ("promotions/request", "promotions/votes", "transitions/transition")
AREAS = (
    Area("permissions", ("bot/domain/policy/authorization.py",), 1.0),
    Area("state machines", tuple(f"bot/domain/{one}.py" for one in _STATE_MACHINES), 1.0),
    Area("guards", ("bot/domain/policy/freezes.py", "bot/domain/core/cron_windows.py", "bot/services/core/access.py")),
    Area("requests", _modules("promotions")),
    Area(
        "moves",
        (*_modules("transitions"), "bot/domain/rollbacks/rollback_targets.py", "bot/services/rollbacks/rollbacks.py"),
    ),
    Area("outbox", ("bot/services/core/*outbox*.py", "bot/slack/delivery/*er.py", "bot/ledger/stores/work_queue.py")),
    Area("incidents", _modules("monitoring", "incident*")),
    Area("monitoring", _modules("monitoring")),
    Area("api", ("handlers/api/*.py",)),
    Area("audit", ("bot/domain/audit/*.py", "bot/services/audit/*.py", "bot/ledger/stores/audit*.py")),
)


def prepare() -> None:
    """Install cosmic-ray and, if code has changed, copy the tree and find out which tests execute which lines."""
    if not COSMIC_RAY.exists():
        subprocess.run([sys.executable, "-m", "venv", HOME / "venv"], check=True)
        subprocess.run([HOME / "venv/bin/python", "-m", "pip", "install", "--quiet", TOOL], check=True)
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    names = [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    newest = max((ROOT / name).stat().st_mtime for name in names if name.endswith(".py"))
    if MAP.exists() and MAP.stat().st_mtime > newest:
        return
    for outdated in (MAP, RESULTS):
        outdated.unlink(missing_ok=True)
    measure = [
        "--cov=bot",
        "--cov=handlers",
        "--cov-context=test",
        "--cov-report=",
        "-n2",
        "--dist=loadfile",
        "--timeout=1200",
    ]
    found = HOME / "coverage-new"
    environment = os.environ | {"COVERAGE_FILE": str(found), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", "pytest", *OPTIONS, *measure, *TESTS], cwd=ROOT, env=environment, check=True)
    for tree in TREES:
        shutil.rmtree(tree, ignore_errors=True)
        for name in names:
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
        start_tests(tree, ("--collect-only", *TESTS))  # compiles the modules and the tests once for all mutants
        wait_for_tests()
    found.rename(MAP)


class TestMap:
    """Which tests execute which lines."""

    def __init__(self) -> None:
        data = CoverageData(basename=str(MAP))
        data.read()
        self._lines: dict[str, dict[int, set[str]]] = {}
        self._at_import: dict[str, set[int]] = {}
        for path in data.measured_files():
            rows = data.contexts_by_lineno(path).items()
            name = str(Path(path).relative_to(ROOT))
            self._at_import[name] = {row for row, tests in rows if "" in tests}
            self._lines[name] = {row: {one.rpartition("|")[0] for one in tests} - {""} for row, tests in rows}
        self._breadth = Counter(chain.from_iterable(map(self.of_module, self._lines)))

    def of_module(self, module: str) -> set[str]:
        """Return the tests that execute any line of the module's functions."""
        return set(chain.from_iterable(self._lines.get(module, {}).values()))

    def of_mutant(self, mutant: Mutant) -> list[str]:
        """Return the tests that execute the mutant's line, starting with those that execute the fewest modules.

        There are at most `MOST_TESTS`, grouped by file. If no test is known to execute the line, they're the module's
        tests.
        """
        tests = self._of_line(mutant) or self.of_module(mutant.module)
        narrowest = sorted(tests, key=lambda test: (self._breadth[test], test))[:MOST_TESTS]
        files = list(map(_file, narrowest))
        return sorted(narrowest, key=lambda test: files.index(_file(test)))

    def is_executed_at_import(self, mutant: Mutant) -> bool:
        """Return whether the mutant's line is also executed outside tests, when its module is imported."""
        return not function_at(mutant.module, mutant.row) or mutant.row in self._at_import.get(mutant.module, ())

    def _of_line(self, mutant: Mutant) -> set[str]:
        """Return the tests of the mutant's line, or of the closest line above it in the same function that has any.

        Coverage doesn't record every line of a multi-line call.
        """
        function = function_at(mutant.module, mutant.row)
        rows = range(mutant.row, function.lineno, -1) if function else ()
        return next(filter(None, (self._lines.get(mutant.module, {}).get(row) for row in rows)), set())


def _file(test: str) -> str:
    return test.partition("::")[0]


def warm_up() -> None:
    """Import the program and the tests, so that a mutant's tests can run without importing them again."""
    sys.path[0] = str(TREES[0])
    os.chdir(TREES[0])
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a process with threads can't be forked safely
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        pytest.main([*OPTIONS, *ONE_BY_ONE, "--collect-only", *TESTS])


def start_tests(tree: Path, arguments: Sequence[str], mutant: Mutant | None = None, *, is_warm: bool = False) -> int:
    """Start pytest on the tree in a forked process, with a mutant if one is given; return the process ID.

    `is_warm` says whether the program has already been imported.
    """
    if process := os.fork():
        return process
    code = 3
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        output = os.open(_log(tree), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(tree)
        sys.path[0], sys.dont_write_bytecode = str(tree), MAP.exists()
        os.environ |= {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
        if mutant:
            apply(mutant, tree)
        if mutant and is_warm:
            replace_function(mutant, tree, TREES[0])
        code = pytest.main([*OPTIONS, *ONE_BY_ONE, f"--basetemp={gettempdir()}/mutate-{tree.name}", *arguments])
    except BaseException:  # a mutant that isn't valid Python, for example
        traceback.print_exc()
    os._exit(code)


def wait_for_tests() -> tuple[int, int]:
    """Wait for a forked test run to end, and kill any processes it left; return its process ID and exit code."""
    process, status = os.wait()
    with suppress(ProcessLookupError):
        os.killpg(process, SIGKILL)
    return process, os.waitstatus_to_exitcode(status)


def _log(tree: Path) -> Path:
    return tree.with_suffix(".log")


def failures(tree: Path) -> list[str]:
    """Return the tests that failed in the tree's last run."""
    return re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", _log(tree).read_text(encoding="utf-8"), re.MULTILINE)


def try_mutants(chosen: Sequence[Mutant], tests: TestMap, *, is_warm: bool = False) -> None:
    """Test each mutant and save its result; `is_warm` says whether the program has already been imported."""
    waiting, free = list(chosen), list(TREES)
    running: dict[int, tuple[Mutant, Path]] = {}
    while waiting or running:
        while waiting and free:
            mutant, tree = waiting.pop(0), free.pop()
            running[start_tests(tree, ["-x", *tests.of_mutant(mutant)], mutant, is_warm=is_warm)] = mutant, tree
        process, code = wait_for_tests()
        mutant, tree = running.pop(process)
        shutil.copy2(ROOT / mutant.module, tree / mutant.module)
        free.append(tree)
        result = {"digest": mutant.digest, "code": code, "failed": failures(tree), "name": mutant.name}
        with RESULTS.open("a", encoding="utf-8") as file:
            print(json.dumps(result), file=file)


def results() -> dict[str, dict[str, Any]]:
    """Return the results so far, by the mutant's digest."""
    lines = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else []
    return {one["digest"]: one for one in map(json.loads, lines)}


def explained() -> set[str]:
    """Return the names of the survivors that have a reason in docs/reference/mutants.md."""
    return set(re.findall(r"^- (bot/.+`)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE))


def modules_by_area(wanted: Sequence[str]) -> dict[Area, list[str]]:
    """Return each area's modules, except those of an earlier area. If `wanted` isn't empty, return only those in it."""
    found: dict[Area, list[str]] = {area: [] for area in AREAS}
    seen: set[str] = set()
    for area in AREAS:
        for path in sorted(chain.from_iterable(map(ROOT.glob, area.modules))):
            name = str(path.relative_to(ROOT))
            if name not in seen and not _EXCLUDED.search(name) and (not wanted or name in wanted):
                found[area].append(name)
            seen.add(name)
    return found


def report(area: Area, listed: Sequence[Mutant], chosen: Sequence[Mutant]) -> bool:
    """Print an area's results and its unexplained survivors; return whether enough mutants were noticed."""
    found, known = results(), explained()
    survivors = [one for one in chosen if found[one.digest]["code"] == 0]
    fresh = [one for one in survivors if one.name not in known]
    tried = f"{len(listed)} mutants, {len(chosen)} tried"
    print(f"{area.name}: {tried}, {len(survivors)} survived, {len(fresh)} without a reason", flush=True)
    for mutant in fresh:
        print(f"- {mutant.name}  (line {mutant.row})", flush=True)
    return len(fresh) <= len(chosen) * (1 - area.floor)


def unreliable() -> list[str]:
    """Return the tests that failed for a mutant, but also fail without one."""
    noticed = sorted({test for result in results().values() for test in result["failed"]})
    start_tests(TREES[0], noticed)
    wait_for_tests()
    return failures(TREES[0])


def main(argv: Sequence[str] | None = None) -> int:
    """Test the mutants of the given modules, or of all; return 1 if too many survive or a test is unreliable."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", help="only these modules, such as bot/domain/promotions/gates.py")
    parser.add_argument("--sample", type=int, help="at most this many mutants of each module, always the same ones")
    options = parser.parse_args(argv)
    settings.register_profile("mutants", phases=(Phase.explicit, Phase.generate), derandomize=True, deadline=None)
    settings.load_profile("mutants")
    prepare()
    tests, tried = TestMap(), results()
    listed = {area: mutants(modules) for area, modules in modules_by_area(options.modules).items() if modules}
    chosen = {area: list(sample(found, options.sample)) for area, found in listed.items()}
    new = [mutant for mutant in chain(*chosen.values()) if mutant.digest not in tried]
    try_mutants([mutant for mutant in new if tests.is_executed_at_import(mutant)], tests)
    warm_up()
    try_mutants([mutant for mutant in new if not tests.is_executed_at_import(mutant)], tests, is_warm=True)
    enough = [report(area, found, chosen[area]) for area, found in listed.items()]
    doubtful = unreliable()
    for test in doubtful:
        print(f"This test fails without a mutant, too: {test}")
    return 0 if all(enough) and not doubtful else 1


def sample(found: Sequence[Mutant], number: int | None) -> Iterator[Mutant]:
    """Yield at most `number` mutants of each module, or all if it's None; smaller samples are part of larger ones."""
    ordered = sorted(found, key=lambda one: (one.module, sha256(one.name.encode()).digest(), one.row, one.column))
    for _, group in groupby(ordered, key=lambda one: one.module):
        yield from islice(group, number)


if __name__ == "__main__":
    sys.exit(main())

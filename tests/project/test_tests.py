"""Every test asserts what it's for, and `make mutate` tries the same mutants each time, in every area of the rules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from scripts.mutants import Mutant
from scripts.mutate import AREAS, modules_by_area, sample

ROOT = Path(__file__).resolve().parents[2]
TESTS = sorted(path for path in ROOT.glob("tests/**/test_*.py") if "starters/" not in path.as_posix())
# Calls that fail with a reason: of pytest, Playwright, Schemathesis, the code tour, and people who wait for a message.
ASSERTING = {"raises", "warns", "expect", "expect_drawn", "expect_text", "call_and_validate", "check_order"}
WAITING = ("waits_for", "waits_for_home", "waits_for_modal", "waits_for_direct_message")


def _asserts(test: ast.FunctionDef) -> bool:
    calls = [node.func for node in ast.walk(test) if isinstance(node, ast.Call)]
    names = {one.attr if isinstance(one, ast.Attribute) else getattr(one, "id", "") for one in calls}
    return any(isinstance(node, ast.Assert) for node in ast.walk(test)) or not ASSERTING.union(WAITING).isdisjoint(
        names
    )


def _without_an_assertion(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not _asserts(node):
            yield node.name


def test_every_test_has_an_assertion_of_its_own() -> None:
    found = [name for path in TESTS for name in _without_an_assertion(path.read_text(encoding="utf-8"))]
    assert found == []


@pytest.mark.parametrize("body", ["wait_until(is_done)", "with suppress(ValueError): parse('x')", "print('assert')"])
def test_a_test_that_asserts_nothing_is_found(body: str) -> None:
    assert list(_without_an_assertion(f"def test_it():\n    {body}")) == ["test_it"]


@pytest.mark.parametrize("body", ["assert wait_until(is_done)", "with pytest.raises(BadInput): parse('x')"])
def test_an_assertion_is_recognized(body: str) -> None:
    assert list(_without_an_assertion(f"class TestIt:\n    def test_it(self):\n        {body}")) == []


# -- mutants -----------------------------------------------------------------------------------------------------------

MUTANTS = [
    Mutant(module, "AddNot", number, row=number + 1, column=0, function="module")
    for module in ("bot/domain/promotions/votes.py", "bot/domain/policy/freezes.py")
    for number in range(20)
]


def test_a_smaller_sample_is_part_of_a_larger_one() -> None:
    assert set(sample(MUTANTS, 3)) < set(sample(MUTANTS[::-1], 5))


def test_a_sample_has_mutants_of_every_module() -> None:
    assert {mutant.module for mutant in sample(MUTANTS, 1)} == {mutant.module for mutant in MUTANTS}


def test_every_area_has_modules_and_no_module_is_in_two() -> None:
    found = modules_by_area([])
    assert [area.name for area in AREAS if not found[area]] == []
    assert len(set(chain(*found.values()))) == len(list(chain(*found.values())))

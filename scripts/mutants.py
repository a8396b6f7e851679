"""A module's mutants: cosmic-ray's, and for each statement that's only a call, one that removes it."""

from __future__ import annotations

import ast
import gc
import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from itertools import chain
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".mutate"
COSMIC_RAY = HOME / "venv/bin/cosmic-ray"
LONGEST = 200  # columns in a line

_NO_CALL = "RemoveCall"
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
    """One change, as cosmic-ray names it, and its location."""

    module: str
    operator: str
    occurrence: int
    row: int
    column: int
    function: str

    @property
    def name(self) -> str:
        """A name that doesn't depend on line numbers: module, function, operator, and the line's text."""
        return f"{self.module} {self.function}: {self.operator} in `{_lines(self.module)[self.row - 1].strip()}`"

    @property
    def digest(self) -> str:
        """A hash that identifies the mutant's result."""
        return sha256(f"{self.name} {self.occurrence}".encode()).hexdigest()


@cache
def _lines(module: str) -> list[str]:
    return (ROOT / module).read_text(encoding="utf-8").splitlines()


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


def mutants(modules: Sequence[str]) -> list[Mutant]:
    """Return the modules' mutants that are worth testing: cosmic-ray's, and those that remove a call."""
    session, config = HOME / "session.sqlite", HOME / "session.toml"
    session.unlink(missing_ok=True)
    config.write_text(
        f'[cosmic-ray]\nmodule-path = {json.dumps(modules)}\ntimeout = 1.0\nexcluded-modules = []\ntest-command = ""\n'
        '[cosmic-ray.distributor]\nname = "local"\n',
        encoding="utf-8",
    )
    subprocess.run([COSMIC_RAY, "init", config, session], cwd=ROOT, check=True)
    dump = subprocess.run([COSMIC_RAY, "dump", session], check=True, capture_output=True, text=True).stdout
    found = [_mutant(**json.loads(line)[0]["mutations"][0]) for line in dump.splitlines()]
    return [one for one in chain(found, *map(_without_calls, modules)) if not _is_unworthy(one)]


def _mutant(module_path: str, operator_name: str, occurrence: int, start_pos: tuple[int, int], **others: Any) -> Mutant:
    function = others["definition_name"] or "module"
    return Mutant(module_path, operator_name.removeprefix("core/"), occurrence, *start_pos, function)


def _without_calls(module: str) -> Iterator[Mutant]:
    """Yield a mutant for each statement that's only a call, such as one that saves a row; the mutant removes it.

    cosmic-ray has no such mutants. Statements that call `log` are skipped.
    """
    for number, call in enumerate(_calls(module)):
        function = function_at(module, call.lineno)
        name = function.name if function else "module"
        if not ast.unparse(call).startswith("log."):  # the log's wording isn't a rule
            yield Mutant(module, _NO_CALL, number, call.lineno, call.col_offset, name)


def _calls(module: str) -> list[ast.Expr]:
    statements = [node for node in ast.walk(_tree(module)) if isinstance(node, ast.Expr)]
    return [one for one in statements if isinstance(one.value, ast.Call)]


def apply(mutant: Mutant, tree: Path) -> None:
    """Apply the mutant to its module in a tree."""
    if mutant.operator != _NO_CALL:
        command = [str(COSMIC_RAY), "apply", mutant.module, f"core/{mutant.operator}", str(mutant.occurrence)]
        subprocess.run(command, cwd=tree, check=True)
        return
    call, lines = _calls(mutant.module)[mutant.occurrence], _lines(mutant.module)
    first, last = call.lineno - 1, call.end_lineno or call.lineno
    changed = [*lines[:first], lines[first][: call.col_offset] + "pass", *lines[last:], ""]
    (tree / mutant.module).write_text("\n".join(changed), encoding="utf-8")


def function_at(module: str, row: int, *, is_outermost: bool = False) -> ast.FunctionDef | None:
    """Return the innermost function whose body contains the row, or the outermost; None if there isn't one."""
    functions = [node for node in ast.walk(_tree(module)) if isinstance(node, ast.FunctionDef)]
    around = [one for one in functions if one.body[0].lineno <= row <= (one.end_lineno or 0)]
    return (min if is_outermost else max)(around, key=lambda one: one.lineno, default=None)


def _is_unworthy(mutant: Mutant) -> bool:
    return bool(_SKIPPED.search(mutant.operator)) or (mutant.row, mutant.column) in _annotations(mutant.module)


@cache
def _annotations(module: str) -> set[tuple[int, int]]:
    """Return every position in an annotation or a decorator, as (row, column)."""
    found: set[tuple[int, int]] = set()
    for node in ast.walk(_tree(module)):
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


def replace_function(mutant: Mutant, tree: Path, imported: Path) -> None:
    """Replace the code of the mutant's function, imported from the tree `imported`, with its code in `tree`."""
    function = function_at(mutant.module, mutant.row, is_outermost=True)
    assert function
    row = min([function.lineno, *(one.lineno for one in function.decorator_list)])
    codes = [compile((tree / mutant.module).read_text(encoding="utf-8"), mutant.module, "exec")]
    for code in codes:  # which grows
        codes += [one for one in code.co_consts if isinstance(one, CodeType)]
    [changed] = [one for one in codes if _place(one)[1:] == (row, function.name)]
    place = str(imported / mutant.module), row, function.name
    gc.unfreeze()  # what conftest.py has hidden
    for one in gc.get_objects():
        if isinstance(one, FunctionType) and _place(one.__code__) == place:
            one.__code__ = changed
    gc.freeze()


def _place(code: CodeType) -> tuple[str, int, str]:
    return code.co_filename, code.co_firstlineno, code.co_name

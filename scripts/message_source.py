"""The program's code, as scripts/message_examples.py follows it: what a name in one place stands for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from scripts.markdown import ROOT

FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
_TEXT = re.compile(r"\b(?:Sentence|str|Code|Name|Channel|object)\b")  # what a function returns that returns text


@dataclass(frozen=True)
class Module:
    """What a module defines: functions by name, constants (`NAME`, and `Class.NAME`), and imported names."""

    tree: ast.Module
    functions: Mapping[str, FUNCTION]
    constants: Mapping[str, ast.expr]
    imports: Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class Scope:
    """A place in the code: a function, with the arguments of the call that led there."""

    file: str
    function: str = ""
    node: ast.AST | None = None
    arguments: Mapping[str, tuple[ast.expr, Scope]] = field(default_factory=dict)
    depth: int = 0  # how many names and calls led there
    is_plain: bool = False  # in an f-string, where codes and names are plain text
    message: str = ""  # the template in which a value is


@cache
def module(file: str) -> Module:
    """Return what a file defines."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    classes = [(f"{node.name}.", node.body) for node in tree.body if isinstance(node, ast.ClassDef)]
    return Module(
        tree=tree,
        functions={node.name: node for node in nodes if isinstance(node, FUNCTION)},
        constants={
            owner + name: value
            for owner, body in [("", tree.body), *classes]
            for node in body
            for name, value in _assigned(node)
        },
        imports={
            alias.asname or alias.name: (f"{node.module}".replace(".", "/"), alias.name)
            for node in nodes
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        },
    )


def _assigned(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names that a statement assigns, with their expressions."""
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from _pairs(target, value)
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            yield name, value
        case ast.NamedExpr(target=ast.Name(id=name), value=value):
            yield name, value


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        for inner, part in zip(target.elts, value.elts, strict=True):
            yield from _pairs(inner, part)


@cache
def _assignments(function: ast.AST) -> dict[str, list[ast.expr]]:
    found: dict[str, list[ast.expr]] = {}
    for inner in ast.walk(function):
        for name, value in _assigned(inner):
            found.setdefault(name, []).append(value)
    return {name: sorted(values, key=lambda value: value.lineno) for name, values in found.items()}


def local_values(name: str, scope: Scope) -> list[ast.expr]:
    """Return what the function of a scope assigns to a name, in the order of the lines."""
    return _assignments(scope.node).get(name, []) if scope.node else []


def file_of(name: str, scope: Scope) -> str:
    """Return the file that defines a name: this one, or the one that it's imported from."""
    path, original = module(scope.file).imports.get(name.partition(".")[0], ("", ""))
    places = (f"{path}.py", f"{path}/{original}.py", f"{path}/__init__.py")
    return next((place for place in places if path and (ROOT / place).is_file()), scope.file)


def constant(name: str, scope: Scope) -> ast.expr | None:
    """Return the value of a module's or a class's constant; None if there's none of this name."""
    return module(file_of(name, scope)).constants.get(name)


def values_of(node: ast.expr, scope: Scope) -> list[ast.expr]:
    """Return what a name can stand for: the function's own values, or a constant's; empty for other expressions."""
    if not isinstance(node, ast.Name):
        return []
    value = constant(node.id, scope)
    return local_values(node.id, scope) or ([value] if value else [])


def arguments_of(call: ast.Call, scope: Scope) -> dict[str, ast.expr]:
    """Return the arguments of a call that have a name, including those of a `**dictionary`."""
    found = {one.arg: one.value for one in call.keywords if one.arg}
    for one in call.keywords:
        for table in values_of(one.value, scope) if not one.arg else ():
            if isinstance(table, ast.Dict):
                pairs = zip(table.keys, table.values, strict=True)
                found |= {key.value: value for key, value in pairs if isinstance(key, ast.Constant)}
    return found


def called_name(call: ast.Call) -> str:
    """Return the last name of what is called."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _returns_text(function: FUNCTION) -> bool:
    return function.returns is not None and bool(_TEXT.search(ast.unparse(function.returns)))


@cache
def _files_of_methods() -> dict[str, list[str]]:
    """Return the files of the program's functions that return text, by the function's name."""
    found: dict[str, list[str]] = {}
    for path in sorted([*ROOT.glob("bot/**/*.py"), *ROOT.glob("handlers/**/*.py")]):
        file = path.relative_to(ROOT).as_posix()
        for name, function in module(file).functions.items():
            if _returns_text(function):
                found.setdefault(name, []).append(file)
    return found


def called_scope(call: ast.Call, scope: Scope) -> Scope | None:
    """Return the function that a call of text leads to: one of this module, an imported one, or the only method."""
    name = called_name(call)
    is_method, files = isinstance(call.func, ast.Attribute), [file_of(name, scope)]
    original = name if is_method else module(scope.file).imports.get(name, ("", name))[1]
    if is_method and original not in module(scope.file).functions and name != "get":
        files = _files_of_methods().get(name, [])
    function = module(files[0]).functions.get(original) if len(files) == 1 else None
    if function is None or not _returns_text(function):
        return None
    names = [one.arg for one in (*function.args.posonlyargs, *function.args.args) if one.arg not in {"self", "cls"}]
    given = {name: (value, scope) for name, value in zip(names, call.args, strict=False)}
    given |= {one.arg: (one.value, scope) for one in call.keywords if one.arg}
    return Scope(files[0], function.name, function, given, scope.depth + 1, scope.is_plain)


def returned(scope: Scope) -> Sequence[ast.expr]:
    """Return what the function of a scope returns, in the order of the lines."""
    nodes = list(ast.walk(scope.node)) if scope.node else []
    others = [node for node in nodes if isinstance(node, FUNCTION) and node is not scope.node]
    inner = {id(node) for other in others for node in ast.walk(other)}
    found = [node for node in nodes if isinstance(node, ast.Return) and id(node) not in inner]
    return [node.value for node in sorted(found, key=lambda one: one.lineno) if node.value]

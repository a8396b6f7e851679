"""The example values of message_values.toml, by the name of what they replace."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import PurePosixPath

from scripts.markdown import ROOT
from scripts.message_source import Scope, called_name

Values = dict[str, str | dict[str, str]]  # a value can depend on a part of the message
VALUES: dict[str, str | Values] = tomllib.loads((ROOT / "scripts" / "message_values.toml").read_text(encoding="utf-8"))
UNCHANGED = {  # functions that return their first argument, and so have no values of their own
    *("truncate", "escape", "escape_and_cut", "cut_mrkdwn", "sanitize_text", "ended_with_period"),
    *("to_mrkdwn", "render", "str", "sorted", "list", "tuple", "set", "reversed", "fromkeys", "cast"),
}
_used: set[tuple[str, str]] = set()


def stated_value(names: Sequence[str], scope: Scope, *, is_literal: bool = False) -> str | None:
    """Return the value that the file states for one of these names in this function or file, whatever the code says.

    A value that's written in the code itself is replaced only for its function.
    """
    function = f"{scope.file}:{scope.function}"
    return _find(names, [function] if is_literal else [function, scope.file], scope)


def usual_value(names: Sequence[str], scope: Scope) -> str | None:
    """Return the value for one of these names in this folder, or anywhere: for what the code doesn't say."""
    places = (*_folders(scope.file), "")
    return next((value for name in names if (value := _find([name], places, scope)) is not None), None)


def unused_values() -> list[str]:
    """Return the values that no message has needed so far, each as `place: name`."""
    places = {place: values for place, values in VALUES.items() if "/" in place and isinstance(values, dict)}
    stated = {("", name) for name in VALUES.keys() - places.keys()}
    stated |= {(place, name) for place, values in places.items() for name in values}
    return sorted(f"{place}: {name}" for place, name in stated - _used)


@cache
def _folders(file: str) -> list[str]:
    return [f"{folder}/" for folder in PurePosixPath(file).parents]


def _find(names: Sequence[str], places: Sequence[str], scope: Scope) -> str | None:
    for place in places:
        values = VALUES.get(place, {}) if place else VALUES
        for name in names:
            value = values.get(name) if isinstance(values, dict) else None
            if isinstance(value, dict):
                value = next((one for part, one in value.items() if part in scope.message), None)
            if isinstance(value, str):
                _used.add((place, name))
                return value
    return None


def names_of(node: ast.expr | None) -> list[str]:
    """Return the names by which to look up an expression's value, the most telling first."""
    match node:
        case ast.Call():
            return [] if called_name(node) in UNCHANGED else [ast.unparse(node), _bare(called_name(node))]
        case ast.Attribute(attr="value" | "name" | "label" as attr, value=value):
            return [ast.unparse(node), *names_of(value), *([attr] if isinstance(value, ast.Name) else [])]
        case ast.Attribute(attr=attr):
            return [ast.unparse(node), _bare(attr)]
        case ast.Name(id=name):
            return [_bare(name)]
        case ast.Subscript(value=value):
            return [ast.unparse(node), *names_of(value)]
        case ast.IfExp(body=body, orelse=orelse):
            return [*names_of(body), *names_of(orelse)]
        case ast.BoolOp(values=values):
            return [name for value in values for name in names_of(value)]
    part = _only_part(node)
    return names_of(part) if part else []


def _bare(name: str) -> str:
    return name if name.startswith("__") else name.lstrip("_")


def _only_part(node: ast.expr | None) -> ast.expr | None:
    match node:
        case ast.Subscript(value=value) | ast.Await(value=value) | ast.Starred(value=value):
            return value
        case ast.BinOp(left=ast.Constant(), right=value) | ast.BinOp(left=value) | ast.UnaryOp(operand=value):
            return value
    return None


def names_of_argument(node: ast.expr | None) -> list[str]:
    """Return the names of what a call gets or is a method of; none for a number of them."""
    match node:
        case ast.Call(func=ast.Name(id="len" | "sum")):
            return []
        case ast.Call(args=[argument, *_]) | ast.Call(func=ast.Attribute(value=argument)):
            return [*names_of(argument), *names_of_argument(argument)]
        case ast.IfExp(body=body):
            return names_of_argument(body)
    part = _only_part(node)
    return names_of_argument(part) if part else []

"""Read a message from the source with values that it could have: those that its code states, or those of a file.

An expression is followed through variables, constants, and functions that return text. What can't be read gets a value
from message_values.toml by the name of the placeholder, or of the variable, attribute, or function in its place.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from scripts.message_source import (
    Scope,
    arguments_of,
    called_name,
    called_scope,
    constant,
    file_of,
    local_values,
    returned,
    values_of,
)
from scripts.message_values import UNCHANGED, names_of, names_of_argument, stated_value, usual_value

UNKNOWN = "\ufffd"  # what has no value
MAX_DEPTH = 12
_NOW = datetime(2026, 5, 3, 14, 5, tzinfo=UTC)
_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_LOGGED_VALUE = re.compile(r"%[\d.]*[sdrfg]")
_CODES = {"Code", "Name", "Channel", "code"}  # they show a text as code in Slack
_METHODS = {"with_code", "strip", "rstrip", "lstrip", "removeprefix", "removesuffix"}  # that hardly change a text
_AFTER_A_CLAUSE = tuple(".,;:)")


def example(node: ast.expr | None, scope: Scope, name: str = "") -> str:
    """Return the text of an expression as a person could see it. `name` is the placeholder that it fills."""
    value = _value(node, scope, name)
    return UNKNOWN if value is None else value


def said(template: str, values: Mapping[str, ast.expr], scope: Scope) -> str:
    """Return a template of `say` with example values; without what is only added to it in some cases."""
    scope = replace(scope, message=template)

    def fill(found: re.Match[str]) -> str:
        name, value = found.group(1) or "_", values.get(found.group(1))
        before, after = template[: found.start()], template[found.end() :]
        is_addition = before.endswith(("}", ".", ",", ";", ")"))
        text = _addition(value, scope, name) if is_addition else example(value, scope, name)
        return _append(before, text, after)[found.start() :]

    return _PLACEHOLDER.sub(fill, template)


def logged(template: str, values: Sequence[ast.expr], scope: Scope) -> str:
    """Return a template with `%s` and the like with example values."""
    left, scope = iter(values), replace(scope, message=template, is_plain=True)
    return _LOGGED_VALUE.sub(lambda _: example(next(left, None), scope), template).replace("%%", "%")


def templates(node: ast.expr, scope: Scope) -> list[tuple[str, ast.expr]]:
    """Return the templates that the first argument of `say` can be, each with where it's written."""
    match node:
        case ast.Constant(value=str(text)):
            return [(text, node)]
        case ast.JoinedStr(values=parts):
            return [(_joined(parts, scope), node)]
        case ast.IfExp(body=body, orelse=orelse):
            return [*templates(body, scope), *templates(orelse, scope)]
        case ast.BinOp(left=left, right=right):
            return [(a + b, at) for a, at in templates(left, scope) for b, _ in templates(right, scope)]
        case ast.Subscript(value=table):
            tables = [value for value in values_of(table, scope) if isinstance(value, ast.Dict)]
            return [one for value in tables for entry in value.values for one in templates(entry, scope)]
    return [one for value in values_of(node, scope) for one in templates(value, scope)]


def _addition(node: ast.expr | None, scope: Scope, name: str = "") -> str:
    """Return what follows another value or a sentence's end: nothing, if it can be empty.

    A value of the file that begins like an addition, such as `": too late"`, is added.
    """
    stated = stated_value([name, *names_of(node)], scope)
    if stated is not None and not stated[:1].isalnum():
        return _as_shown(stated, node, scope)
    if node is None or _can_be_empty(node, scope):
        return ""
    read = _read(node, scope)
    return _value(node, scope, name) or "" if read is None or UNKNOWN in read else read


def _can_be_empty(node: ast.expr, scope: Scope) -> bool:
    match node:
        case ast.Constant(value=value):
            return not value
        case ast.IfExp(body=body, orelse=orelse):
            return _can_be_empty(body, scope) or _can_be_empty(orelse, scope)
        case ast.Name(id=name):
            return any(_can_be_empty(value, scope) for value in local_values(name, scope))
        case ast.Call() if scope.depth < MAX_DEPTH and (called := called_scope(node, scope)):
            return any(_can_be_empty(value, called) for value in returned(called))
    return False


# -- an expression's value: what the file states for its place, what the code says, or what is usual for its name ------


def _value(node: ast.expr | None, scope: Scope, name: str = "") -> str | None:
    own, inner = [name, *names_of(node)], names_of_argument(node)
    stated = stated_value(own, scope, is_literal=_is_literal(node))
    if stated is not None:
        return _as_shown(stated, node, scope)
    read = _read(node, scope) if node is not None and scope.depth < MAX_DEPTH else None
    if read is not None:
        return read
    stated = stated_value(inner, scope)
    found = usual_value([*own, *inner], scope) if stated is None else stated
    return None if found is None else _as_shown(found, node, scope)


def _is_literal(node: ast.expr | None) -> bool:
    if isinstance(node, ast.Call) and called_name(node) in _CODES:
        return _is_literal(node.args[0])
    return isinstance(node, ast.Constant)


def _as_shown(text: str, node: ast.expr | None, scope: Scope) -> str:
    """Return a text as the expression in its place shows it: as code, or with a period."""
    match node:
        case ast.Call() if called_name(node) in _CODES and "`" not in text:
            return text if scope.is_plain and called_name(node) != "code" else f"`{text}`"
        case ast.Call() if called_name(node) == "ended_with_period":
            return text.removesuffix(".") + "."
        case ast.Name(id=name) if len(values := local_values(name, scope)) == 1:
            return _as_shown(text, values[0], scope)
    return text


def _read(node: ast.expr, scope: Scope) -> str | None:
    """Return the text of an expression as far as its code states it, and None if it doesn't."""
    match node:
        case ast.Constant(value=value):
            return "" if value is None else str(value)
        case ast.JoinedStr(values=parts):
            return _joined(parts, scope)
        case ast.IfExp() | ast.BoolOp():
            return _first(_choices(node), scope)
        case ast.BinOp():
            return _operation(node, scope)
        case ast.Call():
            return _call(node, scope)
        case ast.Name(id=name):
            return _named(name, node, scope)
        case ast.Attribute(attr=attr, value=ast.Name(id=owner)):
            return _read_constant(f"{owner}.{attr}", scope)
        case ast.List(elts=values) | ast.Tuple(elts=values):
            return ", ".join(example(value, scope) for value in values) or None
    return _read_part(node, scope)


def _read_part(node: ast.expr, scope: Scope) -> str | None:
    match node:
        case ast.Await(value=value) | ast.Starred(value=value) | ast.NamedExpr(value=value):
            return _value(value, scope)
        case ast.ListComp(elt=value, generators=[loop, *_]) | ast.GeneratorExp(elt=value, generators=[loop, *_]):
            return _value(value, _in_loop(loop, scope))
        case ast.Subscript(value=value, slice=ast.Slice(lower=lower, upper=upper)):
            text = _read(value, scope)
            return text if text is None else text[_is_one(lower) : 1 if _is_one(upper) else None]
        case ast.Subscript(value=ast.Name(id=name)) if isinstance(table := constant(name, scope), ast.Dict):
            return _value(table.values[0], scope)
        case ast.Dict(values=[value, *_]):
            return _value(value, scope)
    return None


def _is_one(bound: ast.expr | None) -> bool:
    """Return whether a slice begins or ends after the first letter; other slices only shorten what is too long."""
    return isinstance(bound, ast.Constant) and bound.value == 1


def _first(nodes: Sequence[ast.expr], scope: Scope) -> str | None:
    """Return the first of these texts that can be read and isn't empty."""
    found = None
    for node in nodes:
        value = _value(node, scope)
        if value:
            return value
        found = found if value is None else value
    return found


def _choices(node: ast.IfExp | ast.BoolOp) -> list[ast.expr]:
    """Return what an expression can be: the plural first, and what is computed before a constant."""
    if isinstance(node, ast.BoolOp):
        return node.values if isinstance(node.op, ast.Or) else node.values[-1:]
    is_singular = ast.unparse(node.test).endswith(("is_one", " == 1"))
    choices = [node.orelse, node.body] if is_singular else [node.body, node.orelse]
    return sorted(choices, key=lambda one: isinstance(one, ast.Constant))


def _in_loop(loop: ast.comprehension, scope: Scope) -> Scope:
    """Return the scope of a comprehension, where its variable is what the code states for the values."""
    values = loop.iter
    first = values.elts[0] if isinstance(values, ast.List | ast.Tuple) and values.elts else values
    if not isinstance(loop.target, ast.Name) or _read(first, scope) is None:
        return scope
    return replace(scope, arguments={**scope.arguments, loop.target.id: (first, scope)})


def _named(name: str, node: ast.Name, scope: Scope) -> str | None:
    if name in scope.arguments:
        return _value(*scope.arguments[name])
    if values := local_values(name, scope):
        before = [value for value in values if value.lineno <= node.lineno] or values
        latest_first = [value for value in reversed(before) if node not in ast.walk(value)]
        return _first(latest_first, replace(scope, depth=scope.depth + 1))
    return _read_constant(name, scope)


def _read_constant(name: str, scope: Scope) -> str | None:
    value = constant(name, scope)
    inner = Scope(file_of(name, scope), depth=scope.depth + 1, is_plain=scope.is_plain)
    return None if value is None else _value(value, inner)


# -- texts that are put together ---------------------------------------------------------------------------------------


def _joined(parts: Sequence[ast.expr], scope: Scope) -> str:
    """Return an f-string; a part right after another one is an addition."""
    message = "".join(_written(part) if isinstance(part, ast.Constant) else "{}" for part in parts)
    text, scope = "", replace(scope, is_plain=True, message=message)
    for part, before, after in zip(parts, [None, *parts], [*parts[1:], None], strict=False):
        if not isinstance(part, ast.FormattedValue):
            text += _written(part)
        elif isinstance(before, ast.FormattedValue):
            text = _append(text, _addition(part.value, scope), _written(after))
        else:
            text = _append(text, _formatted(part, scope), _written(after))
    return text


def _written(part: ast.expr | None) -> str:
    return str(part.value) if isinstance(part, ast.Constant) else ""


def _append(text: str, value: str, after: str) -> str:
    """Add a value to a text: without a `v`, `@`, or `#` that it repeats, and without a period before punctuation."""
    if value and value[0] == text[-1:] and value[0] in "v@#" and not text[-2:-1].isalpha():
        value = value[1:]
    return text + (value.removesuffix(".") if after.startswith(_AFTER_A_CLAUSE) else value)


def _formatted(part: ast.FormattedValue, scope: Scope) -> str:
    spec = _joined(part.format_spec.values, scope) if isinstance(part.format_spec, ast.JoinedStr) else ""
    if spec.count("%") > 1 and stated_value(names_of(part.value), scope) is None:
        return format(_NOW, spec)
    value = example(part.value, scope)
    return format(int(value), spec) if spec.endswith(",") and value.isdecimal() else value


def _operation(node: ast.BinOp, scope: Scope) -> str | None:
    match node:
        case ast.BinOp(left=ast.Constant(value=str(template)), op=ast.Mod(), right=right):
            return logged(template, right.elts if isinstance(right, ast.Tuple) else [right], scope)
        case ast.BinOp(left=left, op=ast.Add(), right=right) if _is_text(left) or _is_text(right):
            return example(left, scope) + _addition(right, scope)
    return None


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


# -- calls -------------------------------------------------------------------------------------------------------------


def _call(node: ast.Call, scope: Scope) -> str | None:
    name = called_name(node)
    if name in _BUILDERS:
        return _BUILDERS[name](node, scope)
    if name in _CODES and node.args:
        return _as_shown(example(node.args[0], scope).strip("`"), node, scope)
    if name in UNCHANGED and node.args:
        inner = replace(scope, is_plain=scope.is_plain and name not in {"to_mrkdwn", "render"})
        stated = stated_value(names_of(node.args[0]), scope)
        text = _read(node.args[0], inner) if stated is None else stated
        return None if text is None else _as_shown(text, node, scope)
    if isinstance(node.func, ast.Attribute) and (text := _method(node, node.func, scope)) is not None:
        return text
    usual = usual_value(names_of(node), scope)
    return _followed(node, scope) if usual is None else usual


def _method(node: ast.Call, func: ast.Attribute, scope: Scope) -> str | None:
    match func:
        case ast.Attribute(attr="lower" | "upper" | "capitalize" | "title" as attr, value=value):
            text = _read(value, scope)
            return None if text is None else str(getattr(text, attr)())
        case ast.Attribute(attr="format", value=ast.Constant(value=str(template))):
            return said(template, arguments_of(node, scope), scope)
        case ast.Attribute(attr="join", value=ast.Constant(value=str(separator))):
            return _list(node.args[0], separator, scope)
        case ast.Attribute(attr=attr, value=value) if attr in _METHODS:
            return _read(value, scope)
    return None


def _followed(node: ast.Call, scope: Scope) -> str | None:
    """Return the last text that the called function returns, because it returns exceptions early."""
    called = called_scope(node, scope) if scope.depth < MAX_DEPTH else None
    return _first(returned(called)[::-1], called) if called else None


def _say(node: ast.Call, scope: Scope) -> str | None:
    found = templates(node.args[0], scope) if node.args else []
    return said(found[0][0], arguments_of(node, scope), scope) if found else None


def _list(node: ast.expr, separator: str, scope: Scope) -> str | None:
    if isinstance(node, ast.List | ast.Tuple):
        return separator.join(filter(None, (_read(value, scope) for value in node.elts))) or None
    return _value(node, scope)


def _sentences(node: ast.Call, scope: Scope) -> str | None:
    return _list(node.args[0], _written(node.args[1]) if len(node.args) > 1 else " ", scope)


def _with_conjunction(node: ast.Call, scope: Scope) -> str | None:
    values, conjunction = node.args[0], example(node.args[1], scope)
    if not isinstance(values, ast.List | ast.Tuple):
        return _value(values, scope)
    *rest, last = [example(value, scope) for value in values.elts]
    return f"{', '.join(rest)}{',' * (len(rest) > 1)} {conjunction} {last}"


def _counted(node: ast.Call, scope: Scope) -> str | None:
    count = _value(node.args[0], scope) or "3"  # enough for a plural
    singular, *plurals = [example(one, scope) for one in (*node.args[1:], *(one.value for one in node.keywords))]
    return f"{count} {singular if count == '1' else plurals[0] if plurals else singular + 's'}"


def _label(node: ast.Call, scope: Scope) -> str | None:
    return example(arguments_of(node, scope).get("label", node.args[-1] if node.args else None), scope)


def _person(node: ast.Call, scope: Scope) -> str | None:
    return "@alice"


_BUILDERS = {
    "say": _say,
    "join_sentences": _sentences,
    "join_with_conjunction": _with_conjunction,
    "pluralize": _counted,
    "MessageLink": _label,
    "Mention": _person,
}

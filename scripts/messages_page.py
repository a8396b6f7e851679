"""The page of every sentence that people can see, each with example values, for an editor to read in one sitting.

The sentences are read from the source: the templates of `say`, and every other text of three words or more that isn't a
docstring. message_examples.py fills in their values.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

from scripts.markdown import MADE, ROOT, SOURCE, table
from scripts.message_examples import example, logged, said, templates
from scripts.message_source import FUNCTION, Scope, arguments_of, called_name, module

FOLDERS = ("bot/domain", "bot/services", "bot/slack", "bot", "handlers")
# Texts for programs: styles and markup, SQL, protocols, and the pages of MLflow's own API.
FOR_PROGRAMS = (
    "bot/ledger/migrations/",
    "bot/ledger/stores/",
    "bot/ledger/tables/",
    "bot/domain/monitoring/reasons.py",  # recognizes the sentences of 0.2
    "bot/registry/contract/",
    "handlers/web/",
    "handlers/demo/",
    "handlers/terminal/command_line/completion.py",  # scripts for shells
)
# By title, the paths of an area's texts; the first that matches applies.
_PACKAGES = "bot/(?:domain|services|slack)"
AREAS = {
    "Promotions": f"{_PACKAGES}/promotions",
    "Transitions": f"{_PACKAGES}/transitions",
    "Rollbacks": f"{_PACKAGES}/rollbacks",
    "Monitors": f"{_PACKAGES}/monitoring|bot/sources",
    "Models and versions": f"{_PACKAGES}/registry",
    "Policy": f"{_PACKAGES}/policy|bot/policy_file",
    "Audit log": f"{_PACKAGES}/audit|bot/anchor_file",
    "Commands": f"{_PACKAGES}/commands",
    "Slack": "bot/slack|handlers/slack|bot/(?:domain|services)/home",
    "The terminal": "handlers/(?:terminal|setup)",
    "Doctor": "handlers/doctor",
    "HTTP API": "handlers/api|bot/id_tokens|bot/webhook_sender|bot/http_client",
    "Starting and storing": "bot|handlers",
}
_COMMAND = re.compile(r"(?:/model|registrar) [a-z][^\n]*$")
_QUOTED_COMMAND = re.compile(r"`((?:/model|registrar) [a-z][^`]*)`")
_WORD = re.compile(r"[A-Za-z][a-z'’]+")
_PLACEHOLDER = re.compile(r"\{\w*\}")
_NAMED_PLACEHOLDER = re.compile(r"\{\w+\}")
_LINK = re.compile(r"<[^<>|]*\|([^<>]*)>")  # in Slack
_PARTS_OF_CODE = re.compile(r"(`[^`]*`)")
_UNREAD = {"text", "cast", "compile", "getLogger", "fullmatch", "match", "search", "sub"}  # texts for programs
_FOR_PROGRAMS = re.compile(
    r"SELECT|INSERT|UPDATE|CREATE|PRAGMA|WITH|attribute|[a-z_.]+ ?=|tags\.|Bearer |bold |[a-z]+/[a-z]+,"
    r"|/v1/|[<&.#]|\w+ DESC$|DejaVu|\{date"
)
_LOGS = {"debug", "info", "warning", "error", "exception", "critical"}


@dataclass(frozen=True, slots=True)
class Text:
    """A sentence in the source. `function` is the innermost one around it; `purpose` is its docstring's first line."""

    file: str
    line: int
    function: str
    purpose: str
    template: str
    example: str
    is_said: bool  # the template of `say`
    is_error: bool  # raised, or returned by what is


@cache
def commands() -> frozenset[str]:
    """Return every command that a text proposes, with example values: `/model …` or `registrar …`."""
    found = set()
    for path in [*ROOT.glob("bot/**/*.py"), *ROOT.glob("handlers/**/*.py")]:
        for node, place in _nodes(path.relative_to(ROOT).as_posix()):
            if not isinstance(node, ast.Call):
                text = example(node, place.scope)
                found |= {text} if _COMMAND.match(text) else set(_QUOTED_COMMAND.findall(text))
    return frozenset(found)


@cache
def texts() -> tuple[Text, ...]:
    """Return every text of the program that a person can see, in the order of its layers, files, and lines."""
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    files = dict.fromkeys(path.relative_to(ROOT).as_posix() for path in paths)
    nodes = [one for file in files if not file.startswith(FOR_PROGRAMS) for one in _nodes(file)]
    calls = [(node, place.scope) for node, place in nodes if isinstance(node, ast.Call)]
    filled = {at: found for call, scope in calls for at, found in _filled_by(call, scope)}
    shown = [(node, place) for node, place in nodes if not isinstance(node, ast.Call)]
    return tuple(text for node, place in shown for text in _texts_in(node, place, filled))


def message_pages() -> dict[str, str]:
    """Return the pages of docs/reference/messages/, by name: one for each area, and the index that lists them."""
    by_area: dict[str, list[Text]] = {}
    for text in texts():
        by_area.setdefault(_area(text.file), []).append(text)
    pages = {_page_name(area): _page(area, by_area[area]) for area in AREAS if area in by_area}
    listed = "\n".join(f"- [{area}]({_page_name(area)})" for area in AREAS if area in by_area)
    pages["index.md"] = f"""{MADE}

# Messages

Every sentence that Registrar shows in Slack, at the terminal, over HTTP, or in its logs, with example values. Search
for a few words of a message to find where it comes from. [CONTRIBUTING.md]({SOURCE}CONTRIBUTING.md) says how to
write one.

{listed}
"""
    return pages


def _area(file: str) -> str:
    return next(area for area, folders in AREAS.items() if re.search(rf"^(?:{folders})", file))


def _page_name(area: str) -> str:
    return area.lower().replace("`", "").replace(" ", "-") + ".md"


def _page(area: str, of_area: Sequence[Text]) -> str:
    parts = [MADE, f"# Messages: {area}"]
    for title, is_error in (("Errors", True), ("Other messages", False)):
        if rows := _rows([text for text in of_area if text.is_error == is_error]):
            parts += [f"## {title}", table(["message", "what its code does"], rows)]
    return "\n\n".join(parts) + "\n"


def _rows(listed: Sequence[Text]) -> list[list[str]]:
    """Return each message once, with what its function does, if that has a docstring."""
    rows: dict[str, str] = {}
    for text in listed:
        rows.setdefault(_as_markdown(text.example), text.purpose.partition(". ")[0].rstrip("."))
    return [list(row) for row in rows.items()]


def _as_markdown(text: str) -> str:
    """Return a text for a table's cell; `…` precedes one that continues another text."""
    line = re.sub(r"\s*\n\s*", " ⏎ ", _LINK.sub(r"\1", text.strip()))
    parts = _PARTS_OF_CODE.split("…" * bool(re.match(r"[,;:]", line)) + line)
    escaped = [part.replace("<", "\\<").replace("](", "]\\(") for part in parts[::2]]
    return "".join(part for pair in zip(escaped, [*parts[1::2], ""], strict=True) for part in pair)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a text is: the innermost function or class, its docstring's first line, and whether it's raised."""

    scope: Scope
    purpose: str = ""
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class _Filled:
    """A template with example values."""

    template: str
    example: str
    is_said: bool = False


@cache
def _nodes(file: str) -> list[tuple[ast.expr, _Place]]:
    """Return the texts and the calls of a file, with their places; without docstrings and patterns."""
    found: list[tuple[ast.expr, _Place]] = []
    unread: list[tuple[ast.AST, _Place]] = [(module(file).tree, _Place(Scope(file)))]
    while unread:
        node, place = unread.pop()
        if isinstance(node, FUNCTION | ast.ClassDef):
            purpose = (ast.get_docstring(node) or "").partition("\n")[0]
            place = replace(place, scope=Scope(file, node.name, node), purpose=purpose)
        elif isinstance(node, ast.Raise):
            place = replace(place, is_error=True)
        elif isinstance(node, ast.Call | ast.JoinedStr) or _is_text(node):
            found.append((node, place))
        if not _is_for_programs(node):
            unread += [(child, place) for child in ast.iter_child_nodes(node) if not _is_docstring(child)]
    return sorted(found, key=lambda one: (one[0].lineno, one[0].col_offset))


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_for_programs(node: ast.AST) -> bool:
    """Return whether the texts in a node are patterns, or parts of another text."""
    is_unread = isinstance(node, ast.Call) and called_name(node) in _UNREAD
    return is_unread or isinstance(node, ast.JoinedStr | ast.Compare)


def _filled_by(call: ast.Call, scope: Scope) -> Iterator[tuple[int, list[_Filled]]]:
    """Yield the templates that a call fills in, by the constant that each comes from."""
    first, *others = call.args or [None]
    if first and called_name(call) == "say":
        yield from ((id(part), []) for part in ast.walk(first))  # a part of a template isn't a text
        found: dict[int, list[_Filled]] = {}
        for template, at in templates(first, scope):
            filled = _Filled(template, said(template, arguments_of(call, scope), scope), is_said=True)
            found.setdefault(id(at), []).append(filled)
        yield from found.items()
    elif isinstance(call.func, ast.Attribute) and call.func.attr in _LOGS and first and _is_text(first):
        yield id(first), [_Filled(_template(first), logged(_template(first), others, scope))]


def _texts_in(node: ast.expr, place: _Place, filled: dict[int, list[_Filled]]) -> Iterator[Text]:
    template = _template(node)
    if id(node) in filled:
        read = filled[id(node)]
    elif _NAMED_PLACEHOLDER.search(template) or (len(_words(template)) >= 3 and " " in template.strip()):
        read = [_Filled(template, said(example(node, place.scope), {}, place.scope))]
    else:
        return
    for one in read:
        if _words(one.template) and not _FOR_PROGRAMS.match(one.example):
            where = (place.scope.file, node.lineno, place.scope.function, place.purpose)
            yield Text(*where, one.template, one.example, is_said=one.is_said, is_error=place.is_error)


def _words(template: str) -> list[str]:
    return _WORD.findall(_PLACEHOLDER.sub("", template))


def _template(node: ast.expr) -> str:
    """Return what is written in a text, with `{}` for each value."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(part.value if isinstance(part, ast.Constant) and _is_text(part) else "{}" for part in parts)

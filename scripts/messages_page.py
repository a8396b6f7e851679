"""The pages that list every sentence people can see, with example values, for an editor to read in one sitting.

The sentences are read from the source: the templates of `say`, and every other text of three words or more that isn't a
docstring. A placeholder's value comes from the call if it's written there; otherwise, from message_values.toml.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scripts.markdown import MADE, ROOT, SOURCE, table

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
EXAMPLE_VALUES: dict[str, str] = tomllib.loads((ROOT / "scripts" / "message_values.toml").read_text(encoding="utf-8"))
_TEXT_BUILDERS = {"Code", "Name", "Channel", "say", "code", "truncate", "quote"}
_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_COMMAND = re.compile(r"(?:/model|registrar) [a-z][^\n]*$")
_QUOTED_COMMAND = re.compile(r"`((?:/model|registrar) [a-z][^`]*)`")
_WORD = re.compile(r"[A-Za-z][a-z'’]+")


@dataclass(frozen=True, slots=True)
class Text:
    """A sentence in the source.

    `function` is the name of the innermost function or class that contains it; `purpose` is the first line of that
    one's docstring.
    """

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
    """Return every command that a text suggests, with example values: `/model …` or `registrar …`."""
    found = set()
    for path in [*ROOT.glob("bot/**/*.py"), *ROOT.glob("handlers/**/*.py")]:
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in nodes:
            if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in parts:
                text = _fill(node)
                found |= (
                    {text} if _COMMAND.match(text) else set(re.findall(r"`((?:/model|registrar) [a-z][^`]*)`", text))
                )
    return frozenset(found)


@cache
def texts() -> tuple[Text, ...]:
    """Return every text in the program that a person can see, ordered by layer, file, and line."""
    found: dict[str, list[Text]] = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name not in found and not name.startswith(FOR_PROGRAMS):
                found[name] = list(_texts_of(name, path))
    return tuple(text for texts_of_file in found.values() for text in texts_of_file)


def message_pages() -> dict[str, str]:
    """Return the pages of docs/reference/messages/ by name: one for each area, and the index that lists them."""
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
    """Return a row for each distinct message, with what its function does, or "" if that has no docstring."""
    rows: dict[str, str] = {}
    for text in listed:
        example = re.sub(r"\s*\n\s*", " ⏎ ", text.example.strip()).replace("<", "\\<").replace("](", "]\\(")
        rows.setdefault(example, text.purpose.partition(". ")[0].rstrip("."))
    return [list(row) for row in rows.items()]


def _texts_of(name: str, path: Path) -> Iterator[Text]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    yield from _Reader(name).read(tree)


class _Reader:
    """Walks a module and keeps track of the function that it's in."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._found: list[Text] = []

    def read(self, tree: ast.Module) -> list[Text]:
        """Return the texts of a module, by line."""
        self._visit(tree, "", "", is_error=False)
        return sorted(self._found, key=lambda text: text.line)

    def _visit(self, node: ast.AST, function: str, purpose: str, *, is_error: bool) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            function, purpose = node.name, (ast.get_docstring(node) or "").partition("\n")[0]
        is_error = is_error or isinstance(node, ast.Raise)
        if isinstance(node, ast.Call) and _called(node) == "say" and node.args:
            self._add_said(node, function, purpose, is_error=is_error)
            children: list[ast.AST] = [keyword.value for keyword in node.keywords]
        elif isinstance(node, ast.Constant | ast.JoinedStr):
            self._add_text(node, function, purpose, is_error=is_error)
            children = []
        elif isinstance(node, ast.Call) and _called(node) in {"text", "compile", "getLogger"}:
            children = []
        else:
            children = [child for child in ast.iter_child_nodes(node) if not _is_docstring(child)]
        for child in children:
            self._visit(child, function, purpose, is_error=is_error)

    def _add_said(self, call: ast.Call, function: str, purpose: str, *, is_error: bool) -> None:
        values = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
        for template in _alternatives(call.args[0]):
            example = _PLACEHOLDER.sub(lambda found: _value(found, values.get(found.group(1))), template)
            if _WORD.search(template):
                place = (self._file, call.lineno, function, purpose)
                self._found.append(Text(*place, template, example, is_said=True, is_error=is_error))

    def _add_text(self, node: ast.Constant | ast.JoinedStr, function: str, purpose: str, *, is_error: bool) -> None:
        example = _fill(node)
        if len(_WORD.findall(_plain(node))) >= 3 and " " in example.strip() and not _is_for_programs(example):
            place = (self._file, node.lineno, function, purpose)
            self._found.append(Text(*place, example, example, is_said=False, is_error=is_error))


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_for_programs(text: str) -> bool:
    return bool(re.match(r"^(SELECT|INSERT|UPDATE|CREATE|PRAGMA|WITH|attribute|name ?=|[a-z_.]+ ?=)|^[<&.#]", text))


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _alternatives(node: ast.expr) -> list[str]:
    """Return the templates that the first argument of `say` can be."""
    if isinstance(node, ast.IfExp):
        return [*_alternatives(node.body), *_alternatives(node.orelse)]
    if isinstance(node, ast.BinOp):
        return [a + b for a in _alternatives(node.left) for b in _alternatives(node.right)]
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def _value(found: re.Match[str], node: ast.expr | None) -> str:
    """Return what to show for a placeholder: the call's value if it can be read, or the example for its name.

    A placeholder right after punctuation or another placeholder is left out, because it's an addition that's often
    empty.
    """
    is_addition = found.start() > 0 and found.string[found.start() - 1] in "}.,;)"
    return "" if is_addition else _fill(node) or EXAMPLE_VALUES.get(found.group(1), "…")


def _fill(node: ast.expr | None) -> str:
    """Return an expression's text with example values, or "" if it can't be read from the source."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(
                _fill(part) for part, before in zip(parts, [None, *parts], strict=False) if not _is_glued(part, before)
            )
        case ast.FormattedValue(value=value):
            return _fill(value) or EXAMPLE_VALUES.get(_last_name(value), "…")
        case ast.IfExp(body=body):
            return _fill(body)
        case ast.Call(args=[_, ast.Constant(value=str(noun))]) if _called(node) == "pluralize":
            return f"3 {noun}s"
        case ast.Call(args=[argument, *_]) if _called(node) in _TEXT_BUILDERS:
            return _fill(argument)
        case ast.Name() | ast.Attribute():
            return EXAMPLE_VALUES.get(_last_name(node), "")
    return ""


def _is_glued(part: ast.expr, before: ast.expr | None) -> bool:
    return isinstance(part, ast.FormattedValue) and isinstance(before, ast.FormattedValue)


def _plain(node: ast.Constant | ast.JoinedStr) -> str:
    """Return a text's literal parts, without the values of its placeholders."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "…".join(part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        return _last_name(node.args[0]) if node.args else ""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""

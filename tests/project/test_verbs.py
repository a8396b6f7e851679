"""A verb is named in only a few files: this counts them, by class or in a table of verbs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from bot.domain.commands.base import Command, QueryCommand
from bot.domain.commands.catalog import COMMANDS
from handlers.terminal.command_line.grammar import TERMINAL_COMMANDS
from tests.support.paths import ROOT

VERBS = {*COMMANDS, *TERMINAL_COMMANDS}
CLASSES = sorted({*COMMANDS.values(), *TERMINAL_COMMANDS.values()}, key=lambda command: command.__name__)
# A query has its class, its service, and its answers in Slack and in the terminal. A change has a permission and audit
# events, which don't name the verb, and more files if buttons, forms, or programs use it, too.
MOST_FILES = {QueryCommand: 4, Command: 6}
# Commands that more files name, with the number of files: queries that a button also opens, and Promote, which
# programs, forms, and the terminal's `--wait` use. These numbers must not grow. The table of MCP's tools isn't counted.
MORE_FILES = {
    "Compare": 5,
    "Help": 7,
    "ListModels": 5,
    "MonitorBacktest": 5,
    "MonitorShow": 5,
    "Promote": 12,
    "ShowHistory": 5,
    "ShowModel": 5,
}


@cache
def names() -> dict[Path, frozenset[str]]:
    """Return the names that each module uses or defines, and, quoted, the verbs in its tables."""
    paths = [path for root in ("bot", "handlers") for path in (ROOT / root).rglob("*.py")]
    return {path: frozenset(_names_in(ast.parse(path.read_text(encoding="utf-8")))) for path in paths}


def _names_in(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Dict | ast.Set | ast.List | ast.Tuple):
            yield from _verbs_of_table(node.keys if isinstance(node, ast.Dict) else node.elts)


def _verbs_of_table(items: list[ast.expr] | list[ast.expr | None]) -> list[str]:
    """Return the verbs in a collection that has mostly verbs."""
    words = [item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    verbs = [repr(word) for word in words if word in VERBS]
    return verbs if len(verbs) > 1 and 2 * len(verbs) > len(words) else []


def files_naming(command: type[Command]) -> list[str]:
    """Return the files that name a command."""
    wanted = {command.__name__, repr(command.verb)}
    files = [str(path.relative_to(ROOT)) for path, found in names().items() if wanted & found]
    return sorted(file for file in files if file != "handlers/mcp/catalog.py")


@pytest.mark.parametrize("command", CLASSES, ids=lambda command: command.__name__)
def test_a_verb_is_named_in_a_few_files(command: type[Command]) -> None:
    files = files_naming(command)
    most = MOST_FILES[QueryCommand if issubclass(command, QueryCommand) else Command]
    if command.__name__ in MORE_FILES:
        assert len(files) == MORE_FILES[command.__name__] > most, files
    else:
        assert len(files) <= most, files


def test_a_table_of_verbs_is_found() -> None:
    assert set(_names_in(ast.parse('{"promote": 1, "rollback": 2, "other": 3}'))) == {"'promote'", "'rollback'"}
    assert set(_names_in(ast.parse('["policy", "model", "stage"]'))) == set()

"""Messages, help, docs, and docstrings use the words that people in this field use."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.domain.commands.catalog import COMMANDS
from scripts.messages_page import texts
from scripts.vocabulary import WORDS, find_words
from tests.support.paths import ROOT

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def avoided(text: str, place: str, *, is_message: bool = False) -> list[str]:
    return [
        f"{place}: …{around}… Write: {word.instead}" for word, around in find_words(text, place, is_message=is_message)
    ]


def docstrings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, DOCUMENTED):
            yield ast.get_docstring(node) or ""


def pages() -> list[Path]:
    """Return the pages that people read; the records of past versions keep their words."""
    lists = {"vocabulary.md", "messages"}  # generated from what other tests check
    found = [*ROOT.glob("*.md"), *(page for page in ROOT.glob("docs/**/*.md") if not lists & set(page.parts))]
    found += [*ROOT.glob("deploy/**/*.md"), *ROOT.glob("examples/*/*.md"), *ROOT.glob(".github/actions/*/*.md")]
    return sorted(found)


def test_messages() -> None:
    assert [one for text in texts() for one in avoided(text.template, text.file, is_message=True)] == []


def test_help() -> None:
    helped = [(name, text) for name, verb in COMMANDS.items() for text in (verb.summary, verb.usage())]
    helped += [(name, arg.help) for name, verb in COMMANDS.items() for _, _, arg in verb.arguments()]
    assert [one for name, text in helped for one in avoided(text, name, is_message=True)] == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_docs(page: Path) -> None:
    prose = re.sub(r"```.*?```|<!--.*?-->|\]\([^)]*\)", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert avoided(prose, page.relative_to(ROOT).as_posix()) == []


@pytest.mark.parametrize("folder", ["bot", "handlers", "localslack", "scripts", "tests", "examples"])
def test_docstrings(folder: str) -> None:
    found = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        found += [one for text in docstrings(path) for one in avoided(text, name)]
    assert found == []


def test_a_word_to_avoid_is_found_in_prose_and_not_in_code() -> None:
    text = "Mend it by itself, `mend` is a column."
    assert [word.instead for word, _ in find_words(text, "a.py", is_message=False)] == [
        "automatically, alone",
        "fix, repair",
    ]


def test_a_word_can_be_allowed_somewhere() -> None:
    assert avoided("cancelled", "docs/reference/terminal.md") == []
    assert avoided("cancelled", "docs/reference/policy.md") != []


def test_a_word_is_allowed_only_where_it_is_needed() -> None:
    for word in WORDS:
        for place in word.allowed:
            assert re.search(word.pattern, (ROOT / place).read_text(encoding="utf-8"), re.IGNORECASE), place

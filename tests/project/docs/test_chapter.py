"""docs/explanation/chapter.md is correct: every file, symbol, tag, field, and step that it names exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bot.domain.commands.catalog import COMMANDS
from bot.domain.registry.model_card import ModelCard
from bot.domain.transitions import registry_tags
from handlers.terminal.command_line.grammar import TERMINAL_COMMANDS as TYPED
from tests.support.github.workflow_runner import read
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "explanation/chapter.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Row:
    """A row of one of the tables."""

    section: str
    textbook: str
    here: str
    more: str


def rows() -> Iterator[Row]:
    for section in PAGE.split("\n## ")[1:]:
        title = section.partition("\n")[0]
        for line in section.splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if line.startswith("| ") and cells[1] != "here":
                yield Row(title, *cells)


ROWS = list(rows())
PLACE = r"`[\w.]+/|`/model |`registrar "
SPANS = re.findall(r"`([^`\n]+)`", PAGE)


def places() -> Iterator[tuple[str, str]]:
    """Yield (file, symbol); a span without a file refers to the cell's previous file."""
    for row in ROWS:
        for cell in (row.here, row.more):
            file = ""
            for span in re.findall(r"`([^`]+)`", cell):
                if re.match(r"[\w.]+/", span):
                    file, _, symbol = span.partition(": ")
                    yield file, symbol
                elif file and re.fullmatch(r"[A-Za-z_]+(\.[a-z_]+)?", span):
                    yield file, span


@cache
def symbols(file: Path) -> frozenset[str]:
    """Return the names that a module defines; names in classes are `Class.name`."""
    found: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        own = set(_names(node))
        found |= own
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{name}" for inner in node.body for name in _names(inner)}
    return frozenset(found)


def _names(node: Any) -> Iterator[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        yield node.name
    for target in node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]:
        if isinstance(target, ast.Name):
            yield target.id


def steps(file: Path) -> set[str]:
    return {step["name"] for job in read(file)["jobs"].values() for step in job["steps"] if "name" in step}


def is_there(file: str, symbol: str) -> bool:
    path = ROOT / file
    return path.is_file() and (not symbol or symbol in (steps(path) if path.suffix == ".yml" else symbols(path)))


def test_every_named_file_and_symbol_exists() -> None:
    assert len(set(places())) > 100
    assert [f"{file}: {symbol}" for file, symbol in sorted(set(places())) if not is_there(file, symbol)] == []


def test_every_row_says_where_it_is_or_why_it_is_missing() -> None:
    lost = [row.textbook for row in ROWS if row.here != "nothing" and not re.search(PLACE, row.here)]
    assert lost + [row.textbook for row in ROWS if row.here == "nothing" and not row.more] == []


def test_every_named_command_can_be_typed() -> None:
    for start, verbs in (("/model ", COMMANDS), ("registrar ", TYPED)):
        named = {span.split()[1] for span in SPANS if span.startswith(start)}
        assert named - {name.split()[0] for name in verbs} == set()


def test_every_class_method_and_option_in_the_chapter_is_listed() -> None:
    """The names are the chapter's own."""
    chapter = """
        ModelMetadata ModelApprovalWorkflow request_staging approve_staging request_production approve_production
        ModelComparator compare_versions get_best_model ModelRollback get_production_history rollback_to_previous
        rollback_to_specific ProductionMonitor check_metric_threshold monitor_with_rollback rollback_on_failure
        check_interval_seconds promote_to_production.py --model-name --version --approver --keep-existing
        train_and_register.yml promote_model.yml skip_validation validation_results archive_existing higher_is_better
    """
    assert [name for name in chapter.split() if name not in PAGE] == []


def test_every_field_of_the_card_is_listed() -> None:
    named = {name for row in ROWS for name in re.findall(r"ModelCard\.(\w+)", row.here + row.more)}
    assert set(ModelCard.model_fields) <= named


def test_exactly_the_tags_that_registrar_writes_are_listed() -> None:
    named = {
        name
        for row in ROWS
        if row.section == "Tags in MLflow"
        for name in re.findall(r"`([\w.]+)`", row.textbook.partition(":")[0])
    }
    assert {name for name in named if not name.startswith("validation_")} == registry_tags.RESERVED_TAGS

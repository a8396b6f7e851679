"""`make bench`: its parts."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import parts
from benchmarks.__main__ import PAGE, main
from benchmarks.parts import PARTS, require_tree
from benchmarks.report import Report


def test_every_part_has_its_place_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [part for part in PARTS if page.count(f"<!-- figures: {part} -->") != 1] == []


def test_an_unknown_part_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["speed"])
    assert "unknown part speed" in capsys.readouterr().err


def test_only_the_pictures_that_a_part_leaves_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def part(folder: Path) -> Report:
        for name in ("workers.png", "ledger.db"):
            (folder / name).touch()
        return Report("")

    monkeypatch.setitem(sys.modules, "benchmarks.workers", SimpleNamespace(working=part))
    parts.run("workers", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["workers.png"]


def test_a_module_from_another_checkout_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=f"is imported from .*, not from {tmp_path}"):
        require_tree(tmp_path)

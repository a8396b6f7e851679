"""`make bench`: its parts, the comparison with another commit, and what is stored for each release."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import pytest

from benchmarks import parts
from benchmarks.__main__ import PAGE, main
from benchmarks.parts import PARTS, require_tree
from benchmarks.releases import figures, picture
from benchmarks.releases.figures import Measured, Release
from benchmarks.report import Report
from benchmarks.versus import comparison, verdict, versus
from scripts.drawing import WIDTH, text_width
from tests.support.paths import ROOT

TODAY = Measured("2026-12-02", "2 cores", {"lookup ÷ bare Bolt, HTTP, 32": 1.4})


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


# -- another commit ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        ([3.0, 3.1, 3.2], [1.0, 1.1, 2.9], "**worse**"),
        ([1.0, 1.1, 2.9], [3.0, 3.1, 3.2], "better"),
        ([1.0, 3.0, 3.1], [0.9, 1.0, 1.1], "within noise"),
        ([2.0], [1.0], "one round only"),
        ([2.0], [], "only here"),
        ([], [2.0], "only there"),
    ],
)
def test_a_figure_is_worse_only_if_the_rounds_do_not_overlap(ours: list[float], theirs: list[float], told: str) -> None:
    assert verdict(ours, theirs) == told


def test_the_comparison_shows_medians_ranges_and_their_ratio() -> None:
    this = [{"start, s": seconds} for seconds in (1.0, 9.0, 2.0)]
    other = [{"start, s": 4.0, "gone": 1.0}] * 3
    assert comparison(this, other, "v0.2.0").splitlines()[2:] == [
        "| start, s | 2 (1–9) | 4 (4–4) | 0.50 × | within noise |",
        "| gone | – | 1 (1–1) | – | only there |",
    ]


def test_no_figure_is_divided_by_zero() -> None:
    assert "| 0 (0–0) | 0 (0–0) | – | within noise |" in comparison(
        [{"missed": 0.0}] * 2, [{"missed": 0.0}] * 2, "HEAD"
    )


def git(folder: Path, *words: str) -> str:
    """Run git in a folder, and return what it prints."""
    person = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
    return subprocess.run(["git", *person, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout with two commits: the first has `bot.SECONDS = 2`, the second has 1 and `bot.MEMORY`."""
    for package in ("benchmarks", "bot", "handlers"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    for number, text in enumerate(["SECONDS = 2.0\n", "SECONDS = 1.0\nMEMORY = 1.0\n"]):
        (tmp_path / "bot" / "__init__.py").write_text(text)
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "--quiet", f"--message={number}")
    for file in ("parts.py", "report.py"):
        shutil.copy(ROOT / "benchmarks" / file, tmp_path / "benchmarks")
    for module, part, value in (("terminal", "typing", "SECONDS"), ("audit", "auditing", "MEMORY")):
        (tmp_path / "benchmarks" / f"{module}.py").write_text(
            "import bot\nfrom benchmarks.report import Report\n\n"
            f"def {part}(folder):\n    return Report('', {{'figure': bot.{value}}})\n"
        )
    return tmp_path


def test_both_commits_run_this_checkout_s_measurements(checkout: Path) -> None:
    [told] = versus("HEAD~1", ["terminal"], 1, checkout)
    assert "| figure | 1 (1–1) | 2 (2–2) | 0.50 × |" in told


def test_a_part_that_fails_in_the_other_commit_does_not_stop_the_next(checkout: Path) -> None:
    audit, terminal = versus("HEAD~1", ["audit", "terminal"], 1, checkout)
    assert "`audit` failed in HEAD~1" in audit
    assert "0.50 ×" in terminal


def test_nothing_of_the_other_commit_remains(checkout: Path) -> None:
    told = versus("HEAD~1", ["terminal"], 1, checkout)
    next(told)
    with pytest.raises(KeyboardInterrupt):
        told.throw(KeyboardInterrupt)  # type: ignore[attr-defined]  # it's a generator
    assert len(git(checkout, "worktree", "list").splitlines()) == 1


def test_an_unknown_commit_is_named() -> None:
    with pytest.raises(SystemExit, match="Git knows no commit `no-such-tag`"):
        main(["--vs", "no-such-tag", "terminal"])


def test_a_module_from_another_checkout_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=f"is imported from .*, not from {tmp_path}"):
        require_tree(tmp_path)


# -- releases ----------------------------------------------------------------------------------------------------------


def test_figures_are_read_as_they_were_written(tmp_path: Path) -> None:
    figures.write("0.2.0", "slack", TODAY, tmp_path)
    assert figures.read(tmp_path) == [Release("0.2.0", {"slack": TODAY})]


def test_a_part_that_is_measured_again_replaces_only_itself(tmp_path: Path) -> None:
    later = Measured("2026-12-03", "2 cores", {"figure": 2.0})
    for part, measured in (("slack", TODAY), ("audit", TODAY), ("audit", later)):
        figures.write("0.2.0", part, measured, tmp_path)
    assert figures.read(tmp_path) == [Release("0.2.0", {"slack": TODAY, "audit": later})]


def test_a_release_replaces_the_figures_of_its_development_versions(tmp_path: Path) -> None:
    for version in ("0.3.0.dev0", "0.3.0"):
        figures.write(version, "slack", TODAY, tmp_path)
    assert [release.version for release in figures.read(tmp_path)] == ["0.3.0"]


def test_releases_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for version in ("0.10.0", "0.2.0", "1.0.0"):
        figures.write(version, "slack", TODAY, tmp_path)
    assert [release.version for release in figures.read(tmp_path)] == ["0.2.0", "0.10.0", "1.0.0"]


@pytest.mark.parametrize(("value", "told"), [(1.5, "aim ≤ 1.5: met"), (1.6, "aim ≤ 1.5: not met")])
def test_the_picture_says_whether_the_newest_release_meets_the_aim(value: float, told: str) -> None:
    measured = Measured("2026-12-02", "2 cores", {"lookup ÷ bare Bolt, HTTP, 32": value})
    drawn = picture.by_release([Release("0.1.0", {"slack": TODAY}), Release("0.2.0", {"slack": measured})])
    assert f">{told}<" in drawn


def test_a_figure_that_was_not_measured_is_a_dash() -> None:
    assert ">–<" in picture.by_release([Release("0.1.0"), Release("0.2.0", {"slack": TODAY})])


def test_the_picture_names_its_values_for_people_who_cannot_see_it() -> None:
    label = ET.fromstring(picture.by_release([Release("0.2.0", {"slack": TODAY})])).attrib["aria-label"]  # noqa: S314 - made by us
    assert label == "Ratios by release. lookup ÷ bare Bolt, HTTP, 32: 0.2.0 1.4."


def test_no_line_is_wider_than_a_phone() -> None:
    many = [
        Release(f"0.{number}.0", {"all": Measured("", "", dict.fromkeys(picture.AIMS, 1.0))}) for number in range(9)
    ]
    for line in ET.fromstring(picture.by_release(many)).iter("{http://www.w3.org/2000/svg}text"):  # noqa: S314 - made by us
        width = text_width(line.text or "")
        left = int(line.attrib["x"]) - (width / 2 if "text-anchor" in line.attrib else 0)
        assert 0 < left < left + width < WIDTH, line.text

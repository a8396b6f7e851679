"""The environment file that setup writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from dotenv import dotenv_values

from bot.domain.core.errors import Misconfigured
from handlers.setup.files import save_values, with_values


@pytest.fixture
def _open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_open_umask")
def test_only_the_owner_can_access_the_file(tmp_path: Path) -> None:
    save_values(tmp_path / ".env", {"A": "1"})
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("_open_umask")
def test_no_one_else_can_access_a_draft_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []
    replace = Path.replace

    def seen(draft: Path, target: Path) -> Path:
        modes.append(draft.stat().st_mode & 0o777)
        return replace(draft, target)

    monkeypatch.setattr(Path, "replace", seen)
    save_values(tmp_path / ".env", {"A": "1"})
    assert modes == [0o600]


def test_other_lines_are_kept() -> None:
    text = "# Mine\n\nOTHER='x y' # why\nexport TOKEN=old\n\nLAST=1"
    assert with_values(text, {"TOKEN": "new", "MORE": "2"}) == (
        "# Mine\n\nOTHER='x y' # why\nexport TOKEN=new\n\nLAST=1\nMORE=2\n"
    )


@pytest.mark.parametrize("value", ["xoxb-1-a", "http://u:p@h:5000/?a=b", "it's", "a b", "a#b", "back\\slash'", "$HOME"])
def test_a_value_is_read_as_it_was_written(value: str) -> None:
    assert dotenv_values(stream=StringIO(with_values("", {"A": value})), interpolate=False) == {"A": value}


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_values(tmp_path / ".env", {"A": "1"})

    def fail(file: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(KeyboardInterrupt):
        save_values(tmp_path / ".env", {"A": "2"})
    assert [path.name for path in tmp_path.iterdir()] == [".env"]
    assert (tmp_path / ".env").read_text() == "A=1\n"


def test_a_file_that_others_can_read_gets_no_tokens(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("OTHER=1\n")
    path.chmod(0o644)
    with pytest.raises(
        Misconfigured, match=r"other users can read it\. Make yourself its owner, and run chmod 600 .*/\.env\."
    ):
        save_values(path, {"A": "1"})
    assert path.read_text() == "OTHER=1\n"

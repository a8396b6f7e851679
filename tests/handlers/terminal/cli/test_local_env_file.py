"""`.env` in the current folder: when it's read, and when it isn't."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.terminal.cli_runner import CliRunner


@pytest.fixture(autouse=True)
def _restored_environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def replace_owner(status: os.stat_result) -> os.stat_result:
    return os.stat_result((*status[:4], os.getuid() + 1, *status[5:]))


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    """Return `.env` in the terminal's folder, with one variable; only its owner can read it."""
    path = tmp_path / ".env"
    path.touch(mode=0o600)
    path.write_text("CI_TOKEN=from-the-folder\n")
    return path


def test_a_private_file_is_read(registrar: CliRunner, policy: Path, env_file: Path) -> None:
    assert registrar("policy", "check").code == 0
    assert os.environ["CI_TOKEN"] == "from-the-folder"


def test_the_environment_overrides_it(registrar: CliRunner, policy: Path, env_file: Path) -> None:
    registrar("policy", "check", CI_TOKEN="given")
    assert os.environ["CI_TOKEN"] == "given"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_file_that_others_can_access_is_ignored(
    registrar: CliRunner, policy: Path, env_file: Path, mode: int
) -> None:
    env_file.chmod(mode)
    assert registrar("policy", "check").code == 0
    assert "CI_TOKEN" not in os.environ


def test_a_file_of_another_user_is_ignored(
    registrar: CliRunner, policy: Path, env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: env_file.stat().st_uid + 1)
    assert registrar("policy", "check").code == 0
    assert "CI_TOKEN" not in os.environ


def test_a_link_of_another_user_is_ignored(
    registrar: CliRunner, policy: Path, env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file.symlink_to(env_file.rename(env_file.with_name("private")))
    assert registrar("policy", "check").code == 0
    assert os.environ.pop("CI_TOKEN") == "from-the-folder"
    monkeypatch.setattr(Path, "lstat", lambda path: replace_owner(os.lstat(path)))
    assert registrar("policy", "check").code == 0
    assert "CI_TOKEN" not in os.environ


def test_a_completion_does_not_read_it(registrar: CliRunner, env_file: Path) -> None:
    assert registrar("complete", "zsh", "show").code == 0
    assert "CI_TOKEN" not in os.environ


def test_a_folder_with_that_name_is_ignored(registrar: CliRunner, policy: Path, tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert registrar("policy", "check").code == 0


def test_another_file_replaces_it(registrar: CliRunner, policy: Path, env_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "registrar.env"
    other.write_text("OTHER=1\n")
    registrar("policy", "check", REGISTRAR_ENV_FILE=str(other))
    assert "CI_TOKEN" not in os.environ


def test_an_error_names_the_line_and_not_its_text(registrar: CliRunner, policy: Path, env_file: Path) -> None:
    env_file.write_text("CI_TOKEN=1\nhunter2\n")
    said = registrar("policy", "check")
    assert (said.code, said.err) == (2, "Line 2 of .env isn't NAME=value.\n")


def test_a_file_in_another_encoding_is_an_error(registrar: CliRunner, policy: Path, env_file: Path) -> None:
    env_file.write_bytes("CI_TOKEN=hunter2-é\n".encode("latin-1"))
    said = registrar("policy", "check")
    assert (said.code, said.err) == (2, ".env isn't UTF-8 text.\n")


@pytest.mark.parametrize("words", [["demo", "--help"], ["doctor", "--help"], ["promote", "--help"]])
def test_help_and_the_demo_do_not_read_it(registrar: CliRunner, env_file: Path, words: list[str]) -> None:
    env_file.write_text("hunter2\n")
    with pytest.raises(SystemExit) as end:  # argparse's way to end after help
        registrar(*words)
    assert not end.value.code


def test_doctor_says_why_it_is_ignored(registrar: CliRunner, policy: Path, env_file: Path) -> None:
    env_file.chmod(0o644)
    said = registrar("doctor", "--json", SLACK_API_URL="http://127.0.0.1:9/api/").document["findings"]
    assert [one["sentence"] for one in said if one["area"] == "settings"] == [
        ".env in this folder isn't read: other users can read it."
    ]

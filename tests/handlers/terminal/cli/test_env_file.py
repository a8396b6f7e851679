"""REGISTRAR_ENV_FILE: which variables it adds, and that it keeps them out of /proc and out of messages."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.settings import read_settings
from localslack import LocalSlack
from tests.support.app.demo_process import clean_environment
from tests.support.paths import ROOT
from tests.support.terminal.cli_runner import CliRunner


@pytest.fixture(autouse=True)
def _restored_environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    return tmp_path / "registrar.env"


def test_every_variable_in_the_file_is_set(registrar: CliRunner, policy: Path, env_file: Path) -> None:
    env_file.write_text("# Slack\nSLACK_BOT_TOKEN=xoxb-made-up\n\nPGPASSWORD=s3cret\nexport CI_TOKEN=t0ken\n")
    assert registrar("policy", "check", REGISTRAR_ENV_FILE=str(env_file)).code == 0
    assert read_settings().secrets == ["xoxb-made-up", "s3cret"]
    assert (os.environ["PGPASSWORD"], os.environ["CI_TOKEN"]) == ("s3cret", "t0ken")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("'a#b $HOME ${HOME} \"c\"'", 'a#b $HOME ${HOME} "c"'),
        ("a#b$HOME${HOME}", "a#b$HOME${HOME}"),
        (r"'back\\slash and \'quote\''", r"back\slash and 'quote'"),
        ("postgresql://x=y ", "postgresql://x=y"),
        ("secret # rotated in May", "secret"),
        ("", ""),
        ("é", "é"),
    ],
)
def test_a_value_is_read_without_expansion(
    registrar: CliRunner, policy: Path, env_file: Path, written: str, value: str
) -> None:
    env_file.write_text(f"CI_TOKEN={written}\n", encoding="utf-8")
    registrar("policy", "check", REGISTRAR_ENV_FILE=str(env_file))
    assert os.environ["CI_TOKEN"] == value


def test_the_last_of_two_values_counts(registrar: CliRunner, policy: Path, env_file: Path) -> None:
    env_file.write_text("CI_TOKEN=before-the-rotation\nCI_TOKEN=current\n")
    registrar("policy", "check", REGISTRAR_ENV_FILE=str(env_file))
    assert os.environ["CI_TOKEN"] == "current"


def test_the_environment_overrides_the_file(registrar: CliRunner, policy: Path, env_file: Path) -> None:
    env_file.write_text("CI_TOKEN=from-the-file\nREGISTRAR_POLICY=missing.yml\n")
    said = registrar(
        "policy", "check", REGISTRAR_ENV_FILE=str(env_file), CI_TOKEN="given", REGISTRAR_POLICY=str(policy)
    )
    assert (said.code, os.environ["CI_TOKEN"]) == (0, "given")


def test_the_file_can_turn_telemetry_on(
    registrar: CliRunner, policy: Path, env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY")
    env_file.write_text("MLFLOW_DISABLE_TELEMETRY=false\n")
    registrar("policy", "check", REGISTRAR_ENV_FILE=str(env_file))
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "false"


def test_the_error_for_a_missing_file_names_the_variable(registrar: CliRunner, policy: Path, env_file: Path) -> None:
    said = registrar("policy", "check", REGISTRAR_ENV_FILE=str(env_file))
    assert (said.code, said.out) == (2, "")
    assert said.err == f"Can't read {env_file}, the file in REGISTRAR_ENV_FILE: No such file or directory.\n"


@pytest.mark.parametrize(
    "line",
    [
        b"hunter2",
        b"export hunter2",
        b"=hunter2",
        b"CI_TOKEN='hunter2",
        b"CI_TOKEN='hunter2' again",
        b"CI_TOKEN=hunter2\0",
        b"'CI=TOKEN'=hunter2",
    ],
)
def test_a_line_without_an_assignment_is_named_but_not_shown(
    registrar: CliRunner, policy: Path, env_file: Path, line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    env_file.write_bytes(b"# Slack\n\nSLACK_BOT_TOKEN=xoxb\n\n" + line + b"\n")
    said = registrar("policy", "check", REGISTRAR_ENV_FILE=str(env_file))
    assert (said.code, said.err) == (2, "Line 5 of the file in REGISTRAR_ENV_FILE isn't NAME=value.\n")
    assert "hunter2" not in caplog.text


def test_the_error_for_another_encoding_does_not_show_the_file_s_text(
    registrar: CliRunner, policy: Path, env_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    env_file.write_bytes("CI_TOKEN=hunter2-é\n".encode("latin-1"))
    said = registrar("policy", "check", REGISTRAR_ENV_FILE=str(env_file))
    assert said.code == 2
    assert said.err == f"Can't read {env_file}, the file in REGISTRAR_ENV_FILE: it isn't UTF-8 text.\n"
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("words", ["help", "--version"])
def test_help_does_not_need_the_file(registrar: CliRunner, words: str) -> None:
    assert registrar(words, REGISTRAR_ENV_FILE="/missing").code == 0


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no /proc")
def test_a_running_bot_has_no_secret_in_proc(policy: Path, slack: LocalSlack, env_file: Path) -> None:
    env_file.write_text(f"SLACK_BOT_TOKEN={slack.bot_token}\nSLACK_APP_TOKEN={slack.app_token}\n")
    with subprocess.Popen(
        [sys.executable, "-m", "handlers", "run"],
        cwd=policy.parent,
        text=True,
        env=clean_environment(
            REGISTRAR_ENV_FILE=str(env_file),
            SLACK_API_URL=slack.api_url,
            REGISTRAR_PORT="0",
            PYTHONPATH=str(ROOT),
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        environment = ""
        for line in process.stdout:
            if line.startswith("Registrar is ready: Socket Mode"):
                environment = Path(f"/proc/{process.pid}/environ").read_text()
                process.terminate()
    assert "REGISTRAR_ENV_FILE=" in environment
    assert slack.bot_token not in environment
    assert slack.app_token not in environment

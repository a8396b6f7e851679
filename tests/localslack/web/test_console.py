"""`localslack` on the command line: its output, and how an app uses it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from slack_sdk import WebClient

from localslack import connect
from localslack.__main__ import main
from localslack.web.server import listen

MANIFEST = "display_information: {name: Tester}\noauth_config: {scopes: {bot: [chat:write]}}\n"
ROOT = Path(__file__).parents[3]
# Nothing from the environment that configures Registrar or an app.
BARE = {"PATH": "", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "manifest.yml"
    path.write_text(MANIFEST, encoding="utf-8")
    return path


@pytest.fixture
def output_lines(manifest: Path) -> Iterator[list[str]]:
    """Start it in another folder, with an empty environment, and yield its five lines of output."""
    command = [sys.executable, "-m", "localslack", "--manifest", str(manifest), "--port", "0"]
    with subprocess.Popen(command, cwd=manifest.parent, env=BARE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield [process.stdout.readline().strip() for _ in range(5)]
        process.terminate()


def test_its_output_works_as_shell_commands_and_configures_an_app(output_lines: list[str]) -> None:
    said = dict(line.removeprefix("export ").split("=", 1) for line in output_lines[1:])
    assert [line.partition(" ")[0] for line in output_lines[1:]] == ["export"] * 4
    client = WebClient(token=said["SLACK_BOT_TOKEN"], base_url=said["SLACK_API_URL"])
    assert client.auth_test()["user"] == "tester"
    assert said["SLACK_APP_TOKEN"].startswith("xapp-")


def test_the_first_line_has_the_page_s_address(output_lines: list[str]) -> None:
    with connect(output_lines[0].split()[-1]) as slack:
        assert slack.person("alice").id == "U0ALICE"


def test_the_help_lists_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: localslack ")
    options = ("--manifest", "--port", "--state", "--request-url", "--env-file", "--no-rate-limits", "--speed")
    assert [option for option in options if option not in said] == []


@pytest.mark.parametrize(
    ("written", "error"),
    [
        (None, "No such file"),
        ("- a list", "it isn't a mapping"),
        ("features: {", "is neither YAML nor JSON"),
        ("features: {shortcuts: [{name: Report, type: message}]}", "an entry without 'callback_id'"),
    ],
)
def test_an_invalid_manifest_prints_an_error_and_exits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], written: str | None, error: str
) -> None:
    path = tmp_path / "manifest.yml"
    if written is not None:
        path.write_text(written, encoding="utf-8")
    assert main(["--manifest", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("localslack: ")
    assert error in said


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--port", "99999"], "port must be 0-65535"),
        (["--port", "0", "--env-file", "nowhere/settings.env"], "nowhere/settings.env: No such file or directory"),
    ],
)
def test_an_invalid_option_prints_an_error_and_exits(
    manifest: Path, capsys: pytest.CaptureFixture[str], options: list[str], error: str
) -> None:
    assert main(["--manifest", str(manifest), *options]) == 2
    assert error in capsys.readouterr().err


def test_the_error_names_a_port_in_use(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with listen() as taken:
        port = taken.getsockname()[1]
        assert main(["--manifest", str(manifest), "--port", str(port)]) == 2
    assert f"127.0.0.1:{port}" in capsys.readouterr().err


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "fast"])
def test_a_speed_of_zero_is_refused(manifest: Path, capsys: pytest.CaptureFixture[str], speed: str) -> None:
    with pytest.raises(SystemExit):
        main(["--manifest", str(manifest), "--speed", speed])
    assert "argument --speed: must be greater than 0" in capsys.readouterr().err

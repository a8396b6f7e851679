"""The command line: flags, help, imports, and answers to mistakes."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from bot.domain.commands.base import QueryCommand
from bot.domain.commands.catalog import GROUPS
from bot.domain.commands.help import Help
from handlers.terminal.command_line import grammar, index
from handlers.terminal.command_line.json_keys import DOCUMENT_KEYS
from handlers.terminal.execute import RENDERERS
from handlers.terminal.main import main
from tests.support.paths import ROOT
from tests.support.terminal.cli_runner import CliRunner, CommandOutput


def said_by(words: list[str], capsys: pytest.CaptureFixture[str]) -> CommandOutput:
    """Return the result of a command line, even if argparse ends it."""
    try:
        code = main(words)
    except SystemExit as stopped:
        code = int(str(stopped.code))
    printed = capsys.readouterr()
    return CommandOutput(code, printed.out, printed.err)


def test_an_unknown_flag_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert said_by(["run", "--fast"], capsys).code == 2


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_the_installed_packages(flag: str, registrar: CliRunner) -> None:
    assert registrar(flag) == CommandOutput(0, f"registrar {metadata.version('registrar-bot')}\n", "")


def test_the_version_is_unknown_if_not_installed(registrar: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert registrar("--version") == CommandOutput(0, "registrar unknown\n", "")


@pytest.mark.parametrize("words", [[], ["help"], ["--help"], ["-h"], ["help", "help"], ["help", "--help"]], ids=str)
def test_without_a_command_all_commands_are_listed_in_groups(words: list[str], registrar: CliRunner) -> None:
    said = registrar(*words)
    assert (said.code, said.err) == (0, "")
    titles = [line for line in said.out.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles == [
        "Set up:",
        "Run:",
        "Registry:",
        "Promotion:",
        "Rollback:",
        "Monitoring:",
        "Governance:",
        "Ledger:",
        "Passports:",
    ]
    assert max(map(len, said.out.splitlines())) <= 80


def test_every_command_is_listed_once_with_its_summary(registrar: CliRunner) -> None:
    rows = re.findall(r"^  (\S+(?: \S+)?) {2,}(\S.*)$", registrar().out, re.MULTILINE)
    grouped = {name for name in grammar.TERMINAL_COMMANDS if name.partition(" ")[0] in index.COMMAND_GROUPS}
    assert sorted(name for name, _ in rows) == sorted(
        ({*grammar.TERMINAL_COMMANDS} - grouped) | {*index.COMMAND_GROUPS} | {*index.OWN_COMMANDS}
    )
    assert {name: line for name, line in rows if name in grammar.TERMINAL_COMMANDS} == {
        name: verb.summary for name, verb in grammar.TERMINAL_COMMANDS.items() if name not in grouped
    }
    assert {name.partition(" ")[0] for name in grouped} == {*index.COMMAND_GROUPS}


def test_every_query_has_a_renderer_and_documents_its_keys() -> None:
    asked = {verb for verb in grammar.TERMINAL_COMMANDS.values() if issubclass(verb, QueryCommand)}
    assert {*RENDERERS} == asked
    assert asked <= {*DOCUMENT_KEYS}


@pytest.mark.parametrize(
    "words", ["run", "doctor", "promote", "monitor", "monitor add", "history import", "db", "policy check"]
)
def test_help_command_and_help_flag_print_the_same(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    helped = said_by(["help", *words.split()], capsys)
    assert (helped.code, helped.err) == (0, "")
    assert helped.out.startswith(f"usage: registrar {words} ")
    for flag in ("--help", "-h", "help"):
        assert words in index.OWN_COMMANDS or said_by([*words.split(), flag], capsys) == helped


def test_help_about_a_group_shows_the_usage_of_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    said = said_by(["help", "promotion"], capsys)
    assert (said.code, said.err) == (0, "")
    assert all(f"registrar {verb.verb} " in said.out for verb in GROUPS["Promotion"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("help prmote", "Unknown command “prmote”. Did you mean registrar help promote?"),
        ("prmote --help", "Unknown command “prmote”. Did you mean registrar help promote?"),
        ("help doktor", "Did you mean registrar help doctor?"),
        ("help monitor ad", "Unknown command “monitor ad”. Did you mean registrar help monitor add?\n"),
        ("help monitor elsewhere", "Subcommands of registrar monitor: add, list, show"),
        ("help audit elsewhere", "“audit elsewhere”. Subcommands of registrar audit: show, verify, export, evidence."),
        ("help zzz", "Unknown command “zzz”. To list commands, run registrar help."),
        ("--verison", "Did you mean registrar --version?"),
    ],
)
def test_help_for_a_typo_suggests_the_closest_command(words: str, told: str, registrar: CliRunner) -> None:
    said = registrar(*words.split())
    assert (said.code, said.out) == (2, "")
    assert told in said.err


SLOW = {
    "mlflow",
    "pandas",
    "numpy",
    "slack_bolt",
    "slack_sdk",
    "sqlalchemy",
    "fastapi",
    "apscheduler",
    "matplotlib",
    "structlog",
    "prometheus_client",
}


def test_light_commands_load_no_libraries(tmp_path: Path) -> None:
    every = [
        "",
        "--help",
        "--version",
        "help promote",
        "prmote",
        "run --help",
        "doctor --help",
        "init there.yml",
        "completion bash",
        "compare --help",
        "compare",
        "audit -h",
    ]
    assert loaded(every, SLOW, tmp_path) == {words: [] for words in every}


def test_run_without_settings_fails_before_loading_the_server(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        demo = f"demo --port {taken.getsockname()[1]}"  # last, because it removes the environment's real settings
        every = ["init", "run", "worker", "doctor", "promote churn 4 production", demo]
        found = loaded(every, SLOW - {"structlog"}, tmp_path, REGISTRAR_URL="http://127.0.0.1:1")
    slow = {"mlflow", "pandas", "matplotlib", "slack_bolt", "fastapi"}
    assert {words: slow & {*libraries} for words, libraries in found.items()} == {words: set() for words in every}
    assert found["run"] == []


def test_commands_without_mlflow_or_slack_load_neither(policy: Path, tmp_path: Path, sqlite_template: Path) -> None:
    (tmp_path / ".registrar").mkdir()
    (tmp_path / ".registrar" / "ledger.db").write_bytes(sqlite_template.read_bytes())
    every = [
        "policy check",
        "policy show churn",
        "audit show",
        "audit verify",
        "audit export",
        "db",
        "db upgrade",
        "db backup copy.db",
    ]
    assert loaded(every, SLOW - {"sqlalchemy", "apscheduler"}, tmp_path) == {words: [] for words in every}


def test_heavy_libraries_load_only_when_needed(policy: Path, tmp_path: Path, sqlite_template: Path) -> None:
    (tmp_path / ".registrar").mkdir()
    (tmp_path / ".registrar" / "ledger.db").write_bytes(sqlite_template.read_bytes())
    every = ["requests", "status", "status churn", "monitor list", "monitor show churn accuracy"]
    assert loaded(every, {"mlflow", "pandas", "matplotlib", "slack_sdk"}, tmp_path) == {words: [] for words in every}
    assert loaded(["compare churn"], {"matplotlib", "slack_sdk"}, tmp_path) == {"compare churn": []}


def loaded(every: list[str], libraries: set[str], folder: Path, **settings: str) -> dict[str, list[str]]:
    """Return which libraries are loaded after each command, run one after another in one process."""
    script = (
        "import json, sys\nfrom handlers.terminal.main import main\n"
        f"for words in {every!r}:\n"
        "    try:\n        main(words.split())\n    except SystemExit:\n        pass\n"
        f"    found = sorted({{name.split('.')[0] for name in sys.modules}} & {libraries!r})\n"
        "    print('loaded ' + json.dumps([words, found]))\n"
    )
    command = [sys.executable, "-c", script]
    ended = subprocess.run(
        command,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": ""} | settings,
        capture_output=True,
        text=True,
        check=True,
    )
    told = [line.removeprefix("loaded ") for line in ended.stdout.splitlines() if line.startswith("loaded ")]
    return dict(json.loads(line) for line in told)


def test_the_command_list_loads_no_definitions(tmp_path: Path) -> None:
    assert loaded(["", "--version"], {"pydantic"}, tmp_path) == {"": [], "--version": []}


def test_an_old_name_of_a_verb_still_works_in_the_terminal() -> None:
    typed = ["churn", "7", "--reason", "fixed"]
    assert grammar.parse_invocation(["clear", *typed], []) == grammar.parse_invocation(["unblock", *typed], [])
    assert grammar.parse_invocation(["clear", "--help"], []).command == Help(about="unblock")

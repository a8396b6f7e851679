"""The terminal: what it does without a workspace, and what it says when something is missing."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from contextlib import closing
from importlib import metadata
from pathlib import Path

import pytest

from bot.domain.commands import Help
from bot.ledger import SqlLedger
from bot.policy_file import load_policy
from bot.settings import Settings, read_settings
from handlers.cli import main
from handlers.terminal import grammar, listed
from localslack import LocalSlack
from tests.support.app.cli_runner import Registrar, Said, command
from tests.support.app.demo_process import clean_environment
from tests.support.paths import ROOT
from tests.support.registry.registries import MlflowShelf


@pytest.fixture
def registrar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Registrar:
    """Return the terminal's command in an empty folder; settings are given by their names."""
    monkeypatch.chdir(tmp_path)
    return command(monkeypatch, capsys)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """Return a policy file where it is looked for."""
    path = tmp_path / "registrar.yml"
    path.write_text('models: {"*": {production: {approvers: [U0BOB]}}}')
    return path


TOKENS = {"SLACK_BOT_TOKEN": "xoxb-made-up", "SLACK_APP_TOKEN": "xapp-made-up"}


# -- init --------------------------------------------------------------------------------------------------------------


def test_init_writes_a_policy_that_can_be_read(registrar: Registrar, tmp_path: Path) -> None:
    said = registrar("init")
    assert (said.code, said.err) == (0, "")
    assert load_policy(tmp_path / "registrar.yml").models


def test_init_says_what_comes_next(registrar: Registrar) -> None:
    assert "registrar run" in registrar("init").out


def test_init_writes_where_it_is_told_to(registrar: Registrar, tmp_path: Path) -> None:
    registrar("init", "here.yml")
    assert load_policy(tmp_path / "here.yml").channel == "#ml-models"


def test_init_writes_where_the_setting_says(registrar: Registrar, tmp_path: Path) -> None:
    registrar("init", REGISTRAR_POLICY="there.yml")
    assert load_policy(tmp_path / "there.yml").channel == "#ml-models"


def test_init_overwrites_nothing(registrar: Registrar, policy: Path) -> None:
    before = policy.read_text()
    said = registrar("init")
    assert (said.code, policy.read_text()) == (2, before)
    assert "is there already; nothing was changed" in said.err


def test_init_in_a_folder_that_is_not_there_says_so(registrar: Registrar) -> None:
    said = registrar("init", "nowhere/registrar.yml")
    assert said.code == 2
    assert "cannot be written" in said.err


# -- run: what is missing ----------------------------------------------------------------------------------------------


def test_run_without_a_policy_names_what_writes_one(registrar: Registrar) -> None:
    said = registrar("run", **TOKENS)
    assert said.code == 2
    assert "registrar init" in said.err


def test_run_with_a_broken_policy_says_where(registrar: Registrar, policy: Path) -> None:
    policy.write_text("modles: {}")
    said = registrar("run", **TOKENS)
    assert said.code == 2
    assert "did you mean models?" in said.err


@pytest.mark.parametrize("settings", [{}, {"SLACK_BOT_TOKEN": ""}, {"SLACK_APP_TOKEN": "xapp-made-up"}], ids=str)
def test_run_without_the_bot_s_token_says_where_it_is(
    registrar: Registrar, policy: Path, settings: dict[str, str]
) -> None:
    said = registrar("run", **settings)
    assert said.code == 2
    for part in ("SLACK_BOT_TOKEN is not set", "OAuth & Permissions", "xoxb-", "make demo"):
        assert part in said.err


def test_run_without_a_way_for_slack_to_reach_us_names_both(registrar: Registrar, policy: Path) -> None:
    said = registrar("run", SLACK_BOT_TOKEN="xoxb-made-up")
    assert said.code == 2
    for part in ("SLACK_APP_TOKEN is not set", "connections:write", "SLACK_SIGNING_SECRET", "make demo"):
        assert part in said.err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REGISTRAR_PORT", "http"),
        ("REGISTRAR_PORT", "65536"),
        ("REGISTRAR_POLL", "soon"),
        ("REGISTRAR_THREADS", "1"),
        ("REGISTRAR_CONNECTIONS", "1"),
        ("REGISTRAR_STAGES", "some"),
    ],
)
def test_run_names_a_setting_that_is_wrong(registrar: Registrar, policy: Path, name: str, value: str) -> None:
    said = registrar("run", **TOKENS, **{name: value})
    assert said.code == 2
    assert name in said.err


@pytest.mark.parametrize("url", ["mysql://user:secret@host/db", "nonsense", "sqlite://"])
def test_run_says_that_it_does_not_speak_a_database(registrar: Registrar, policy: Path, url: str) -> None:
    said = registrar("run", **TOKENS, REGISTRAR_DATABASE_URL=url, REGISTRAR_PORT="0")
    assert said.code == 2
    assert "ledger" in said.err
    assert "secret" not in said.err


def test_run_says_that_its_port_is_taken(registrar: Registrar, policy: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = registrar("run", **TOKENS, REGISTRAR_PORT=str(taken.getsockname()[1]))
    assert said.code == 2
    assert "REGISTRAR_PORT" in said.err


def test_run_beside_another_on_the_same_file_says_what_to_do(registrar: Registrar, policy: Path) -> None:
    url = f"sqlite:///{policy.parent}/ledger.db"
    with closing(SqlLedger(url)) as served:
        served.serve_alone()
        said = registrar("run", **TOKENS, REGISTRAR_PORT="0", REGISTRAR_DATABASE_URL=url)
    assert said.code == 2
    assert f"Another Registrar serves the ledger {policy.parent}/ledger.db already. Stop that one" in said.err
    assert "REGISTRAR_DATABASE_URL" in said.err


def test_a_worker_needs_a_ledger_that_it_can_share(registrar: Registrar, policy: Path) -> None:
    said = registrar("worker", **TOKENS, REGISTRAR_PORT="0")
    assert said.code == 2
    assert "SQLite has room for one process: set REGISTRAR_DATABASE_URL to a PostgreSQL" in said.err


def test_run_without_slack_is_unreachable(registrar: Registrar, policy: Path) -> None:
    said = registrar("run", **TOKENS, REGISTRAR_PORT="0", SLACK_API_URL="http://127.0.0.1:9/api/")
    assert said.code == 3
    assert "http://127.0.0.1:9/api/" in said.err


def test_run_with_a_token_that_slack_does_not_take_says_so(
    registrar: Registrar, policy: Path, slack: LocalSlack
) -> None:
    said = registrar("run", **TOKENS, REGISTRAR_PORT="0", SLACK_API_URL=slack.api_url)
    assert said.code == 2
    assert "invalid_auth" in said.err
    assert "SLACK_BOT_TOKEN" in said.err


def test_run_serves_until_it_is_ended_and_warns_of_its_own_registry_only(policy: Path, slack: LocalSlack) -> None:
    tokens = {"SLACK_BOT_TOKEN": slack.bot_token, "SLACK_APP_TOKEN": slack.app_token, "SLACK_API_URL": slack.api_url}
    with subprocess.Popen(
        [sys.executable, "-m", "handlers", "run"],
        cwd=policy.parent,
        text=True,
        env=clean_environment(REGISTRAR_PORT="0", PYTHONPATH=str(ROOT), **tokens),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        log = ""
        for line in process.stdout:
            log += line
            if line.startswith("Registrar is ready: Socket Mode"):
                process.terminate()
    assert process.returncode == 0
    assert "Stopping: finishing what was begun." in log
    unset = "MLFLOW_TRACKING_URI isn't set, so Registrar creates a registry in"
    [warning] = [line for line in log.splitlines() if "WARNING" in line]
    assert unset in warning
    assert f"\nWarning: {unset} {policy.parent}/.registrar/mlflow.db." in log
    assert [line for line in log.splitlines() if "apscheduler" in line or "alembic.runtime.plugins" in line] == []


def test_no_secret_is_ever_printed(registrar: Registrar, policy: Path, slack: LocalSlack) -> None:
    said = registrar("run", **TOKENS, REGISTRAR_PORT="0", SLACK_API_URL=slack.api_url)
    assert "made-up" not in said.out + said.err


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["HOME", "HOST", "PORT", "POLICY", "POLL", "THREADS", "STAGES", "DATABASE_URL"])
def test_what_others_mean_for_themselves_is_no_setting_of_ours(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_settings()
    monkeypatch.setenv(name, "/elsewhere")
    assert read_settings() == before


@pytest.mark.parametrize("name", [str(field.alias) for field in Settings.model_fields.values()])
def test_an_empty_setting_is_not_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_settings()
    monkeypatch.setenv(name, "")
    assert read_settings() == before


def test_the_ledger_and_the_runs_are_at_home_where_nothing_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRAR_HOME", "/srv/registrar")
    settings = read_settings()
    assert (settings.ledger_url, settings.mlflow_uri) == (
        "sqlite:////srv/registrar/ledger.db",
        "sqlite:////srv/registrar/mlflow.db",
    )


def test_a_registry_of_our_own_is_warned_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REGISTRAR_HOME", str(tmp_path))
    file = tmp_path / "mlflow.db"
    advice = f"Set it to your MLflow server's address, or to sqlite:///{file} to keep this file."
    told = "MLFLOW_TRACKING_URI isn't set, so Registrar {} in {}. {}"
    assert str(read_settings().unset_mlflow) == told.format("creates a registry", file, advice)
    file.touch()
    assert str(read_settings().unset_mlflow) == told.format("uses a registry", file, advice)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://127.0.0.1:1")
    assert str(read_settings().unset_mlflow) == told.format("uses MLflow's runs", file, advice)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
    assert read_settings().unset_mlflow is None


def test_a_verb_that_asks_mlflow_warns_once_of_a_registry_of_our_own(
    registrar: Registrar, tmp_path: Path, mlflow_sqlite: str, mlflow_shelf: MlflowShelf
) -> None:
    mlflow_shelf.add("churn", versions=2)
    (tmp_path / ".registrar").mkdir()
    shutil.copy(mlflow_sqlite.removeprefix("sqlite:///"), tmp_path / ".registrar" / "mlflow.db")
    said = registrar("compare", "churn", "1", "2", "--json")
    assert said.document["model"] == "churn"
    assert said.err == f"Warning: {read_settings().unset_mlflow}\n"
    assert registrar("compare", "churn", "1", "2", MLFLOW_TRACKING_URI=mlflow_sqlite).err == ""


def test_a_verb_that_does_not_ask_mlflow_warns_of_nothing(
    registrar: Registrar, policy: Path, tmp_path: Path, sqlite_template: Path
) -> None:
    (tmp_path / ".registrar").mkdir()
    (tmp_path / ".registrar" / "ledger.db").write_bytes(sqlite_template.read_bytes())
    for words in ("requests", "monitor list", "audit show", "policy check", "db status"):
        assert registrar(*words.split()).err == ""
    assert not (tmp_path / ".registrar" / "mlflow.db").exists()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/api", "http://127.0.0.1:1/api/"])
def test_the_web_api_s_address_ends_in_a_slash(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_API_URL", url)
    assert read_settings().slack_api_url == "http://127.0.0.1:1/api/"


def test_a_secret_shows_itself_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-made-up")
    assert "made-up" not in repr(read_settings())


# -- the command line --------------------------------------------------------------------------------------------------


def said_by(words: list[str], capsys: pytest.CaptureFixture[str]) -> Said:
    """Return how a command line ended, also where argparse ends it."""
    try:
        code = main(words)
    except SystemExit as stopped:
        code = int(str(stopped.code))
    printed = capsys.readouterr()
    return Said(code, printed.out, printed.err)


def test_a_flag_that_is_none_is_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert said_by(["run", "--fast"], capsys).code == 2


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_that_of_what_is_installed(flag: str, registrar: Registrar) -> None:
    assert registrar(flag) == Said(0, f"registrar {metadata.version('registrar-bot')}\n", "")


def test_the_version_of_source_that_is_not_installed_is_unknown(
    registrar: Registrar, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert registrar("--version") == Said(0, "registrar unknown\n", "")


@pytest.mark.parametrize("words", [[], ["help"], ["--help"], ["-h"], ["help", "help"], ["help", "--help"]], ids=str)
def test_without_a_command_everything_is_listed_in_groups(words: list[str], registrar: Registrar) -> None:
    said = registrar(*words)
    assert (said.code, said.err) == (0, "")
    titles = [line for line in said.out.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles == [
        "Set up:",
        "Run:",
        "Look up:",
        "Request and decide:",
        "Change:",
        "Monitors, policy, audit, and ledger:",
    ]
    assert max(map(len, said.out.splitlines())) <= 80


def test_every_command_is_listed_once_with_a_line(registrar: Registrar) -> None:
    rows = re.findall(r"^  (\S+(?: \S+)?) {2,}(\S.*)$", registrar().out, re.MULTILINE)
    grouped = {name for name in grammar.VERBS if name.partition(" ")[0] in listed.GROUPS}
    assert sorted(name for name, _ in rows) == sorted(({*grammar.VERBS} - grouped) | {*listed.GROUPS} | {*listed.OWN})
    assert {name: line for name, line in rows if name in grammar.VERBS} == {
        name: verb.summary for name, verb in grammar.VERBS.items() if name not in grouped
    }
    assert {name.partition(" ")[0] for name in grouped} == {*listed.GROUPS}


@pytest.mark.parametrize(
    "words", ["run", "doctor", "promote", "monitor", "monitor add", "history import", "db", "policy check"]
)
def test_help_says_of_a_command_what_its_flag_says(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    helped = said_by(["help", *words.split()], capsys)
    assert (helped.code, helped.err) == (0, "")
    assert helped.out.startswith(f"usage: registrar {words} ")
    for flag in ("--help", "-h"):
        assert said_by([*words.split(), flag], capsys) == helped


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("help prmote", "Unknown command “prmote”. Did you mean registrar help promote?"),
        ("prmote --help", "Unknown command “prmote”. Did you mean registrar help promote?"),
        ("help doktor", "Did you mean registrar help doctor?"),
        ("help monitor ad", "Unknown command “monitor ad”. Did you mean registrar help monitor add?\n"),
        ("help monitor elsewhere", "registrar monitor has add, list, show"),
        ("help audit elsewhere", "Unknown command “audit elsewhere”. registrar audit has show, verify, export."),
        ("help zzz", "Unknown command “zzz”. registrar help lists them all."),
        ("--verison", "Did you mean registrar --version?"),
    ],
)
def test_help_for_a_typo_names_the_nearest_command(words: str, told: str, registrar: Registrar) -> None:
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


def test_what_needs_no_library_loads_none(tmp_path: Path) -> None:
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


def test_what_has_no_token_and_no_settings_fails_before_what_serves_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        demo = f"demo --port {taken.getsockname()[1]}"  # last: it forgets the settings of the real world
        every = ["init", "run", "worker", "doctor", "promote churn 4 production", demo]
        found = loaded(every, SLOW - {"structlog"}, tmp_path, REGISTRAR_URL="http://127.0.0.1:1")
    slow = {"mlflow", "pandas", "matplotlib", "slack_bolt", "fastapi"}
    assert {words: slow & {*libraries} for words, libraries in found.items()} == {words: set() for words in every}
    assert found["run"] == ["apscheduler"]  # its triggers, for the policy's windows


def test_what_needs_neither_mlflow_nor_slack_loads_neither(policy: Path, tmp_path: Path, sqlite_template: Path) -> None:
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


def test_only_who_draws_compares_or_asks_mlflow_waits_for_that(
    policy: Path, tmp_path: Path, sqlite_template: Path
) -> None:
    (tmp_path / ".registrar").mkdir()
    (tmp_path / ".registrar" / "ledger.db").write_bytes(sqlite_template.read_bytes())
    every = ["requests", "monitor list", "monitor show churn accuracy"]
    assert loaded(every, {"mlflow", "pandas", "matplotlib", "slack_sdk"}, tmp_path) == {words: [] for words in every}
    assert loaded(["compare churn"], {"matplotlib", "slack_sdk"}, tmp_path) == {"compare churn": []}


def loaded(every: list[str], libraries: set[str], folder: Path, **settings: str) -> dict[str, list[str]]:
    """Return which of these libraries are loaded after each of the commands, one after the other in one process."""
    script = (
        "import json, sys\nfrom handlers.cli import main\n"
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


def test_the_list_of_all_commands_waits_for_no_definitions(tmp_path: Path) -> None:
    assert loaded(["", "--version"], {"pydantic"}, tmp_path) == {"": [], "--version": []}


def test_an_earlier_name_of_a_verb_still_means_it_at_the_terminal() -> None:
    typed = ["churn", "7", "--reason", "fixed"]
    assert grammar.read(["clear", *typed], []) == grammar.read(["unblock", *typed], [])
    assert grammar.read(["clear", "--help"], []).command == Help(about="unblock")

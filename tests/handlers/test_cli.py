"""The terminal: what it does without a workspace, and what it says when something is missing."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from bot.domain.policy import unused_parts
from bot.ledger import SqlLedger
from bot.policy_file import load_policy
from bot.settings import Settings, read_settings
from handlers.cli import main
from handlers.terminal import grammar, listed
from localslack import LocalSlack
from tests.demo_process import clean_environment
from tests.saying import Registrar, command

ROOT = Path(__file__).parents[2]


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
    assert unused_parts(load_policy(tmp_path / "registrar.yml")) == []


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


def test_run_serves_until_it_is_ended_and_logs_no_tick_and_no_warning(policy: Path, slack: LocalSlack) -> None:
    tokens = {"SLACK_BOT_TOKEN": slack.bot_token, "SLACK_APP_TOKEN": slack.app_token, "SLACK_API_URL": slack.api_url}
    with subprocess.Popen(
        [sys.executable, "-m", "handlers", "run"], cwd=policy.parent, text=True,
        env=clean_environment(REGISTRAR_PORT="0", PYTHONPATH=str(ROOT), **tokens),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        log = ""
        for line in process.stdout:
            log += line
            if line.startswith("Registrar is ready: Socket Mode"):
                process.terminate()
    assert process.returncode == 0
    assert "Stopping: finishing what was begun." in log
    assert [line for line in log.splitlines() if "apscheduler" in line or "WARNING" in line] == []


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
        "sqlite:////srv/registrar/ledger.db", "sqlite:////srv/registrar/mlflow.db",
    )  # fmt: skip


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/api", "http://127.0.0.1:1/api/"])
def test_the_web_api_s_address_ends_in_a_slash(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_API_URL", url)
    assert read_settings().slack_api_url == "http://127.0.0.1:1/api/"


def test_a_secret_shows_itself_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-made-up")
    assert "made-up" not in repr(read_settings())


# -- the command line --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), ([], 2), (["run", "--fast"], 2)], ids=str)
def test_what_cannot_be_understood_is_usage(words: list[str], code: int) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == code


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert {"run", "init", "doctor", "demo", "register", "validate", "compare", "best", "audit", "policy", "db"} <= set(
        capsys.readouterr().out.split()
    )


SLOW = {"mlflow", "pandas", "numpy", "slack_bolt", "slack_sdk", "sqlalchemy", "fastapi", "apscheduler", "matplotlib",
        "structlog", "prometheus_client"}  # fmt: skip


def test_what_needs_no_library_loads_none(tmp_path: Path) -> None:
    every = ["--help", "run --help", "doctor --help", "init there.yml", "compare --help", "compare", "audit -h"]
    assert loaded(every, SLOW, tmp_path) == {words: [] for words in every}


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


def loaded(every: list[str], libraries: set[str], folder: Path) -> dict[str, list[str]]:
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
        command, cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True, check=True
    )
    told = [line.removeprefix("loaded ") for line in ended.stdout.splitlines() if line.startswith("loaded ")]
    return dict(json.loads(line) for line in told)


def test_the_list_of_all_commands_waits_for_no_definitions(tmp_path: Path) -> None:
    assert loaded(["--help"], {"pydantic"}, tmp_path) == {"--help": []}


def test_the_list_of_all_commands_says_what_the_definitions_say() -> None:
    verbs = {name: verb.summary for name, verb in grammar.VERBS.items() if " " not in name}
    assert {name: text[:1].lower() + text[1:] for name, text in verbs.items()} == listed.LISTED
    assert set(listed.GROUPS) == {name.partition(" ")[0] for name in grammar.VERBS if " " in name}

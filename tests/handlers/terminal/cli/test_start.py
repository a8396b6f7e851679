"""`registrar init` and `run`: what they do, and what they report when something is missing."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from bot.ledger import SqlLedger
from bot.policy_file import load_policy
from localslack import LocalSlack
from tests.support.app.demo_process import clean_environment
from tests.support.paths import ROOT
from tests.support.terminal.cli_runner import CliRunner

TOKENS = {"SLACK_BOT_TOKEN": "xoxb-made-up", "SLACK_APP_TOKEN": "xapp-made-up"}


# -- init --------------------------------------------------------------------------------------------------------------


def test_init_writes_a_valid_policy(registrar: CliRunner, tmp_path: Path) -> None:
    said = registrar("init")
    assert (said.code, said.err) == (0, "")
    assert load_policy(tmp_path / "registrar.yml").models


def test_init_says_what_to_do_next(registrar: CliRunner) -> None:
    assert "registrar run" in registrar("init").out


def test_init_writes_to_the_given_path(registrar: CliRunner, tmp_path: Path) -> None:
    registrar("init", "here.yml")
    assert load_policy(tmp_path / "here.yml").channel == "#ml-models"


def test_init_writes_to_the_path_in_the_setting(registrar: CliRunner, tmp_path: Path) -> None:
    registrar("init", REGISTRAR_POLICY="there.yml")
    assert load_policy(tmp_path / "there.yml").channel == "#ml-models"


def test_init_overwrites_nothing(registrar: CliRunner, policy: Path) -> None:
    before = policy.read_text()
    said = registrar("init")
    assert (said.code, policy.read_text()) == (2, before)
    assert "already exists; nothing was changed" in said.err


def test_init_in_a_missing_folder_fails_with_a_message(registrar: CliRunner) -> None:
    said = registrar("init", "nowhere/registrar.yml")
    assert said.code == 2
    assert "Can't write" in said.err


# -- run: missing settings ---------------------------------------------------------------------------------------------


def test_run_without_a_policy_suggests_init(registrar: CliRunner) -> None:
    said = registrar("run", **TOKENS)
    assert said.code == 2
    assert "registrar init" in said.err


def test_run_with_an_invalid_policy_names_the_place(registrar: CliRunner, policy: Path) -> None:
    policy.write_text("modles: {}")
    said = registrar("run", **TOKENS)
    assert said.code == 2
    assert "did you mean models?" in said.err


@pytest.mark.parametrize("settings", [{}, {"SLACK_BOT_TOKEN": ""}, {"SLACK_APP_TOKEN": "xapp-made-up"}], ids=str)
def test_run_without_the_bot_token_says_where_to_find_it(
    registrar: CliRunner, policy: Path, settings: dict[str, str]
) -> None:
    said = registrar("run", **settings)
    assert said.code == 2
    for part in ("SLACK_BOT_TOKEN isn't set", "OAuth & Permissions", "xoxb-", "registrar demo"):
        assert part in said.err


def test_run_without_an_app_token_or_signing_secret_names_both(registrar: CliRunner, policy: Path) -> None:
    said = registrar("run", SLACK_BOT_TOKEN="xoxb-made-up")
    assert said.code == 2
    for part in ("SLACK_APP_TOKEN isn't set", "connections:write", "SLACK_SIGNING_SECRET", "registrar demo"):
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
def test_run_names_an_invalid_setting(registrar: CliRunner, policy: Path, name: str, value: str) -> None:
    said = registrar("run", **TOKENS, **{name: value})
    assert said.code == 2
    assert name in said.err


@pytest.mark.parametrize("url", ["mysql://user:secret@host/db", "nonsense", "sqlite://"])
def test_run_refuses_an_unsupported_database(registrar: CliRunner, policy: Path, url: str) -> None:
    said = registrar("run", **TOKENS, REGISTRAR_DATABASE_URL=url, REGISTRAR_PORT="0")
    assert said.code == 2
    assert "ledger" in said.err
    assert "secret" not in said.err


def test_run_reports_a_port_in_use(registrar: CliRunner, policy: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = registrar("run", **TOKENS, REGISTRAR_PORT=str(taken.getsockname()[1]))
    assert said.code == 2
    assert "REGISTRAR_PORT" in said.err


def test_a_second_run_on_the_same_file_says_what_to_do(registrar: CliRunner, policy: Path) -> None:
    url = f"sqlite:///{policy.parent}/ledger.db"
    with closing(SqlLedger(url)) as served:
        served.lock_file()
        said = registrar("run", **TOKENS, REGISTRAR_PORT="0", REGISTRAR_DATABASE_URL=url)
    assert said.code == 2
    assert f"Another Registrar process is already using the ledger {policy.parent}/ledger.db. Stop it" in said.err
    assert "REGISTRAR_DATABASE_URL" in said.err


def test_a_worker_needs_a_shared_ledger(registrar: CliRunner, policy: Path) -> None:
    said = registrar("worker", **TOKENS, REGISTRAR_PORT="0")
    assert said.code == 2
    assert "SQLite supports only one. Set REGISTRAR_DATABASE_URL to a PostgreSQL" in said.err


def test_run_without_slack_exits_with_3(registrar: CliRunner, policy: Path) -> None:
    said = registrar("run", **TOKENS, REGISTRAR_PORT="0", SLACK_API_URL="http://127.0.0.1:9/api/")
    assert said.code == 3
    assert "http://127.0.0.1:9/api/" in said.err


def test_run_reports_a_token_that_slack_rejects(registrar: CliRunner, policy: Path, slack: LocalSlack) -> None:
    said = registrar("run", **TOKENS, REGISTRAR_PORT="0", SLACK_API_URL=slack.api_url)
    assert said.code == 2
    assert "invalid_auth" in said.err
    assert "SLACK_BOT_TOKEN" in said.err


def test_run_serves_until_stopped_and_only_warns_about_the_built_in_registry(policy: Path, slack: LocalSlack) -> None:
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
    assert "Stopping: finishing work in progress." in log
    unset = "MLFLOW_TRACKING_URI isn't set, so Registrar creates a registry in"
    [warning] = [line for line in log.splitlines() if "WARNING" in line]
    assert unset in warning
    assert f"\nWarning: {unset} {policy.parent}/.registrar/mlflow.db." in log
    assert [line for line in log.splitlines() if "apscheduler" in line or "alembic.runtime.plugins" in line] == []


def test_no_secret_is_printed(registrar: CliRunner, policy: Path, slack: LocalSlack) -> None:
    said = registrar("run", **TOKENS, REGISTRAR_PORT="0", SLACK_API_URL=slack.api_url)
    assert "made-up" not in said.out + said.err

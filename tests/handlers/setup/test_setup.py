"""`registrar setup` from an empty folder to an approved card, in one run and in several."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from localslack import LocalSlack
from tests.handlers.setup.test_first_card import clicks, meanwhile
from tests.support.app.demo_process import clean_environment
from tests.support.network.ports import free_port
from tests.support.paths import ROOT
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.terminal.setup_process import SetupProcess
from tests.support.terminal.setup_wizard import Wizard


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder."""
    path = tmp_path / "folder"
    path.mkdir()
    return path


def setup_in(folder: Path, slack: LocalSlack) -> SetupProcess:
    return SetupProcess(folder, SLACK_API_URL=slack.api_url, REGISTRAR_PORT=str(free_port()))


def answer_tokens(setup: SetupProcess, slack: LocalSlack, mlflow_server: MlflowServer) -> None:
    setup.answers("MLflow's address", mlflow_server.uri)
    setup.answers("SLACK_BOT_TOKEN (hidden)", slack.bot_token)
    setup.answers("SLACK_APP_TOKEN (hidden)", slack.app_token)


def answer_policy(setup: SetupProcess) -> None:
    setup.answers("Channel for requests", "ml-")
    setup.answers("Who are you in Slack", "bob")
    setup.answers("Who approves promotions", "alice")
    setup.answers("Another one", "")
    setup.answers("Admin", "")


def test_a_workspace_is_set_up_on_a_terminal_and_no_token_is_shown(
    folder: Path, slack: LocalSlack, mlflow_server: MlflowServer
) -> None:
    with setup_in(folder, slack) as setup:
        answer_tokens(setup, slack, mlflow_server)
        answer_policy(setup)
        setup.reads_until("click Approve there.")
        clicks(slack)
        assert setup.ends() == 0
    assert "Setup is complete. Start the bot: registrar run" in setup.screen
    assert (folder / ".env").stat().st_mode & 0o777 == 0o600
    assert slack.bot_token not in setup.screen
    assert slack.app_token not in setup.screen


def test_ctrl_c_keeps_what_is_finished_and_a_second_run_continues_there(
    folder: Path, slack: LocalSlack, mlflow_server: MlflowServer
) -> None:
    with setup_in(folder, slack) as setup:
        answer_tokens(setup, slack, mlflow_server)
        setup.reads_until("Channel for requests: ")
        assert setup.interrupts() == 130
    assert "Stopped. To continue, run: registrar setup" in setup.screen
    assert [path.name for path in folder.iterdir()] == [".env"]
    with SetupProcess(folder) as again:
        assert "hidden" not in again.reads_until("Channel for requests: ")


def test_ctrl_c_at_a_hidden_question_stores_no_token(
    folder: Path, slack: LocalSlack, mlflow_server: MlflowServer
) -> None:
    with setup_in(folder, slack) as setup:
        setup.answers("MLflow's address", mlflow_server.uri)
        setup.reads_until("SLACK_BOT_TOKEN (hidden): ")
        assert setup.interrupts("xoxb-") == 130
    assert (folder / ".env").read_text() == f"MLFLOW_TRACKING_URI={mlflow_server.uri}\n"


def test_a_second_run_asks_nothing(wizard: Wizard, slack: LocalSlack, mlflow_server: MlflowServer) -> None:
    wizard.saves(MLFLOW_TRACKING_URI=mlflow_server.uri, SLACK_API_URL=slack.api_url)
    wizard.saves(SLACK_BOT_TOKEN=slack.bot_token, SLACK_APP_TOKEN=slack.app_token)
    wizard.writes_policy()
    with meanwhile(lambda: clicks(slack)):
        wizard.runs()
    wizard.forgets_its_shell()
    screen = wizard.runs()
    assert wizard.code == 0
    lines = [line for line in screen.splitlines() if not line.startswith("✓ ")]
    assert lines == [
        "Checking everything; this takes a few seconds…",
        "Setup is complete. Start the bot: registrar run",
    ]


def test_without_a_terminal_the_input_can_end(wizard: Wizard) -> None:
    screen = wizard.runs()
    assert wizard.code == 2
    assert screen.endswith("The input ended before setup did. To continue, run registrar setup again.\n")


def test_a_file_that_others_can_read_is_named_before_the_first_question(wizard: Wizard) -> None:
    path = wizard.folder / ".env"
    path.write_text("OTHER=1\n")
    path.chmod(0o644)
    assert wizard.runs() == (
        "Can't store tokens in .env: other users can read it. Make yourself its owner, and run chmod 600 .env.\n"
    )


def test_the_bot_runs_in_that_folder_without_any_variable(
    wizard: Wizard, slack: LocalSlack, mlflow_server: MlflowServer
) -> None:
    wizard.saves(MLFLOW_TRACKING_URI=mlflow_server.uri, SLACK_API_URL=slack.api_url)
    wizard.saves(SLACK_BOT_TOKEN=slack.bot_token, SLACK_APP_TOKEN=slack.app_token)
    wizard.writes_policy()
    with subprocess.Popen(
        [sys.executable, "-m", "handlers", "run"],
        cwd=wizard.folder,
        env=clean_environment(PYTHONPATH=str(ROOT), REGISTRAR_PORT="0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if line.startswith("Registrar is ready: Socket Mode"):
                process.terminate()
    assert "Registrar is ready: Socket Mode" in said

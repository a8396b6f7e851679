"""`registrar setup` on a terminal, from an empty folder to an approved card, against a local workspace."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.policy_file import load_policy
from handlers.terminal.session import current_operator
from localslack import LocalSlack
from tests.support.network.ports import free_port
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.terminal.setup_process import SetupProcess


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder."""
    path = tmp_path / "folder"
    path.mkdir()
    return path


def setup_in(folder: Path, slack: LocalSlack) -> SetupProcess:
    return SetupProcess(folder, SLACK_API_URL=slack.api_url, REGISTRAR_PORT=str(free_port()))


def answer_all(setup: SetupProcess, slack: LocalSlack, mlflow_server: MlflowServer) -> None:
    """Answer every question; bob is at the keyboard, and alice and carol approve."""
    setup.answers("MLflow's address", mlflow_server.uri)
    setup.answers("SLACK_BOT_TOKEN (hidden)", slack.bot_token)
    setup.answers("SLACK_APP_TOKEN (hidden)", slack.app_token)
    setup.answers("Channel for requests", "ml-")
    setup.answers("Who are you in Slack", "bob")
    setup.answers("Who approves promotions", "alice")
    setup.answers("Another one", "okafor")
    setup.answers("Another one", "")
    setup.answers("Admin", "")


def approve(setup: SetupProcess, slack: LocalSlack) -> None:
    setup.reads_until("click Approve there.")
    slack.wait_until_connected()
    bob = slack.person("bob")
    assert bob.clicks(bob.direct_messages()[-1], "Approve").acked


def test_a_workspace_is_set_up_in_one_run(folder: Path, slack: LocalSlack, mlflow_server: MlflowServer) -> None:
    with setup_in(folder, slack) as setup:
        answer_all(setup, slack, mlflow_server)
        approve(setup, slack)
        assert setup.ends() == 0, setup.screen
    print(setup.screen)
    assert slack.bot_token not in setup.screen
    assert slack.app_token not in setup.screen
    assert (folder / ".env").stat().st_mode & 0o777 == 0o600
    policy = load_policy(folder / "registrar.yml")
    assert policy.channel == "C0MLMODELS"
    assert policy.roles == {"lead": ["U0ALICE", "U0CAROL"], "admin": ["U0BOB"]}
    assert policy.operators == {current_operator().name: "U0BOB"}

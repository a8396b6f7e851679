"""`registrar doctor` in this process, and its findings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.doctor.check import DiagnosisState
from handlers.terminal.main import main
from localslack import LocalSlack
from tests.support.network.ports import free_port
from tests.support.terminal.cli_runner import CommandOutput

POLICY = """
channel: "#ml-models"
roles: {lead: [U0BOB], others: [S0LEADS], admin: [U0DAVE]}
models:
  "*": {production: {approvers: [lead, others]}}
  "churn*": {channel: "#churn", production: {approvers: [lead, others]}}
anchor: {channel: "#general"}
"""


class DoctorOutput(CommandOutput):
    """The exit code and findings."""

    def states(self, area: str) -> list[str]:
        """Return the states of an area's findings."""
        return [DiagnosisState(one["state"]).label for one in self.document["findings"] if one["area"] == area]

    def of(self, area: str, state: str) -> str:
        """Return an area's sentences and advice in this state."""
        found = [
            one
            for one in self.document["findings"]
            if (one["area"], DiagnosisState(one["state"]).label) == (area, state)
        ]
        return "\n".join(f"{one['sentence']} → {one['advice']}" for one in found)


RunDoctor = Callable[..., DoctorOutput]


@pytest.fixture
def doctor(
    slack: LocalSlack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mlflow_patience: None,
) -> RunDoctor:
    """Return the command with `--json`, in a folder with a policy and a local Slack; settings are keyword arguments."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "registrar.yml").write_text(POLICY)
    usual = {
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_APP_TOKEN": slack.app_token,
        "SLACK_API_URL": slack.api_url,
        "REGISTRAR_PORT": str(free_port()),
    }

    def run(*words: str, as_json: bool = True, **settings: str) -> DoctorOutput:
        for name, value in (usual | settings).items():
            monkeypatch.setenv(name, value)
        code = main(["doctor", *words, *(["--json"] if as_json else [])])
        printed = capsys.readouterr()
        return DoctorOutput(code, printed.out, printed.err)

    return run

"""`registrar mcp` over stdio: on the bot's machine it works on the ledger, and elsewhere it asks the bot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.app.app_fixture import RunningApp
from tests.support.mcp.agent import TestAgent
from tests.support.network.ports import free_port
from tests.support.terminal.cli_runner import CliRunner

POLICY = """
channel: "#ml-models"
clients: {agents: {token_env: AGENTS_TOKEN, may: [read, request]}}
models: {"*": {production: {approvers: [U0BOB, U0CAROL]}}}
"""


@pytest.fixture
def environ(tmp_path: Path) -> Mapping[str, str]:
    """Return the settings of a bot on this machine, whose MLflow has no models, and an agent's token."""
    (tmp_path / "registrar.yml").write_text(POLICY, encoding="utf-8")
    return {
        "REGISTRAR_HOME": str(tmp_path),
        "REGISTRAR_POLICY": str(tmp_path / "registrar.yml"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "AGENTS_TOKEN": "agents-secret",
        "REGISTRAR_TOKEN": "agents-secret",
    }


class TestOnTheBotsMachine:
    def test_it_works_on_the_ledger(self, environ: Mapping[str, str]) -> None:
        agent = TestAgent(environ=environ)
        assert agent.call("find") == {"models": [], "all": 0, "page": 1}
        error = agent.refused("request_promotion", model="churn", version=1, to="production")
        assert (error["code"], error["message"]) == ("UnknownModel", "MLflow has no model “churn”.")

    def test_the_token_must_be_a_client_s(self, environ: Mapping[str, str]) -> None:
        error = TestAgent(environ={**environ, "REGISTRAR_TOKEN": "wrong"}).refused("find")
        assert (error["code"], error["message"]) == (
            "Unauthorized",
            "This token doesn't belong to a client in the policy.",
        )

    def test_without_a_token_it_says_which_variable_to_set(self, registrar: CliRunner) -> None:
        result = registrar("mcp")
        assert (result.code, result.out) == (2, "")
        assert result.err == "Set REGISTRAR_TOKEN to the token of a client in the policy.\n"

    def test_without_its_package_it_says_what_to_install(
        self, registrar: CliRunner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("handlers.mcp.is_installed", lambda: False)
        result = registrar("mcp")
        assert (result.code, result.err) == (2, "MCP needs a package. Install registrar-bot[mcp].\n")


class TestElsewhere:
    def test_a_wrong_token_is_refused_with_the_bot_s_sentence(self, app: RunningApp) -> None:
        agent = TestAgent(environ={"REGISTRAR_URL": app.service.address, "REGISTRAR_TOKEN": "wrong"})
        with pytest.raises(Exception, match="This token doesn't belong to a client in the policy"):
            agent.tools()

    def test_a_bot_that_does_not_respond_is_named(self) -> None:
        url = f"http://127.0.0.1:{free_port()}"
        agent = TestAgent(environ={"REGISTRAR_URL": url, "REGISTRAR_TOKEN": "any"})
        with pytest.raises(Exception, match=f"The bot isn't responding at {url}/mcp"):
            agent.tools()

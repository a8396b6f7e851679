"""The MCP Inspector, a client that isn't ours or the SDK's, lists and calls each tool, over HTTP and over stdio."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from handlers.mcp.catalog import TOOLS
from tests.support.mcp.agent import TestAgent
from tests.support.paths import ROOT
from tests.support.waiting import PATIENCE

JSON = dict[str, Any]
PACKAGES = ROOT / "tests" / "support" / "mcp" / "inspector"
ARGUMENTS: dict[str, JSON] = {
    "find": {},
    "show": {"model": "churn"},
    "compare": {"model": "churn", "versions": ["3", "4"]},
    "best": {"model": "churn", "metric": "accuracy"},
    "validate": {"model": "churn", "version": "4"},
    "explain_gate": {"model": "churn", "version": "5", "gate": "accuracy"},
    "history": {"model": "churn"},
    "evidence": {"model": "churn", "control": "soc2:CC8.1", "since": "2026-01-01", "until": "2026-01-31"},
    "request_promotion": {"model": "churn", "version": "4", "to": "production", "reason": "More accurate."},
    "wait": {"timeout": 0},  # and the request's ID
    "propose_monitor": {
        "model": "churn",
        "name": "accuracy",
        "rule": "threshold",
        "source": "mlflow",
        "less_than": 0.8,
        "reason": "Watch it.",
    },
}

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("way", ["http", "stdio"])]


@pytest.fixture(scope="module")
def program() -> list[str]:
    """Return the command that starts the Inspector, with the Node.js that it takes; skip without its packages."""
    if shutil.which("npm") is None:
        pytest.skip("The MCP Inspector takes npm. To have this tested: apt-get install nodejs npm")
    install = [ROOT / "scripts" / "install-npm", PACKAGES]
    installed = subprocess.run(install, text=True, capture_output=True, check=False)
    if installed.returncode:
        why = installed.stderr.partition("\n")[0]
        pytest.skip(f"npm could not fetch the MCP Inspector: {why}")
    folder = Path(installed.stdout.strip())
    node = next(folder.glob("node-linux-*/bin/node"), None)
    if node is None:
        pytest.skip("The lock has a Node.js for the MCP Inspector only for Linux on x64 and arm64")
    return [str(node), str(folder / "@modelcontextprotocol/inspector/clients/launcher/build/index.js"), "--cli"]


class Inspector:
    """Runs the Inspector's command line as an agent of a bot."""

    def __init__(self, program: list[str], way: str, agent: TestAgent, home: Path) -> None:
        self._program, self._home = program, home
        if way == "http":
            self._server = ["--header", f"Authorization: Bearer {agent.token}", "--server-url", f"{agent.url}/mcp"]
        else:
            settings = {"REGISTRAR_URL": agent.url, "REGISTRAR_TOKEN": agent.token, "PYTHONPATH": str(ROOT)}
            given = [word for name, value in settings.items() for word in ("-e", f"{name}={value}")]
            self._server = [*given, "--", sys.executable, "-m", "registrar", "mcp"]

    def run(self, method: str, *options: str) -> JSON:
        """Call a method, and return its result. The Inspector must find no error."""
        ask = [*self._program, "--method", method, *options, "--format", "json", *self._server]
        environ = {"HOME": str(self._home), "PATH": os.environ["PATH"]}
        done = subprocess.run(
            ask, cwd=self._home, env=environ, text=True, capture_output=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr
        result: JSON = json.loads(done.stdout)["result"]
        return result


@pytest.fixture
def inspector(way: str, program: list[str], agent: TestAgent, tmp_path: Path) -> Inspector:
    return Inspector(program, way, agent, tmp_path)


def test_the_inspector_lists_the_tools_and_finds_no_error_in_their_schemas(inspector: Inspector) -> None:
    result = inspector.run("tools/list", "--strict")
    assert [tool["name"] for tool in result["tools"]] == list(TOOLS)


def test_the_inspector_gets_what_the_official_client_gets_from_each_tool(
    inspector: Inspector, agent: TestAgent
) -> None:
    request = agent.call("request_promotion", **ARGUMENTS["request_promotion"])["id"]
    given = {
        name: arguments | ({"request": request} if name == "wait" else {}) for name, arguments in ARGUMENTS.items()
    }
    expected = {name: agent.call(name, **given[name]) for name in TOOLS}
    results = {
        name: inspector.run("tools/call", "--tool-name", name, "--tool-args-json", json.dumps(given[name]))
        for name in TOOLS
    }
    assert {name: result["structuredContent"]["data"] for name, result in results.items()} == expected

"""The measured programs, each in a separate process, and the payloads that a simulated Slack sends them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from benchmarks.app.load import Poster
from benchmarks.app.simulated_slack import TEAM, BenchSlack, Payload

ROOT = Path(__file__).parent.parent.parent
POLICY = 'roles: {lead: [U0LEAD]}\nmodels: {"*": {production: {approvers: [lead], required: %d}}}\n'

Measure = Callable[[list[Payload], int, bool], list[float]]


def command(slack_url: str, text: str, user: str = "U0ASKER") -> Payload:
    payload = {
        "token": "t",
        "team_id": TEAM,
        "team_domain": "bench",
        "channel_id": "C0BENCH",
        "channel_name": "bench",
        "user_id": user,
        "user_name": "asker",
        "command": "/model",
        "text": text,
        "api_app_id": "A0",
        "is_enterprise_install": "false",
        "trigger_id": uuid.uuid4().hex,
        "response_url": f"{slack_url}/answer/{uuid.uuid4().hex}",
    }
    return "slash_commands", payload


def click(slack: BenchSlack, request_id: str) -> Payload:
    action = {
        "type": "button",
        "action_id": "request_approve",
        "block_id": "b",
        "value": request_id,
        "action_ts": "1.1",
    }
    payload = {
        "type": "block_actions",
        "api_app_id": "A0",
        "token": "t",
        "trigger_id": uuid.uuid4().hex,
        "user": {"id": "U0LEAD", "username": "lead", "team_id": TEAM},
        "team": {"id": TEAM, "domain": "bench"},
        "channel": {"id": "C0BENCH", "name": "bench"},
        "container": {"type": "message"},
        "enterprise": None,
        "is_enterprise_install": False,
        "actions": [action],
        "response_url": f"{slack.url}/answer/{uuid.uuid4().hex}",
    }
    return "interactive", payload


@contextmanager
def bare_bolt(slack: BenchSlack, way: str, ledger: Path) -> Iterator[Measure]:
    """Run bare Bolt in a separate process; a click commits its vote to the SQLite file `ledger`."""
    port = _free_port() if way == "HTTP" else 0
    slack.forget_sockets()
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "benchmarks.app.bare", str(port), str(ledger)], env=_environment(slack), cwd=ROOT
    )
    try:
        yield sender(slack, way, port)
    finally:
        end(process)


@contextmanager
def registrar(slack: BenchSlack, home: Path, way: str, **settings: Any) -> Iterator[Measure]:
    """Run `registrar run` in a separate process; for the settings, see `start_registrar`."""
    process, port = start_registrar(slack, home, way, **settings)
    try:
        yield sender(slack, way, port)
    finally:
        end(process)


def start_registrar(
    slack: BenchSlack,
    home: Path,
    way: str,
    *,
    approvals: int = 2,
    pace: int = 0,
    registry: str = "",
    policy: str = "",
    log: Path | None = None,
) -> tuple[subprocess.Popen[str], int]:
    """Start it, and return when it reports that it's ready.

    `approvals` is how many a promotion needs, `pace` the seconds between two posts in a channel, and `registry` the
    address of an MLflow server; by default, the registry is a SQLite file. `policy` is appended to the policy file, and
    the log is written to `log`.
    """
    home.mkdir(parents=True, exist_ok=True)
    (home / "registrar.yml").write_text(POLICY % approvals + policy, encoding="utf-8")
    port = _free_port()
    slack.forget_sockets()
    extra = {"SLACK_SIGNING_SECRET": "bench"} if way == "HTTP" else {"SLACK_APP_TOKEN": "xapp-bench"}
    process = subprocess.Popen(
        [sys.executable, "-m", "handlers", "run"],
        env=_environment(slack)
        | extra
        | {
            "SLACK_BOT_TOKEN": "xoxb-bench",
            "REGISTRAR_HOME": str(home),
            "REGISTRAR_PORT": str(port),
            "REGISTRAR_POLICY": str(home / "registrar.yml"),
            "REGISTRAR_SLACK_PACE": str(pace),
        }
        | ({"MLFLOW_TRACKING_URI": registry} if registry else {}),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=log.open("wb") if log else subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "ready" in line:
            return process, port
    raise RuntimeError("registrar run ended before it was ready")


def sender(slack: BenchSlack, way: str, port: int) -> Measure:
    if way == "Socket Mode":
        send = slack.wait_for_socket()
        return lambda payloads, at_once, patient: slack.people(payloads, at_once, send, patient=patient)
    _wait_for_port(port)
    url = f"http://127.0.0.1:{port}/slack/events"
    return lambda payloads, at_once, patient: slack.people(payloads, at_once, Poster(url, form), patient=patient)


def form(one: Payload) -> bytes:
    kind, payload = one
    fields = payload if kind == "slash_commands" else {"payload": json.dumps(payload)}
    return urlencode(fields).encode()


def _environment(slack: BenchSlack) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SLACK_", "REGISTRAR_", "MLFLOW_"))}
    return clean | {"SLACK_API_URL": f"{slack.url}/api/", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"nothing listens on port {port}")


def end(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()

"""Run all or the given benchmarks, and print docs/benchmarks.md's tables; `--write` updates that page."""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil

from benchmarks.audit import verifying
from benchmarks.compare import comparing
from benchmarks.load import Poster
from benchmarks.monitors import monitoring
from benchmarks.pages import paging
from benchmarks.rollback import rolling
from benchmarks.slack import TEAM, BenchSlack, Payload
from benchmarks.terminal import typing
from benchmarks.workers import working
from bot.domain.core.actors import Person
from bot.domain.promotions.request import Request
from bot.domain.registry.model import Stage
from bot.ledger.database import SqlLedger

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
POLICY = 'roles: {lead: [U0LEAD]}\nmodels: {"*": {production: {approvers: [lead], required: 2}}}\n'
AT_ONCE = (1, 32)
LOOKUPS, DECISIONS, WARMUP = 600, 400, 60  # measured acknowledgements, and those before them for warming up


@dataclass(frozen=True)
class Figures:
    """Seconds to the acknowledgement: the median and the 99th percentile."""

    p50: float
    p99: float

    def __str__(self) -> str:
        return f"{self.p50 * 1000:.2f} / {self.p99 * 1000:.1f}"


def main() -> None:
    """Run all or the given benchmarks, print the results, and update the page if asked to."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"only {' or '.join(PARTS)}")
    parser.add_argument("--write", action="store_true", help=f"write the tables to {PAGE.name}")
    told = parser.parse_args()
    if unknown := set(told.parts) - PARTS.keys():
        parser.error(f"unknown part {' '.join(unknown)}")
    for part in told.parts or PARTS:
        machine = _machine()
        with tempfile.TemporaryDirectory() as folder:
            text = f"{machine}\n\n{PARTS[part](Path(folder))}"
        print(text, end="\n\n")
        if told.write:
            write(part, text)


def write(part: str, text: str) -> None:
    """Replace a part's results on the page."""
    mark = f"<!-- figures: {part} -->"
    before, found, after = PAGE.read_text(encoding="utf-8").partition(mark)
    _, _, tail = after.partition("<!-- end -->")
    assert found, f"{PAGE.name} has no {mark}"
    PAGE.write_text(f"{before}{mark}\n{text}\n<!-- end -->{tail}", encoding="utf-8")


def answering(folder: Path) -> str:
    """Return the tables of acknowledgements and of the startup."""
    with BenchSlack() as slack:
        return f"{acknowledgements(slack, folder)}\n\n{start_and_memory(slack, folder)}"


def auditing(folder: Path) -> str:
    """Return the tables of verifying the audit log and of its pages."""
    return f"{verifying(folder)}\n\n{paging(folder)}"


PARTS: dict[str, Callable[[Path], str]] = {
    "slack": answering,
    "compare": comparing,
    "audit": auditing,
    "rollback": rolling,
    "monitors": monitoring,
    "terminal": typing,
    "workers": working,
}


# -- acknowledgements --------------------------------------------------------------------------------------------------

Measure = Callable[[list[Payload], int, bool], list[float]]

HEAD = ["concurrent", "bare Bolt", "lookup", "ratio of p50", "lookup, impatient", "ratio of p50", "decision"]


def acknowledgements(slack: BenchSlack, folder: Path) -> str:
    """Return the table of acknowledgement times: bare Bolt, lookups, and decisions, over HTTP and Socket Mode."""
    rows = ["| way | " + " | ".join(HEAD) + " |", "|---" * (len(HEAD) + 1) + "|"]
    for way in ("HTTP", "Socket Mode"):
        with bare_bolt(slack, way) as send:
            bare = {at_once: _lookups(slack, send, at_once, patient=False) for at_once in AT_ONCE}
        home = folder / way.replace(" ", "-")
        requests = pending_requests(home, len(AT_ONCE) * DECISIONS)
        with registrar(slack, home, way) as send:
            rows += [f"| {way} | {_row(slack, send, at_once, bare[at_once], requests)} |" for at_once in AT_ONCE]
    return "Milliseconds to the acknowledgment, p50 / p99:\n\n" + "\n".join(rows)


def _row(slack: BenchSlack, send: Measure, at_once: int, bare: Figures, requests: Iterator[str]) -> str:
    lookup = _lookups(slack, send, at_once, patient=True)
    clicks = [_click(slack, next(requests)) for _ in range(DECISIONS)]
    decision = measure(send, clicks, at_once, patient=True)
    impatient = _lookups(slack, send, at_once, patient=False)
    ratios = [f"{each.p50 / bare.p50:.1f} ×" for each in (lookup, impatient)]
    return " | ".join(str(cell) for cell in (at_once, bare, lookup, ratios[0], impatient, ratios[1], decision))


def _lookups(slack: BenchSlack, send: Measure, at_once: int, *, patient: bool) -> Figures:
    return measure(send, [_command(slack, "list") for _ in range(LOOKUPS)], at_once, patient=patient)


def measure(send: Measure, payloads: list[Payload], at_once: int, *, patient: bool) -> Figures:
    """Send a few payloads to warm up, then the rest, and return their times."""
    send(payloads[:WARMUP], at_once, patient)
    seconds = send(payloads[WARMUP:], at_once, patient)
    return Figures(statistics.median(seconds), statistics.quantiles(seconds, n=100)[98])


def _command(slack: BenchSlack, text: str) -> Payload:
    payload = {
        "token": "t",
        "team_id": TEAM,
        "team_domain": "bench",
        "channel_id": "C0BENCH",
        "channel_name": "bench",
        "user_id": "U0ASKER",
        "user_name": "asker",
        "command": "/model",
        "text": text,
        "api_app_id": "A0",
        "is_enterprise_install": "false",
        "trigger_id": uuid.uuid4().hex,
        "response_url": f"{slack.url}/answer/{uuid.uuid4().hex}",
    }
    return "slash_commands", payload


def _click(slack: BenchSlack, request_id: str) -> Payload:
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


def pending_requests(home: Path, number: int) -> Iterator[str]:
    """Create this many requests in a new ledger, each for its own model, and return their ids."""
    ledger = SqlLedger(f"sqlite:///{home / 'ledger.db'}")
    ledger.migrate()
    now = datetime.now(UTC)
    ids = [f"rbench{number:05d}" for number in range(number)]
    with ledger.write() as tx:
        for request_id in ids:
            tx.add_request(
                Request(
                    id=request_id,
                    model=request_id,
                    version=1,
                    from_stage=Stage.NONE,
                    target=Stage.PRODUCTION,
                    incumbent=None,
                    requester=Person(TEAM, "U0ASKER"),
                    reason="",
                    required=2,
                    opened_at=now,
                    expires_at=now + timedelta(days=1),
                )
            )
    ledger.close()
    return iter(ids)


# -- the programs ------------------------------------------------------------------------------------------------------


@contextmanager
def bare_bolt(slack: BenchSlack, way: str) -> Iterator[Measure]:
    """Run bare Bolt in a separate process."""
    port = _free_port() if way == "HTTP" else 0
    slack.forget_sockets()
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "benchmarks.bare", str(port)], env=_environment(slack), cwd=ROOT
    )
    try:
        yield _sender(slack, way, port)
    finally:
        _end(process)


@contextmanager
def registrar(slack: BenchSlack, home: Path, way: str) -> Iterator[Measure]:
    """Run `registrar run` in a separate process, with a SQLite ledger and a SQLite registry."""
    process, port = start_registrar(slack, home, way)
    try:
        yield _sender(slack, way, port)
    finally:
        _end(process)


def start_registrar(slack: BenchSlack, home: Path, way: str) -> tuple[subprocess.Popen[str], int]:
    """Start it, and return when it reports that it's ready."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "registrar.yml").write_text(POLICY, encoding="utf-8")
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
            "REGISTRAR_SLACK_PACE": "0",
        },
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "ready" in line:
            return process, port
    raise RuntimeError("registrar run ended before it was ready")


def _sender(slack: BenchSlack, way: str, port: int) -> Measure:
    if way == "Socket Mode":
        slack.wait_for_socket()
        return lambda payloads, at_once, patient: slack.people(payloads, at_once, slack.send, patient=patient)
    _wait_for_port(port)
    url = f"http://127.0.0.1:{port}/slack/events"
    return lambda payloads, at_once, patient: slack.people(payloads, at_once, Poster(url, _form), patient=patient)


def _form(one: Payload) -> bytes:
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


def _end(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()


# -- start-up and memory -----------------------------------------------------------------------------------------------


def start_and_memory(slack: BenchSlack, folder: Path) -> str:
    """Return the table of startup time and memory, compared with importing MLflow and bare Bolt."""
    home = folder / "start"
    first, _ = _start(slack, home)
    later = [_start(slack, home) for _ in range(3)]
    again = statistics.median(seconds for seconds, _ in later)
    memory = statistics.median(size for _, size in later)
    imports = statistics.median(_import_mlflow() for _ in range(3))
    return "\n".join(
        [
            "| | |",
            "|---|---|",
            f"| `import mlflow` alone | {imports:.1f} s |",
            f"| `registrar run` until ready, first start (creates the tables) | {first:.1f} s |",
            f"| `registrar run` until ready, later starts | {again:.1f} s, {again / imports:.2f} × the import |",
            f"| memory after the registry was read | {memory:.0f} MB |",
        ]
    )


def _start(slack: BenchSlack, home: Path) -> tuple[float, float]:
    began = time.perf_counter()
    process, port = start_registrar(slack, home, "HTTP")
    seconds = time.perf_counter() - began
    send = _sender(slack, "HTTP", port)
    send([_command(slack, "list")], 1, True)  # its answer arrives after MLflow is loaded
    size = psutil.Process(process.pid).memory_info().rss / 2**20
    _end(process)
    return seconds, size


def _import_mlflow() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import mlflow"], check=True)
    return time.perf_counter() - began


def _machine() -> str:
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    cores = os.cpu_count()
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"Measured on {day}: {cores} cores, {machine}; load average before: {os.getloadavg()[0]:.1f}."


if __name__ == "__main__":
    main()

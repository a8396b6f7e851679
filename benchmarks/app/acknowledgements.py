"""Times to the acknowledgement, compared with bare Bolt; and the startup and memory."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from benchmarks.app.programs import Measure, bare_bolt, click, command, end, registrar, sender, start_registrar
from benchmarks.app.simulated_slack import TEAM, BenchSlack, Payload
from bot.domain.core.actors import Person
from bot.domain.promotions.request import Request
from bot.domain.registry.model import Stage
from bot.ledger.database import SqlLedger

AT_ONCE = (1, 32)
LOOKUPS, DECISIONS, WARMUP = 600, 400, 60  # measured acknowledgements, and those before them for warming up


@dataclass(frozen=True)
class Figures:
    """Seconds to the acknowledgement: the median and the 99th percentile."""

    p50: float
    p99: float

    def __str__(self) -> str:
        return f"{self.p50 * 1000:.2f} / {self.p99 * 1000:.1f}"


def answering(folder: Path) -> str:
    """Return the tables of acknowledgements and of the startup."""
    with BenchSlack() as slack:
        return f"{acknowledgements(slack, folder)}\n\n{start_and_memory(slack, folder)}"


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
    clicks = [click(slack, next(requests)) for _ in range(DECISIONS)]
    decision = measure(send, clicks, at_once, patient=True)
    impatient = _lookups(slack, send, at_once, patient=False)
    ratios = [f"{each.p50 / bare.p50:.1f} ×" for each in (lookup, impatient)]
    return " | ".join(str(cell) for cell in (at_once, bare, lookup, ratios[0], impatient, ratios[1], decision))


def _lookups(slack: BenchSlack, send: Measure, at_once: int, *, patient: bool) -> Figures:
    return measure(send, [command(slack.url, "list") for _ in range(LOOKUPS)], at_once, patient=patient)


def measure(send: Measure, payloads: list[Payload], at_once: int, *, patient: bool) -> Figures:
    """Send a few payloads to warm up, then the rest, and return their times."""
    send(payloads[:WARMUP], at_once, patient)
    seconds = send(payloads[WARMUP:], at_once, patient)
    return Figures(statistics.median(seconds), statistics.quantiles(seconds, n=100)[98])


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
    send = sender(slack, "HTTP", port)
    send([command(slack.url, "list")], 1, True)  # its answer arrives after MLflow is loaded
    size = psutil.Process(process.pid).memory_info().rss / 2**20
    end(process)
    return seconds, size


def _import_mlflow() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import mlflow"], check=True)
    return time.perf_counter() - began

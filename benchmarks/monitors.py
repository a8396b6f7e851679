"""A thousand monitors on one machine, in a separate process, and the time of their queries to a real `mlflow server`.

`python -m benchmarks.monitors FOLDER MINUTES` is that process.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from benchmarks.report import Report
from benchmarks.ways import WORKERS, Way, be_patient, in_turns, sent, table, verdict, without_registrar
from bot.bootstrap.build import build_registrar
from bot.bootstrap.storage import open_ledger, open_registry
from bot.domain.monitoring.monitor import Monitor
from bot.domain.monitoring.readings import Answer, Measurement, PushedReading
from bot.domain.policy.parser import validate_policy
from bot.domain.registry.model import Stage
from bot.ledger.database import SqlLedger
from bot.ports import NO_DIRECTORY, DeliveryOutcome, DeliveryResult, Ledger, MessageRef, OutboxMessage, Query
from bot.registry.mlflow.registry import MlflowRegistry
from bot.services.core.context import ActivePolicy
from bot.settings import Settings
from bot.sources.mlflow import MlflowSource
from handlers.scheduled_jobs import build_scheduler
from tests.support.registry.mlflow_process import mlflow_subprocess
from tests.support.registry.registries import MlflowBackend

MODELS, EACH = 50, 20  # a thousand monitors
EVERY = 60  # seconds
MINUTES = float(os.environ.get("MINUTES", "3"))
DELAY_AIM, PLAIN_AIM = 1_000, 12  # milliseconds; × faster than the loop
ROUNDS = 5
METRICS = [f"metric_{number}" for number in range(EACH)]
NAMES = [f"model-{number}" for number in range(MODELS)]
POLICY: dict[str, Any] = {
    "channel": "#ml-models",
    "models": {
        "model-*": {
            "monitors": [
                {
                    "name": name,
                    "source": "push",
                    "greater_than": 0.85,
                    "every": f"{EVERY}s",
                    "warmup": "0s",
                    "action": "notify",
                }
                for name in METRICS
            ]
        }
    },
}


def monitoring(folder: Path) -> Report:
    """Return the tables of a thousand monitors, and of querying MLflow for fifty models."""
    be_patient()
    database = f"sqlite:///{folder / 'mlflow.db'}"
    with closing(MlflowBackend(database, str(folder / "files"))) as shelf:
        for name in NAMES:
            shelf.add_model(name)
            run = shelf.add_run(metrics=dict.fromkeys(METRICS, 0.9))
            shelf.add_version(name, run_id=run, stage=Stage.PRODUCTION)
    watched, asked = _watching(folder), _asking(folder, database)
    return Report(f"{watched.text}\n\n{asked.text}", {**watched.figures, **asked.figures})


# -- a thousand monitors -----------------------------------------------------------------------------------------------


def _watching(folder: Path) -> Report:
    ledger = SqlLedger(f"sqlite:///{folder / 'ledger.db'}")
    ledger.migrate()
    stop = threading.Event()
    pushing = threading.Thread(target=_push, args=[ledger, stop])
    pushing.start()
    try:
        command = [sys.executable, "-m", "benchmarks.monitors", str(folder), str(MINUTES)]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603 - our own module
    finally:
        stop.set()
        pushing.join()
        ledger.close()
    found = json.loads(said.splitlines()[-1])
    return Report(
        _told(found),
        {
            "monitors missed": found["missed"],
            "monitors, delay, p99, ms": found["p99"] * 1000,
            "monitors, CPU, % of a core": found["cpu"] * 100,
            "monitors, memory, MB": found["memory"],
            "monitors, all overdue, s": found["overdue"],
        },
    )


def _push(ledger: SqlLedger, stop: threading.Event) -> None:
    """Push every metric of each model once a minute, one model after the other, as serving programs do."""
    for name in itertools.cycle(NAMES):
        _push_of(ledger, [name])
        if stop.wait(EVERY / MODELS):
            return


def _push_of(ledger: Ledger, names: list[str]) -> None:
    now = datetime.now(UTC)
    with ledger.write() as tx:
        tx.add_readings(
            [
                PushedReading(
                    source="push",
                    model=name,
                    version=0,
                    metric=metric,
                    at=now,
                    value=0.9,
                    received_at=now,
                    client="serve",
                )
                for name in names
                for metric in METRICS
            ]
        )


def watch(folder: Path, minutes: float) -> dict[str, float]:
    """Run Registrar's own jobs for this long, and return the results of the checks. Slack is left out."""
    settings = Settings(REGISTRAR_HOME=folder, REGISTRAR_POLICY=folder / "none.yml")
    ledger, rules = open_ledger(settings), ActivePolicy(validate_policy(POLICY))
    registrar = build_registrar(
        settings, rules, ledger=ledger, registry=open_registry(settings), notifier=Silence(), directory=NO_DIRECTORY
    )
    registrar.poll_registry()  # now the versions in Production are known, and each model has the policy's monitors
    _push_of(ledger, NAMES)
    found = {"overdue": _all_at_once(ledger, registrar.monitoring.tick)}
    begun = _spread(ledger)
    scheduler = build_scheduler(registrar, settings)
    scheduler.start()
    process, cpu, clock = psutil.Process(), time.process_time(), time.monotonic()
    time.sleep(minutes * 60)
    found |= {
        "cpu": (time.process_time() - cpu) / (time.monotonic() - clock),
        "memory": process.memory_info().rss / 2**20,
    }
    scheduler.shutdown()
    registrar.close()
    return found | _delays(SqlLedger(settings.ledger_url), begun + timedelta(minutes=minutes))


def _all_at_once(ledger: Ledger, tick: Callable[[], int]) -> float:
    """Return the seconds that a thousand overdue checks take, as after a long stop."""
    _move_all(ledger, lambda number: 0.0)
    began = time.monotonic()
    tick()
    for thread in threading.enumerate():
        if thread.name.startswith("checks of"):
            thread.join()
    return time.monotonic() - began


def _spread(ledger: Ledger) -> datetime:
    """Spread the next checks over the interval, like those of monitors that were added over time."""
    return _move_all(ledger, lambda number: EVERY * number / (MODELS * EACH))


def _move_all(ledger: Ledger, later: Callable[[int], float]) -> datetime:
    now = datetime.now(UTC)
    with ledger.write() as tx:
        for number, standing in enumerate(tx.monitor_states().values()):
            tx.save_monitor_state(replace(standing, next_at=now + timedelta(seconds=later(number))))
    return now


def _delays(ledger: SqlLedger, end: datetime) -> dict[str, float]:
    """Return how many checks were due, how many of them were missed, and how late the others were.

    The ledger stores when each check was evaluated, slightly later than when it started.
    """
    delays: list[float] = []
    missed = 0
    with closing(ledger), ledger.read() as reading:
        for monitor in reading.monitors():
            checks = reading.measurements(monitor.id, limit=1000)[::-1]
            if any(one.value is None for one in checks):
                raise RuntimeError(f"{monitor.id} found no reading")
            late = _late(monitor, checks, end)
            delays += [delay for delay in late if delay is not None]
            missed += late.count(None)
    centiles = statistics.quantiles(delays, n=100)
    return {
        "due": len(delays) + missed,
        "missed": missed,
        "p50": centiles[49],
        "p99": centiles[98],
        "most": max(delays),
    }


def _late(monitor: Monitor, checks: list[Measurement], end: datetime) -> list[float | None]:
    """Return how late each check after one of ours was, in seconds, or None if it's still due at the end."""
    if len(checks) < 2:
        return [None]
    found: list[float | None] = []
    for before, after in zip(checks[1:], [*checks[2:], None], strict=True):  # we set the first one's time
        due = monitor.next_check_at(before.at, before.slot)
        if after is not None:
            found.append((after.at - due).total_seconds())
        elif due < end - timedelta(seconds=5):
            found.append(None)
    return found


def _told(found: dict[str, float]) -> str:
    p99 = found["p99"] * 1000
    return table(
        [f"{MODELS * EACH:,} monitors every {EVERY} s, for {MINUTES:g} minutes", ""],
        ["checks due", f"{found['due']:,.0f}"],
        ["missed", f"{found['missed']:.0f}{verdict(0, '≤', found['missed'])}"],
        [
            "delay, p50 / p99 / max",
            f"{found['p50'] * 1000:.0f} / {p99:.0f} / {found['most'] * 1000:.0f} ms"
            f"{verdict(DELAY_AIM, '≤', p99, ' ms at the p99')}",
        ],
        ["CPU", f"{found['cpu']:.0%} of one core"],
        ["resident memory, including MLflow's client", f"{found['memory']:.0f} MB"],
        ["all checks overdue at once", f"checked within {found['overdue']:.1f} s"],
    )


class Silence:
    """A `Notifier` that delivers nothing."""

    def deliver(self, outbox_message: OutboxMessage) -> DeliveryResult:
        """Report the message as delivered."""
        return DeliveryResult(DeliveryOutcome.DELIVERED)

    def channel_id(self, name: str) -> str:
        """Return the name."""
        return name

    def delete_message(self, message_ref: MessageRef) -> None:
        """Do nothing."""


# -- the metrics of fifty models ---------------------------------------------------------------------------------------


def _asking(folder: Path, database: str) -> Report:
    rows, figures = [], {}
    for server, workers in WORKERS.items():
        with mlflow_subprocess(database, folder / "files", workers) as uri:
            source = MlflowSource(mlflow := MlflowRegistry(uri), mlflow.tracker)
            ways: dict[str, Way] = {"ours": partial(_read, source), "plain": partial(plain, uri)}
            counts = []
            for way in ways.values():
                way()
                with sent() as requests_sent:
                    way()
                counts.append(len(requests_sent))
            taken = in_turns(ways, ROUNDS)
        ratio = taken["plain"] / taken["ours"]
        figures[f"metrics of {MODELS} models ÷ plain, --workers {workers}"] = 1 / ratio
        rows.append(
            [
                server,
                f"{ratio:.0f} ×{verdict(PLAIN_AIM, '≥', ratio)}",
                f"{counts[0]} and {counts[1]}",
                f"{taken['plain'] * 1000:,.0f}, {taken['ours'] * 1000:,.1f}",
            ]
        )
    head = ["`mlflow server`", "plain ÷ Registrar", "requests, Registrar and plain", "ms: plain, Registrar"]
    text = f"The Production metrics of {MODELS} models, {EACH} metrics each:\n\n{table(head, *rows)}"
    return Report(text, figures)


def _read(source: MlflowSource) -> list[Answer]:
    now = datetime.now(UTC)
    return source.read(
        [
            Query(monitor="", source="mlflow", model=name, version=1, query=metric, since=now, until=now)
            for name in NAMES
            for metric in METRICS
        ]
    )


def plain(uri: str) -> dict[str, dict[str, float]]:
    """Query as people do: the Production version of each model, and then its run."""
    from mlflow import MlflowClient  # noqa: PLC0415 - takes seconds

    client: Any = MlflowClient(uri, uri)
    found = {}
    with without_registrar(), warnings.catch_warnings(action="ignore", category=FutureWarning):
        for name in NAMES:
            [version] = client.get_latest_versions(name, ["Production"])
            found[name] = client.get_run(version.run_id).data.metrics
    return found


if __name__ == "__main__":
    print(json.dumps(watch(Path(sys.argv[1]), float(sys.argv[2]))))

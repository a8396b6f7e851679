"""The memory and CPU time of `registrar run` while nothing happens but the checks of a hundred monitors."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import psutil

from benchmarks.app.programs import end, start_registrar
from benchmarks.app.simulated_slack import BenchSlack
from benchmarks.report import Report
from benchmarks.ways import be_patient, table, verdict
from bot.domain.core.actors import Person
from bot.domain.monitoring.monitor import Monitor, MonitorState
from bot.domain.monitoring.readings import PushedReading
from bot.domain.policy.monitor_config import MonitorConfig
from bot.domain.registry.model import Stage
from bot.ledger.database import SqlLedger
from tests.support.registry.mlflow_process import mlflow_subprocess
from tests.support.registry.registries import MlflowBackend

MODELS, EACH = 10, 10  # a hundred monitors
EVERY = 60  # seconds between two checks of a monitor
SETTLING = 90.0  # seconds until everything has been checked and polled once
MINUTES = 3
MEMORY_AIM, CPU_AIM = 60.0, 1.0  # MB above the imports; percent of a core
METRICS = [f"metric_{number}" for number in range(EACH)]
NAMES = [f"model-{number}" for number in range(MODELS)]
# What a process needs while it's idle: no charts, no data frames.
IMPORTS = """
from bot.registry.light_import import importing_lightly, leave_out_data_libraries
leave_out_data_libraries()
with importing_lightly():
    import mlflow.tracking._model_registry.client, mlflow.tracking._tracking_service.client
import alembic, apscheduler.schedulers.background, cryptography.x509, fastapi, httpx2, jinja2, joserfc.jwt, numpy
import prometheus_client, pydantic_settings, slack_bolt.adapter.socket_mode, slack_bolt.adapter.starlette.handler
import sqlalchemy.dialects.sqlite, structlog, uvicorn.protocols.http.h11_impl, yaml
import psutil
print(psutil.Process().memory_info().rss / 2**20)
"""


def idling(folder: Path) -> Report:
    """Return the table of an idle process: its memory, that of its imports alone, and its CPU time."""
    be_patient()
    database = f"sqlite:///{folder / 'mlflow.db'}"
    with closing(MlflowBackend(database, str(folder / "files"))) as shelf:
        for name in NAMES:
            shelf.add_model(name)
            shelf.add_version(name, run_id=shelf.add_run(metrics={"accuracy": 0.9}), stage=Stage.PRODUCTION)
    with BenchSlack() as slack, mlflow_subprocess(database, folder / "files", 1) as uri:
        memory, percent = _measure(slack, folder / "home", uri)
    command = [sys.executable, "-c", IMPORTS]
    imports = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603 - ours
    above = memory - imports
    text = table(
        [f"`registrar run`, idle, {MODELS * EACH} monitors every {EVERY} s", ""],
        ["memory of all its processes", f"{memory:.0f} MB"],
        ["the same packages, only imported", f"{imports:.0f} MB"],
        ["difference", f"{above:.0f} MB{verdict(MEMORY_AIM, '≤', round(above, 1), ' MB')}"],
        [f"CPU time, over {MINUTES} minutes", f"{percent:.2f}% of a core{verdict(CPU_AIM, '<', percent, '%')}"],
    )
    return Report(text, {"idle MB": memory, "idle MB ÷ imports": memory / imports, "idle CPU %": percent})


def _measure(slack: BenchSlack, home: Path, uri: str) -> tuple[float, float]:
    """Return the megabytes of the processes, and the percentage of a core that they use."""
    home.mkdir()
    stop = threading.Event()
    with closing(SqlLedger(f"sqlite:///{home / 'ledger.db'}")) as ledger:
        ledger.migrate()
        _add_monitors(ledger)
        process, _ = start_registrar(slack, home, "Socket Mode", registry=uri)
        pushing = threading.Thread(target=_push, args=[ledger, stop])
        pushing.start()
        try:
            time.sleep(SETTLING)
            family = [parent := psutil.Process(process.pid), *parent.children(recursive=True)]
            began, used = time.monotonic(), _cpu_seconds(family)
            time.sleep(MINUTES * 60)
            percent = 100 * (_cpu_seconds(family) - used) / (time.monotonic() - began)
            with ledger.read() as reader:
                assert sum(len(reader.monitors(name)) for name in NAMES) == MODELS * EACH
                assert not reader.incidents()  # every reading was within its bound
            return sum(each.memory_info().rss for each in family) / 2**20, percent
        finally:
            stop.set()
            pushing.join()
            end(process)


def _add_monitors(ledger: SqlLedger) -> None:
    now, names = datetime.now(UTC), [(name, metric) for name in NAMES for metric in METRICS]
    with ledger.write() as tx:
        for number, (name, metric) in enumerate(names):
            rule = MonitorConfig(
                name=metric, source="push", greater_than=0.85, every=f"{EVERY}s", warmup="0s", action="notify"
            )
            monitor = Monitor(id=f"{name}-{metric}", model=name, rule=rule, created_at=now, created_by=Person("T", "U"))
            tx.add_monitor(monitor)
            due = now + timedelta(seconds=EVERY * number / len(names))  # spread over the interval
            tx.save_monitor_state(MonitorState(monitor=monitor.id, next_at=due))


def _push(ledger: SqlLedger, stop: threading.Event) -> None:
    """Push every metric of every model, once between two checks."""
    while True:
        now = datetime.now(UTC)
        pushed = partial(PushedReading, source="push", version=0, at=now, value=0.9, received_at=now, client="serve")
        with ledger.write() as tx:
            tx.add_readings([pushed(model=name, metric=metric) for name in NAMES for metric in METRICS])
        if stop.wait(EVERY / 2):
            return


def _cpu_seconds(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)

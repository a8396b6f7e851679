"""Polling a registry of 10,000 models and 100,000 versions on a real `mlflow server`, and a promotion in it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from benchmarks.report import Report
from benchmarks.ways import be_patient, in_turns, sent, table, verdict
from bot.domain.registry.model import Stage
from bot.domain.transitions.transition import Transition, TransitionKind
from bot.ledger.database import SqlLedger
from bot.registry.mlflow.registry import MlflowRegistry
from bot.services.transitions.drift import DriftDetector
from tests.support.monitoring.monitoring_harness import BOB, MonitoringHarness
from tests.support.registry.mlflow_process import mlflow_subprocess
from tests.support.registry.registries import MlflowBackend

MODELS, VERSIONS = 10_000, 10  # of each model
HELD = 100  # models with a version in Production, which every poll reads
QUIET_POLLS, ROUNDS = 5, 25
FIRST_AIM, QUIET_AIM, PROMOTION_AIM = 20.0, 0.3, 1.2
MEGABYTE = 2**20


def large(folder: Path) -> Report:
    """Return the cost of the first poll, a quiet one, and a sweep, and how much longer a promotion takes."""
    be_patient()
    uris = {}
    for name, models in (("large", MODELS), ("small", 1)):
        uris[name] = f"sqlite:///{folder / f'{name}.db'}"
        _fill(uris[name], str(folder / "files"), models)
    with (
        mlflow_subprocess(uris["large"], folder / "files", 1) as large_server,
        mlflow_subprocess(uris["small"], folder / "files", 1) as small_server,
    ):
        rows, figures = _polling(folder, large_server)
        ratio, medians = _promoting(folder, {"large": large_server, "small": small_server})
    figures["promotion, 100,000 ÷ 10 versions"] = ratio
    head = ["", "CPU seconds", "requests"]
    text = (
        f"{MODELS:,} models with {MODELS * VERSIONS:,} versions, {HELD} of them in Production:\n\n"
        f"{table(head, *rows)}\n\n"
        f"The first poll needs {figures['first poll MB']:.0f} MB. A promotion there takes {ratio:.2f} times as long as "
        f"among {VERSIONS} versions ({medians['large'] * 1000:.0f} and {medians['small'] * 1000:.0f} ms)"
        f"{verdict(PROMOTION_AIM, '≤', ratio)}."
    )
    return Report(text, figures)


def _fill(database: str, files: str, models: int) -> None:
    """Add the models, each a minute newer than the one before, by copying the rows of the first."""
    with closing(MlflowBackend(database, files)) as backend:
        backend.add_model("m00000", versions=VERSIONS)
    engine, began = sa.create_engine(database), int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)
    with engine.begin() as connection:
        times = {"creation_time": began, "last_updated_time": began}
        for name in ("registered_models", "model_versions"):
            rows = connection.execute(sa.text(f"SELECT * FROM {name}")).mappings().all()  # noqa: S608
            columns = sa.table(name, *(sa.column(column) for column in rows[0]))
            connection.execute(sa.delete(columns))
            copies = [
                {**row, "name": f"m{number:05}", **{key: at + number * 60_000 for key, at in times.items()}}
                | ({"current_stage": "Production"} if number < HELD and row.get("version") == 1 else {})
                for number in range(models)
                for row in rows
            ]
            connection.execute(sa.insert(columns), copies)
    engine.dispose()


def _polling(folder: Path, server: str) -> tuple[list[list[str]], dict[str, float]]:
    with closing(SqlLedger(f"sqlite:///{folder / 'polls.db'}")) as ledger:
        ledger.migrate()
        harness = MonitoringHarness(ledger, MlflowRegistry(server, timeout=60))
        seconds = [0.0]
        detector = DriftDetector(harness.context, monotonic=lambda: seconds[0])
        harness.context.registry.model("m00000")  # the import of MLflow isn't part of the poll
        process = psutil.Process()
        before = process.memory_info().rss
        first = _cost(detector.poll)
        growth = (process.memory_info().rss - before) / MEGABYTE
        quiet = []
        for _ in range(QUIET_POLLS):
            seconds[0] += 60
            quiet.append(_cost(detector.poll))
        sweep = _cost(DriftDetector(harness.context).poll)
    median = statistics.median(cpu for cpu, _ in quiet)
    figures = {
        "first poll CPU s": first[0],
        "quiet poll CPU s": median,
        "sweep CPU s": sweep[0],
        "first poll MB": growth,
    }
    rows = [
        ["first poll", f"{first[0]:.1f}{verdict(FIRST_AIM, '≤', first[0])}", str(first[1])],
        ["quiet poll", f"{median:.2f}{verdict(QUIET_AIM, '≤', median)}", str(quiet[-1][1])],
        ["quiet sweep, every 10 minutes", f"{sweep[0]:.2f}", str(sweep[1])],
    ]
    return rows, figures


def _cost(poll: Callable[[], object]) -> tuple[float, int]:
    """Return the CPU seconds of this process and the number of requests."""
    with sent() as requests:
        began = time.process_time()
        poll()
        return time.process_time() - began, len(requests)


def _promoting(folder: Path, servers: dict[str, str]) -> tuple[float, dict[str, float]]:
    """Return how many times as long a promotion takes in the large registry, and the medians."""
    promoted = {name: _Promoting(folder / f"{name}-ledger.db", uri) for name, uri in servers.items()}
    for each in promoted.values():
        each.promote()
    medians = in_turns({name: each.promote for name, each in promoted.items()}, ROUNDS)
    for each in promoted.values():
        each.ledger.close()
    return medians["large"] / medians["small"], medians


class _Promoting:
    """v1 and v2 of a model alternate in Production."""

    def __init__(self, database: Path, server: str) -> None:
        self.ledger = SqlLedger(f"sqlite:///{database}")
        self.ledger.migrate()
        self._harness: Any = MonitoringHarness(self.ledger, MlflowRegistry(server, timeout=60))
        self._next, self._held, self._moves = 2, 1, 0

    def promote(self) -> None:
        """Execute a promotion."""
        self._moves += 1
        with self.ledger.write() as tx:
            tx.add_transition(
                Transition(
                    id=f"move:{self._moves}",
                    kind=TransitionKind.PROMOTION,
                    model="m00000",
                    version=self._next,
                    from_stage=Stage.NONE if self._moves == 1 else Stage.ARCHIVED,
                    target=Stage.PRODUCTION,
                    expected_incumbent=self._held,
                    actor=BOB,
                    intended_at=datetime.now(UTC),
                )
            )
        self._harness.moves.execute_due("m00000")
        with self.ledger.read() as reader:
            [done] = reader.transitions("m00000", limit=1)
        assert done.state.value == "done", done
        self._next, self._held = self._held, self._next

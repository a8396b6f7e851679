"""A long run under load: memory stays flat, and no work is left. `make soak` runs it for an hour."""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import psutil
import pytest

from bot.ledger import SqlLedger
from localslack import Remote
from tests.support.app.load_generator import LoadGenerator, write_home
from tests.support.app.replicas import Replica
from tests.support.registry.mlflow_process import mlflow_subprocess
from tests.support.registry.registries import MlflowBackend
from tests.support.waiting import wait_until

MINUTES = float(os.environ.get("SOAK", "0.25"))
LONG_ENOUGH = 20.0  # minutes; before that, caches are still filling
GROWTH_MOST = 0.05
SAMPLES = 400


@pytest.mark.slow
@pytest.mark.parametrize("verbs", [["run"], pytest.param(["run", "worker"], marks=pytest.mark.postgres)])
def test_a_long_run_under_load_leaves_no_work_and_flat_memory(
    verbs: list[str],
    request: pytest.FixtureRequest,
    apart: Remote,
    tmp_path: Path,
    mlflow_sqlite: str,
    mlflow_backend: MlflowBackend,
) -> None:
    database = str(request.getfixturevalue("sqlite_url" if len(verbs) == 1 else "postgres_url"))
    with ExitStack() as open_things:
        uri = open_things.enter_context(mlflow_subprocess(mlflow_sqlite, tmp_path / "artifacts", workers=1))
        settings = write_home(tmp_path, apart, database, uri, mlflow_backend)
        ledger = open_things.enter_context(closing(SqlLedger(database, timeout=20)))
        team = [Replica(verb, settings, tmp_path / f"{verb}.log").start().wait() for verb in verbs]
        for one in team:
            open_things.callback(one.kill)
        load = LoadGenerator(apart, ledger, random.Random(3), pause=0.2 if MINUTES < LONG_ENOUGH else 2.0)  # noqa: S311
        with memory_of(team) as samples, load.goes_on():
            time.sleep(MINUTES * 60)  # this tests the load, for the requested time
        wait_until(lambda: is_empty(ledger), 120)
        held = [quarters(one) for one in samples]
        grown = [last / second - 1 for _, second, _, last in held]
        told = ", ".join(
            f"{verb} {more:+.1%} ({', '.join(f'{each / 2**20:.0f}' for each in each_quarter)} MB)"
            for verb, more, each_quarter in zip(verbs, grown, held, strict=True)
        )
        kind = "SQLite" if len(verbs) == 1 else "PostgreSQL"
        print(f"{kind}, {MINUTES:g} minutes, {len(load.asked)} requests: memory {told}; the outbox is empty")
        assert load.asked
        assert MINUTES < LONG_ENOUGH or max(grown) <= GROWTH_MOST
        assert [one.end() for one in team] == [0] * len(team)


@contextmanager
def memory_of(team: list[Replica]) -> Iterator[list[list[int]]]:
    """Sample the processes' memory until the block ends; yield the samples (bytes)."""
    samples: list[list[int]] = [[] for _ in team]
    over = Event()

    def look() -> None:
        while not over.wait(MINUTES * 60 / SAMPLES):
            for one, seen in zip(team, samples, strict=True):
                assert one.process is not None
                seen.append(psutil.Process(one.process.pid).memory_info().rss)

    looking = Thread(target=look, daemon=True)
    looking.start()
    yield samples
    over.set()
    looking.join()


def quarters(samples: list[int]) -> list[float]:
    """Return the median of each quarter."""
    size = len(samples) // 4
    return [statistics.median(samples[at : at + size]) for at in range(0, 4 * size, size)]


def is_empty(ledger: SqlLedger) -> bool:
    """Return whether no messages are pending."""
    with ledger.read() as reading:
        return not reading.due_messages(datetime.now(UTC) + timedelta(days=1))

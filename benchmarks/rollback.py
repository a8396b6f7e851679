"""Rolling back with a real `mlflow server`: ours, only the bare requests, the plain way, and the complete reaction."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from benchmarks.report import Report
from benchmarks.ways import WORKERS, be_patient, in_turns, sent, table, verdict, without_registrar
from bot.domain.registry.model import Stage
from bot.domain.rollbacks.rollback_targets import rollback_transition
from bot.domain.transitions.transition import TransitionState
from bot.ledger.database import SqlLedger
from bot.registry.mlflow.registry import MlflowRegistry
from tests.support.ledger.bulk_data import add_many_versions
from tests.support.monitoring.monitoring_harness import BOB, MonitoringHarness
from tests.support.registry.mlflow_process import mlflow_subprocess
from tests.support.registry.registries import MlflowBackend

VERSIONS = (10, 1000)
ROUNDS = 25  # rounds of each way
REACTIONS = 100
BARE_AIM, PLAIN_AIM = 1.25, 10
REACTION_AIM = 500  # milliseconds, for the 99th percentile
TAGS = [f"rollback_{what}" for what in ("at", "by", "from", "to", "reason", "incident")]
A_RUN: dict[str, Any] = {"metrics": {"accuracy": 0.9}}


def rolling(folder: Path) -> Report:
    """Return the table of rolling back in each way, and of the reaction time to a bad reading."""
    be_patient()
    database = f"sqlite:///{folder / 'mlflow.db'}"
    with closing(MlflowBackend(database, str(folder / "files"))) as shelf:
        for number in VERSIONS:
            add_many_versions(shelf, database, f"of-{number}", number, **A_RUN)
        add_many_versions(shelf, database, "churn", REACTIONS + 2, **A_RUN)
    rows, figures = [], dict[str, float]()
    with closing(SqlLedger(f"sqlite:///{folder / 'ledger.db'}")) as ledger:
        ledger.migrate()
        for server, workers in WORKERS.items():
            with mlflow_subprocess(database, folder / "files", workers) as uri:
                for number in VERSIONS:
                    row, faster, over_bare = _row(server, workers, number, _Sides(ledger, uri, number))
                    rows.append(row)
                    where = f"--workers {workers}, {number:,} versions"
                    figures |= {
                        f"rollback ÷ bare requests, {where}": over_bare,
                        f"rollback ÷ plain, {where}": 1 / faster,
                    }
                if workers == 1:
                    reaction, p99 = reacting(ledger, uri)
    head = [
        "`mlflow server`",
        "versions",
        "plain ÷ Registrar",
        "Registrar ÷ its bare requests",
        "requests, Registrar and plain",
        "ms: plain, bare, Registrar",
    ]
    text = f"A rollback, medians of {ROUNDS}:\n\n{table(head, *rows)}\n\n{reaction}"
    return Report(text, figures | {"reaction to a bad reading, p99, ms": p99})


# -- the ways ----------------------------------------------------------------------------------------------------------


class _Sides:
    """v1 and v2 of a model alternate in Production, whichever way moves them."""

    def __init__(self, ledger: SqlLedger, uri: str, number: int) -> None:
        self._watched = MonitoringHarness(ledger, MlflowRegistry(uri))
        self._uri, self._model = uri, f"of-{number}"
        self._session = requests.Session()
        self._moves = 0
        held = self._watched.registry.production_versions([self._model])[self._model].version
        self._now, self._next = held, 3 - held
        with ledger.write() as tx:  # both have served
            for version in (1, 2):
                entry = rollback_transition(
                    f"{uri}:{self._model}:served:{version}",
                    self._model,
                    target=version,
                    incumbent=None,
                    actor=BOB,
                    now=datetime.now(UTC),
                    reason="",
                )
                tx.add_transition(replace(entry, state=TransitionState.DONE))

    def _turn(self) -> tuple[int, int]:
        self._now, self._next = self._next, self._now
        return self._next, self._now

    def intend(self) -> None:
        """Check that the version loads, as for a decision, and record the transition that `ours` executes."""
        incumbent, target = self._turn()
        self._moves += 1
        self._watched.fitness.problems(self._model, target, incumbent)
        move = rollback_transition(
            f"{self._uri}:{self._model}:{self._moves}",
            self._model,
            target=target,
            incumbent=incumbent,
            actor=BOB,
            now=datetime.now(UTC),
            reason="accuracy fell",
            identity=self._watched.registry.version(self._model, target).identity(),
        )
        with self._watched.ledger.write() as tx:
            for bar in tx.rollback_blocks(self._model):
                tx.save_rollback_block(replace(bar, cleared_at=move.intended_at, cleared_by=BOB))
            tx.add_transition(move)

    def ours(self) -> None:
        """Execute the intended transition and read it back, with everything that the ledger records."""
        self._watched.moves.execute_due(self._model)

    def check(self) -> None:
        """Raise RuntimeError unless the last transition was executed."""
        with self._watched.ledger.read() as reading:
            if reading.transitions(self._model)[0].state is not TransitionState.DONE:
                raise RuntimeError("the rollback wasn't executed")

    def bare(self) -> None:
        """Send the same requests with `requests`, over connections that acknowledge quickly, like ours."""
        incumbent, target = self._turn()
        one = {"name": self._model, "version": str(target)}
        move = {**one, "stage": Stage.PRODUCTION.value, "archive_existing_versions": True}
        self._send("GET", "model-versions/get", params={**one, "version": str(incumbent)})
        self._send("GET", "model-versions/get", params=one)
        self._send("POST", "model-versions/transition-stage", json=move)
        self._send("POST", "registered-models/alias", json={**one, "alias": "champion"})
        self._send("GET", "model-versions/get", params=one)

    def _send(self, method: str, path: str, **more: Any) -> None:
        self._session.request(method, f"{self._uri}/api/2.0/mlflow/{path}", timeout=60, **more).raise_for_status()

    def plain(self) -> None:
        """Roll back as people do: move one version out and the other one in, and set tags."""
        from mlflow import MlflowClient  # noqa: PLC0415 - takes seconds

        incumbent, target = self._turn()
        client = MlflowClient(self._uri, self._uri)
        with without_registrar(), warnings.catch_warnings(action="ignore", category=FutureWarning):
            client.transition_model_version_stage(self._model, str(incumbent), "Archived")
            client.transition_model_version_stage(self._model, str(target), "Production")
            for tag in TAGS:
                client.set_model_version_tag(self._model, str(target), tag, "2026-05-04 12:00:00")


def _row(server: str, workers: int, number: int, sides: _Sides) -> tuple[list[str], float, float]:
    """Return the row, and how much faster than plain and slower than the bare requests it is."""
    asked = {name: len(found) for name, found in _requests(sides).items()}
    taken = in_turns({"intend": sides.intend, "ours": sides.ours, "bare": sides.bare, "plain": sides.plain}, ROUNDS)
    sides.check()
    faster, over_bare = taken["plain"] / taken["ours"], taken["ours"] / taken["bare"]
    row = [
        server,
        f"{number:,}",
        f"{faster:.0f} ×{verdict(PLAIN_AIM if workers > 1 else None, '≥', faster)}",
        f"{over_bare:.2f} ×{verdict(BARE_AIM, '≤', over_bare)}",
        f"{asked['ours']} and {asked['plain']}",
        ", ".join(f"{taken[name] * 1000:,.1f}" for name in ("plain", "bare", "ours")),
    ]
    return row, faster, over_bare


def _requests(sides: _Sides) -> Mapping[str, list[str]]:
    """Return the requests of each way, after a warm-up. Raises RuntimeError unless the bare ones equal ours."""
    found = {}
    for _ in range(2):
        sides.intend()
        for name, way in {"ours": sides.ours, "bare": sides.bare, "plain": sides.plain}.items():
            with sent() as requests_sent:
                way()
            found[name] = [f"{one.method} {urlsplit(str(one.url)).path}" for one in requests_sent]
    if found["ours"] != found["bare"]:
        raise RuntimeError(f"ours sends {found['ours']}, and the bare requests are {found['bare']}")
    return found


# -- the reaction ------------------------------------------------------------------------------------------------------


def reacting(ledger: SqlLedger, uri: str) -> tuple[str, float]:
    """Return the time from a bad reading's arrival to the verified rollback: a sentence, and the p99 in ms."""
    watched = MonitoringHarness(ledger, MlflowRegistry(uri))
    watched.serves(1, since=datetime.now(UTC) - timedelta(days=30))
    monitor = watched.monitor("accuracy", fail_after=2)
    react = partial(_react, watched, monitor)
    taken = sorted(react(version) * 1000 for version in range(2, REACTIONS + 2))
    p99 = statistics.quantiles(taken, n=100)[98]
    text = (
        f"From a bad reading's arrival to the verified rollback, {REACTIONS} times, one worker: p50 "
        f"{statistics.median(taken):.0f} ms, p99 {p99:.0f} ms{verdict(REACTION_AIM, '≤', p99, ' ms')}."
    )
    return text, p99


def _react(watched: MonitoringHarness, monitor: str, version: int) -> float:
    """Put the version into Production with a bad accuracy; return the seconds until v1 is back."""
    watched.registry.transition_stage("churn", version, Stage.PRODUCTION, archive_existing=True)
    watched.serves(version, since=datetime.now(UTC))
    began = time.perf_counter()
    watched.reads(0.5)
    for _ in range(2):  # it fails at the second check in a row; the interval between the checks is left out
        watched.monitoring.check_now(monitor)
    took = time.perf_counter() - began
    with watched.ledger.read() as reading:
        newest = reading.transitions("churn")[0]
    if (newest.version, newest.state) != (1, TransitionState.DONE):
        raise RuntimeError(f"v{version} wasn't rolled back: {watched.standing(monitor)}")
    return took

"""Comparing versions with a real `mlflow server`: ours, the plain way, and only the bare requests."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import requests

from benchmarks.report import Report
from benchmarks.ways import WORKERS, Way, be_patient, seconds, sent, verdict, without_registrar
from bot.domain.commands.parser import build_command
from bot.domain.commands.registry import Compare
from bot.domain.policy.parser import validate_policy
from bot.ledger.database import SqlLedger
from bot.ports import SYSTEM_CLOCK
from bot.registry.mlflow.registry import MlflowRegistry
from bot.services.core.context import ActivePolicy, Context
from bot.services.registry.comparisons import Comparisons
from bot.services.registry.queries import RegistryQueries
from tests.support.ledger.bulk_data import add_many_versions
from tests.support.registry.mlflow_process import mlflow_subprocess
from tests.support.registry.registries import MlflowBackend

PLAIN_ROUNDS = {10: 7, 100: 3, 1000: 1}  # rounds, by number of versions: the plain way takes a minute for a thousand
ROUNDS = 7  # of the other ways
AIMS = {4: (50, 300), 1: (7, 80)}  # by workers, for 1,000 versions: × faster than plain, first and second time
BARE_AIM = 1.25
A_RUN: dict[str, Any] = {
    "metrics": {f"metric_{number}": 0.5 for number in range(10)},
    "params": {f"param_{number}": "0.001" for number in range(5)},
    "tags": {"mlflow.source.name": "train.py", "mlflow.source.type": "LOCAL", "mlflow.source.git.commit": "a" * 40},
    "user": "ann",
}


class Seconds(NamedTuple):
    """The median of each way, in seconds."""

    plain: float
    bare: float
    first: float
    second: float


def comparing(folder: Path) -> Report:
    """Return the table of comparing this many versions, with each server."""
    be_patient()
    database = _filled(folder)
    found: dict[tuple[str, int], Seconds] = {}
    for server, workers in WORKERS.items():
        with mlflow_subprocess(database, folder / "files", workers) as uri:
            found |= {(server, number): measure(folder, uri, number) for number in PLAIN_ROUNDS}
    return Report(f"{_table(found)}\n\n<sub>Milliseconds, medians: {_small_print(found)}.</sub>", _figures(found))


def _filled(folder: Path) -> str:
    """Return the URI of a database with one model for each number of versions."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    shelf = MlflowBackend(uri, str(folder / "files"))
    for number in PLAIN_ROUNDS:
        add_many_versions(shelf, uri, _model(number), number, **A_RUN)
    shelf.close()
    return uri


def _model(number: int) -> str:
    return f"of-{number}"


# -- the ways ----------------------------------------------------------------------------------------------------------


def plain(uri: str, model: str) -> pd.DataFrame:
    """Compare as people do in a notebook: the versions, then the run of each."""
    from mlflow import MlflowClient  # noqa: PLC0415 - takes seconds

    client = MlflowClient(uri, uri)
    with without_registrar():
        rows = [
            {"version": int(version.version), "stage": version.current_stage, "run_id": version.run_id}
            | client.get_run(str(version.run_id)).data.metrics
            for version in client.search_model_versions(f"name = '{model}'")
        ]
    return pd.DataFrame(rows)


def bare(session: requests.Session, uri: str, model: str) -> object:
    """Send with `requests` what ours sends the first time, and parse only what the next request needs."""
    here = f"{uri}/api/2.0/mlflow"
    which: dict[str, Any] = {"filter": f"name = '{model}'", "max_results": 5_000, "order_by": "version_number DESC"}
    versions = session.get(f"{here}/model-versions/search", params=which).json()["model_versions"]
    wanted: dict[str, Any] = {"max_results": 50_000, "view_type": "ALL"}
    places = session.post(f"{here}/experiments/search", json=wanted).json()["experiments"]
    ids = ",".join(f"'{version['run_id']}'" for version in versions)
    runs: dict[str, Any] = {
        "experiment_ids": [each["experiment_id"] for each in places],
        "run_view_type": "ALL",
        "filter": f"attributes.run_id IN ({ids})",
        "max_results": 50_000,
    }
    return session.post(f"{here}/runs/search", json=runs).content


def ours(folder: Path, uri: str, model: str) -> Way:
    """Return our way, with an empty cache."""
    policy, ledger = validate_policy({"models": {"*": {}}}), SqlLedger(f"sqlite:///{folder / 'ledger.db'}")
    registry = MlflowRegistry(uri)
    context = Context(
        ledger=ledger,
        registry=registry,
        tracker=registry.tracker,
        active_policy=ActivePolicy(policy),
        clock=SYSTEM_CLOCK,
        owner="bench",
    )
    return partial(
        Comparisons(context, RegistryQueries(context)).compare,
        build_command(Compare, {"model": model}),
    )


# -- measuring ---------------------------------------------------------------------------------------------------------


def measure(folder: Path, uri: str, number: int) -> Seconds:
    """Return the time of each way; in each round, they run one after the other."""
    model = _model(number)
    taken: dict[str, list[float]] = {way: [] for way in Seconds._fields}
    with requests.Session() as session:
        asks = partial(bare, session, uri, model)
        _check_requests(ours(folder, uri, model), ours(folder, uri, model), asks)
        for turn in range(ROUNDS):
            compare = ours(folder, uri, model)
            ways: dict[str, Way] = {"bare": asks, "first": compare, "second": compare}
            if turn < PLAIN_ROUNDS[number]:
                ways["plain"] = partial(plain, uri, model)
            for name, way in ways.items():
                taken[name].append(seconds(way))
    return Seconds(**{name: statistics.median(seconds) for name, seconds in taken.items()})


def _check_requests(before: Way, compare: Way, asks: Way) -> None:
    """Raise RuntimeError unless the bare requests are the same as ours. This also warms up everything."""
    before()  # from here on, all connections acknowledge quickly
    asks()
    with sent() as ours_sent:
        compare()
    with sent() as bare_sent:
        asks()
    said = [[(one.method, one.url, one.body) for one in each] for each in (ours_sent, bare_sent)]
    if said[0] != said[1]:
        raise RuntimeError(f"ours sends {said[0]}, and the bare requests are {said[1]}")


# -- results -----------------------------------------------------------------------------------------------------------

Found = Mapping[tuple[str, int], Seconds]


def _table(found: Found) -> str:
    head = [
        "`mlflow server`",
        "versions",
        "plain ÷ Registrar",
        "plain ÷ Registrar, a second time",
        "Registrar ÷ its bare requests",
    ]
    rows = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for (server, number), medians in found.items():
        rows.append(f"| {server} | {number:,} | " + " | ".join(_ratios(server, number, medians)) + " |")
    return "Comparing all versions of a model, each with a run of ten metrics:\n\n" + "\n".join(rows)


def _ratios(server: str, number: int, medians: Seconds) -> list[str]:
    faster = [medians.plain / medians.first, medians.plain / medians.second]
    aims = AIMS[WORKERS[server]] if number == max(PLAIN_ROUNDS) else (None, None)
    cells = [f"{ratio:.0f} ×{verdict(aim, '≥', ratio)}" for ratio, aim in zip(faster, aims, strict=True)]
    over_bare = medians.first / medians.bare
    return [*cells, f"{over_bare:.2f} ×{verdict(BARE_AIM, '≤', over_bare)}"]


def _figures(found: Found) -> dict[str, float]:
    figures = {}
    for (server, number), medians in found.items():
        where = f"--workers {WORKERS[server]}, {number:,} versions"
        figures[f"compare ÷ bare requests, {where}"] = medians.first / medians.bare
        figures[f"compare ÷ plain, {where}"] = medians.first / medians.plain
        figures[f"compare a second time ÷ plain, {where}"] = medians.second / medians.plain
    return figures


def _small_print(found: Found) -> str:
    return "; ".join(
        f"{server}, {number:,} versions: "
        + ", ".join(f"{name} {value * 1000:,.{0 if value > 0.1 else 1}f}" for name, value in medians._asdict().items())
        for (server, number), medians in found.items()
    )
